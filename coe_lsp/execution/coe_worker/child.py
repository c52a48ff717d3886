"""The side of a run that lives in the child: set up the process, then report results.

After `begin` the process holds the limits and the candidate; after `finish` it is gone. It reports
as it goes, so that whatever happens to it later, what it has told is not lost.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from types import TracebackType
from typing import Any, Iterable

from coe_worker import candidate, limits
from coe_worker.coverage import LineTracer
from coe_worker.output import marker
from coe_worker.swap import Swap
from coe_worker.wire import write_frame

PROGRAM = "<program>"  # stands for the path of a program that is not a file
_DETAIL_CHARACTERS = 2000


class TestTimeout(BaseException):
    """Raised inside a test that ran longer than its own limit; not an Exception on purpose."""

    __test__ = False


class Child:
    """One run of one candidate."""

    def __init__(self, suite: dict[str, Any], run: dict[str, Any], events: int) -> None:
        self.suite = suite
        self.select: list[str] | None = run["select"]
        self.holding: bool = run["hold"]
        self._run = run
        self._events = events
        self._tracer = LineTracer(suite["path"] or PROGRAM) if run["coverage"] else None
        self._traced: dict[str, tuple[list[int], list[int]]] = {}
        self._left = {"timeout": run["timeouts"], "failed": run["failures"]}
        self._had = frozenset(sys.modules)
        self._began = time.monotonic()
        self.rewritten = False
        #: Whether only the outcome of a test matters, not why.
        self.brief = False

    def begin(self, rewrite: candidate.Rewriter | None = None) -> bytes | None:
        """Put limits and candidate in place; returns the candidate's bytes (None: as on disk).

        A program that is to be held gets no limits, which its candidates would inherit.
        """
        if not self.holding:
            self._limit()
        # Each candidate sees the same random numbers, whatever ran before it.
        random.seed(0)
        self.own_streams()
        source = self._run["source"]
        if source is None:
            return None
        data = source.encode("latin-1")
        if self.suite["path"]:
            candidate.install(self.suite["path"], data, rewrite)
        self.rewritten = rewrite is not None
        if self.holding and self._tracer:
            self._tracer.start()
        return data

    def program(self) -> Swap:
        """What is held, now that it is imported."""
        lines = self._tracer.stop()[0] if self._tracer else []
        return Swap(self.suite["path"], self._run["source"].encode("latin-1"), lines)

    def _limit(self) -> None:
        limits.apply(self._run["memory_bytes"], self._run["wall_seconds"], self._run["file_bytes"])
        if hasattr(signal, "SIGALRM"):
            signal.signal(signal.SIGALRM, _on_alarm)
            signal.signal(signal.SIGPROF, _on_alarm)

    def begin_swapped(self, swap: Swap) -> None:
        """Put limits in place and the candidate into the module that is already imported."""
        self.brief = True
        self._limit()
        random.seed(0)
        self.own_streams()
        if not swap.apply(self._run["source"].encode("latin-1")):
            self._send({"event": "unfit"})
            self.finish()

    def own_streams(self) -> None:
        """Point Python's standard streams at the pipes, away from whatever was set up before."""
        sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
        sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr  # type: ignore[misc]

    def collected(self, ids: list[str]) -> None:
        """Report which tests there are."""
        self._send({"event": "collected", "ids": ids})

    def start(self, test: str) -> None:
        """A test begins: its output and its time count from here."""
        self._send({"event": "start", "id": test})
        self._flush()
        try:
            os.write(1, marker(self._run["nonce"], test))
        except OSError:
            pass
        self._began = time.monotonic()
        if self._tracer:
            self._tracer.start()
        self._alarm(self._run["test_seconds"], self._run["cpu_seconds"] or 0)

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
            self._send({"event": "lines", "id": test, "lines": lines, "entries": entries})

    def result(self, test: str, outcome: str, detail: str = "", line: int | None = None) -> None:
        """Report one test: passed, failed, error, timeout or skipped."""
        if len(detail) > _DETAIL_CHARACTERS:
            detail = detail[:_DETAIL_CHARACTERS] + " [cut]"
        seconds = time.monotonic() - self._began
        self._flush()
        self._send(
            {
                "event": "result", "id": test, "outcome": outcome, "detail": detail, "line": line,
                "seconds": seconds,
            }
        )  # fmt: skip
        if outcome not in ("passed", "skipped"):
            self._count("failed")
            if outcome == "timeout":
                self._count("timeout")

    def _count(self, outcome: str) -> None:
        """End the run if there have been too many of these."""
        left = self._left[outcome]
        if left is None:
            return
        self._left[outcome] = left - 1
        if left <= 1:
            self.finish()

    def failed(self, test: str, error: BaseException, detail: str = "") -> None:
        """Report a test that ended with `error`."""
        outcome = "timeout" if isinstance(error, TestTimeout) else "failed"
        detail = detail or _one_line(error)
        self.result(test, outcome, detail, self.line_of(error.__traceback__, error))

    def line_of(self, trace: TracebackType | None, error: BaseException | None) -> int | None:
        """The innermost line (1-based) of the file under repair in a traceback."""
        found = None
        if isinstance(error, SyntaxError) and error.filename and self._is_ours(error.filename):
            return error.lineno
        while trace is not None:
            if self._is_ours(trace.tb_frame.f_code.co_filename):
                found = trace.tb_lineno
            trace = trace.tb_next
        return found

    def _is_ours(self, name: str) -> bool:
        return candidate.is_file(name, self.suite["path"] or PROGRAM)

    def finish(self) -> None:
        """Report the end and leave, without running anybody's exit handlers."""
        self._alarm(0)
        self._flush()
        self._send(
            {"event": "done", "modules": self._new_modules() if self._run["learn"] else None}
        )
        os._exit(0)

    def _new_modules(self) -> list[tuple[str, str, bool]]:
        """What this run imported: name, file, and whether pytest rewrote its assertions."""
        new: list[tuple[str, str, bool]] = []
        for name, module in list(sys.modules.items()):
            if name in self._had:
                continue
            file = getattr(module, "__file__", None)
            loader = getattr(getattr(module, "__spec__", None), "loader", None)
            rewritten = type(loader).__name__ == "AssertionRewritingHook"
            new.append((name, file if isinstance(file, str) else "", rewritten))
        return new

    def _alarm(self, seconds: float, cpu_seconds: float = 0) -> None:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, seconds)
            signal.setitimer(signal.ITIMER_PROF, cpu_seconds)

    def _flush(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):
                pass

    def _send(self, event: dict[str, Any]) -> None:
        write_frame(self._events, event)


def _on_alarm(number: int, frame: Any) -> None:
    raise TestTimeout("the test ran too long")


def _one_line(error: BaseException) -> str:
    import traceback

    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    return "".join(traceback.format_exception_only(type(error), error)).strip()
