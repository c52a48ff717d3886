"""Which lines of one file run during one test.

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

    def start(self) -> None:
        self._lines = set()
        threading.settrace(self._call)
        sys.settrace(self._call)

    def stop(self) -> list[int]:
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
        return sorted(self._lines)

    def _call(self, frame: FrameType, event: str, arg: Any) -> Any:
        name = frame.f_code.co_filename
        ours = self._known.get(name)
        if ours is None:
            ours = name == self._name or os.path.realpath(name) == self._path
            self._known[name] = ours
        return self._line if ours else None

    def _line(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line":
            self._lines.add(frame.f_lineno)
        return self._line
