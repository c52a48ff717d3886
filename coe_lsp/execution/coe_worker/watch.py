"""Follows one child from its start to the end of all its processes.

Results arrive on one pipe and output on another. The child is ended at its deadline, on `cancel`,
and when its processes or their memory grow past the limits. If it started too many processes the
zygote ends as well, and with it the sandbox, which no fork bomb survives.
"""

from __future__ import annotations

import os
import select
import signal
import time
from dataclasses import replace
from typing import Any

from coe_worker import limits
from coe_worker.messages import (
    EVENTS,
    Cancel,
    CannotRunHot,
    Collected,
    Event,
    FilesRan,
    Finished,
    ImportedModule,
    LinesRan,
    RunReply,
    RunRequest,
    Status,
    TestResult,
    TestStarted,
    decode,
    receive,
)
from coe_worker.output import OutputSplitter
from coe_worker.wire import MAX_FRAME, FrameError, FrameReader

_LIMITS_INTERVAL_SECONDS = 0.02
_CANCEL_FRAME_SECONDS = 1.0
_MAX_REPORTED_BYTES = MAX_FRAME // 2  # bytes


def fork(*private: int) -> ForkPipes | int:
    """Fork a child in a session of its own: its event pipe in the child, all its pipes here.

    `private` descriptors are closed in the child; the first is where a `cancel` may arrive.
    """
    events, child_events = os.pipe()
    output, child_output = os.pipe()
    pid = os.fork()
    if pid == 0:
        for fd in (events, output, *private):
            os.close(fd)
        os.setsid()
        limits.die_with_parent()
        limits.open_to_others()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(child_output, 1)
        os.dup2(child_output, 2)
        os.close(child_output)
        return child_events
    os.close(child_events)
    os.close(child_output)
    return ForkPipes(pid, events, output, private[0])


class ForkPipes:
    """The pipes of a forked child, and the control pipe, waited for together."""

    def __init__(self, pid: int, events: int, output: int, control: int) -> None:
        self.pid = pid
        self._fds = {events: "events", output: "output", control: "control"}

    def wait(self, seconds: float) -> list[tuple[str, bytes]]:
        """What arrived, as (pipe, bytes); no bytes at a pipe's end."""
        arrived: list[tuple[str, bytes]] = []
        ready, _, _ = select.select(list(self._fds), [], [], max(0.0, seconds))
        for fd in ready:
            kind = self._fds[fd]
            if kind == "control":
                # Nothing else may come while a run is in progress.
                receive(fd, Cancel, deadline=time.monotonic() + _CANCEL_FRAME_SECONDS)
                arrived.append((kind, b""))
                continue
            data = os.read(fd, 1 << 16)
            arrived.append((kind, data))
            if not data:
                self._close(fd)
        return arrived

    def rest(self) -> list[tuple[str, bytes]]:
        """What is still in the pipes once all writers are dead, cut short if they are not."""
        arrived: list[tuple[str, bytes]] = []
        end = time.monotonic() + 0.5
        for fd in [fd for fd, kind in self._fds.items() if kind != "control"]:
            os.set_blocking(fd, False)
            try:
                while time.monotonic() < end:
                    data = os.read(fd, 1 << 16)
                    if not data:
                        break
                    arrived.append((self._fds[fd], data))
            except BlockingIOError:
                pass
            self._close(fd)
        return arrived

    def exit_text(self) -> str:
        """How the child ended, once its end of the event pipe is closed."""
        for _ in range(200):
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                break
            time.sleep(0.001)
        else:
            return "the test process closed its pipes"
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            if number == signal.SIGXCPU:
                return "used more processor time than allowed"
            return f"the test process was killed by {signal.Signals(number).name}"
        return f"the test process ended itself with exit status {os.WEXITSTATUS(status)}"

    def kill(self) -> bool:
        """End the child and all its processes; False if some would not die."""
        return limits.kill_tree(self.pid)

    def _close(self, fd: int) -> None:
        os.close(fd)
        del self._fds[fd]


