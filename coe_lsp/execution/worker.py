"""The client's end of the worker: run a suite's tests against candidates, whatever becomes of it.

A `Worker` serves one suite. Its process is started on the first run, restarted when it has died,
and ended with `close`. One run at a time; `cancel` may be called from any thread. What can go wrong
inside a test is an ordinary `Run`; only what keeps tests from running at all raises `WorkerError`.

Nothing that comes from the worker is trusted: replies are bounded, checked for their form and for
the token of the run that they answer (`replies`), and awaited by our own clock. A frame that cannot
be read, or never ends, costs that run and the process, nothing else.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Sequence
from types import TracebackType

import attrs

from coe_lsp.errors import CoeError
from coe_lsp.execution.coe_worker.messages import (
    Cancel,
    LimitsSpec,
    Opening,
    PreforkReply,
    PreforkRequest,
    Ready,
    RunReply,
    RunRequest,
    RunSpec,
    SetupFailed,
    Stage,
    Stale,
    SuiteSpec,
)
from coe_lsp.execution.coe_worker.wire import FrameError
from coe_lsp.execution.interpreter import Interpreter
from coe_lsp.execution.replies import read_message, read_reply, to_run
from coe_lsp.execution.sandbox import Sandbox
from coe_lsp.execution.suite import Limits, Preforked, Run, Suite
from coe_lsp.execution.watchdog import WORKER_MEMORY_FACTOR
from coe_lsp.execution.worker_process import WorkerProcess

#: Where the process parks, the best place first.
_STAGES: tuple[Stage, ...] = ("configured", "imported", "bare")
#: How long a process may take until it is parked, or has to park elsewhere.
START_SECONDS = 60.0
_REPLY_GRACE_SECONDS = 2.0
_CANCEL_SECONDS = 0.1
_CANCELLED_RUN = Run("cancelled", "cancelled", ())


class WorkerError(CoeError):
    """The tests could not be run at all."""


class _StartCancelledError(Exception):
    """The run was cancelled while its process was being started."""


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
        #: Whether the tests may write into a view of the project that ends with their run.
        self.copies = False
        #: Whether hot runs may find in it what those before them wrote.
        self.bears_leftovers = False
        self._wrote = False  # the process has something in its view that tests wrote
        self._process: WorkerProcess | None = None
        self._preforked: Preforked | None = None  # what the process was last asked to prefork
        self._prefork_ready = False
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
        hot: Preforked | None = None,
        keep: bool = False,
        cancelled: threading.Event | None = None,
    ) -> Run:
        """Run the tests against `source` in place of the file (None: the file as it is on disk).

        `select` names the tests by id (None: all of the suite). If `hot`, and for a pytest suite,
        the functions of `source` take the place of those of a program that is imported already: far
        quicker, and nearly always with the same results. Where that cannot be, the run is an
        ordinary one. What tests write into a copy of the project is there for the next run if that
        is to `keep` it as well, or is hot and they bear it. Nothing runs if it is `cancelled` by
        then: `cancel` ends only what was asked for. Raises WorkerError if it cannot be started.
        """
        spec = _run_spec(source, select, limits or self.limits, coverage=coverage)
        with self._lock:
            self._cancelled = False
            self._asked.set()
            try:
                if cancelled is not None and cancelled.is_set():
                    return _CANCELLED_RUN
                return self._run(spec, hot, keep=keep)
            except _StartCancelledError:
                return _CANCELLED_RUN
            except (EOFError, OSError, FrameError) as error:
                return self._broken(error, spec)
            finally:
                self._running.clear()
                self._asked.clear()

    def _run(self, spec: RunSpec, hot: Preforked | None, *, keep: bool) -> Run:
        keep = keep or (hot is not None and self.bears_leftovers)
        if self._wrote and not keep:
            self._stop()
        process = self._started()
        self._running.set()
        if self._cancelled:
            return _CANCELLED_RUN
        reply = self._run_hot(process, spec, hot, keep=keep) if hot is not None else None
        ran_hot = reply is not None
        if reply is None:
            reply = self._answer(process, RunRequest(_token(), spec, keep=keep))
            if not isinstance(reply, RunReply):
                raise FrameError("it does not answer the run")
        if reply.retire:
            # What it learned to import brought in the file under repair: start over without.
            self._preload = False
        self._wrote |= reply.wrote
        if reply.retire or reply.ending:
            self._stop()
        return to_run(reply, hot=ran_hot)

    def _run_hot(
        self, process: WorkerProcess, spec: RunSpec, hot: Preforked, *, keep: bool
    ) -> RunReply | None:
        """The reply to a hot run; None if it has to be an ordinary one."""
        if spec.select is None or not hot.tests.issuperset(spec.select):
            return None
        if not self._prefork(process, hot):
            return None
        reply = self._answer(process, RunRequest(_token(), spec, hot=True, keep=keep))
        if isinstance(reply, PreforkReply):
            self._preforked = None  # it has ended, but another one may do
            return None
        return reply if reply.hot else None

    def _prefork(self, process: WorkerProcess, hot: Preforked) -> bool:
        """Have a program imported for hot runs, unless it is already or cannot be."""
        if self.suite.kind != "pytest" or self._spawn:
            return False
        if self._preforked != hot:
            # Watched, to know which functions run already while the tests are collected.
            spec = _run_spec(hot.source, sorted(hot.tests), self.limits, coverage=True)
            reply = self._answer(process, PreforkRequest(_token(), spec))
            self._preforked = hot
            self._prefork_ready = isinstance(reply, PreforkReply) and reply.ready
        return self._prefork_ready

    def _answer(
        self, process: WorkerProcess, request: RunRequest | PreforkRequest
    ) -> RunReply | PreforkReply:
        process.ask(request)
        message = process.answer(request.run.limits.wall_seconds + _REPLY_GRACE_SECONDS)
        reply = read_reply(message, request.token)
        if isinstance(reply, SetupFailed):
            raise self._setup_error(process)
        return reply

    def _broken(self, error: Exception, spec: RunSpec) -> Run:
        """What a run is whose process broke, or did not answer; the process is ended."""
        overrun = self._process.overrun if self._process is not None else None
        self._stop()
        if self._cancelled:
            return _CANCELLED_RUN
        if isinstance(error, TimeoutError):
            return Run("timeout", f"still running after {spec.limits.wall_seconds:g} s", ())
        if isinstance(error, FrameError):
            return Run("crashed", f"the worker's answer could not be read ({error})", ())
        killed = "the worker was killed while the tests ran"
        if overrun is not None:
            return Run(overrun.kind, f"{killed}: {overrun.text}", ())
        return Run("crashed", killed, ())

    def cancel(self) -> None:
        """End the run in progress, if there is one; it returns with status `cancelled`."""
        if not self._asked.is_set():
            return
        self._cancelled = True
        process = self._process
        if process is None:
            return
        if not self._spawn and self._running.is_set():
            end = time.monotonic() + _CANCEL_SECONDS
            try:
                process.ask(Cancel(), _CANCEL_SECONDS)
            except TimeoutError:
                pass  # it does not even read
            except (EOFError, OSError):
                return
            while time.monotonic() < end:
                if not self._running.is_set():
                    return
                time.sleep(0.002)
        if self._asked.is_set():
            process.kill()

    def copy_on_write(self, on: bool) -> None:
        """Have the project copied on write from the next run on, or not any more."""
        with self._lock:
            self.copies, self.bears_leftovers = on, False
            self._stop()

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

    @property
    def init_pid(self) -> int | None:
        """The first process of the worker's namespace, if there is one now."""
        return self._process.init_pid if self._process is not None else None

    def _started(self) -> WorkerProcess:
        if self._process is not None and self._process.usable:
            return self._process
        self._stop()
        while True:
            try:
                process = self._process = WorkerProcess(
                    self.suite,
                    self._interpreter,
                    self._sandbox,
                    self.limits,
                    copied=self.copies,
                )
            except OSError as error:
                raise WorkerError(f"The test worker could not be started: {error}") from error
            answer = self._open(process)
            if isinstance(answer, Ready):
                return process
            if isinstance(answer, SetupFailed) or self._stage + 1 == len(_STAGES):
                raise self._setup_error(process)
            # The file is already imported at this stage: park one earlier.
            self._stage += 1
            self._stop()

    def _open(self, process: WorkerProcess) -> Ready | Stale | SetupFailed:
        opening = Opening(
            _suite_spec(self.suite),
            _STAGES[self._stage] if self.suite.kind == "pytest" else "bare",
            self._preload,
            self._spawn,
            WORKER_MEMORY_FACTOR * self.limits.memory_bytes,
        )
        try:
            if self._cancelled:
                raise EOFError
            process.ask(opening)
            return read_message(process.answer(START_SECONDS), Ready, Stale, SetupFailed)
        except (EOFError, OSError, FrameError) as error:
            if self._cancelled:
                self._stop()
                raise _StartCancelledError from error
            raise self._setup_error(process) from error

    def _setup_error(self, process: WorkerProcess) -> WorkerError:
        error = WorkerError(process.setup_problem())
        self._stop()
        return error

    def _stop(self) -> None:
        process, self._process = self._process, None
        self._wrote = False
        self._preforked, self._prefork_ready = None, False
        if process is not None:
            process.close()


def _token() -> str:
    return secrets.token_hex(16)


def _run_spec(
    source: bytes | None, select: Sequence[str] | None, limits: Limits, *, coverage: bool
) -> RunSpec:
    return RunSpec(
        None if source is None else source.decode("latin-1"),
        None if select is None else list(select),
        coverage,
        LimitsSpec(**attrs.asdict(limits)),
        secrets.token_hex(8),
    )


def _suite_spec(suite: Suite) -> SuiteSpec:
    return SuiteSpec(
        suite.kind,
        str(suite.root),
        str(suite.path) if suite.path else None,
        list(suite.args),
        suite.setup,
        list(suite.statements),
        {str(path): data.decode("latin-1") for path, data in suite.overlay},
    )
