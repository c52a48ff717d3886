"""Runs that are asked for at once run at once, each in a process of its own."""

import threading
import time

import pytest

from coe_lsp.execution.runner import SuiteRunner
from coe_lsp.execution.suite import Limits, Suite

CODE = "def double(n):\n    return n {} 2\n"
TESTS = """
import time
from double import double


def test_double():
    time.sleep(1.5)
    assert double(3) == 6
"""


@pytest.fixture
def runner(tmp_path, interpreter, sandbox):
    (tmp_path / "double.py").write_text(CODE.format("*"))
    (tmp_path / "test_double.py").write_text(TESTS)
    suite = Suite("pytest", tmp_path, tmp_path / "double.py", ("test_double.py",))
    with SuiteRunner([suite], interpreter, sandbox, Limits(wall_seconds=30)) as runner:
        yield runner


def at_once(runner, operators):
    """What each program's run says, and from when to when the test in it ran."""
    found = {}

    def work(operator):
        run = runner.run(CODE.format(operator).encode())
        end = time.monotonic()
        (result,) = run.results
        found[operator] = result.outcome, end - result.seconds, end

    threads = [threading.Thread(target=work, args=(operator,)) for operator in operators]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def pids(runner):
    return {worker.init_pid for lane in runner._lanes for worker in lane.workers}


def test_runs_overlap_and_each_has_its_own_program(runner):
    found = at_once(runner, "*+-")
    assert {o: outcome for o, (outcome, _, _) in found.items()} == {
        "*": "passed", "+": "failed", "-": "failed",
    }  # fmt: skip
    at_once(runner, "*+-")  # now all processes are there
    found = at_once(runner, "*+-")
    assert max(start for _, start, _ in found.values()) < min(end for _, _, end in found.values())
    assert len(pids(runner)) == 3
    assert runner.runs == 9


def test_one_lane_is_enough_for_runs_one_after_the_other(runner):
    for operator in "*+-":
        runner.run(CODE.format(operator).encode())
    assert len(pids(runner)) == 1


def test_all_lanes_but_one_end_when_no_longer_needed(runner):
    at_once(runner, "*+-")
    assert len(pids(runner)) == 3
    runner.narrow()
    assert len(pids(runner)) == 1
    before = pids(runner)
    assert runner.run(CODE.format("*").encode()).passed == 1
    assert pids(runner) == before  # it was kept
    at_once(runner, "*+")
    assert len(pids(runner)) == 2


def test_cancelling_ends_all_runs(runner):
    at_once(runner, "*+")
    (runner.suites[0].root / "test_double.py").write_text(TESTS.replace("1.5", "20"))
    statuses = []
    threads = [
        threading.Thread(target=lambda: statuses.append(runner.run(None).status)) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    time.sleep(1)
    began = time.monotonic()
    runner.cancel()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began < 5
    assert statuses == ["cancelled"] * 2
    assert runner.run(None).status == "cancelled"
