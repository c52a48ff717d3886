"""Writes every measured number of the documents, from the result files in `results/`.

    python tests/benchmarks/report.py            # rewrites the parts between the markers
    python tests/benchmarks/report.py --check    # exit status 1 where a document is out of date
    python tests/benchmarks/report.py keep EVALUATION.json results/chains-MODEL-SET.jsonl \
        --run NAME --label "what it is" --machine "where it ran"

A part of a document that stands between `<!-- report.py: NAME -->` and `<!-- end of NAME -->` is
made by the function of that name in `PARTS`. Shares have Wilson intervals, pass@k bootstrap
intervals over tasks, comparisons an exact test of paired tasks (`training/evaluation/`). Measures
nothing itself; needs no more than `pip install -e .`.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import statistics
import sys
from functools import cache
from pathlib import Path

from arms import title_of
from attrs import evolve
from bug_tables import bug_files, bug_others, bug_pairs, bug_results, bug_table, bugs_by_size
from result_files import (
    RESULTS,
    chain_figures,
    failing_tasks,
    keep_evaluation,
    read_results,
    repaired,
    search_figures,
    solved,
    solved_share,
)
from tables import decimal, significant, table

from training.evaluation.comparison import (
    Comparison,
    compare,
    format_p,
    format_percent,
    wilson,
)

ROOT = Path(__file__).parents[2]
DOCUMENTS = (
    "README.md",
    "docs/benchmarks.md",
    "docs/editors.md",
    "docs/paper.md",
    "coe_lsp/weights/qwen2.5-coder-0.5b-coe-v1.md",
    "coe_lsp/weights/smollm2-135m-coe-v1.md",
)
DEFAULT_MODEL, SMALL_MODEL = "qwen2.5-coder-0.5b", "smollm2-135m"
SETS = {
    DEFAULT_MODEL: ("humanevalfix-dev", "debugbench-dev", "mbpp-faulty"),
    SMALL_MODEL: ("humanevalfix-dev", "debugbench-dev"),
}
PART = re.compile(r"(<!-- report\.py: ([^>]+?) -->\n).*?(<!-- end of \2 -->)", re.DOTALL)


# --- the search


def search(experiment):
    """The tasks of an experiment that leave something to repair, and its arms as they ran."""
    results = read_results(search_file(experiment))
    rows = failing_tasks(results.rows)
    return evolve(results, rows=rows), list(dict.fromkeys(row["arm"] for row in rows))


def search_file(experiment):
    """The result file of an experiment with the search."""
    return RESULTS / f"search-{experiment}.jsonl"


def summary():
    """The README's table: what a repair comes to on the two sets."""
    rows = []
    for experiment, title in (
        ("humanevalfix-dev", "HumanEvalFix, every second task"),
        ("debugbench-dev", "DebugBench, a sample with one bug each"),
    ):
        results, arms = search(experiment)
        for arm in arms:
            found = search_figures(results.of("arm", arm))
            rows.append(
                [
                    title if arm == arms[0] else "",
                    title_of(arm),
                    f"{found['in 10 s']} of {found['tasks']}",
                    f"{found['repaired']} of {found['tasks']}",
                    format_percent(found["share"]),
                    f"{found['first']:.1f} s",
                    f"{found['answer']:.1f} s",
                ]
            )
    head = ["tasks", "arm", "repaired in 10 s", "in 60 s", "% (95% interval)", "first", "answer"]
    return table(head, rows)


def whole_searches():
    """The experiments with the whole search."""
    names = ("humanevalfix-dev", "debugbench-dev", "debugbench-dev-second-adapter")
    small = ("humanevalfix-dev-12", "demo", "classics")
    return search_table(search_file(name) for name in (*names, *small))


SEARCH_HEAD = [
    "experiment",
    "arm",
    "tasks",
    "in 10 s",
    "repaired",
    "% (95% interval)",
    "first",
    "answer",
    "programs a second",
    "llama.cpp busy",
]


def search_table(paths):
    """A row for each arm of some result files: how many tasks it repairs, and how fast."""
    rows = []
    for path in paths:
        results = read_results(path)
        for arm in dict.fromkeys(row["arm"] for row in results.rows):
            found = search_figures(results.of("arm", arm))
            seconds = f"{results.about['budget']:g} s"
            name = f"`{path.stem.removeprefix('search-')}`, {seconds}"
            rows.append(
                [
                    "" if any(name == row[0] for row in rows) else name,
                    title_of(arm),
                    found["tasks"],
                    found["in 10 s"],
                    found["repaired"],
                    format_percent(found["share"]),
                    decimal(found["first"]),
                    decimal(found["answer"]),
                    significant(found["speed"]),
                    "" if found["busy"] is None else f"{found['busy']:.0%}",
                ]
            )
    return table(SEARCH_HEAD, rows)


