"""Runs `unittest` test files for projects without pytest. Test ids have pytest's form."""

from __future__ import annotations

import os
import sys
import unittest
from typing import Any, Iterator

from coe_worker.child import Child
from coe_worker.messages import SuiteSpec
from coe_worker.modules import import_file


def serve(suite: SuiteSpec, zygote: Any) -> None:
    """Load the files named in `args` (path, path::Class or path::Class::method); run them."""
    sys.path.insert(0, suite.root)
    child = zygote.park("bare")
    if child is None:
        return
    child.begin()
    tests: dict[str, unittest.TestCase] = {}
    wanted: list[str] = child.select if child.select is not None else suite.args
    for path in dict.fromkeys(arg.partition("::")[0] for arg in wanted):
        try:
            module = import_file(os.path.join(suite.root, path))
        except BaseException as error:  # the candidate may raise anything, SystemExit included
            child.result(path, "error", f"{type(error).__name__}: {error}", error)
            continue
        for case in _cases(unittest.defaultTestLoader.loadTestsFromModule(module)):
            method = case.id().rpartition(".")[2]
            tests[f"{path}::{type(case).__name__}::{method}"] = case
    chosen = [
        test
        for test in tests
        if any(test == want or test.startswith(want + "::") for want in wanted)
    ]
    child.collected(chosen)
    for test in chosen:
        child.start(test)
        tests[test].run(_Result(child, test))
        child.stop(test)


def _cases(suite: Any) -> Iterator[unittest.TestCase]:
    for entry in suite:
        if isinstance(entry, unittest.TestSuite):
            yield from _cases(entry)
        else:
            yield entry


class _Result(unittest.TestResult):
    """Passes each outcome on as it happens."""

    def __init__(self, child: Child, test: str) -> None:
        super().__init__()
        self._child = child
        self._test = test

    def addSuccess(self, test: unittest.TestCase) -> None:
        self._child.result(self._test, "passed")

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        self._child.failed(self._test, err[1])

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        self._child.failed(self._test, err[1])

    def addSubTest(self, test: unittest.TestCase, subtest: Any, err: Any) -> None:
        if err is not None:
            self._child.failed(self._test, err[1])

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self._child.result(self._test, "skipped", reason)

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        self._child.result(self._test, "skipped")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        self._child.result(self._test, "failed", "unexpected success")
