"""Which lines of one file run during one test, and which of its functions others call.

Uses `sys.settrace`, which every supported Python has; frames of other files are not traced, but
each call still costs a look-up, so traced runs are several times slower than plain ones. Lines run
in child processes are not seen.
"""

from __future__ import annotations

import os
import sys
import threading
from types import FrameType
from typing import Any


class LineTracer:
    """Collects executed line numbers (1-based) of the file at `path`."""

    def __init__(self, path: str) -> None:
        self._path = os.path.realpath(path)
        self._name = path
        self._known: dict[str, bool] = {}
        self._lines: set[int] = set()
        self._entries: set[int] = set()

    def start(self) -> None:
        """Forget what was seen and trace from here, in all threads."""
        self._lines = set()
        self._entries = set()
        threading.settrace(self._call)
        sys.settrace(self._call)

    def stop(self) -> tuple[list[int], list[int]]:
        """Executed lines, and first lines of functions that were called from other files."""
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
        return sorted(self._lines), sorted(self._entries)

    def _call(self, frame: FrameType, event: str, arg: Any) -> Any:
        if not self._is_ours(frame):
            return None
        if frame.f_back is None or not self._is_ours(frame.f_back):
            self._entries.add(frame.f_code.co_firstlineno)
        return self._line

    def _is_ours(self, frame: FrameType) -> bool:
        name = frame.f_code.co_filename
        ours = self._known.get(name)
        if ours is None:
            ours = name == self._name or os.path.realpath(name) == self._path
            self._known[name] = ours
        return ours

    def _line(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line":
            self._lines.add(frame.f_lineno)
        return self._line
