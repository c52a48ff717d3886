"""Which lines run during one test: of the file under repair, or of all files of the project.

Uses `sys.settrace`, which every supported Python has; frames of other files are not traced, but
each call still costs a look-up, so traced runs are several times slower than plain ones. Lines run
in child processes are not seen.
"""

from __future__ import annotations

import os
import sys
import threading
from types import FrameType
from typing import Any, Callable

_INSTALLED = {"site-packages", "dist-packages", "node_modules"}


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


class ProjectTracer:
    """Collects, by file of the project at `root`, executed lines and how deep functions ran.

    Files are named by their real path relative to the root. What is installed below the root, in an
    environment, is not of the project.
    """

    def __init__(self, root: str) -> None:
        self._root = os.path.realpath(root) + os.sep
        self._tracers: dict[str, Callable[[FrameType, str, Any], Any] | None] = {}
        self._lines: dict[str, set[int]] = {}
        self._depths: dict[str, dict[int, int]] = {}

    def start(self) -> None:
        """Forget what was seen and trace from here, in all threads."""
        self._tracers.clear()
        self._lines.clear()
        self._depths.clear()
        threading.settrace(self._call)
        sys.settrace(self._call)

    def stop(self) -> tuple[dict[str, list[int]], dict[str, dict[int, int]]]:
        """Executed lines by file; and by file the first lines of functions that were called.

        With each of these, how many of the project's frames were below it when it was called first.
        """
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
        lines = {file: sorted(found) for file, found in self._lines.items() if found}
        return lines, {file: dict(found) for file, found in self._depths.items() if found}

    def _call(self, frame: FrameType, event: str, arg: Any) -> Any:
        name = frame.f_code.co_filename
        if name not in self._tracers:
            self._tracers[name] = self._tracer(name)
        tracer = self._tracers[name]
        return tracer(frame, event, arg) if tracer is not None else None

    def _tracer(self, name: str) -> Callable[[FrameType, str, Any], Any] | None:
        """What traces the calls of a file; None if it is not of the project."""
        real = "" if name.startswith("<") else os.path.realpath(name)
        file = real[len(self._root) :]
        if not real.startswith(self._root) or not _INSTALLED.isdisjoint(file.split(os.sep)):
            return None
        lines = self._lines.setdefault(file, set())
        depths = self._depths.setdefault(file, {})

        def trace_line(frame: FrameType, event: str, arg: Any) -> Any:
            if event == "line":
                lines.add(frame.f_lineno)
            return trace_line

        def trace_call(frame: FrameType, event: str, arg: Any) -> Any:
            first = frame.f_code.co_firstlineno
            if first not in depths:
                depths[first] = self._depth(frame.f_back)
            return trace_line

        return trace_call

    def _depth(self, frame: FrameType | None) -> int:
        depth = 0
        while frame is not None:
            depth += self._tracers.get(frame.f_code.co_filename) is not None
            frame = frame.f_back
        return depth
