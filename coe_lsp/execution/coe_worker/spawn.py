"""Runs one candidate in a fresh interpreter, for systems without `os.fork`.

Slower by the start of Python and pytest for each candidate, and with no limits but the deadline.
Cancelling is the client's task there: it ends the worker.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from typing import Any

from coe_worker.messages import ChildOpening, RunSpec, SuiteSpec, send
from coe_worker.wire import FrameError


class Pipes:
    """A spawned child with the same interface as `watch.ForkPipes`; threads read its pipes."""

    def __init__(self, suite: SuiteSpec, run: RunSpec) -> None:
        self._process = subprocess.Popen(
            [sys.executable, os.path.dirname(os.path.abspath(__file__)), "--child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._arrived: queue.Queue[tuple[str, bytes]] = queue.Queue()
        for kind, stream in (("events", self._process.stdout), ("output", self._process.stderr)):
            threading.Thread(target=self._read, args=(kind, stream), daemon=True).start()
        # It may never read: that is for the clock of its run to notice.
        opening = ChildOpening(suite, run)
        threading.Thread(target=self._open, args=(opening,), daemon=True).start()

    def wait(self, seconds: float) -> list[tuple[str, bytes]]:
        """What arrived, as (pipe, bytes); no bytes at a pipe's end."""
        try:
            return [self._arrived.get(timeout=max(0.0, seconds))]
        except queue.Empty:
            return []

    def rest(self) -> list[tuple[str, bytes]]:
        """What is left after the child's end."""
        arrived: list[tuple[str, bytes]] = []
        ends = 0
        try:
            while ends < 2:
                item = self._arrived.get(timeout=0.2)
                ends += not item[1]
                arrived.append(item)
        except queue.Empty:
            pass
        return [item for item in arrived if item[1]]

    def exit_text(self) -> str:
        """How the child ended."""
        return f"the test process ended itself with exit status {self._process.wait()}"

    def kill(self) -> bool:
        """End the child; its own children are out of reach here."""
        self._process.kill()
        self._process.wait()
        return True

    def _open(self, opening: ChildOpening) -> None:
        assert self._process.stdin is not None
        try:
            with self._process.stdin as stdin:
                send(stdin.fileno(), opening)
        except (EOFError, OSError, FrameError):
            pass  # it has ended, or will, and its pipes tell

    def _read(self, kind: str, stream: Any) -> None:
        while True:
            data = os.read(stream.fileno(), 1 << 16)
            self._arrived.put((kind, data))
            if not data:
                return
