"""The side of a run that lives in the child: set up the process, then report results.

After `begin` the process holds the limits and the candidate; after `finish` it is gone. It reports
as it goes, so that whatever happens to it later, what it has told is not lost.
"""

from __future__ import annotations

import functools
import os
import random
import signal
import sys
import time
from contextlib import contextmanager
from typing import Any, Callable, Generator, Iterable

from coe_worker import candidate, limits
from coe_worker.coverage import LineTracer, project_tracer
from coe_worker.hot_swap import HotSwap
from coe_worker.messages import (
    CannotRunHot,
    Collected,
    Event,
    FilesRan,
    Finished,
    ImportedModule,
    LinesRan,
    Outcome,
    RunSpec,
    SuiteSpec,
    TestResult,
    TestStarted,
    send,
)
from coe_worker.output import marker
from coe_worker.values import values_at

PROGRAM = "<program>"  # stands for the path of a program that is not a file
_MAX_DETAIL_CHARACTERS = 2000
_MOST_FRAMES = 50
# Of so many failures of a run the values are told.
_MOST_WITH_VALUES = 8


class TestTimeout(BaseException):
    """Raised inside a test that ran longer than its own limit; not an Exception on purpose."""

    __test__ = False


class Child:
    """One run of one candidate; or, with `prefork`, the setting up of a program for many."""

    def __init__(
        self,
        suite: SuiteSpec,
        run: RunSpec,
        events: int,
        *,
        prefork: bool = False,
        report_modules: bool = False,
    ) -> None:
        self.suite = suite
        self.select = run.select
        self.prefork = prefork
        self._run = run
        self._events = events
        self._report_modules = report_modules
        # Without a file under repair all of a project's are watched.
        self._whole = suite.path is None and suite.kind in ("pytest", "unittest")
        traced = run.coverage and not self._whole
        self._tracer = LineTracer(suite.path or PROGRAM) if traced else None
        traced = run.coverage and self._whole
        self._project_tracer = project_tracer(suite.root) if traced else None
        self._traced: dict[str, tuple[list[int], list[int]]] = {}
        self._timeouts_left = run.limits.timeouts
        self._values_left = _MOST_WITH_VALUES
        self._left = (0.0, 0.0)  # wall and processor seconds of a test that is paused
        self._modules_before = frozenset(sys.modules)
        self._began = time.monotonic()
        self.rewritten = False
        #: Whether only the outcome of a test matters, not why.
        self.hot = False

    def begin(
        self, rewriter: Callable[[str], candidate.Rewriter | None] = lambda path: None
    ) -> bytes | None:
        """Put limits and candidate in place; returns the candidate's bytes (None: as on disk).

        `rewriter` says how the assertions of a file are rewritten, None for not at all. A program
        that is set up for others gets no limits, which its candidates would inherit.
        """
        if not self.prefork:
            self._limit()
        # Each candidate sees the same random numbers, whatever ran before it.
        random.seed(0)
        self.own_streams()
        for path, text in self.suite.overlay.items():
            rewrite = rewriter(path)
            if rewrite is not None:  # what pytest has put before the zygote's own finders
                candidate.install(path, text.encode("latin-1"), rewrite)
        program = self._run.program
        if program is None:
            return None
        rewrite = rewriter(self.suite.path) if self.suite.path else None
        if self.suite.path:
            candidate.install(self.suite.path, program, rewrite)
        self.rewritten = rewrite is not None
        if self.prefork and self._tracer:
            self._tracer.start()
        return program

    def hot_swap(self) -> HotSwap:
        """For candidates that take the place of this one, now that it is imported."""
        lines = self._tracer.stop()[0] if self._tracer else []
        assert self.suite.path is not None
        return HotSwap(self.suite.path, self._run.program or b"", lines)

    def begin_hot(self, hot_swap: HotSwap) -> None:
        """Put limits in place and the candidate into the module that is already imported."""
        self.hot = True
        self._limit()
        random.seed(0)
        self.own_streams()
        if not hot_swap.apply(self._run.program or b""):
            self._send(CannotRunHot())
            self.finish()

    def _limit(self) -> None:
        most = self._run.limits
        limits.apply(most.memory_bytes, most.wall_seconds, most.file_bytes)
        if hasattr(signal, "SIGALRM"):
            signal.signal(signal.SIGALRM, _on_alarm)
            signal.signal(signal.SIGPROF, _on_alarm)

    def own_streams(self) -> None:
        """Point Python's standard streams at the pipes, away from whatever was set up before."""
        sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
        sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr  # type: ignore[misc]

    def collected(self, ids: list[str]) -> None:
        """Report which tests there are."""
        self._send(Collected(ids))

    def start(self, test: str) -> None:
        """A test begins: its output and its time count from here."""
        self._send(TestStarted(test))
        self._flush()
        try:
            os.write(1, marker(self._run.nonce, test))
        except OSError:
            pass
        self._began = time.monotonic()
        if self._tracer:
            self._tracer.start()
        if self._project_tracer:
            self._project_tracer.start()
        self._alarm(self._run.limits.test_seconds, self._run.limits.cpu_seconds or 0)

    def pause(self) -> None:
        """What runs now is not the test's own: its time stands still until `resume`."""
        self._left = self._alarm(0)

    def resume(self) -> None:
        """The test goes on with the time that it had left."""
        self._alarm(*self._left)

    @contextmanager
    def bound_report(self) -> Generator[None, None, None]:
        """The making of a report calls the test's own code, and may take as long as a test.

        That of a subtest is made in the middle of a test, which goes on with the time that it had.
        """
        left = self._alarm(self._run.limits.test_seconds)
        try:
            yield
        finally:
            self._alarm(*left)

    def stop(self, test: str, others: Iterable[str] = ()) -> None:
        """A test is over, its teardown included. What ran in the `others` counts as run by it."""
        self._alarm(0)
        if self._tracer:
            lines, entries = self._tracer.stop()
            for other in others:
                more_lines, more_entries = self._traced.get(other, ([], []))
                lines = sorted({*lines, *more_lines})
                entries = sorted({*entries, *more_entries})
            self._traced[test] = lines, entries
            self._send(LinesRan(test, lines, entries))
        if self._project_tracer:
            files, depths = self._project_tracer.stop()
            ran = {file: frozenset(lines) for file, lines in files.items()}
            self._send(FilesRan(test, ran, depths))

    def result(
        self, test: str, outcome: Outcome, detail: str = "", error: BaseException | None = None
    ) -> None:
        """Report one test. After as many that ran too long as the run may have, it ends.

        Where in the code it ended is said by the `error`.
        """
        if len(detail) > _MAX_DETAIL_CHARACTERS:
            detail = detail[:_MAX_DETAIL_CHARACTERS] + " [cut]"
        seconds = time.monotonic() - self._began
        self._flush()
        line = None if self._whole else self._line_of(error)
        stack = self._stack_of(error) if self._whole else ()
        values: tuple[tuple[str, str], ...] = ()
        # Where the test itself ended, nothing of the project did.
        ended_in_project = bool(stack) and stack[-1][0] != test.partition("::")[0]
        told = line is not None or ended_in_project
        if error is not None and told and self._values_left > 0:
            self._values_left -= 1
            is_ours = self._in_project if self._whole else self._is_ours
            values = values_at(error.__traceback__, is_ours)
        self._send(TestResult(test, outcome, detail, line, stack, values, seconds=seconds))
        if outcome == "timeout" and self._timeouts_left is not None:
            self._timeouts_left -= 1
            if self._timeouts_left <= 0:
                self.finish()

    def failed(self, test: str, error: BaseException, detail: str = "") -> None:
        """Report a test that ended with `error`."""
        outcome: Outcome = "timeout" if isinstance(error, TestTimeout) else "failed"
        detail = detail or _one_line(error)
        self.result(test, outcome, detail, error)

    def _line_of(self, error: BaseException | None) -> int | None:
        """The innermost line (1-based) of the file under repair in a traceback."""
        line = None
        if isinstance(error, SyntaxError) and error.filename and self._is_ours(error.filename):
            return error.lineno
        trace = error.__traceback__ if error is not None else None
        while trace is not None:
            if self._is_ours(trace.tb_frame.f_code.co_filename):
                line = trace.tb_lineno
            trace = trace.tb_next
        return line

    def _stack_of(self, error: BaseException | None) -> tuple[tuple[str, int], ...]:
        """The project's files and lines in a traceback, outermost first."""
        frames: list[tuple[str, int]] = []
        trace = error.__traceback__ if error is not None else None
        while trace is not None:
            frames.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
            trace = trace.tb_next
        if isinstance(error, SyntaxError) and error.filename and error.lineno:
            frames.append((error.filename, error.lineno))
        inside = [(self._in_project(name), line) for name, line in frames]
        return tuple([(name, line) for name, line in inside if name][-_MOST_FRAMES:])

    def _in_project(self, name: str) -> str:
        """A file's path relative to the project; '' if it is elsewhere."""
        root, real = _real_path(self.suite.root) + os.sep, _real_path(name)
        return real[len(root) :] if real.startswith(root) else ""

    def _is_ours(self, name: str) -> bool:
        return candidate.is_file(name, self.suite.path or PROGRAM)

    def finish(self) -> None:
        """Report the end and leave, without running anybody's exit handlers."""
        self._alarm(0)
        self._flush()
        self._send(Finished(self._new_modules() if self._report_modules else None))
        os._exit(0)

    def _new_modules(self) -> list[ImportedModule]:
        """What this run imported."""
        new: list[ImportedModule] = []
        for name, module in list(sys.modules.items()):
            if name in self._modules_before:
                continue
            file = getattr(module, "__file__", None)
            loader = getattr(getattr(module, "__spec__", None), "loader", None)
            rewritten = type(loader).__name__ == "AssertionRewritingHook"
            new.append((name, file if isinstance(file, str) else "", rewritten))
        return new

    def _alarm(self, seconds: float, cpu_seconds: float = 0) -> tuple[float, float]:
        """Set both alarms, 0 for none, and tell what was left of them."""
        if not hasattr(signal, "setitimer"):
            return 0, 0
        left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
        cpu_left, _ = signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        return left, cpu_left

    def _flush(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):
                pass

    def _send(self, event: Event) -> None:
        send(self._events, event)


@functools.lru_cache(maxsize=None)
def _real_path(name: str) -> str:
    return os.path.realpath(name)


def _on_alarm(number: int, frame: Any) -> None:
    raise TestTimeout("the test ran too long")


def _one_line(error: BaseException) -> str:
    import traceback

    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    return "".join(traceback.format_exception_only(type(error), error)).strip()
