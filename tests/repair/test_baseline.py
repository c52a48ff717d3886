"""What the tests say of a file as it is: within the time, and of the tests when nobody watches."""

import time

import pytest

from coe_lsp.errors import CoeError
from coe_lsp.execution.discovery import suites_for
from coe_lsp.execution.runner import SuiteRunner
from coe_lsp.execution.suite import Limits
from coe_lsp.repair import repair as repair_module
from coe_lsp.repair.repair import Repair
from coe_lsp.repair.request import Request
from coe_lsp.repair.target.baseline import measure
from coe_lsp.repair.target.source import SourceFile
from coe_lsp.repair.way_in import way_of


@pytest.fixture
def measured(clamp_project, write, interpreter, sandbox):
    def measured(tests, seconds=float("inf"), **limits):
        write("tests/test_ranges.py", tests)
        path = clamp_project / "ranges.py"
        suites = suites_for(path, clamp_project, interpreter)
        with SuiteRunner(suites, interpreter, sandbox, Limits(**limits)) as runner:
            return measure(runner, SourceFile.read(path), seconds)

    return measured


MANY = """
    import time
    import pytest
    from ranges import clamp

    @pytest.mark.parametrize("n", range(200))
    def test_it(n):
        time.sleep(0.1)
        assert clamp(15 if n == 3 else 5, 0, 10) == (10 if n == 3 else 5)
"""


@pytest.mark.timing
def test_when_the_time_is_over_what_ran_is_known(measured):
    started = time.monotonic()
    found = measured(MANY, 8.0, wall_seconds=60, test_seconds=5)
    assert time.monotonic() - started < 20
    assert [result.id for result in found.failing] == ["tests/test_ranges.py::test_it[3]"]
    assert found.passed >= 4
    assert len(found.results) + len(found.missing) == 200
    assert {result.outcome for result in found.results.values()} == {"passed", "failed"}
    assert found.detail == "still running after 4.8 s"
    assert found.suspects()[0].name == "clamp"


def test_a_test_that_hangs_for_good_is_to_blame_all_the_same(measured):
    """Not even an alarm gets through to it; the run's time is over before its own."""
    tests = """
        import signal
        from ranges import clamp

        def test_a():
            assert clamp(5, 0, 10) == 5

        def test_b():
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM, signal.SIGPROF])
            while True:
                pass
    """
    found = measured(tests, wall_seconds=2, test_seconds=0.5)
    outcomes = {name.rpartition("::")[2]: r.outcome for name, r in found.results.items()}
    assert outcomes == {"test_a": "passed", "test_b": "timeout"}


class Quiet:
    def baseline(self, baseline, suites): ...

    def scouted(self, scouted): ...

    def target(self, file, function, target_tests): ...

    def step(self, step): ...


@pytest.mark.timing
def test_a_repair_goes_on_with_what_is_known(clamp_project, monkeypatch):
    """Row 69: the first run takes a minute, the budget is three seconds."""
    monkeypatch.setattr(repair_module, "_LEAST_FOR_TESTS", 3.0)
    path = clamp_project / "tests/test_ranges.py"
    path.write_text(
        path.read_text() + "import pytest, time\n@pytest.mark.parametrize('n', range(12))\n"
        "def test_slow(n):\n    time.sleep(4.9)\n"
    )
    started = time.monotonic()
    outcome = Repair(Request(way_of(clamp_project / "ranges.py"), budget=3.0), None, Quiet()).run()
    assert time.monotonic() - started < 30
    assert (outcome.status, outcome.before.passed, outcome.before.failed) == ("repaired", 2, 1)
    assert "return high" in outcome.diff


def test_the_reason_is_the_right_one(clamp_project, write, monkeypatch):
    """It was said that the failing tests run no function."""
    monkeypatch.setattr(repair_module, "_LEAST_FOR_TESTS", 6.0)
    # Tests that are named, as in the run that is watched, are slow to be found.
    write(
        "tests/conftest.py",
        """
        import time

        def pytest_collection_modifyitems(config):
            if "::" in config.args[0]:
                time.sleep(20)
    """,
    )
    with pytest.raises(CoeError, match="was not seen .still running after"):
        Repair(Request(way_of(clamp_project / "ranges.py"), budget=1.0), None, Quiet()).run()


def test_slow_tests_do_not_hang(measured):
    """After one that hangs the others get less time; that is not held against them."""
    tests = """
        import time
        from ranges import clamp

        def test_hangs():
            time.sleep(30)

        def test_slow():
            time.sleep(1.1)
            assert clamp(5, 0, 10) == 5

        def test_slow_too():
            time.sleep(1.1)
            assert clamp(15, 0, 10) == 10
    """
    found = measured(tests, wall_seconds=60, test_seconds=2)
    outcomes = {name.rpartition("::")[2]: r.outcome for name, r in found.results.items()}
    assert outcomes == {"test_hangs": "timeout", "test_slow": "passed", "test_slow_too": "failed"}
    assert found.suspects()[0].name == "clamp"


def test_what_is_watched_is_not_judged_by_that(measured):
    """Property tests have a time for each example, and watching takes several times as long."""
    tests = """
        import sys, time
        from ranges import clamp

        def test_high():
            assert clamp(15, 0, 10) == 10

        def test_with_a_deadline():
            assert clamp(5, 0, 10) == 5
            assert sys.gettrace() is None, "too slow"

        def test_near_its_limit():
            time.sleep(1.5 if sys.gettrace() else 0.1)
            assert clamp(-1, 0, 10) == 0
    """
    found = measured(tests, wall_seconds=60, test_seconds=1.2)
    outcomes = {name.rpartition("::")[2]: r.outcome for name, r in found.results.items()}
    assert outcomes == {
        "test_high": "failed", "test_with_a_deadline": "passed", "test_near_its_limit": "passed",
    }  # fmt: skip
    assert {name.rpartition("::")[2] for name, lines in found.lines.items() if 3 in lines} == {
        "test_near_its_limit"
    }
