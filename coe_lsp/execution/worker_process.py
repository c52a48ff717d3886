"""One process of the worker: started in the sandbox, asked, answering, ended with all below it.

Knows pipes, clocks and last words; which message comes when is the `worker`'s business. Reading and
writing raise EOFError if the process is gone, TimeoutError if it does not answer or does not read,
FrameError if what it says is no frame.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from attrs import evolve

from coe_lsp.execution.coe_worker.messages import Opening, Request, send
from coe_lsp.execution.coe_worker.wire import read_frame
from coe_lsp.execution.interpreter import Interpreter
from coe_lsp.execution.mounts import View
from coe_lsp.execution.sandbox import Sandbox, scratch_folder
from coe_lsp.execution.suite import Limits, Suite
from coe_lsp.execution.tail import Tail
from coe_lsp.execution.watchdog import Overrun, Watchdog

_WORKER_FOLDER = Path(__file__).parent / "coe_worker"
# A request is small, and the worker waits for it.
_REQUEST_SECONDS = 10.0
_LAST_WORDS_SECONDS = 1.0


class WorkerProcess:
    """One process, from its start to its end. `ask` and `kill` may be called from any thread."""

    def __init__(
        self,
        suite: Suite,
        interpreter: Interpreter,
        sandbox: Sandbox,
        limits: Limits,
        *,
        copied: bool = False,
    ) -> None:
        """Start it, on a view of the project that is `copied` on write, or only to be read.

        Raises OSError if that fails, HiddenError if it would not be safe.
        """
        self._executable = interpreter.executable
        self._scratch = None if sandbox.makes_scratch else scratch_folder()
        self._errors = Tail()
        base = interpreter.user_base
        try:
            self._boxed = sandbox.start(
                [str(self._executable), str(_WORKER_FOLDER), str(os.getpid())],
                evolve(_view(suite, interpreter), copied=copied),
                Path(self._scratch.name) if self._scratch else None,
                {"PYTHONUSERBASE": base} if base else None,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors.writer,
            )
        except BaseException:
            self._clean_up()
            raise
        finally:
            self._errors.started()
        popen = self._boxed.popen
        assert popen.stdin is not None and popen.stdout is not None
        self._stdin, self._stdout = popen.stdin, popen.stdout
        self._watchdog: Watchdog | None = None
        if self._boxed.first_pid is not None:
            self._watchdog = Watchdog(self._boxed.first_pid, limits, self.kill)
        self._writing = threading.Lock()
        self._closed = False

    @property
    def init_pid(self) -> int | None:
        """The first process of its namespace; None without a sandbox that has one."""
        return self._boxed.first_pid

    @property
    def usable(self) -> bool:
        """Whether it lives and sees the disk as it is."""
        return self._boxed.popen.poll() is None and not self._boxed.outdated

    def ask(self, message: Opening | Request, seconds: float = _REQUEST_SECONDS) -> None:
        """Write a message, waiting for that long at most until it is taken."""
        deadline = time.monotonic() + seconds
        # A cancel may come while a run is being asked for, or while it is being closed.
        if not self._writing.acquire(timeout=seconds):
            raise TimeoutError
        try:
            if self._closed:
                raise EOFError("the worker is closed")
            send(self._stdin.fileno(), message, deadline)
        finally:
            self._writing.release()

    def answer(self, seconds: float) -> dict[str, Any]:
        """The next frame, if all of it comes in time."""
        return read_frame(self._stdout.fileno(), time.monotonic() + seconds)

    def kill(self) -> None:
        """End it and everything below it. The first process of a namespace takes all along."""
        if self._closed:
            return
        popen = self._boxed.popen
        for pid in (self._boxed.first_pid, popen.pid):
            if pid is not None:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
        if sys.platform != "win32":
            with contextlib.suppress(OSError):
                os.killpg(popen.pid, signal.SIGKILL)

    def close(self) -> None:
        """End it, and give back all that it took."""
        if self._watchdog is not None:
            self._watchdog.stop()
        self.kill()
        self._boxed.popen.wait()
        with self._writing:
            self._closed = True
            self._stdin.close()
        self._stdout.close()
        self._clean_up()

    def _clean_up(self) -> None:
        if self._scratch is not None:
            self._scratch.cleanup()

    @property
    def overrun(self) -> Overrun | None:
        """Which limit it was ended for from outside, if it was."""
        return self._watchdog.overrun if self._watchdog is not None else None

    def setup_problem(self) -> str:
        """Why it gave up before any test, in its own last words; ends it."""
        failed = f"The tests could not be set up in {self._executable}: "
        if self.overrun is not None:
            return f"{failed}{self.overrun.text}."
        self.kill()
        text = self._errors.text(_LAST_WORDS_SECONDS)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if any("No module named 'pytest'" in line for line in lines):
            return (
                f"{self._executable} has no pytest: install it there, or name another "
                "interpreter with --python (editors: coe.python)."
            )
        return failed + ("; ".join(lines[-3:]) or "it said nothing")


def _view(suite: Suite, interpreter: Interpreter) -> View:
    """What the worker may read: the project, the interpreter's folders, and its own code."""
    root, path = suite.root.resolve(), suite.path and suite.path.resolve()
    # A link in the project may name a file elsewhere: that alone is shown, as its text is.
    linked = [path] if path is not None and _leads_out(path, root) else []
    return View(
        suite.root,
        (*interpreter.folders, _WORKER_FOLDER, *linked),
        interpreter.sources,
        interpreter.links,
    )


def _leads_out(path: Path, root: Path) -> bool:
    """Whether a file of code is none of the project's; no other, nor any in a hidden folder."""
    hidden = any(part.startswith(".") for part in path.parent.parts)
    return path.suffix == ".py" and not path.is_relative_to(root) and not hidden
