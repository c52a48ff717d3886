"""How many bugs are repaired, how fast, and what each part earns.

    python tests/benchmarks/bench_repair.py TASKS.jsonl [...] --arms mutations,all --out FILE.jsonl

Each task is repaired as a user would: a file, its tests as statements, nothing else known. The word
`demo` in place of a file stands for the bugs of the demo project. Arms are run one after the other
for each task, so that a busy machine is busy for all of them. `--visible 0.33` shows the repair only
the first third of the tests; whether a repair passes the others, too, is in its row.

Results are written after each task, in the form that `result_files.py` describes; a second call with
the same settings goes on where the first one ended. `report.py` makes the tables of a file in
`results/`. A list of real bugs (`training/bugs/real_bugs.jsonl#dev`) is measured in checkouts of their
own, with the file at fault named, or the function, or a file with failing tests (`--given`); see
`bug_trials.py`. The commands of the repairs go into `FILE.patches.jsonl`, which stays out of the
repository. The arm `naive` is the loop of `naive.py`. The model is in memory from the start, as in an
editor's second repair, but has read nothing of the task.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import naive
from arms import ARMS, UNTRAINED, WITHOUT_MODEL, Quiet, Timed
from attrs import evolve
from bug_trials import is_list_of_bugs, load_trials, measure_bug
from report import bug_table, search_table
from result_files import ResultFile, read_results, write_results

import coe_lsp
from coe_lsp.cli.progress import BarProgress
from coe_lsp.errors import CoeError
from coe_lsp.execution.interpreter import probe
from coe_lsp.execution.project import ProjectOptions
from coe_lsp.execution.sandbox import find_sandbox
from coe_lsp.execution.suite import Limits, Suite
from coe_lsp.execution.worker import Worker
from coe_lsp.models.adapters import resolve_adapter
from coe_lsp.models.download import ensure
from coe_lsp.models.registry import resolve
from coe_lsp.repair.outcome import Outcome
from coe_lsp.repair.policy.loading import LoadedModel, ModelOptions
from coe_lsp.repair.repair import Repair
from coe_lsp.repair.request import Request


def load(names, count, seed):
    """Tasks as (id, program, function, visible statements or None for a project's tests, task)."""
    tasks = []
    for name in names:
        if is_list_of_bugs(name):
            tasks += [{"task_id": bug.bug_id, "bug": bug} for bug in load_trials(name, count, seed)]
            continue
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


def by_naive_loop(task, llama, budget, visible, folder):
    """The same with the yardstick."""
    path, function, statements = prepare(task, visible, folder)
    if statements:
        tests = folder / "test_program.py"
        cases = [f"def test_{n}():\n    {s}\n" for n, s in enumerate(statements)]
        tests.write_text("from program import *\n\n\n" + "\n\n".join(cases))
        cwd, names = folder, [tests.name]
    else:
        cwd, names = folder / "project", [f"tests/test_{path.name}"]
    solved, tested, seconds = naive.repair(llama, path, function, names, cwd, budget)
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


def describe(options):
    """The first line of the result file: with what, how and where it is measured."""
    model = resolve(options.model)
    adapter = resolve_adapter(options.adapter, model.base_key)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return {
        "tasks": [Path(name).stem for name in options.tasks],
        "count": options.count,
        "seed": options.seed,
        "budget": options.budget,
        "visible": options.visible,
        "model": model.name,
        "adapter_sha256": hashlib.sha256(adapter.read_bytes()).hexdigest() if adapter else None,
        "commit": commit.stdout.strip(),
        "machine": options.machine,
    }


def open_results(options):
    """The rows that the result file has already; the file is begun where there is none."""
    about = describe(options)
    if any(map(is_list_of_bugs, options.tasks)):
        about["given"] = options.given
    if not options.out.exists():
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_results(options.out, ResultFile(about, []))
    kept = read_results(options.out)
    changed = [key for key in about if kept.about.get(key) != about[key]]
    if changed:
        sys.exit(
            f"{options.out} was measured with another {', '.join(changed)}: name another file."
        )
    return kept.rows


def run(options):
    tasks = load(options.tasks, options.count, options.seed)
    done = {(row["task"], row["arm"]) for row in open_results(options)}
    arms = options.arms.split(",")
    loaded_by = {}  # whether without adapter
    for untrained in {arm in UNTRAINED for arm in arms if arm not in WITHOUT_MODEL}:
        adapter = "none" if untrained else options.adapter
        loaded_by[untrained] = LoadedModel(ModelOptions(options.model, adapter), BarProgress())
    llama = None
    if "naive" in arms:
        llama = naive.open_model(ensure(resolve(options.model), progress=BarProgress()))
    try:
        for task in tasks:
            for arm in arms:
                if (task["task_id"], arm) not in done:
                    if "bug" in task:
                        row = measure_bug(
                            task["bug"], arm, loaded_by.get(arm in UNTRAINED), options
                        )
                    else:
                        model = loaded_by.get(arm in UNTRAINED)
                        row = measure(task, arm, model, llama, options)
                    patches = row.pop("commands", [])
                    append(options.out, row)
                    if patches:
                        repairs = options.out.with_suffix(".patches.jsonl")
                        append(repairs, [task["task_id"], arm, patches])
                    print(json.dumps(row), flush=True)
    finally:
        for model in loaded_by.values():
            model.close()


def append(path, row):
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def measure(task, arm, model, llama, options):
    search = ARMS[arm]
    if model is not None:  # else an arm would find its prompt read by the one before
        model._opening.truncate(0)
    if arm == "naive":
        with tempfile.TemporaryDirectory(prefix="coe-runner-") as folder:
            row = by_naive_loop(task, llama, options.budget, options.visible, Path(folder))
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
    parser.add_argument(
        "--given",
        choices=["file", "function", "test"],
        default="file",
        help="of a real bug: what the user names (%(default)s)",
    )
    parser.add_argument("--clones", type=Path, help="of real bugs: clones of their repositories")
    parser.add_argument("--out", type=Path, required=True, help="a result file (.jsonl)")
    parser.add_argument(
        "--machine",
        default=f"{os.cpu_count()} cores, {platform.machine()}",
        help="what it runs on, in words (%(default)s)",
    )
    options = parser.parse_args()
    run(options)
    bugs = all(map(is_list_of_bugs, options.tasks))
    print(bug_table(options.out) if bugs else search_table([options.out]))


if __name__ == "__main__":
    main()