class Watch:
    """One run, from start to reply."""

    def __init__(self, pipes: Any, request: RunRequest, started: float) -> None:
        """`started` is when the run began, by `time.monotonic`."""
        self._pipes = pipes
        self._request = request
        self._limits = request.run.limits
        self._started = started
        self._frames = FrameReader()
        self._output = OutputSplitter(request.run.nonce, self._limits.output_bytes)
        self._results: dict[str, TestResult] = {}
        self._collected: tuple[str, ...] = ()
        self._lines: dict[str, frozenset[int]] = {}
        self._entries: dict[str, frozenset[int]] = {}
        self._files: dict[str, FilesRan] = {}
        self._hot = request.hot
        #: What the run imported, if it reported that.
        self.modules: list[ImportedModule] | None = None
        self._current: str | None = None
        self._since = 0.0  # when it began
        self._done = False
        self._resident = limits.resident_bytes()
        self._scratch = os.environ["COE_SCRATCH"]
        self._boxed = self._scratch == "/dev/shm"  # elsewhere it is a part of the user's disk
        # A view of the project into which the tests may write, if there is one.
        self._copy = os.environ.get("COE_COPY", "")
        self._copied = limits.files_in(self._copy)
        self._reported = 0
        self._problem = ""

    def until_end(self) -> RunReply:
        """Wait for the child, end it if need be, and make the reply of the run.

        Raises EOFError, FrameError or TimeoutError if the client is gone or cannot be understood.
        """
        try:
            status, detail = self._loop()
        except BaseException:
            # Nobody is left to read the reply, nor to end the child.
            self._pipes.kill()
            raise
        dead = self._pipes.kill()
        for kind, data in self._pipes.rest():
            self._take(kind, data)
        if self._problem:
            status, detail = "crashed", self._problem
        elif self._done and status != "cancelled":
            status, detail = "completed", ""
        if self._current is not None:
            # The test that was running when its process ended is to blame.
            outcome = "timeout" if status == "timeout" else "error"
            seconds = time.monotonic() - self._since
            self._merge(TestResult(self._current, outcome, detail, seconds=seconds))
        texts = self._output.sections()
        wrote = limits.files_in(self._copy) != self._copied
        return RunReply(
            token=self._request.token,
            status=status,
            detail=detail,
            results=tuple(
                replace(result, output=texts[test]) if texts.get(test) else result
                for test, result in self._results.items()
            ),
            collected=self._collected,
            lines=self._lines,
            entries=self._entries,
            files=self._files,
            output=texts[""],
            seconds=time.monotonic() - self._started,
            hot=self._hot,
            # Only its end is sure to empty the namespace, and what was written into the project.
            ending=not dead or status == "processes" or (wrote and not self._request.keep),
            wrote=wrote,
        )

    def _loop(self) -> tuple[Status, str]:
        most = self._limits.wall_seconds
        deadline = time.monotonic() + most
        look = time.monotonic() + _LIMITS_INTERVAL_SECONDS
        while True:
            now = time.monotonic()
            if now >= deadline:
                return "timeout", f"still running after {most:g} s"
            if now >= look:
                problem = self._over_limits()
                if problem:
                    return problem
                look = time.monotonic() + _LIMITS_INTERVAL_SECONDS
            for kind, data in self._pipes.wait(min(deadline, look) - now):
                if kind == "control":
                    return "cancelled", "cancelled"
                if data:
                    self._take(kind, data)
                elif kind == "events" and not self._done:
                    return "crashed", self._pipes.exit_text()
            if self._done or self._problem:
                return "completed", ""

    def _take(self, kind: str, data: bytes) -> None:
        if kind == "output":
            self._output.feed(data)
            return
        self._reported += len(data)
        try:
            if self._reported > _MAX_REPORTED_BYTES:
                raise FrameError("more than %d bytes" % _MAX_REPORTED_BYTES)
            for frame in self._frames.feed(data):
                self._heed(decode(frame, *EVENTS))
        except (FrameError, TypeError, ValueError) as error:
            self._problem = self._problem or f"the test process reported nonsense ({error})"

    def _heed(self, event: Event) -> None:
        """Take in one report; TypeError or ValueError if its values are of no use."""
        if isinstance(event, TestStarted):
            self._current, self._since = str(event.id), time.monotonic()
        elif isinstance(event, TestResult):
            self._merge(event)
            if self._current == event.id:
                self._current = None
        elif isinstance(event, LinesRan):
            self._lines[event.id] = frozenset(event.lines)
            self._entries[event.id] = frozenset(event.entries)
        elif isinstance(event, FilesRan):
            self._files[event.id] = event
        elif isinstance(event, Collected):
            self._collected = tuple(event.ids)
        elif isinstance(event, CannotRunHot):
            self._hot = False
        else:
            self._finish(event)

    def _finish(self, event: Finished) -> None:
        self._done = True
        if event.modules is not None:
            self.modules = [(str(name), str(file), bool(r)) for name, file, r in event.modules]

    def _merge(self, result: TestResult) -> None:
        """A test may report twice (a passing call, then a failing teardown): the worse stays."""
        known = self._results.get(result.id)
        if known is None or known.outcome in ("passed", "skipped"):
            self._results[result.id] = result

    def _over_limits(self) -> tuple[Status, str] | None:
        most = self._limits
        alive = limits.descendants(os.getpid())
        if len(alive) > most.processes:
            return "processes", f"started more than {most.processes} processes"
        if sum(process.threads for process in alive) > most.threads:
            return "processes", f"started more than {most.threads} threads"
        files, filled = limits.files_in(self._copy)
        if self._boxed:
            in_scratch, bytes_in_scratch = limits.files_in(self._scratch)
            files, filled = files + in_scratch, filled + bytes_in_scratch
        if files > most.files:
            return "memory", f"made more than {most.files} files"
        # What each has beyond our own size: the rest it still shares with us. The scratch folder
        # is in memory too.
        grown = sum(max(0, process.resident - self._resident) for process in alive)
        if grown + filled > 2 * most.memory_bytes:
            return "memory", "its processes together used too much memory"
        if limits.little_memory_left():
            return "memory", "the machine has too little memory left"
        return None
