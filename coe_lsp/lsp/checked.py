"""One run of a document's tests on the editor's text, and what it said."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from attrs import frozen
from lsprotocol import types

from coe_lsp.errors import CoeError
from coe_lsp.execution.discovery import suites_for
from coe_lsp.execution.interpreter import find_interpreter
from coe_lsp.execution.runner import SuiteRunner
from coe_lsp.execution.sandbox import find_sandbox
from coe_lsp.execution.suite import Limits, Suite
from coe_lsp.lsp.aside import aside
from coe_lsp.lsp.diagnostics import Finding, diagnostics, findings
from coe_lsp.lsp.workspace import Document
from coe_lsp.repair.target.baseline import Baseline, measure
from coe_lsp.repair.target.source import SourceFile
from coe_lsp.settings import Settings

_WARM = 2


@frozen
class Checked:
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

    def __init__(self, document: Document, settings: Settings, warm: WarmRunners) -> None:
        self._document = document
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

    def __call__(self) -> Checked | None:
        """Run the tests; None if it was cancelled. CoeError if they cannot be run."""
        document, settings = self._document, self._settings
        if self._cancelled:
            return None
        source = document.source
        sandbox = find_sandbox(settings.sandbox, settings.env, settings.show)
        interpreter = find_interpreter(document.root, settings.python, sandbox)
        if self._cancelled:
            return None
        suites = suites_for(document.path, document.root, interpreter, settings.tests)
        key = (suites, interpreter, sandbox, settings.test_timeout)
        seconds = settings.test_timeout
        runner = self._warm.take(key) or SuiteRunner(
            suites, interpreter, sandbox, Limits(test_seconds=seconds, wall_seconds=12 * seconds)
        )
        with self._lock:
            self._runner = runner
            if self._cancelled:
                runner.cancel()
        try:
            baseline = measure(runner, source)
        except BaseException:
            runner.close()
            raise
        with self._lock:
            self._runner = None
            if self._cancelled:
                runner.close()
                return None
            self._warm.give(key, document.path, runner)
        if not baseline.results:
            raise CoeError(
                f"No test of {document.path.name} could be run: {baseline.detail or 'none found'}."
            )
        found = findings(baseline)
        return Checked(
            document,
            source,
            suites,
            found,
            tuple(diagnostics(found, source.lines, document.root, document.units)),
            _run_by_tests(baseline),
            baseline.passed,
            len(baseline.failing),
        )


def _run_by_tests(baseline: Baseline) -> frozenset[str]:
    lines = frozenset[int]().union(*baseline.lines.values())
    functions = baseline.source.functions()
    return frozenset(f.name for f in functions if any(f.first < n <= f.last for n in lines))


@frozen
class _Warm:
    """Test processes that wait, since when, and the file whose tests they run."""

    key: object
    path: Path
    runner: SuiteRunner
    since: float


class WarmRunners:
    """Test processes that wait for the next check of the same file; at most `_WARM` sets."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_Warm] = []
        self._closed = False

    def take(self, key: object) -> SuiteRunner | None:
        """The processes for a key, which are the taker's then."""
        with self._lock:
            for warm in self._waiting:
                if warm.key == key:
                    self._waiting.remove(warm)
                    return warm.runner
        return None

    def give(self, key: object, path: Path, runner: SuiteRunner) -> None:
        """Keep processes for the next check; the oldest of too many end."""
        with self._lock:
            self._waiting.append(_Warm(key, path, runner, time.monotonic()))
            cut = len(self._waiting) - (0 if self._closed else _WARM)
            old, self._waiting = self._waiting[: max(0, cut)], self._waiting[max(0, cut) :]
        _close(old)

    def close(self, *, idle: float = 0.0, but: Collection[Path] = ()) -> None:
        """Give up those that have waited that long, but for those of some files."""
        end = time.monotonic() - idle
        with self._lock:
            old = [warm for warm in self._waiting if warm.since <= end and warm.path not in but]
            self._waiting = [warm for warm in self._waiting if warm not in old]
        aside(lambda: _close(old))

    def end(self) -> None:
        """End all, and keep none from now on."""
        with self._lock:
            old, self._waiting, self._closed = self._waiting, [], True
        _close(old)


def _close(old: Sequence[_Warm]) -> None:
    for warm in old:
        warm.runner.close()