def search_pairs():
    """What the model adds to mutations: tasks that only one of the two arms repairs."""
    rows = []
    for experiment in ("humanevalfix-dev", "debugbench-dev"):
        results, _ = search(experiment)
        pair = compare(repaired(results.of("arm", "all")), repaired(results.of("arm", "mutations")))
        rows.append([f"`{experiment}`", pair.tasks, pair.more, pair.fewer, format_p(pair.p_value)])
    return table(["experiment", "tasks", "only with the model", "only without", "p"], rows)


def few_tests():
    """Repairs that were found with a third of the tests, and pass the hidden ones too."""
    results, _ = search("humanevalfix-dev-few-tests")
    found = search_figures(results.rows)
    kept = [row for row in results.rows if row["status"] == "repaired"]
    first = wilson(sum(row["hidden"] for row in kept), len(kept))
    shown = wilson(sum(row["hidden_any"] for row in kept), len(kept))
    rows = [
        ["tasks that fail a visible test", found["tasks"], ""],
        ["repaired by the visible tests", found["repaired"], format_percent(found["share"])],
        [
            "of these, the first repair passes the hidden tests",
            sum(row["hidden"] for row in kept),
            format_percent(first),
        ],
        [
            "of these, one of up to three repairs passes the hidden tests",
            sum(row["hidden_any"] for row in kept),
            format_percent(shown),
        ],
    ]
    return table(["", "tasks", "% (95% interval)"], rows)


def ablation():
    """The search with one part less, against the whole search on the same tasks."""
    results, arms = search("humanevalfix-dev-ablation")
    whole = repaired(results.of("arm", "all"))
    rows = []
    for arm in arms:
        found = search_figures(results.of("arm", arm))
        pair = compare(whole, repaired(results.of("arm", arm)))
        same = arm == "all"
        rows.append(
            [
                title_of(arm),
                found["repaired"],
                format_percent(found["share"]),
                "" if same else pair.more,
                "" if same else pair.fewer,
                "" if same else format_p(pair.p_value),
                significant(found["speed"]),
            ]
        )
    head = ["arm", "repaired", "% (95% interval)", "only whole", "only this", "p"]
    return table([*head, "programs a second"], rows)


# --- chains of edits, and answers at once


def chains(model, tasks):
    """The result file of one model on one set of tasks."""
    return read_results(RESULTS / f"chains-{model}-{tasks}.jsonl")


@cache
def shipped_adapter(model):
    """The checksum of the adapter that the package ships for the model."""
    (path,) = (ROOT / "coe_lsp/weights").glob(f"{model}-coe-v*.gguf")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def label(model, about):
    """What a run is; in bold where it is the shipped adapter's."""
    if about["adapter_sha256"] == shipped_adapter(model):
        return f"**{about['label']} (shipped)**"
    return about["label"]


def chain_tables(model, only=()):
    """Rates of every run of a model on its sets, or of some runs."""
    runs = [
        (tasks, about, chain_figures(chains(model, tasks).of("run", run)))
        for tasks in SETS[model]
        for run, about in chains(model, tasks).about["runs"].items()
        if not only or run in only
    ]
    rates = [k for k in ("pass@1", "pass@4", "pass@8") if any(k in found for *_, found in runs)]
    rows = []
    for tasks, about, found in runs:
        first = not rows or all(f"`{tasks}`" != row[0] for row in rows)
        rows.append(
            [
                f"`{tasks}`" if first else "",
                label(model, about),
                found["tasks"],
                format_percent(found["greedy"]),
                *(format_percent(found[k]) if k in found else "" for k in rates),
                decimal(found["turns"]),
                decimal(found["tokens"], 0),
                "" if "mixed" in about else decimal(found["seconds"]),
                f"{100 * found['malformed']:.1f}%" if about["policy"] != "direct" else "",
            ]
        )
    head = ["tasks", "run", "n", "greedy %", *(f"{k} %" for k in rates)]
    return table([*head, "turns", "tokens", "seconds", "malformed"], rows)


def pair_row(model, first, second, sets=None, how=solved):
    """A row that compares two runs on all tasks of some sets that both have."""
    pairs = []
    for tasks in sets or SETS[model]:
        results = chains(model, tasks)
        pairs.append(compare(how(results.of("run", first)), how(results.of("run", second))))
    whole = Comparison(*(sum(getattr(pair, key) for pair in pairs) for key in PAIR_FIELDS))
    runs = chains(model, (sets or SETS[model])[0]).about["runs"]
    return [
        ", ".join(f"`{tasks}`" for tasks in sets) if sets else "all sets",
        runs[first]["label"],
        runs[second]["label"],
        whole.tasks,
        whole.more,
        whole.fewer,
        format_p(whole.p_value),
    ]


