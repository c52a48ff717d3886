"""How many bugs are repaired, how fast, and what each piece earns.

    python tests/benchmarks/bench_repair.py TASKS.jsonl [...] --arms mutations,all --out DIR

Each task is repaired as a user would: a file, its tests as statements, nothing else known. The word
`demo` in place of a file stands for the bugs of the demo project. Arms are run one after the other
for each task, so that a busy machine is busy for all of them. `--visible 0.33` shows the repair only
the first third of the tests and reports how many repairs pass the others, too. Results are written
after each task, and a second call goes on where the first one ended.
"""

from __future__ import annotations

import argparse
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

import coe_lsp
from coe_lsp.cli.progress import BarProgress
from coe_lsp.execution.interpreter import probe
from coe_lsp.execution.sandbox import find_sandbox
from coe_lsp.execution.suite import Limits, Suite
from coe_lsp.execution.worker import Worker
from coe_lsp.repair.loading import LoadedModel, ModelOptions
from coe_lsp.repair.repair import Repair, Request
from coe_lsp.repair.search import SearchSettings

ALL = SearchSettings()
ARMS = {
    "all": ALL,
    "mutations": ALL,  # without a model
    "chain": SearchSettings(
        samples=1, mutations=False, opinions=False, best_first=False, places=False
    ),
    "search": SearchSettings(mutations=False, opinions=False),
    "no opinions": SearchSettings(opinions=False),
    "no places": SearchSettings(places=False),
    "no best-first": SearchSettings(best_first=False),
    "no deduplication": SearchSettings(deduplicate=False),
    "no suspicion": SearchSettings(suspicion=False),
}
WITHOUT_MODEL = {"mutations"}


class Quiet:
    """Watches nothing."""

    def baseline(self, baseline, suites):
        pass

    def target(self, function, goal):
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
        if count and len(rows) > count:
            rows = random.Random(seed).sample(rows, count)
        tasks += rows
    return tasks


def repair(task, search, loaded, budget, visible, folder):
    """One repair: its outcome, seconds, and whether all tests pass with it (None: none found)."""
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
    request = Request(
        path, function, tests=statements, budget=budget, samples=search.samples, search=search
    )
    began = time.monotonic()
    outcome = Repair(request, loaded and (lambda: nullcontext(loaded)), Quiet()).run()
    seconds = time.monotonic() - began
    hidden = None
    if outcome.status == "repaired" and "target" not in task:
        hidden = passes(outcome.new_source, task, folder, path)
    return outcome, seconds, hidden


def passes(program, task, folder, path):
    suite = Suite("asserts", folder, path, statements=tuple(task["tests"]))
    with Worker(suite, probe(Path(sys.executable)), find_sandbox("auto")) as worker:
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
    try:
        for task in tasks:
            for arm in arms:
                if (task["task_id"], arm) not in done:
                    rows.append(measure(task, arm, model, options))
                    with rows_file.open("a") as file:
                        file.write(json.dumps(rows[-1]) + "\n")
                    print(json.dumps({k: v for k, v in rows[-1].items() if k != "commands"}))
    finally:
        if model is not None:
            model.close()
    return rows, arms


def measure(task, arm, model, options):
    search = ARMS[arm]
    policy = model.policy() if model and arm not in WITHOUT_MODEL else nullcontext()
    with tempfile.TemporaryDirectory(prefix="coe-bench-") as folder, policy as loaded:
        outcome, seconds, hidden = repair(
            task, search, loaded, options.budget, options.visible, Path(folder)
        )
    return {
        "task": task["task_id"],
        "arm": arm,
        "status": outcome.status,
        "seconds": round(seconds, 2),
        "model_seconds": round(outcome.seconds.model, 2),
        "tested": outcome.attempts,
        "patches": len(outcome.patches),
        "reason": outcome.patches[0].reason if outcome.patches else "",
        "commands": [list(patch.commands) for patch in outcome.patches],
        "hidden": hidden,
    }


def summary(rows, arms, budget):
    lines = [
        f"| arm | tasks | in 10 s | in {budget:g} s | median s | programs a second | all tests |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for arm in arms:
        mine = [row for row in rows if row["arm"] == arm]
        fixed = [row for row in mine if row["status"] == "repaired"]
        quick = sum(row["seconds"] <= 10 for row in fixed)
        times = [row["seconds"] for row in fixed]
        hidden = [row["hidden"] for row in fixed if row["hidden"] is not None]
        rate = sum(row["tested"] for row in mine) / max(1e-9, sum(row["seconds"] for row in mine))
        shown = f"{statistics.median(times):.1f}" if times else "-"
        passed = f"{sum(hidden)}/{len(hidden)}" if hidden else "-"
        lines.append(
            f"| {arm} | {len(mine)} | {quick} | {len(fixed)} | {shown} | {rate:.1f} | {passed} |"
        )
    return "\n".join(lines)


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
    text = summary(rows, arms, options.budget)
    (options.out / "summary.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
