"""How many bugs are repaired, how fast, and what each part earns.

    python tests/benchmarks/bench_repair.py TASKS.jsonl [...] --arms mutations,all --out FILE.jsonl

Each task is repaired as a user would: a file, its tests as statements, nothing else known. The word
`demo` in place of a file stands for the bugs of the demo project, `classics` for those of forty
classic algorithms (`classic_tasks.py`). Arms are run one after the other
for each task, so that a busy machine is busy for all of them. `--visible 0.33` shows the repair only
the first third of the tests; whether a repair passes the others, too, is in its row.

A list of real bugs (`training/bugs/real_bugs.jsonl#dev`) is measured in checkouts of their own:

    python tests/benchmarks/bench_repair.py training/bugs/real_bugs.jsonl#dev --given file \
        --arms mutations,untrained,v1,all,"all untrained" --clones CLONES --out FILE.jsonl

`--given` says what the user names: the file at fault, the function in it, or a file with tests that
fail. `bug_trials.py` has what such a task is, `bug_judge.py` when a patch is right.

Results are written after each repair, in the form that `result_files.py` describes; a second call
with the same settings goes on where the first one ended. Several processes may share a result file
and its tasks, each on cores of its own (begun one after the other, with `taskset` and `--part`). `report.py` makes the tables of a file in
`results/`. The repairs themselves go into `FILE.patches.jsonl`, which stays out of the repository;
`show_repairs.py` prints those of real bugs. The arm `naive` is the loop of `naive.py`. Models are in
memory from the start, as in an editor's second repair, but have read nothing of the task.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import naive
from arms import ARMS, Clock, Models, Timed
from attrs import evolve
from bug_tables import bug_table
from bug_trials import GIVEN, is_list_of_bugs, load_trials, measure_bug
from report import search_table
from result_files import ResultFile, read_results, write_results
from statement_tasks import load_tasks, passes, prepare, programs

from coe_lsp.cli.progress import BarProgress
from coe_lsp.errors import CoeError
from coe_lsp.execution.project import ProjectOptions
from coe_lsp.models.adapters import resolve_adapter
from coe_lsp.models.download import ensure
from coe_lsp.models.registry import resolve
from coe_lsp.repair.outcome import Outcome
from coe_lsp.repair.repair import Repair
from coe_lsp.repair.request import Request
from coe_lsp.repair.way_in import way_of
from training.files import read_whole_lines, write_lines


def load(names, count, seed, given):
    """All tasks of some files: statements, the demo's and real bugs."""
    tasks = []
    for name in names:
        if is_list_of_bugs(name):
            bugs = load_trials(name, count, seed, given)
            tasks += [{"task_id": bug.bug_id, "bug": bug} for bug in bugs]
        else:
            tasks += load_tasks(name, count, seed)
    return tasks


def repair(task, arm, loaded, load_second, options, folder):
    """One repair: its outcome, seconds, and of each patch whether all tests pass with it."""
    path, function, statements = prepare(task, options.visible, folder)
    search = ARMS[arm].search
    request = Request(
        way_of(path, function),
        options=ProjectOptions(tests=statements),
        budget=options.budget,
        samples=search.samples,
        search=search,
    )
    began = time.monotonic()
    try:
        load = loaded and (lambda: nullcontext(loaded))
        outcome = Repair(request, load, Clock(), load_second=load_second).run()
    except CoeError as error:  # a refusal repairs nothing
        outcome = Outcome("failed", path.name, function, message=str(error))
    seconds = time.monotonic() - began
    hidden = []
    if outcome.status == "repaired" and "target" not in task:
        hidden = [passes(program, task, folder, path) for program in programs(outcome)]
    return outcome, seconds, hidden


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


