"""Candidates that pass by reaching for the test runner are refused where their text shows it."""

import pytest

from coe_lsp.execution.discovery import suites_for
from coe_lsp.execution.runner import SuiteRunner
from coe_lsp.repair.forgery import machinery_in
from coe_lsp.repair.target.baseline import measure
from coe_lsp.repair.target.source import SourceFile
from coe_lsp.repair.verify import Verifier

# Each passes every test of the project when it is run, as any test runner would let it.
FORGERIES = [
    """
    import gc
    child = next(o for o in gc.get_objects() if type(o).__name__ == "Child")
    for test in ("test_low", "test_high", "test_inside"):
        child.result("tests/test_ranges.py::" + test, "passed")
    child.finish()
    """,
    """
    import sys
    module = sys.modules["test_ranges"] if "test_ranges" in sys.modules else sys.modules["tests.test_ranges"]
    for name in ("test_low", "test_high", "test_inside"):
        getattr(module, name).__code__ = (lambda: None).__code__
    return low if value < low else high - high
    """,
    """
    from unittest import mock
    return mock.ANY
    """,
    """
    return __import__("unittest.mock").mock.ANY
    """,
]


@pytest.mark.parametrize("body", FORGERIES)
def test_forgeries_are_not_believed(clamp_project, interpreter, sandbox, body):
    path = clamp_project / "ranges.py"
    source = SourceFile.read(path)
    lines = ("def clamp(value, low, high):", *body.strip("\n").split("\n"))
    with SuiteRunner(suites_for(path, clamp_project, interpreter), interpreter, sandbox) as runner:
        verifier = Verifier(runner, measure(runner, source), source.find("clamp"))
        run = runner.run(source.encode(source.replace(verifier.function, lines)))
        forged = [r.id for r in run.results if r.outcome == "passed" and "test_high" in r.id]
        assert forged or "sys.modules" in body, "it does pass when it is run"
        verdict = verifier.judge(lines)
        assert not verdict.solved and "code under test may not use" in verdict.failures[0].detail


@pytest.mark.parametrize(
    "line",
    ["    frame = sys._getframe(1)", "    import os, gc", "    os._exit(0)", "    open('/proc/self/mem')",
     "    x = inspect.stack()[1]", "    from _pytest import runner", "    importlib.import_module('gc')"],
)  # fmt: skip
def test_what_is_seen(line):
    assert machinery_in(["def f():", line], ["def f():", "    pass"])


@pytest.mark.parametrize(
    "line",
    ["    gc = count('G') + count('C')", "    return inspect.isawaitable(x)", "    return frame.width",
     "    import json", "    return os.path.join(a, b)", "    self.fork(road)", "    return proc / 2"],
)  # fmt: skip
def test_ordinary_code_is_left_alone(line):
    assert machinery_in(["def f():", line], ["def f():", "    pass"]) is None


def test_what_a_file_used_before_it_may_use():
    old = ["import gc", "def f():", "    gc.collect()", "    return sys._getframe(1)"]
    assert (
        machinery_in(["def f():", "    gc.collect()", "    return sys._getframe(2)"], old) is None
    )
    assert machinery_in(["def f():", "    gc.get_objects()"], old) == "gc.get_objects"
