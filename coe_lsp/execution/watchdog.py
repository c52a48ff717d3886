"""Watches a worker's processes from outside, from its start to its end.

The worker itself watches the candidates that it runs; nobody watches it while it loads a project's
`conftest.py`, holds collected tests, or waits. Only on Linux, where `/proc` tells.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal

from attrs import frozen

from coe_lsp.execution.coe_worker.limits import Process, descendants, little_memory_left, status
from coe_lsp.execution.suite import Limits

_INTERVAL_SECONDS = 0.25
#: The worker may use this many times what a run may, for what it imports once.
WORKER_MEMORY_FACTOR = 4


@frozen
class Overrun:
    """What a worker took too much of, and the sentence that says so."""

    kind: Literal["processes", "memory"]
    text: str


class Watchdog:
    """Ends a worker whose processes, threads or memory grow past all that runs need."""

    def __init__(self, pid: int, limits: Limits, end: Callable[[], None]) -> None:
        """`pid` is the first process of the worker's namespace; `end` ends them all."""
        self._pid = pid
        self._limits = limits
        self._end = end
        self._over = threading.Event()
        self.overrun: Overrun | None = None
        threading.Thread(target=self._watch, name="coe-watchdog", daemon=True).start()

    def stop(self) -> None:
        """The worker has ended, or is about to."""
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(_INTERVAL_SECONDS):
            worker = status(self._pid)
            if worker is None:
                return
            self.overrun = self._problem(worker, descendants(self._pid))
            if self.overrun is not None:
                self._end()
                return

    def _problem(self, worker: Process, below: list[Process]) -> Overrun | None:
        limits = self._limits
        # One run, and another that is just being ended, or a prefork server.
        if len(below) > 2 * limits.processes:
            return Overrun("processes", f"it started more than {2 * limits.processes} processes")
        if worker.threads + sum(process.threads for process in below) > 2 * limits.threads:
            return Overrun("processes", f"it started more than {2 * limits.threads} threads")
        # What others have beyond the worker's own size: the rest they share with it.
        grown = sum(max(0, process.resident - worker.resident) for process in below)
        most = WORKER_MEMORY_FACTOR * limits.memory_bytes
        if worker.resident + grown > most or little_memory_left():
            return Overrun("memory", "it used too much memory")
        return None
