"""Tasks with a program in one file: task files, whose tests are statements, and the demo's bugs.

Loads them, writes the files of one, and says whether a program passes all of its tests. Repairs
nothing.
"""

from __future__ import annotations

import json
import math
import random
import shutil
import sys
from pathlib import Path

from classic_tasks import classic_tasks

import coe_lsp
from coe_lsp.execution.interpreter import probe
from coe_lsp.execution.sandbox import find_sandbox
from coe_lsp.execution.suite import Limits, Suite
from coe_lsp.execution.worker import Worker

_DEMO = Path(coe_lsp.__file__).parent / "demo"


def load_tasks(name, count, seed):
    """The tasks of a file that have a program, all of them or a sample.

    `demo` stands for those of the demo project, `classics` for the classic algorithms.
    """
    if name == "classics":
        return classic_tasks()
    if name == "demo":
        bugs = json.loads((_DEMO / "bugs.json").read_text())
        return [{"task_id": f"demo/{bug['target']}", "target": bug["target"]} for bug in bugs]
    rows = [json.loads(line) for line in Path(name).read_text().splitlines()]
    rows = [row for row in rows if row["code"]]
    if count and len(rows) >= count:  # of all rows too: in random order
        rows = random.Random(seed).sample(rows, count)
    return rows


def prepare(task, visible, folder):
    """Write the task's files: the file to repair, the function (None: any), and its tests."""
    if "target" in task:
        shutil.copytree(_DEMO / "project", folder / "project")
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


def programs(outcome):
    """The whole file with each of the patches, in bytes."""
    for repaired in outcome.patches:
        (source,) = repaired.patch.apply(outcome.sources).values()
        yield source.encode(source.lines)


def passes(program, task, folder, path):
    """Whether a program passes all tests of its task, hidden ones too."""
    suite = Suite("asserts", folder, path, statements=tuple(task["tests"]))
    sandbox = find_sandbox("auto")
    with Worker(suite, probe(Path(sys.executable), folder, sandbox), sandbox) as worker:
        run = worker.run(program, limits=Limits(wall_seconds=20))
    return run.passed == len(task["tests"])
