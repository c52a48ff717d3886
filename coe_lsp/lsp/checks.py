"""Runs a file's tests on the editor's text, and remembers what they said.

A newer check of a file cancels an older one. Test processes are kept warm for the next check of the
same file. Publishes nothing itself: `changed` is called with what is new.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attrs import frozen

from coe_lsp.errors import CoeError
from coe_lsp.execution.discovery import NoTestsError, is_test_file, suites_for
from coe_lsp.execution.interpreter import find_interpreter
from coe_lsp.execution.sandbox import find_sandbox
from coe_lsp.execution.suite import Limits, Suite
from coe_lsp.lsp.client import Client, Status
from coe_lsp.lsp.findings import Finding, findings
from coe_lsp.lsp.workspace import Document, DocumentError, Workspace
from coe_lsp.repair.baseline import Baseline, measure
from coe_lsp.repair.bench import TestBench
from coe_lsp.repair.settings import Settings
from coe_lsp.repair.source import SourceError, SourceFile

_log = logging.getLogger(__name__)
_WARM = 2


@frozen
class Checked:
    """What the tests said of a document. `functions` are those that they were seen to run."""

    document: Document
    source: SourceFile
    suites: tuple[Suite, ...]
    found: tuple[Finding, ...]
    functions: frozenset[str]
    passed: int
    failed: int

    @property
    def test_files(self) -> frozenset[Path]:
        """The files that the tests are in."""
        return frozenset(s.root / arg.partition("::")[0] for s in self.suites for arg in s.args)


class Checks:
    """Runs of tests, at most one at a time for a document."""

    def __init__(
        self, workspace: Workspace, client: Client, changed: Callable[[str, Checked | None], None]
    ) -> None:
        """`changed` gets a document's address, and what is now known of it (None: nothing)."""
        self._workspace = workspace
        self._client = client
        self._changed = changed
        self._pool = ThreadPoolExecutor(2, "coe-checks")
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._known: dict[str, Checked] = {}
        self._warm = _WarmBenches()

    def known(self, uri: str) -> Checked | None:
        """What the last check of a document said."""
        return self._known.get(uri)

    def schedule(self, uri: str, delay: float = 0.0) -> None:
        """Check after `delay` seconds, in place of what is under way for the document."""
        if (old := self._tasks.get(uri)) is not None:
            old.cancel()
        task = asyncio.get_running_loop().create_task(self._check(uri, delay))
        self._tasks[uri] = task
        task.add_done_callback(
            lambda done: self._tasks.pop(uri) if self._tasks.get(uri) is done else None
        )

    def schedule_dependents(self, path: Path, delay: float) -> None:
        """Check the open documents that a changed test file is for."""
        for uri, checked in list(self._known.items()):
            if path in checked.test_files and self._workspace.is_open(uri):
                self.schedule(uri, delay)

    def forget(self, uri: str) -> None:
        """The document was closed."""
        if (task := self._tasks.pop(uri, None)) is not None:
            task.cancel()
        if self._known.pop(uri, None) is not None:
            self._changed(uri, None)

    def restart_workers(self) -> None:
        """End the test processes that wait; those at work end with their check."""
        self._pool.submit(self._warm.close)

    def close_if_idle(self, seconds: float) -> None:
        """End test processes that nobody has used for that long."""
        self._pool.submit(self._warm.close, seconds)

    def close(self) -> None:
        """Cancel all and end the test processes."""
        for task in self._tasks.values():
            task.cancel()
        self._warm.close()
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _check(self, uri: str, delay: float) -> None:
        await asyncio.sleep(delay)
        try:
            document = self._workspace.document(uri)
            if is_test_file(document.path):
                return
            settings = await self._workspace.settings(document)
            run = _Check(document, settings, self._warm)
            self._client.status(Status("testing", f"testing {document.path.name}"))
            try:
                checked = await asyncio.get_running_loop().run_in_executor(self._pool, run)
            except asyncio.CancelledError:
                run.cancel()
                raise
        except (DocumentError, NoTestsError, SourceError) as error:
            _log.info("not checked: %s", error)
            self._forget_result(uri)
            self._client.status(Status("idle", str(error)))
            return
        except CoeError as error:
            _log.warning("check failed: %s", error)
            self._forget_result(uri)
            self._workspace.warn_once(str(error))
            self._client.status(Status("failed", str(error)))
            return
        if checked is None or not self._workspace.is_open(uri):
            return
        self._known[uri] = checked
        text = f"{document.path.name}: {checked.passed} passed, {checked.failed} failed"
        _log.info("%s", text)
        self._changed(uri, checked)
        self._client.status(Status("idle", text))

    def _forget_result(self, uri: str) -> None:
        if self._known.pop(uri, None) is not None:
            self._changed(uri, None)


class _Check:
    """One run, made on a thread; `cancel` comes from another."""

    def __init__(self, document: Document, settings: Settings, warm: _WarmBenches) -> None:
        self._document = document
        self._settings = settings
        self._warm = warm
        self._lock = threading.Lock()
        self._bench: TestBench | None = None
        self._cancelled = False

    def cancel(self) -> None:
        with self._lock:
            self._cancelled = True
            if self._bench is not None:
                self._bench.cancel()

    def __call__(self) -> Checked | None:
        document, settings = self._document, self._settings
        if self._cancelled:
            return None
        source = document.source
        sandbox = find_sandbox(settings.sandbox, settings.env, settings.show)
        interpreter = find_interpreter(document.root, settings.python, sandbox)
        suites = suites_for(document.path, document.root, interpreter, settings.tests)
        key = (suites, interpreter, sandbox, settings.test_timeout)
        seconds = settings.test_timeout
        bench = self._warm.take(key) or TestBench(
            suites, interpreter, sandbox, Limits(test_seconds=seconds, wall_seconds=12 * seconds)
        )
        with self._lock:
            self._bench = bench
            if self._cancelled:
                bench.cancel()
        try:
            baseline = measure(bench, source)
        except BaseException:
            bench.close()
            raise
        with self._lock:
            self._bench = None
            if self._cancelled:
                bench.close()
                return None
            self._warm.give(key, bench)
        if not baseline.results:
            raise CoeError(
                f"No test of {document.path.name} could be run: {baseline.detail or 'none found'}."
            )
        return Checked(
            document,
            source,
            suites,
            findings(baseline),
            _run_by_tests(baseline),
            baseline.passed,
            len(baseline.failing),
        )


def _run_by_tests(baseline: Baseline) -> frozenset[str]:
    lines = frozenset[int]().union(*baseline.lines.values())
    functions = baseline.source.functions()
    return frozenset(f.name for f in functions if any(f.first < n <= f.last for n in lines))


class _WarmBenches:
    """Test processes that wait for the next check of the same file; at most `_WARM` sets."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._benches: list[tuple[object, TestBench, float]] = []

    def take(self, key: object) -> TestBench | None:
        with self._lock:
            for entry in self._benches:
                if entry[0] == key:
                    self._benches.remove(entry)
                    return entry[1]
        return None

    def give(self, key: object, bench: TestBench) -> None:
        with self._lock:
            self._benches.append((key, bench, time.monotonic()))
            old = self._benches[:-_WARM]
            del self._benches[:-_WARM]
        for _, other, _ in old:
            other.close()

    def close(self, idle: float = 0.0) -> None:
        end = time.monotonic() - idle
        with self._lock:
            old = [entry for entry in self._benches if entry[2] <= end]
            self._benches = [entry for entry in self._benches if entry[2] > end]
        for _, bench, _ in old:
            bench.close()
