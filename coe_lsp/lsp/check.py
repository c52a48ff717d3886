"""One run of a document's tests on the editor's text, and what it said."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen
from lsprotocol import types

from coe_lsp.errors import CoeError
from coe_lsp.execution.discovery import is_for_tests
from coe_lsp.execution.project import Project
from coe_lsp.execution.runner import SuiteRunner
from coe_lsp.execution.suite import Suite
from coe_lsp.lsp.diagnostics import Finding, diagnostics, findings
from coe_lsp.lsp.workspace import Document
from coe_lsp.repair.target.baseline import Baseline, measure
from coe_lsp.repair.target.source import SourceFile
from coe_lsp.repair.warm import WarmRunners
from coe_lsp.settings import Settings


@frozen
class CheckResult:
    """What the tests said of a document. `functions` are those that they were seen to run.

    `marks` are at the positions of the text that was tested.
    """

    document: Document
    source: SourceFile
    suites: tuple[Suite, ...]
    found: tuple[Finding, ...]
    marks: tuple[types.Diagnostic, ...]
    functions: frozenset[str]
    passed: int
    failed: int
    #: Whether files that are not saved took part: then the text alone does not say what holds.
    with_unsaved: bool = False

    @property
    def test_files(self) -> frozenset[Path]:
        """The files that the tests are in."""
        return frozenset(s.root / arg.partition("::")[0] for s in self.suites for arg in s.args)

    @property
    def summary(self) -> str:
        """How many tests passed and failed."""
        return f"{self.document.path.name}: {self.passed} passed, {self.failed} failed"


class Check:
    """One run, made on a thread; `cancel` comes from another."""

    def __init__(
        self,
        document: Document,
        settings: Settings,
        warm: WarmRunners,
        unsaved: Mapping[Path, SourceFile],
    ) -> None:
        """`unsaved` files of the project are taken for what the disk has."""
        self._document = document
        self._unsaved = {path: one.encode(one.lines) for path, one in unsaved.items()}
        self._settings = settings
        self._warm = warm
        self._lock = threading.Lock()
        self._runner: SuiteRunner | None = None
        self._cancelled = False

    def cancel(self) -> None:
        """End it; it returns None soon. May take a moment itself."""
        with self._lock:
            self._cancelled = True
            if self._runner is not None:
                self._runner.cancel()

    def __call__(self) -> CheckResult | None:
        """Run the tests; None if it was cancelled. CoeError if they cannot be run."""
        document = self._document
        if self._cancelled:
            return None
        source = document.source
        project = Project.open(document.path, self._settings.project_options())
        project = project.with_overlay(self._unsaved)
        with self._warm.lease(project) as warm:
            with self._lock:
                self._runner = warm.runner
                if self._cancelled:
                    warm.runner.cancel()
            try:
                baseline = measure(warm.runner, source)
            finally:
                with self._lock:
                    self._runner = None
            if self._cancelled:
                return None
            warm.keep(baseline)
        if not baseline.results:
            raise CoeError(
                f"No test of {document.path.name} could be run: {baseline.detail or 'none found'}."
            )
        found = findings(baseline, of_tests=is_for_tests(document.path, document.root))
        return CheckResult(
            document,
            source,
            project.suites,
            found,
            tuple(diagnostics(found, source.lines, document.root, document.units)),
            _run_by_tests(baseline),
            baseline.passed,
            len(baseline.failing),
            bool(self._unsaved.keys() - {document.path}),
        )


def _run_by_tests(baseline: Baseline) -> frozenset[str]:
    lines = frozenset[int]().union(*baseline.lines.values())
    functions = baseline.source.functions()
    return frozenset(f.name for f in functions if any(f.first < n <= f.last for n in lines))
