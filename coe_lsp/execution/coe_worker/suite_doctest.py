"""Runs the doctests in the file under repair. One test a docstring; ids are `doctest::<name>`."""

from __future__ import annotations

import doctest
import sys
from typing import Any

from coe_worker.child import Child
from coe_worker.messages import SuiteSpec
from coe_worker.modules import import_file


def serve(suite: SuiteSpec, zygote: Any) -> None:
    """Import the file and run the examples of each docstring."""
    sys.path.insert(0, suite.root)
    child = zygote.park("bare")
    if child is None:
        return
    child.begin()
    assert suite.path is not None
    try:
        module = import_file(suite.path)
    except BaseException as error:  # the candidate may raise anything, SystemExit included
        child.result("doctest", "error", f"{type(error).__name__}: {error}", error)
        return
    found = {
        f"doctest::{test.name}": test
        for test in doctest.DocTestFinder(exclude_empty=True).find(module, module.__name__)
        if test.examples
    }
    chosen = [test for test in found if child.select is None or test in child.select]
    child.collected(chosen)
    for test in chosen:
        child.start(test)
        runner = _Runner(child)
        # `out` swallows doctest's own report; what the examples print is compared, not shown.
        runner.run(found[test], out=lambda text: None)
        if runner.failure is None:
            child.result(test, "passed")
        else:
            child.result(test, *runner.failure)
        child.stop(test)


class _Runner(doctest.DocTestRunner):
    """Keeps the first failing example."""

    def __init__(self, child: Child) -> None:
        super().__init__(verbose=False)
        self._child = child
        self.failure: tuple[str, str, BaseException | None] | None = None

    def report_failure(self, out: Any, test: Any, example: Any, got: str) -> None:
        call, want = example.source.strip(), example.want.strip()
        self._keep("failed", f"{call}: expected {want}, got {got.strip() or 'nothing'}", None)

    def report_unexpected_exception(self, out: Any, test: Any, example: Any, exc_info: Any) -> None:
        error = exc_info[1]
        outcome = "timeout" if type(error).__name__ == "TestTimeout" else "failed"
        self._keep(outcome, f"{example.source.strip()}: {type(error).__name__}: {error}", error)

    def _keep(self, outcome: str, detail: str, error: BaseException | None) -> None:
        if self.failure is None:
            self.failure = (outcome, detail, error)
