"""One run of a document's tests on the editor's text, and what it said.

And one that sees where failing tests point: which places of the project they run.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

from attrs import field, frozen
from lsprotocol import types

from coe_lsp.errors import CoeError
from coe_lsp.execution.discovery import is_for_tests
from coe_lsp.execution.project import Project
from coe_lsp.execution.runner import SuiteRunner
from coe_lsp.execution.suite import Suite
from coe_lsp.lsp.diagnostics import Finding, count, diagnostics, findings
from coe_lsp.lsp.workspace import Document
from coe_lsp.repair.scout import scout
from coe_lsp.repair.site import overlay_of
from coe_lsp.repair.target.baseline import Baseline, measure
from coe_lsp.repair.target.places import Place
from coe_lsp.repair.target.source import SourceFile, relative
from coe_lsp.repair.warm import WarmRunner, WarmRunners
from coe_lsp.settings import Settings

T = TypeVar("T")
# So many tests are named that did not run.
_NAMED = 3
# So many failing tests are looked at, for so many seconds; so many places are kept of each.
_LOOKED_AT, _SECONDS_TO_LOOK, _PLACES = 20, 20.0, 3


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
    #: Tests that were found and did not run, and why.
    missing: tuple[str, ...] = ()
    why_missing: str = ""
    #: Whether files that are not saved took part: then the text alone does not say what holds.
    with_unsaved: bool = False
    #: Where failing tests of a file of tests point, by the test's id, most suspect first.
    places: Mapping[str, Sequence[Place]] = field(factory=dict[str, Sequence[Place]])

    @property
    def test_files(self) -> frozenset[Path]:
        """The files that the tests are in."""
        return frozenset(s.root / arg.partition("::")[0] for s in self.suites for arg in s.args)

    @property
    def summary(self) -> str:
        """How many tests passed, failed, and did not run."""
        missing = f", {len(self.missing)} not run" if self.missing else ""
        return f"{self.document.path.name}: {self.passed} passed, {self.failed} failed{missing}"

    @property
    def left_out(self) -> str:
        """What to say of tests that did not run, '' if all did."""
        if not self.missing:
            return ""
        names = ", ".join(self.missing[:_NAMED]) + (", ..." if len(self.missing) > _NAMED else "")
        why = f" ({self.why_missing})" if self.why_missing else ""
        return (
            f"{self.document.path.name}: {count(len(self.missing), 'test')} did not run{why}, so "
            f"nothing is known of {names}. Raise coe.testTimeout, or name the tests that matter in "
            "coe.tests."
        )


class CancellableRun(ABC, Generic[T]):
    """Something that runs tests on a thread; `cancel` comes from another."""

    def __init__(
        self, settings: Settings, warm: WarmRunners, unsaved: Mapping[Path, SourceFile]
    ) -> None:
        """`unsaved` files of the project are taken for what the disk has."""
        self._settings = settings
        self._warm = warm
        self._unsaved = unsaved
        self._lock = threading.Lock()
        self._runner: SuiteRunner | None = None
        self._cancelled = False

    def cancel(self) -> None:
        """End it; it returns None soon. May take a moment itself."""
        with self._lock:
            self._cancelled = True
            if self._runner is not None:
                self._runner.cancel()

    @abstractmethod
    def __call__(self) -> T | None:
        """What it says; None if it was cancelled. CoeError if the tests cannot be run."""

    @contextmanager
    def _lease(self, project: Project) -> Generator[WarmRunner]:
        with self._warm.lease(project) as warm:
            with self._lock:
                self._runner = warm.runner
                if self._cancelled:
                    warm.runner.cancel()
            try:
                yield warm
            finally:
                with self._lock:
                    self._runner = None


class Check(CancellableRun[CheckResult]):
    """One run of a document's tests."""

    def __init__(
        self,
        document: Document,
        settings: Settings,
        warm: WarmRunners,
        unsaved: Mapping[Path, SourceFile],
    ) -> None:
        super().__init__(settings, warm, unsaved)
        self._document = document

    def __call__(self) -> CheckResult | None:
        """Run the tests; None if it was cancelled. CoeError if they cannot be run."""
        document = self._document
        if self._cancelled:
            return None
        source = document.source
        project = Project.open(document.path, self._settings.project_options())
        unsaved = {path: one.encode(one.lines) for path, one in self._unsaved.items()}
        project = project.with_overlay(unsaved)
        with self._lease(project) as warm:
            baseline = measure(warm.runner, source)
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
            baseline.missing,
            baseline.detail,
            bool(self._unsaved.keys() - {document.path}),
        )


class Look(CancellableRun[dict[str, Sequence[Place]]]):
    """One run of what failed in a file of tests, the whole project watched.

    The test processes are those that a repair of these tests needs, and wait for it afterwards.
    """

    def __init__(
        self,
        checked: CheckResult,
        settings: Settings,
        warm: WarmRunners,
        unsaved: Mapping[Path, SourceFile],
    ) -> None:
        super().__init__(settings, warm, unsaved)
        self._checked = checked

    def __call__(self) -> dict[str, Sequence[Place]] | None:
        """The first places of each failing test; None if it was cancelled.

        CoeError if the tests cannot be run.
        """
        root = self._checked.document.root
        file = relative(self._checked.document.path, root)
        project = Project.of_tests(root, (file,), self._settings.project_options())
        unsaved = {relative(path, root): one for path, one in self._unsaved.items()}
        tests = [test.id for finding in self._checked.found for test in finding.tests]
        with self._lease(project.with_overlay(overlay_of(unsaved, root))) as warm:
            found = scout(root, warm.runner, tests[:_LOOKED_AT], _SECONDS_TO_LOOK, unsaved)
        if self._cancelled:
            return None
        return {test: found.places((test,))[:_PLACES] for test in found.targets}


def _run_by_tests(baseline: Baseline) -> frozenset[str]:
    lines = frozenset[int]().union(*baseline.lines.values())
    functions = baseline.source.functions()
    return frozenset(f.name for f in functions if f.is_run_by(lines))
