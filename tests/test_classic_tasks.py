"""The classic algorithms of the benchmarks: each right program passes its tests, each wrong one fails."""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))

from classic_tasks import classic_tasks

TASKS = classic_tasks()


def passes(program, tests):
    """Whether a program ends in time with all tests passed, in a process of its own."""
    text = "\n".join([program, *tests])
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", text], capture_output=True, timeout=5, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def test_there_are_forty():
    assert len(TASKS) == 40


@pytest.mark.parametrize("task", TASKS, ids=[task["task_id"] for task in TASKS])
def test_the_fault_is_one(task):
    assert passes(task["reference"], task["tests"])
    assert not passes(task["code"], task["tests"])