PAIR_FIELDS = ("tasks", "more", "fewer")
PAIR_HEAD = ["tasks", "first", "second", "n", "first better", "second better", "p"]


def default_pairs():
    """The default model's runs, compared on the same tasks."""
    model, rows = DEFAULT_MODEL, []
    for other in ("direct-0", "direct-3", "base", "cpu-sft"):
        rows += [pair_row(model, "gpu-sft-rlvr", other, (tasks,)) for tasks in SETS[model]]
    two = ("humanevalfix-dev", "debugbench-dev")
    rows += [
        pair_row(model, "gpu-sft-rlvr", "cpu-sft"),
        pair_row(model, "gpu-sft-rlvr-sampled", "gpu-sft-sampled", two, solved_share),
        pair_row(model, "cpu-sft-rlvr-no-redraws", "cpu-sft-no-redraws", two),
    ]
    return table(PAIR_HEAD, rows)


def small_pairs():
    """SmolLM2's runs, compared on the same tasks."""
    model, one = SMALL_MODEL, ("humanevalfix-dev",)
    rows = [
        pair_row(model, "cpu-sft", "direct-3", one),
        pair_row(model, "gpu-sft", "cpu-sft", one),
        pair_row(model, "cpu-sft-rlvr-one-command", "cpu-sft-one-command", how=solved_share),
        pair_row(model, "cpu-sft-random-one-command", "cpu-sft-one-command", how=solved_share),
        pair_row(model, "cpu-sft-rlvr-one-command", "cpu-sft-random-one-command", how=solved_share),
    ]
    return table(PAIR_HEAD, rows)


# --- training


def mean_of(rows, key):
    """The mean of a field over the rows that have it; None where no row does."""
    values = [row[key] for row in rows if key in row]
    return statistics.fmean(values) if values else None


