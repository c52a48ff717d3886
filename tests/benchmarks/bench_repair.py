"""How many bugs are repaired, how fast, and what each piece earns.

    python tests/benchmarks/bench_repair.py TASKS.jsonl [...] --arms mutations,all --out DIR

Each task is repaired as a user would: a file, its tests as statements, nothing else known. The word
`demo` in place of a file stands for the bugs of the demo project. Arms are run one after the other
for each task, so that a busy machine is busy for all of them. `--visible 0.33` shows the repair only
the first third of the tests and reports how many repairs pass the others, too. Results are written
after each task (the patches themselves in `patches.jsonl`, which stays out of the repository), and a
second call goes on where the first one ended. The arm `afternoon` is the loop
that one would write in an afternoon (`afternoon.py`); `first` is the median time after which the
first repair had passed, before the grace in which a better one is looked for; `busy` is the share of the
time, from when the model is asked first until the end, in which llama.cpp computes; `all tests` counts
the repairs that pass the hidden ones too, `of three` those of which one of up to three shown does. The
model is in memory from the start, as in an editor's second repair, but has read nothing of the task.
With matplotlib a plot is drawn for each source of tasks.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import random
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import afternoon
from attrs import evolve

import coe_lsp
from coe_lsp.cli.progress import BarProgress
from coe_lsp.errors import CoeError
from coe_lsp.execution.interpreter import probe
from coe_lsp.execution.project import ProjectOptions
from coe_lsp.execution.sandbox import find_sandbox
from coe_lsp.execution.suite import Limits, Suite
from coe_lsp.execution.worker import Worker
from coe_lsp.models.download import ensure
from coe_lsp.models.registry import resolve
from coe_lsp.repair.outcome import Outcome
from coe_lsp.repair.policy.loading import LoadedModel, ModelOptions
from coe_lsp.repair.repair import Repair
from coe_lsp.repair.request import Request
from coe_lsp.repair.search.search import SearchSettings

ALL = SearchSettings()
ARMS = {
    "all": ALL,
    "mutations": ALL,  # without a model
    "chain": SearchSettings(
        samples=1, mutations=False, rescoring=False, best_first=False, branch_points=False
    ),
    "search": SearchSettings(mutations=False, rescoring=False),
    "no opinions": SearchSettings(rescoring=False),
    "no places": SearchSettings(branch_points=False),
    "no best-first": SearchSettings(best_first=False),
    "no deduplication": SearchSettings(deduplicate=False),
    "no suspiciousness": SearchSettings(suspiciousness=False),
    "afternoon": ALL,  # with a model of its own
}
WITHOUT_MODEL = {"mutations", "afternoon"}


class Timed:
    """A policy that remembers when it was asked first."""

    def __init__(self, policy):
        self._policy = policy
        self.first = None

    def __getattr__(self, name):
        if name in ("read", "ask", "step", "logprob_ratios", "likelihoods"):
            self.first = self.first or time.monotonic()
        return getattr(self._policy, name)


class Quiet:
    """Watches nothing."""

    def baseline(self, baseline, suites):
        pass

    def target(self, function, target_tests):
        pass

    def step(self, step):
        pass


def load(names, count, seed):
    """Tasks as (id, program, function, visible statements or None for a project's tests, task)."""
    tasks = []
    for name in names:
        if name == "demo":
            bugs = json.loads((Path(coe_lsp.__file__).parent / "demo" / "bugs.json").read_text())
            tasks += [{"task_id": f"demo/{bug['target']}", "target": bug["target"]} for bug in bugs]
            continue
        rows = [json.loads(line) for line in Path(name).read_text().splitlines()]
        rows = [row for row in rows if row["code"]]
        if count and len(rows) >= count:  # of all rows too: in random order
            rows = random.Random(seed).sample(rows, count)
        tasks += rows
    return tasks


def prepare(task, visible, folder):
    """Write the task's files: the file to repair, the function (None: any), and its tests."""
    if "target" in task:
        shutil.copytree(Path(coe_lsp.__file__).parent / "demo" / "project", folder / "project")
        name, _, function = task["target"].partition("::")
        path, statements = folder / "project" / name, ()
    else:
        (folder / "pyproject.toml").write_text("")
        path, function = folder / "program.py", None
        setup = task["setup"].rstrip() + "\n" if task["setup"].strip() else ""
        path.write_text(setup + task["code"].rstrip() + "\n")
        tests = task["tests"]
        statements = tuple(tests[: max(1, math.ceil(len(tests) * visible))])
    return path, function, statements


def repair(task, search, loaded, budget, visible, folder):
    """One repair: its outcome, seconds, and of each patch whether all tests pass with it."""
    path, function, statements = prepare(task, visible, folder)
    request = Request(
        path,
        function,
        options=ProjectOptions(tests=statements),
        budget=budget,
        samples=search.samples,
        search=search,
    )
    began = time.monotonic()
    try:
        outcome = Repair(request, loaded and (lambda: nullcontext(loaded)), Quiet()).run()
    except CoeError as error:  # a refusal repairs nothing
        outcome = Outcome("failed", path.name, function, message=str(error))
    seconds = time.monotonic() - began
    hidden = []
    if outcome.status == "repaired" and "target" not in task:
        hidden = [passes(program, task, folder, path) for program in programs(outcome)]
    return outcome, seconds, hidden


def programs(outcome):
    """The whole file with each of the patches, in bytes."""
    for repaired in outcome.patches:
        (source,) = repaired.patch.apply(outcome.sources).values()
        yield source.encode(source.lines)


def by_afternoon(task, llama, budget, visible, folder):
    """The same with the yardstick."""
    path, function, statements = prepare(task, visible, folder)
    if statements:
        tests = folder / "test_program.py"
        cases = [f"def test_{n}():\n    {s}\n" for n, s in enumerate(statements)]
        tests.write_text("from program import *\n\n\n" + "\n\n".join(cases))
        cwd, names = folder, [tests.name]
    else:
        cwd, names = folder / "project", [f"tests/test_{path.name}"]
    solved, tested, seconds = afternoon.repair(llama, path, function, names, cwd, budget)
    hidden = passes(path.read_bytes(), task, folder, path) if solved and statements else None
    return {
        "status": "repaired" if solved else "failed",
        "seconds": round(seconds, 2),
        "tested": tested,
        "hidden": hidden,
    }


def passes(program, task, folder, path):
    suite = Suite("asserts", folder, path, statements=tuple(task["tests"]))
    sandbox = find_sandbox("auto")
    with Worker(suite, probe(Path(sys.executable), folder, sandbox), sandbox) as worker:
        run = worker.run(program, limits=Limits(wall_seconds=20))
    return run.passed == len(task["tests"])


def run(options):
    tasks = load(options.tasks, options.count, options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    rows_file = options.out / "rows.jsonl"
    rows = []
    if rows_file.exists():
        rows = [json.loads(line) for line in rows_file.read_text().splitlines()]
    done = {(row["task"], row["arm"]) for row in rows}
    arms = options.arms.split(",")
    needs_model = any(arm not in WITHOUT_MODEL for arm in arms)
    model = None
    if needs_model:
        model = LoadedModel(ModelOptions(options.model, options.adapter), BarProgress())
    llama = None
    if "afternoon" in arms:
        llama = afternoon.open_model(ensure(resolve(options.model), progress=BarProgress()))
    try:
        for task in tasks:
            for arm in arms:
                if (task["task_id"], arm) not in done:
                    row = measure(task, arm, model, llama, options)
                    patches = row.pop("commands", [])
                    rows.append(row)
                    append(rows_file, row)
                    if patches:
                        append(options.out / "patches.jsonl", [task["task_id"], arm, patches])
                    print(json.dumps(row), flush=True)
    finally:
        if model is not None:
            model.close()
    return rows, arms


def append(path, row):
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def measure(task, arm, model, llama, options):
    search = ARMS[arm]
    if model is not None:  # else an arm would find its prompt read by the one before
        model._opening.truncate(0)
    if arm == "afternoon":
        with tempfile.TemporaryDirectory(prefix="coe-runner-") as folder:
            row = by_afternoon(task, llama, options.budget, options.visible, Path(folder))
        return {"task": task["task_id"], "arm": arm, **row}
    policy = model.policy() if model and arm not in WITHOUT_MODEL else nullcontext()
    with tempfile.TemporaryDirectory(prefix="coe-runner-") as folder, policy as loaded:
        timed = Timed(loaded.policy) if loaded else None
        loaded = evolve(loaded, policy=timed) if loaded else None
        before = model._engine.stats.decode_seconds if loaded else 0.0
        outcome, seconds, hidden = repair(
            task, search, loaded, options.budget, options.visible, Path(folder)
        )
        asked = time.monotonic() - timed.first if timed and timed.first else 0.0
        busy = model._engine.stats.decode_seconds - before if loaded else 0.0
    return {
        "task": task["task_id"],
        "arm": arm,
        "status": outcome.status,
        "seconds": round(seconds, 2),
        "first": outcome.seconds.first and round(outcome.seconds.first, 2),
        "model_seconds": round(busy, 2),
        "asked_seconds": round(asked, 2),
        "tested": outcome.attempts,
        "patches": len(outcome.patches),
        "reason": outcome.patches[0].reason if outcome.patches else "",
        "commands": [list(patch.commands) for patch in outcome.patches],
        "hidden": hidden[0] if hidden else None,
        "hidden_any": any(hidden) if hidden else None,
    }


def source_of(row):
    return row["task"].partition("/")[0]


def figures(rows, budget):
    """What the rows of one arm on one source of tasks come to."""
    fixed = [row for row in rows if row["status"] == "repaired"]
    hidden = [row["hidden"] for row in fixed if row["hidden"] is not None]
    shown = [row["hidden_any"] for row in fixed if row.get("hidden_any") is not None]
    firsts = [row["first"] for row in fixed if row.get("first")]
    asked = sum(row.get("asked_seconds", 0.0) for row in rows)
    return {
        "tasks": len(rows),
        "in 10 s": sum(row["seconds"] <= 10 for row in fixed),
        f"in {budget:g} s": len(fixed),
        "median s": round(statistics.median(row["seconds"] for row in fixed), 1) if fixed else None,
        "first": round(statistics.median(firsts), 1) if firsts else None,
        "programs a second": float(
            f"{sum(row['tested'] for row in rows) / sum(row['seconds'] for row in rows):.2g}"
        ),
        "busy": f"{sum(row['model_seconds'] for row in rows) / asked:.0%}" if asked else None,
        "all tests": f"{sum(hidden)}/{len(hidden)}" if hidden else None,
        "of three": f"{sum(shown)}/{len(shown)}" if shown else None,
    }


def summary(rows, arms, budget):
    """For each source of tasks: figures by arm, and the tasks that only some arms repair."""
    found = {}
    for source in dict.fromkeys(map(source_of, rows)):
        mine = [row for row in rows if source_of(row) == source]
        # Already passing with the visible tests: nothing to repair.
        mine = [row for row in mine if row["status"] != "already_passing"]
        by_arm = {arm: [row for row in mine if row["arm"] == arm] for arm in arms}
        by_arm = {arm: some for arm, some in by_arm.items() if some}
        fixed = {
            arm: {row["task"] for row in some if row["status"] == "repaired"}
            for arm, some in by_arm.items()
        }
        found[source] = {"arms": {arm: figures(some, budget) for arm, some in by_arm.items()}}
        if {"all", "mutations"} <= fixed.keys():
            found[source]["only with the model"] = sorted(fixed["all"] - fixed["mutations"])
            found[source]["only without"] = sorted(fixed["mutations"] - fixed["all"])
    return found


def table(found):
    lines = []
    for source, part in found.items():
        heads = list(next(iter(part["arms"].values()), {}))
        lines += [f"| {source} | {' | '.join(heads)} |", "| --- " * (len(heads) + 1) + "|"]
        for arm, values in part["arms"].items():
            cells = ["-" if values[head] is None else str(values[head]) for head in heads]
            lines.append(f"| {arm} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def plot(rows, arms, budget, path):
    """Share of the tasks repaired against seconds, a line for each arm."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    for arm in arms:
        mine = [row for row in rows if row["arm"] == arm]
        if not mine:
            continue
        times = sorted(row["seconds"] for row in mine if row["status"] == "repaired")
        shares = [(n + 1) / len(mine) for n in range(len(times))]
        end = shares[-1] if shares else 0.0
        axes.step([0, *times, budget], [0, *shares, end], where="post", label=arm)
    axes.set(xlabel="seconds", ylabel="share of the tasks repaired", xlim=(0, budget), ylim=(0, 1))
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="+")
    parser.add_argument("--arms", default="mutations,chain,search,all")
    parser.add_argument("--model")
    parser.add_argument("--adapter")
    parser.add_argument("--budget", type=float, default=60.0)
    parser.add_argument("--visible", type=float, default=1.0)
    parser.add_argument("--count", type=int, help="a fixed sample of each file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    rows, arms = run(options)
    found = summary(rows, arms, options.budget)
    (options.out / "summary.json").write_text(json.dumps(found, indent=1) + "\n")
    (options.out / "summary.md").write_text(table(found))
    print(table(found))
    if importlib.util.find_spec("matplotlib"):
        for source in found:
            mine = [row for row in rows if source_of(row) == source]
            plot(mine, arms, options.budget, options.out / f"{source}.png")


if __name__ == "__main__":
    main()
