"""The client's end of the worker: start it, ask it, outlive it.

A `Worker` serves one suite. Its process is started on the first run, restarted when it has died,
and ended with `close`. One run at a time; `cancel` may be called from any thread. What can go wrong
inside a test is an ordinary `Run`; only what keeps tests from running at all raises `WorkerError`.

Nothing that comes from the worker is trusted: replies are bounded, checked for their form and for
the token of the run that they answer (`replies`), and awaited by our own clock.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import attrs
from attrs import define, field, frozen

from coe_lsp.errors import CoeError
from coe_lsp.execution.coe_worker.wire import FrameError, read_frame, write_frame
from coe_lsp.execution.interpreter import Interpreter
from coe_lsp.execution.mounts import View
from coe_lsp.execution.replies import Reply, read_reply
from coe_lsp.execution.sandbox import Boxed, Sandbox, scratch_folder
from coe_lsp.execution.suite import Limits, Run, Status, Suite
from coe_lsp.execution.tail import Tail
from coe_lsp.execution.watchdog import MEMORY, Watchdog

_WORKER = Path(__file__).parent / "coe_worker"
_STAGES = ("configured", "imported", "bare")
_START_SECONDS = 60.0
# A request is small, and the worker waits for it.
_ASK_SECONDS = 10.0
_GRACE_SECONDS = 2.0
_LAST_WORDS_SECONDS = 1.0
_CANCEL_SECONDS = 0.1


class WorkerError(CoeError):
    """The tests could not be run at all."""


class _StartCancelled(Exception):
    """The run was cancelled while its process was being started."""


@frozen
class Held:
    """A program of the file under repair to be imported, and tests to be collected, but once."""

    source: bytes
    tests: frozenset[str]


@define
class _Process:
    boxed: Boxed
    scratch: tempfile.TemporaryDirectory[str] | None
    errors: Tail
    watchdog: Watchdog | None
    held: Held | None = None
    held_ready: bool = False
    _writing: threading.Lock = field(factory=threading.Lock)

    def ask(self, message: dict[str, Any]) -> None:
        assert self.boxed.popen.stdin is not None
        with self._writing:  # a cancel may come while a run is being asked for
            write_frame(self.boxed.popen.stdin.fileno(), message, time.monotonic() + _ASK_SECONDS)

    def answer(self, seconds: float) -> dict[str, Any]:
        assert self.boxed.popen.stdout is not None
        return read_frame(self.boxed.popen.stdout.fileno(), time.monotonic() + seconds)


class Worker:
    """Runs one suite against candidate texts of one file."""

    def __init__(
        self,
        suite: Suite,
        interpreter: Interpreter,
        sandbox: Sandbox,
        limits: Limits | None = None,
        *,
        spawn: bool = False,
    ) -> None:
        """`spawn` starts a fresh interpreter for each candidate even where forking is possible."""
        self.suite = suite
        self.limits = limits or Limits()
        self._interpreter = interpreter
        self._sandbox = sandbox
        self._spawn = spawn
        self._stage = 0
        self._preload = True
        self._process: _Process | None = None
        self._lock = threading.Lock()
        self._asked = threading.Event()  # a run was asked for; perhaps the process still starts
        self._running = threading.Event()
        self._cancelled = False

    def run(
        self,
        source: bytes | None = None,
        select: Sequence[str] | None = None,
        *,
        coverage: bool = False,
        limits: Limits | None = None,
        base: Held | None = None,
    ) -> Run:
        """Run the tests against `source` in place of the file (None: the file as it is on disk).

        `select` names the tests by id (None: all of the suite). With a `base` and a pytest suite
        the functions of `source` take the place of those of a program that is held: far quicker,
        and nearly always with the same results. Where that cannot be, the run is an ordinary one.
        Raises WorkerError if the worker cannot be started.
        """
        limits = limits or self.limits
        request = _request(source, select, limits, coverage=coverage)
        with self._lock:
            self._cancelled = False
            self._asked.set()
            try:
                process = self._started()
                self._running.set()
                if self._cancelled:
                    return _lost("cancelled", "cancelled")
                reply = self._swapped(process, base, request)
                swapped = reply is not None
                if reply is None:
                    process.ask({"run": request})
                    reply = read_reply(
                        process.answer(limits.wall_seconds + _GRACE_SECONDS), request["token"]
                    )
            except _StartCancelled:
                return _lost("cancelled", "cancelled")
            except TimeoutError:
                self._stop()
                return _lost("timeout", f"still running after {limits.wall_seconds:g} s")
            except (EOFError, OSError):
                reason = self._overrun()
                self._stop()
                if self._cancelled:
                    return _lost("cancelled", "cancelled")
                return _lost("crashed", f"the worker was killed while the tests ran{reason}")
            except FrameError as error:
                self._stop()
                return _lost("crashed", f"the worker's answer could not be read ({error})")
            finally:
                self._running.clear()
                self._asked.clear()
            if reply.error is not None:
                message = self._setup_problem()
                self._stop()
                raise WorkerError(message)
            if reply.retire:
                # What it learned to import brought in the file under repair: start over without.
                self._preload = False
            if reply.retire or reply.ending:
                self._stop()
            return reply.run(swapped=swapped)

    def _swapped(
        self, process: _Process, base: Held | None, request: dict[str, Any]
    ) -> Reply | None:
        """What the program that is held says; None if it has to be an ordinary run."""
        if base is None or not base.tests.issuperset(request["select"] or "?"):
            return None
        if not self._holds(process, base):
            return None
        process.ask({"swap": request})
        message = process.answer(request["wall_seconds"] + _GRACE_SECONDS)
        if "held" in message:
            process.held = None  # it is dead
            return None
        reply = read_reply(message, request["token"])
        return reply if reply.fit else None

    def _holds(self, process: _Process, base: Held) -> bool:
        """Have a program held, unless it is already or cannot be."""
        if self.suite.kind != "pytest" or self._spawn:
            return False
        if process.held != base:
            # Watched, to know which functions run already while the tests are collected.
            request = _request(
                base.source, sorted(base.tests), self.limits, coverage=True, hold=True
            )
            process.ask({"hold": request})
            reply = process.answer(self.limits.wall_seconds + _GRACE_SECONDS)
            process.held, process.held_ready = base, reply.get("held") is True
        return process.held_ready

    def cancel(self) -> None:
        """End the run in progress, if there is one; it returns with status `cancelled`."""
        if not self._asked.is_set():
            return
        self._cancelled = True
        process = self._process
        if process is None:
            return
        if not self._spawn and self._running.is_set():
            try:
                process.ask({"cancel": True})
            except (EOFError, OSError):
                return
            end = time.monotonic() + _CANCEL_SECONDS
            while time.monotonic() < end:
                if not self._running.is_set():
                    return
                time.sleep(0.002)
        if self._asked.is_set():
            _kill(process.boxed)

    def close(self) -> None:
        """End the process. A later run starts another."""
        self.cancel()
        with self._lock:
            self._stop()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def _started(self) -> _Process:
        boxed = self._process.boxed if self._process is not None else None
        if boxed is not None and boxed.popen.poll() is None and not boxed.outdated:
            assert self._process is not None
            return self._process
        self._stop()
        while True:
            process = self._process = self._start()
            suite = attrs.asdict(self.suite)
            suite["root"] = str(self.suite.root)
            suite["path"] = str(self.suite.path) if self.suite.path else None
            opening = {
                "suite": suite,
                "stage": _STAGES[self._stage] if self.suite.kind == "pytest" else "bare",
                "preload": self._preload,
                "spawn": self._spawn,
                "memory_bytes": MEMORY * self.limits.memory_bytes,
            }
            try:
                if self._cancelled:
                    raise EOFError
                process.ask(opening)
                reply = process.answer(_START_SECONDS)
            except (EOFError, OSError, FrameError) as error:
                if self._cancelled:
                    self._stop()
                    raise _StartCancelled from error
                message = self._setup_problem()
                self._stop()
                raise WorkerError(message) from error
            if "ready" in reply:
                return process
            if "stale" not in reply or self._stage + 1 == len(_STAGES):
                message = self._setup_problem()
                self._stop()
                raise WorkerError(message)
            # The file is already imported at this stage: park one earlier.
            self._stage += 1
            self._stop()

    def _start(self) -> _Process:
        scratch = None if self._sandbox.makes_scratch else scratch_folder()
        root, path = self.suite.root.resolve(), self.suite.path and self.suite.path.resolve()
        # A link in the project may name a file elsewhere: that alone is shown, as its text is.
        linked = [path] if path is not None and _leads_out(path, root) else []
        view = View(
            self.suite.root,
            (*self._interpreter.folders, _WORKER, *linked),
            self._interpreter.sources,
            self._interpreter.links,
        )
        base = self._interpreter.user_base
        errors = Tail()
        try:
            boxed = self._sandbox.start(
                [str(self._interpreter.executable), str(_WORKER), str(os.getpid())],
                view,
                Path(scratch.name) if scratch else None,
                {"PYTHONUSERBASE": base} if base else None,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors.writer,
            )
        except OSError as error:
            if scratch:
                scratch.cleanup()
            raise WorkerError(f"The test worker could not be started: {error}") from error
        finally:
            errors.started()
        watchdog = None
        if boxed.first_pid is not None:
            watchdog = Watchdog(boxed.first_pid, self.limits, lambda: _kill(boxed))
        return _Process(boxed, scratch, errors, watchdog)

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.watchdog is not None:
            process.watchdog.stop()
        _kill(process.boxed)
        popen = process.boxed.popen
        popen.wait()
        for stream in (popen.stdin, popen.stdout):
            if stream is not None:
                stream.close()
        if process.scratch is not None:
            process.scratch.cleanup()

    def _overrun(self) -> str:
        """Why it was ended from outside, if it was."""
        watchdog = self._process.watchdog if self._process is not None else None
        return f": {watchdog.reason}" if watchdog is not None and watchdog.reason else ""

    def _setup_problem(self) -> str:
        """Why the worker gave up, in its own last words."""
        if reason := self._overrun():
            return f"The tests could not be set up in {self._interpreter.executable}{reason}."
        text = ""
        if self._process is not None:
            _kill(self._process.boxed)
            text = self._process.errors.text(_LAST_WORDS_SECONDS)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if any("No module named 'pytest'" in line for line in lines):
            return (
                f"{self._interpreter.executable} has no pytest: install it there, or name another "
                "interpreter with --python (editors: coe.python)."
            )
        last = "; ".join(lines[-3:]) or "it said nothing"
        return f"The tests could not be set up in {self._interpreter.executable}: {last}"


def _request(
    source: bytes | None,
    select: Sequence[str] | None,
    limits: Limits,
    *,
    coverage: bool,
    hold: bool = False,
) -> dict[str, Any]:
    return attrs.asdict(limits) | {
        "source": None if source is None else source.decode("latin-1"),
        "select": None if select is None else list(select),
        "coverage": coverage,
        "hold": hold,
        "learn": False,
        "nonce": secrets.token_hex(8),
        "token": secrets.token_hex(16),
    }


def _leads_out(path: Path, root: Path) -> bool:
    """Whether a file of code is none of the project's; no other, nor any in a hidden folder."""
    hidden = any(part.startswith(".") for part in path.parent.parts)
    return path.suffix == ".py" and not path.is_relative_to(root) and not hidden


def _kill(boxed: Boxed) -> None:
    """End the worker and everything below it. The first process of a namespace takes all along."""
    for pid in (boxed.first_pid, boxed.popen.pid):
        if pid is not None:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            os.killpg(boxed.popen.pid, signal.SIGKILL)


def _lost(status: Status, detail: str) -> Run:
    return Run(status, detail, ())
