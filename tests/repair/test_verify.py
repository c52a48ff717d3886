"""Verdicts on a machine that stands still now and then."""

import textwrap
from contextlib import ExitStack

import pytest
from attrs import evolve
from samples import CLAMP

from coe_lsp.execution.discovery import suites_for
from coe_lsp.execution.runner import SuiteRunner
from coe_lsp.execution.suite import TestResult
from coe_lsp.repair.target.baseline import measure
from coe_lsp.repair.target.source import SourceFile
from coe_lsp.repair.verify import Verifier, spread_of_quickest


class Busy(SuiteRunner):
    """Gives some runs, by number, no time at all."""

    def __init__(self, *args):
        super().__init__(*args)
        self.without_time = ()
        self.calls = 0

    def run(self, source, select=None, *, limits=None, **more):
        if self.calls in self.without_time:
            limits = evolve(limits, wall_seconds=0.001)
        self.calls += 1
        return super().run(source, select, limits=limits, **more)


@pytest.fixture
def judged(clamp_project, interpreter, sandbox):
    """A verifier, its runner, and the right program."""
    path = clamp_project / "ranges.py"
    source = SourceFile.read(path)
    with Busy(suites_for(path, clamp_project, interpreter), interpreter, sandbox) as runner:
        baseline = measure(runner, source)
        verifier = Verifier(runner, baseline, baseline.suspects()[0])
        runner.calls = 0
        right = (
            textwrap.dedent(CLAMP)
            .strip()
            .replace("return low\n    return", "return high\n    return")
        )
        yield verifier, runner, right.split("\n")


@pytest.mark.parametrize("hot", [False, True])
def test_a_stall_does_not_condemn_the_right_program(judged, hot):
    verifier, runner, right = judged
    verifier.judge(right, hot=hot)
    usual, runner.calls = runner.calls, 0
    runner.without_time = (usual - 1,)
    assert verifier.judge(right, hot=hot).solved
    assert runner.calls == usual + 1


def test_it_is_not_believed_for_ever(judged):
    verifier, runner, right = judged
    runner.without_time = range(100)
    for _ in range(5):
        assert not verifier.judge(right).solved
    assert runner.calls == 5 + 3


def test_what_hangs_is_not_run_twice(judged):
    verifier, runner, right = judged
    hanging = [right[0], "    while True: pass"]
    assert not verifier.judge(hanging).solved
    assert runner.calls == 1


def test_a_function_that_cannot_be_called_is_suspect(write, tmp_path, interpreter, sandbox):
    """The tests never get into it: only their error says its name."""
    write("pyproject.toml", "")
    path = write("sums.py", """
        class Sums:
            def twice(n):
                return 2 * n

            def other(self, n):
                return n
    """)  # fmt: skip
    write("test_sums.py", """
        from sums import Sums

        def test_twice():
            assert Sums().twice(2) == 4
    """)  # fmt: skip
    with SuiteRunner(suites_for(path, tmp_path, interpreter), interpreter, sandbox) as runner:
        baseline = measure(runner, SourceFile.read(path))
    assert [function.name for function in baseline.suspects()] == ["Sums.twice"]
    assert baseline.target_tests(baseline.suspects()[0]) == ("test_sums.py::test_twice",)


SHELF = """
    calls = []


    def collect(x):
        calls.append(x)
        return list(calls)
"""


@pytest.fixture
def shelf(tmp_path, write, interpreter, sandbox):
    """A function that remembers; gives verifiers of it for a file of tests."""
    write("pyproject.toml", "")
    path = write("shelf.py", SHELF)
    with ExitStack() as stack:

        def verifier(tests):
            write("test_shelf.py", tests)
            suites = suites_for(path, tmp_path, interpreter)
            runner = stack.enter_context(SuiteRunner(suites, interpreter, sandbox))
            source = SourceFile.read(path)
            return Verifier(runner, measure(runner, source), source.find("collect"))

        yield verifier


SAME = ["def collect(x):", "    calls.append(x)", "    pass", "    return list(calls)"]


@pytest.mark.parametrize("hot", [False, True])
def test_what_passes_alone_only_is_no_repair(shelf, hot):
    verifier = shelf("""
        from shelf import collect

        def test_one():
            assert 1 in collect(1)

        def test_two():
            assert collect(2) == [2]
    """)  # fmt: skip
    assert verifier.target_tests == ("test_shelf.py::test_two",)
    assert not verifier.judge(SAME, hot=hot).solved


def test_what_passes_without_the_other_tests_only_is_no_repair(shelf):
    """The first test does not run the function, so candidates are not tested by it."""
    verifier = shelf("""
        import shelf

        def test_nothing():
            shelf.calls.append(0)

        def test_two():
            assert shelf.collect(2) == [2]
    """)  # fmt: skip
    assert verifier.judge(SAME).solved
    assert verifier.breaks(SAME) == ("test_shelf.py::test_two",)


def test_what_needs_its_time_is_given_up_only_at_first(judged):
    """A program that works for a while: too long for the quick look, not for the usual one."""
    verifier, _, right = judged
    little, usual = verifier._quick_limits.cpu_seconds, verifier._limits.cpu_seconds
    wait = ["    import time", f"    end = time.process_time() + {(little + usual) / 2}",
            "    while time.process_time() < end: pass"]  # fmt: skip
    busy = [right[0], *wait, *right[1:]]
    hasty = verifier.judge(busy, hot=True, hasty=True)
    assert hasty.hasty and not hasty.solved
    assert verifier.judge(busy, hot=True).solved
    assert not verifier.judge(right, hot=True, hasty=True).hasty


@pytest.mark.parametrize(
    ("seconds", "first"),
    [
        ([0.001] * 9, 6),
        ([0.3, 0.2, 0.4, 0.3], 2),
        ([0.04, 0.03, 0.5, 0.02], 3),
        ([2.0], 1),
    ],
)
def test_what_nearly_every_candidate_waits_for_is_short(seconds, first):
    results = {f"t{n}": TestResult(f"t{n}", "failed", seconds=s) for n, s in enumerate(seconds)}
    chosen = spread_of_quickest(list(results), results)
    assert len(chosen) == first and list(chosen) == sorted(chosen)
    slowest_taken = max(results[test].seconds for test in chosen)
    assert all(result.seconds >= slowest_taken for test, result in results.items()
               if test not in chosen)  # fmt: skip