def parts_of(rows, count):
    """The rows in so many parts of nearly equal length, none of them empty."""
    count = min(count, len(rows))
    return [rows[len(rows) * n // count : len(rows) * (n + 1) // count] for n in range(count)]


def sft_runs():
    """Loss and accuracy of each SFT run, by eighths of the run."""
    rows = []
    for model in (DEFAULT_MODEL, SMALL_MODEL):
        steps = read_results(RESULTS / f"training-{model}-gpu-sft.jsonl").rows
        for part in parts_of(steps, 8):
            accuracy = mean_of(part, "command_accuracy")
            rows.append(
                [
                    f"`{model}`" if part[0]["step"] == 1 else "",
                    f"{part[0]['step']} to {part[-1]['step']}",
                    f"{sum(row['tokens'] for row in part) / 1e6:.2f}",
                    decimal(mean_of(part, "loss"), 2),
                    decimal(mean_of(part, "validation_loss"), 2),
                    "" if accuracy is None else f"{100 * accuracy:.0f}%",
                ]
            )
    head = ["model", "steps", "million tokens", "loss", "validation loss", "commands right"]
    return table(head, rows)


def rlvr_runs():
    """What RLVR did on its own programs, by quarters of each run."""
    rows = []
    for name, title in (
        (f"{DEFAULT_MODEL}-gpu-rlvr", f"`{DEFAULT_MODEL}`, GPU (shipped)"),
        (f"{DEFAULT_MODEL}-cpu-rlvr", f"`{DEFAULT_MODEL}`, two cores"),
        (f"{SMALL_MODEL}-cpu-rlvr", f"`{SMALL_MODEL}`, two cores"),
        (f"{SMALL_MODEL}-cpu-random-rewards", f"`{SMALL_MODEL}`, random rewards"),
    ):
        steps = read_results(RESULTS / f"training-{name}.jsonl").rows
        for part in parts_of(steps, 4):
            rows.append(
                [
                    title if part[0]["step"] == 1 else "",
                    f"{part[0]['step']} to {part[-1]['step']}",
                    f"{100 * mean_of(part, 'solve_rate'):.1f}%",
                    f"{100 * mean_of(part, 'malformed_rate'):.1f}%",
                    decimal(mean_of(part, "turns"), 2),
                    decimal(mean_of(part, "kl"), 3),
                    decimal(mean_of(part, "entropy"), 2),
                    decimal(mean_of(part, "learned_tokens"), 0),
                ]
            )
    head = ["run", "steps", "solved", "malformed", "turns", "KL", "entropy", "tokens learned"]
    return table(head, rows)


def training_speed():
    """Median cost of a step in each training run that is kept."""
    rows = []
    for path in sorted(RESULTS.glob("training-*.jsonl")):
        results = read_results(path)
        steps = results.rows
        median = {key: statistics.median(row.get(key, 0.0) for row in steps) for key in STEP_COSTS}
        seconds = sum(median.values())
        learned = "learned_tokens" if "learned_tokens" in steps[0] else "tokens"
        rows.append(
            [
                f"`{path.stem.removeprefix('training-')}`",
                f"`{results.about['config']}`",
                results.about["machine"],
                len(steps),
                *(significant(median[key]) if median[key] else "" for key in STEP_COSTS[1:]),
                significant(seconds),
                significant(statistics.median(row[learned] for row in steps)),
            ]
        )
    head = ["run", "configuration", "machine", "steps", "sampling s", "testing s", "training s"]
    return table([*head, "s a step", "tokens a step"], rows)


STEP_COSTS = ("seconds", "sampling_seconds", "testing_seconds", "training_seconds")


def machines():
    """Where and with what each result file was measured."""
    rows = []
    for path in (*bug_files(), *sorted(RESULTS.glob("search-*.jsonl"))):
        about = read_results(path).about
        adapter = (about["adapter_sha256"] or "")[:8]
        rows.append([f"`{path.stem}`", about["machine"], about["commit"], f"`{adapter}`"])
    for path in sorted(RESULTS.glob("chains-*.jsonl")):
        runs = {}
        for run, about in read_results(path).about["runs"].items():
            where = "; ".join(filter(None, (about["machine"], about.get("mixed"))))
            adapter = (about["adapter_sha256"] or "")[:8]
            runs.setdefault((where, adapter), []).append(run)
        rows += [
            [f"`{path.stem}`: {', '.join(names)}", where, "", f"`{adapter}`" if adapter else ""]
            for (where, adapter), names in runs.items()
        ]
    return table(["results", "machine", "commit", "adapter"], rows)


def editor_latency():
    """What an editor waits for, medians; before and after where both were measured."""
    results = read_results(RESULTS / "latency-editor.jsonl")
    versions = list(dict.fromkeys(row["version"] for row in results.rows))
    waits = list(dict.fromkeys(row["wait"] for row in results.rows))
    medians = {(row["version"], row["wait"]): statistics.median(row["ms"]) for row in results.rows}
    rows = [[wait, *(f"{medians[one, wait]:.0f}" for one in versions)] for wait in waits]
    about, rounds = results.about, len(results.rows[0]["ms"])
    where = (
        f"{rounds} rounds on {about['machine']}; load {about['load'][0]:g}; {about['model']}.\n\n"
    )
    return where + table(["milliseconds", *versions], rows)


PARTS = {
    "editor latency": editor_latency,
    "summary": summary,
    "search": whole_searches,
    "search, paired": search_pairs,
    "few tests": few_tests,
    "ablation": ablation,
    "real bugs": lambda: bug_table(bug_results()),
    "real bugs, others": lambda: bug_others(bug_results()),
    "real bugs, by size": lambda: bugs_by_size(bug_results()),
    "real bugs, paired": lambda: bug_pairs(bug_results()),
    "chains of the default model": lambda: chain_tables(DEFAULT_MODEL),
    "chains of the default model, short": lambda: chain_tables(
        DEFAULT_MODEL, ("direct-0", "base", "cpu-sft", "gpu-sft-rlvr")
    ),
    "chains of the default model, paired": default_pairs,
    "chains of SmolLM2": lambda: chain_tables(SMALL_MODEL),
    "chains of SmolLM2, paired": small_pairs,
    "SFT": sft_runs,
    "RLVR": rlvr_runs,
    "training speed": training_speed,
    "machines": machines,
}


def fill(text):
    """The document with its parts made anew. KeyError for a part that nobody makes."""
    return PART.sub(lambda match: match[1] + PARTS[match[2]]() + match[3], text)


def stale_documents(root=ROOT):
    """The documents that are out of date, with their text as it should be."""
    found = {}
    for name in DOCUMENTS:
        path = root / name
        text = path.read_text(encoding="utf-8")
        if (new := fill(text)) != text:
            found[path] = new
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 if stale")
    commands = parser.add_subparsers(dest="command")
    keep = commands.add_parser("keep", help="add an evaluation to a result file")
    keep.add_argument("evaluation", type=Path)
    keep.add_argument("results", type=Path)
    for name in ("run", "label", "machine"):
        keep.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    if options.command == "keep":
        given = (options.run, options.label, options.machine)
        try:
            keep_evaluation(options.evaluation, options.results, *given)
        except ValueError as error:
            sys.exit(str(error))
        return 0
    stale = stale_documents()
    for path, text in stale.items():
        print(f"{path.relative_to(ROOT)} {'is out of date' if options.check else 'is rewritten'}")
        if not options.check:
            path.write_text(text, encoding="utf-8")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
