"""The workers of a file's suites, asked together: one run of its tests, with a program in place.

Says what the tests said; what that means for the file is the baseline's, for a candidate the
verifier's business.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from types import TracebackType

from coe_lsp.execution.coe_worker.messages import FilesRan
from coe_lsp.execution.interpreter import Interpreter
from coe_lsp.execution.sandbox import Sandbox
from coe_lsp.execution.suite import Limits, Preforked, Run, Suite
from coe_lsp.execution.worker import Worker

#: Ids under which a suite reports that none of its tests could run.
WHOLE_SUITE = frozenset({"doctest", "program", "pytest", "collection"})
_DOCTEST_ID = re.compile(r"doctest(::.*)?\Z", re.DOTALL)
_STATEMENT_ID = re.compile(r"(assert \d+|program)\Z")


class SuiteRunner:
    """The workers of a file's suites, asked one after the other. Cancellable from any thread."""

    __test__ = False

    def __init__(
        self,
        suites: Sequence[Suite],
        interpreter: Interpreter,
        sandbox: Sandbox,
        limits: Limits | None = None,
    ) -> None:
        self.limits = limits or Limits(wall_seconds=60.0)
        self._workers = [Worker(suite, interpreter, sandbox, self.limits) for suite in suites]
        self._cancelled = threading.Event()
        self.runs = 0
        self.seconds = 0.0

    @property
    def suites(self) -> tuple[Suite, ...]:
        """The suites in the order in which they run."""
        return tuple(worker.suite for worker in self._workers)

    def run(
        self,
        source: bytes | None,
        select: Sequence[str] | None = None,
        *,
        coverage: bool = False,
        limits: Limits | None = None,
        hot: tuple[bytes, Sequence[str]] | None = None,
    ) -> Run:
        """One run of all suites together; without `source` of the files as they are on disk.

        `select` names tests by id across them.

        With a `hot` program and tests to prefork (see `Worker.run`), it is quicker and may in rare
        cases be wrong.
        """
        runs: list[Run] = []
        for worker in self._workers:
            chosen = None if select is None else _chosen(select, worker.suite)
            if chosen == []:
                continue
            if self._cancelled.is_set():
                runs.append(Run("cancelled", "cancelled", ()))
                break
            limits = limits or self.limits
            preforked = None
            if hot is not None and (tests := _chosen(hot[1], worker.suite)):
                preforked = Preforked(hot[0], frozenset(tests))
            run = worker.run(source, chosen, coverage=coverage, limits=limits, hot=preforked)
            self.runs += 1
            self.seconds += run.seconds
            runs.append(run)
        return merge(runs)

    @property
    def cancelled(self) -> bool:
        """Whether it refuses further runs."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """End the run in progress and refuse further ones."""
        self._cancelled.set()
        for worker in self._workers:
            worker.cancel()

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.close()

    def __enter__(self) -> SuiteRunner:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _chosen(select: Sequence[str], suite: Suite) -> list[str] | None:
    """Those tests that are the suite's; None for the whole of it."""
    chosen = [test for test in select if _belongs(test, suite)]
    return chosen if WHOLE_SUITE.isdisjoint(chosen) else None


def _belongs(test: str, suite: Suite) -> bool:
    if _DOCTEST_ID.match(test):
        return suite.kind == "doctest"
    if _STATEMENT_ID.match(test):
        return suite.kind == "asserts"
    return suite.kind in ("pytest", "unittest")


def merge(runs: Sequence[Run]) -> Run:
    """Runs as if they had been one."""
    bad = next((run for run in runs if run.status != "completed"), None)
    lines: dict[str, frozenset[int]] = {}
    entries: dict[str, frozenset[int]] = {}
    files: dict[str, FilesRan] = {}
    for run in runs:
        files.update(run.files)
        lines.update(run.lines)
        entries.update(run.entries)
    return Run(
        status=bad.status if bad else "completed",
        detail=bad.detail if bad else "",
        results=tuple(result for run in runs for result in run.results),
        collected=tuple(test for run in runs for test in run.collected),
        lines=lines,
        entries=entries,
        files=files,
        output="".join(run.output for run in runs),
        seconds=sum(run.seconds for run in runs),
    )
