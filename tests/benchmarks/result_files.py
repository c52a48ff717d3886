"""Reads and writes the result files in `results/`: JSON lines, the first of which describes the rest.

* `search-*.jsonl`, from `bench_repair.py`: a row for each task and arm of the search.
* `chains-MODEL-SET.jsonl`, from `python -m training evaluate` and then `report.py keep`: the first
  line describes the runs (adapter, sampling, machine); a row for each run and task. A sample is the
  list that the first line names: solved, turns, tokens, malformed commands.
* `training-*.jsonl`: a training stage's `metrics.jsonl`, a row for each step.

Computes what one line of a table needs from such rows. Knows nothing of Markdown.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path

from attrs import frozen

from training.evaluation.comparison import wilson
from training.evaluation.metrics import bootstrap, pass_at_k

RESULTS = Path(__file__).parent / "results"
SAMPLE = ["solved", "turns", "tokens", "malformed"]


@frozen
class ResultFile:
    """The first line of a result file, and the rows below it."""

    about: dict
    rows: list

    def of(self, key, value):
        """The rows in which the field `key` is `value`."""
        return [row for row in self.rows if row[key] == value]


def read_results(path):
    """A result file. ValueError for a line that is no JSON."""
    about, *rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return ResultFile(about, rows)


def write_results(path, results):
    """Write a result file, a compact line for each row."""
    lines = [json.dumps(line, ensure_ascii=False) for line in (results.about, *results.rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def failing_tasks(rows):
    """Without the tasks that the visible tests already pass: they leave nothing to repair."""
    return [row for row in rows if row["status"] != "already_passing"]


def repaired(rows):
    """Whether each task was repaired: 1 or 0 by its id."""
    return {row["task"]: int(row["status"] == "repaired") for row in rows}


def search_figures(rows):
    """What one arm of the search did: counts, an interval of the share, seconds, speed.

    `first` and `answer` are medians over the repaired tasks: until a repair had passed all tests,
    and until the repair ended. `busy` is the share of the time since the model was first asked in
    which llama.cpp computes.
    """
    rows = failing_tasks(rows)
    fixed = [row for row in rows if row["status"] == "repaired"]
    firsts = [row["first"] for row in fixed if row.get("first")]
    asked = sum(row.get("asked_seconds", 0.0) for row in rows)
    return {
        "tasks": len(rows),
        "in 10 s": sum(row["seconds"] <= 10 for row in fixed),
        "repaired": len(fixed),
        "share": wilson(len(fixed), len(rows)),
        "first": statistics.median(firsts) if firsts else None,
        "answer": statistics.median(row["seconds"] for row in fixed) if fixed else None,
        "speed": sum(row["tested"] for row in rows) / sum(row["seconds"] for row in rows),
        "busy": sum(row["model_seconds"] for row in rows) / asked if asked else None,
    }


def solved(rows):
    """Whether the greedy sample solves each task: 1 or 0 by its id."""
    return {row["task"]: row["greedy"][0] for row in rows}


def solved_share(rows):
    """The share of each task's samples that solve it, by its id."""
    return {row["task"]: statistics.fmean(s[0] for s in row["drawn"]) for row in rows}


def chain_figures(rows):
    """What one run of chains or answers did: rates with intervals, and the cost of a sample."""
    greedy = solved(rows)
    figures = {"tasks": len(rows), "greedy": wilson(sum(greedy.values()), len(rows))}
    for k in (1, 4, 8):
        if all(len(row.get("drawn", ())) >= k for row in rows):
            figures[f"pass@{k}"] = bootstrap(
                [pass_at_k(len(r["drawn"]), sum(s[0] for s in r["drawn"]), k) for r in rows]
            )
    samples = [sample for row in rows for sample in (row["greedy"], *row.get("drawn", ()))]
    return figures | {
        "turns": statistics.fmean(sample[1] for sample in samples),
        "tokens": statistics.fmean(sample[2] for sample in samples),
        "malformed": sum(sample[3] for sample in samples) / sum(sample[1] for sample in samples),
        "seconds": statistics.fmean(
            row["seconds"] / (1 + len(row.get("drawn", ()))) for row in rows
        ),
    }


def keep_evaluation(evaluation, path, run, label, machine):
    """Add an evaluation, as `python -m training evaluate` writes it, to a `chains-` file.

    ValueError if the file has such a run already: a name is never used again.
    """
    data = json.loads(evaluation.read_text(encoding="utf-8"))
    config = data["config"]
    kept = read_results(path) if path.exists() else ResultFile({"sample": SAMPLE, "runs": {}}, [])
    if run in kept.about["runs"]:
        raise ValueError(f"{path.name} has a run {run} already: give this one another name.")
    kept.about["runs"][run] = {
        "label": label,
        "adapter_sha256": data["adapter_sha256"],
        **{key: config[key] for key in ("policy", "shots", "samples", "temperature", "seed")},
        "max_turns": 1 if config["policy"] == "direct" else config["max_turns"],
        "machine": machine,
    }
    for result in data["results"]:
        row = {
            "run": run,
            "task": result["task_id"],
            "seconds": round(result["seconds"], 2),
            "greedy": _sample(result["greedy"]),
        }
        if result["drawn"]:
            row["drawn"] = [_sample(sample) for sample in result["drawn"]]
        if result["greedy"]["commands"]:
            row["commands"] = result["greedy"]["commands"]
        kept.rows.append(row)
    write_results(path, kept)


def _sample(sample):
    return [int(sample["hidden"]), sample["turns"], sample["tokens"], sample["malformed"]]
