"""The forty classic algorithms of `classics/`, each with one fault, as tasks of `bench_repair.py`.

A file there is the right program, then what is `WRONG` in place of what is `RIGHT`, and its tests.
They are in the manner of QuixBugs, and none of them is one of QuixBugs' programs.
"""

from __future__ import annotations

import ast
from pathlib import Path

FOLDER = Path(__file__).parent / "classics"


def classic_tasks():
    """All of them, in the form of a task file's rows."""
    return [_task(path) for path in sorted(FOLDER.glob("*.py"))]


def _task(path):
    text = path.read_text()
    facts = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign)
    }
    program = text[: text.index("\n\nRIGHT = ")]
    assert program.count(facts["RIGHT"]) == 1, path
    return {
        "task_id": f"classics/{path.stem}",
        "setup": "",
        "code": program.replace(facts["RIGHT"], facts["WRONG"]),
        "reference": program,
        "tests": [f"assert {line}" for line in facts["TESTS"].split("\n") if line],
    }