def describe(options):
    """The first line of the result file: with what, how and where it is measured."""
    model = resolve(options.model)
    adapter = resolve_adapter(options.adapter, model.base_key)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return {
        "tasks": [Path(name).name.replace(".jsonl", "") for name in options.tasks],
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
    if options.but:
        about["but"] = options.but.stem
    if not options.out.exists():
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_results(options.out, ResultFile(about, []))
    write_lines(options.out, read_whole_lines(options.out))  # without what a kill left half
    kept = read_results(options.out)
    changed = [key for key in about if kept.about.get(key) != about[key]]
    if changed:
        sys.exit(
            f"{options.out} was measured with another {', '.join(changed)}: name another file."
        )
    return kept.rows


def run(options):
    """Measure what the result file does not have yet."""
    arms = options.arms.split(",")
    if unknown := [arm for arm in arms if arm not in ARMS]:
        sys.exit(f"There is no arm {unknown[0]!r}: there are {', '.join(ARMS)}.")
    if "naive" in arms and any(map(is_list_of_bugs, options.tasks)):
        sys.exit("The naive loop does not know real bugs.")
    part, parts = options.part
    tasks = load(options.tasks, options.count, options.seed, options.given)
    right = (
        {row["task"] for row in read_results(options.but).rows if row.get("right")}
        if options.but
        else set()
    )
    tasks = [task for task in tasks if task["task_id"] not in right][part - 1 :: parts]
    done = {(row["task"], row["arm"]) for row in open_results(options)}
    models = Models(arms, options.model, options.adapter)
    llama = None
    if "naive" in arms:
        llama = naive.open_model(ensure(resolve(options.model), progress=BarProgress()))
    try:
        for task in tasks:
            left = [arm for arm in arms if (task["task_id"], arm) not in done]
            if left and "bug" in task:
                measure_bug_arms(task["bug"], left, models, options)
                continue
            for arm in left:
                row = measure(task, arm, models, llama, options)
                patches = row.pop("commands", [])
                write(options.out, row, patches)
    finally:
        models.close()


def measure_bug_arms(bug, arms, models, options):
    """Measure a real bug; one that cannot be made is told, and has no rows."""
    try:
        for row, patches in measure_bug(bug, arms, models, options):
            write(options.out, row, patches)
    except (CoeError, OSError, ValueError) as error:  # one odd project must not end the rest
        print(f"{bug.bug_id} is left out: {error}", file=sys.stderr, flush=True)


def write(out, row, patches):
    """A row, and beside it the repairs that it is about."""
    if patches:
        append(out.with_suffix(".patches.jsonl"), [row["task"], row["arm"], patches])
    append(out, row)
    print(json.dumps(row), flush=True)


def append(path, row):
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def measure(task, arm, models, llama, options):
    """The row of one repair of a task by one arm."""
    if arm == "naive":
        with tempfile.TemporaryDirectory(prefix="coe-runner-") as folder:
            row = by_naive_loop(task, llama, options.budget, options.visible, Path(folder))
        return {"task": task["task_id"], "arm": arm, **row}
    model = models.of(arm)
    with (
        tempfile.TemporaryDirectory(prefix="coe-runner-") as folder,
        models.policy(arm) as loaded,
    ):
        timed = Timed(loaded.policy) if loaded else None
        loaded = evolve(loaded, policy=timed) if loaded else None
        before = model._engine.stats.decode_seconds if loaded else 0.0
        outcome, seconds, hidden = repair(
            task, arm, loaded, models.load_second(arm), options, Path(folder)
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
        "--but",
        type=Path,
        metavar="ROWS",
        help="leave out what some arm of a result file had right",
    )
    parser.add_argument(
        "--part",
        type=lambda text: tuple(map(int, text.split("/"))),
        default=(1, 1),
        help="this process's share of the tasks: 1/2 is the first of two",
    )
    parser.add_argument(
        "--given",
        choices=GIVEN,
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
    if all(map(is_list_of_bugs, options.tasks)):
        print(bug_table([read_results(options.out)]))
    else:
        print(search_table([options.out]))


if __name__ == "__main__":
    main()
