"""The workers of a file's suites, asked together: one run of its tests, with a program in place.

Runs that are asked for at once run at once, each in a lane: workers of its own.

Says what the tests said; what that means for the file is the baseline's, for a candidate the
verifier's business.
"""

from __future__ import annotations

import functools
import itertools
import re
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from types import TracebackType

from attrs import frozen

from coe_lsp.execution.coe_worker.messages import FilesRan
from coe_lsp.execution.interpreter import Interpreter
from coe_lsp.execution.sandbox import Sandbox
from coe_lsp.execution.suite import Limits, Preforked, Run, Suite
from coe_lsp.execution.worker import Worker, WorkerError

#: Ids under which a suite reports that none of its tests could run.
WHOLE_SUITE = frozenset({"doctest", "program", "pytest", "collection"})
_DOCTEST_ID = re.compile(r"doctest(::.*)?\Z", re.DOTALL)
_STATEMENT_ID = re.compile(r"(assert \d+|program)\Z")

# Tests that take longer than so many seconds are not run again to see if they bear leftovers.
_SECONDS_FOR_LEFTOVERS = 5.0
#: What Python, SQLite and others say of a place that is only to be read.
_KEPT_FROM_WRITING = re.compile(
    r"Read-only file system|readonly database|unable to open database file"
)


@frozen
class _Lane:
    """A worker for each suite; one run at a time."""

    number: int
    workers: tuple[Worker, ...]


class SuiteRunner:
    """Runs a file's suites one after the other. To be called and cancelled from any thread.

    The project is there to be read. Where a test fails for that the workers go on with a view that
    is copied on write, as far as the system has one: slower, as what is written ends with each run.
    """

    __test__ = False

    def __init__(
        self,
        suites: Sequence[Suite],
        interpreter: Interpreter,
        sandbox: Sandbox,
        limits: Limits | None = None,
    ) -> None:
        self.limits = limits or Limits(wall_seconds=60.0)
        self._interpreter = interpreter
        self._sandbox = sandbox
        self._suites = tuple(suites)
        self._lock = threading.Lock()
        self._lanes: list[_Lane] = []
        self._free: list[_Lane] = []
        self._numbers = itertools.count()
        self._cancelled = threading.Event()
        self._can_copy = sandbox.can_copy
        self.runs = 0
        self.seconds = 0.0

    @property
    def suites(self) -> tuple[Suite, ...]:
        """The suites in the order in which they run."""
        return self._suites

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
        with self._lane() as lane:
            for worker in lane.workers:
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
                run = functools.partial(
                    worker.run,
                    source,
                    chosen,
                    coverage=coverage,
                    limits=limits,
                    hot=preforked,
                    cancelled=self._cancelled,
                )
                runs.append(self._run(worker, run))
        return merge(runs)

    @contextmanager
    def _lane(self) -> Generator[_Lane]:
        """The first lane that is free, or another one."""
        with self._lock:
            lane = self._free.pop(0) if self._free else self._new_lane()
            # What one lane found of the tests holds for all.
            found = next((other for other in self._lanes if _is_copied(other)), None)
            if found is not None and not _is_copied(lane):
                _copy_as(lane, found)
        try:
            yield lane
        finally:
            with self._lock:
                self._free.append(lane)
                self._free.sort(key=lambda free: free.number)

    def _new_lane(self) -> _Lane:
        workers = [Worker(s, self._interpreter, self._sandbox, self.limits) for s in self._suites]
        lane = _Lane(next(self._numbers), tuple(workers))
        self._lanes.append(lane)
        return lane

    def narrow(self) -> None:
        """End the workers of all lanes but one, which wait for the next run."""
        with self._lock:
            for lane in self._free[1:]:
                self._free.remove(lane)
                self._lanes.remove(lane)
                _close(lane)

    def _run(self, worker: Worker, run: Callable[..., Run]) -> Run:
        """One run, and another on a copy of the project if tests were kept from writing into it."""
        try:
            done = self._counted(run())
        except WorkerError as error:
            if self._wants_copy(worker, [str(error)]) and (copied := self._on_copy(worker, run)):
                return copied
            raise
        texts = [result.detail for result in done.results if result.failing]
        return (self._wants_copy(worker, texts) and self._on_copy(worker, run)) or done

    def _wants_copy(self, worker: Worker, texts: Sequence[str]) -> bool:
        possible = self._can_copy and not worker.copies and not self._cancelled.is_set()
        return possible and any(map(_KEPT_FROM_WRITING.search, texts))

    def _on_copy(self, worker: Worker, run: Callable[..., Run]) -> Run | None:
        """The run again where tests may write; None if no such view can be had here."""
        worker.copy_on_write(True)
        try:
            done = self._counted(run())
            self._try_leftovers(worker, run, done)
        except WorkerError:
            self._can_copy = False
            worker.copy_on_write(False)
            return None
        return done

    def _try_leftovers(self, worker: Worker, run: Callable[..., Run], clean: Run) -> None:
        """See whether the tests say the same where they find what they wrote before.

        If so, candidates need no new process each. What counts is always asked of a clean copy.
        """
        if clean.seconds > _SECONDS_FOR_LEFTOVERS or self._cancelled.is_set():
            return
        again = [self._counted(run(keep=True)) for _ in range(2)]
        if _outcomes(again[1]) == _outcomes(again[0]) == _outcomes(clean):
            worker.bears_leftovers = True

    def _counted(self, run: Run) -> Run:
        with self._lock:
            self.runs += 1
            self.seconds += run.seconds
        return run

    @property
    def copies(self) -> bool:
        """Whether tests were found to write into the project, and may do so on a copy."""
        return any(map(_is_copied, tuple(self._lanes)))

    def copy_as(self, other: SuiteRunner) -> None:
        """Have the tests run on a copy from the beginning: hot runs do not say what they miss.

        The other runner has found that tests of the same project write, and what they bear.
        """
        if self._can_copy and not self.copies:
            with self._lane() as lane, other._lane() as theirs:
                _copy_as(lane, theirs)

    @property
    def cancelled(self) -> bool:
        """Whether it refuses further runs."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """End the runs in progress and refuse further ones."""
        self._cancelled.set()
        for lane in tuple(self._lanes):
            for worker in lane.workers:
                worker.cancel()

    def close(self) -> None:
        """End the workers."""
        with self._lock:
            lanes = tuple(self._lanes)
        for lane in lanes:
            _close(lane)

    def __enter__(self) -> SuiteRunner:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _is_copied(lane: _Lane) -> bool:
    return any(worker.copies for worker in lane.workers)


def _copy_as(lane: _Lane, other: _Lane) -> None:
    """Have one lane's tests run on a copy if the other's do, with what these bear."""
    copying = [worker for worker in other.workers if worker.copies]
    for worker in lane.workers if copying else ():
        worker.copy_on_write(True)
        worker.bears_leftovers = all(theirs.bears_leftovers for theirs in copying)


def _close(lane: _Lane) -> None:
    for worker in lane.workers:
        worker.close()


def _outcomes(run: Run) -> dict[str, str]:
    return {result.id: result.outcome for result in run.results}


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
