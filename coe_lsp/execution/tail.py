"""The last words of a process, read from a pipe of its own so that it never waits for a reader.

However much it writes, only the end is kept; nothing goes to the disk.
"""

from __future__ import annotations

import os
import threading

_MAX_KEPT_BYTES = 64 << 10


class Tail:
    """Reads a pipe to its end. Give `writer` to the process, then call `started`."""

    def __init__(self) -> None:
        self._reader, self.writer = os.pipe()
        self._kept = b""
        self._thread = threading.Thread(target=self._read, name="coe-stderr", daemon=True)

    def started(self) -> None:
        """The process has its end of the pipe: ours is closed, and reading begins."""
        os.close(self.writer)
        self._thread.start()

    def text(self, seconds: float = 0.0) -> str:
        """What was written last, after waiting for the end of the pipe for that long at most."""
        self._thread.join(seconds)
        return self._kept.decode("utf-8", "replace")

    def _read(self) -> None:
        try:
            while data := os.read(self._reader, 1 << 16):
                self._kept = (self._kept + data)[-_MAX_KEPT_BYTES:]
        finally:
            os.close(self._reader)
