"""Which lines run during one test: of the file under repair, or of all files of the project.

Uses `sys.settrace`, which every supported Python has; frames of other files are not traced, but
each call still costs a look-up, so traced runs are several times slower than plain ones. From
Python 3.12 on all of a project is watched by `sys.monitoring`, where each line costs something but
once a test. Lines run in child processes are not seen.
"""

from __future__ import annotations

import os
import sys
import threading
from types import CodeType, FrameType
from typing import Any, Dict, List, Optional, Set, Tuple, Union

_MONITORING: Any = getattr(sys, "monitoring", None)
_TOOLS = (3, 4)  # ids that are nobody's by convention
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
        return _real(self._lines), _real(self._entries)

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


Ran = Tuple[Dict[str, List[int]], Dict[str, Dict[int, int]]]
"""Executed lines by file; and by file the first lines of functions that were called.

With each of these, how many of the project's frames were below it when it was called first.
"""


class ProjectFiles:
    """Which files are of the project at `root`, by their real path relative to it.

    What is installed below the root, in an environment, is not.
    """

    def __init__(self, root: str) -> None:
        self._root = os.path.realpath(root) + os.sep
        self._known: Dict[str, Optional[str]] = {}

    def name(self, filename: str) -> str | None:
        """What a code object's file is called; None if it is not of the project."""
        if filename not in self._known:
            real = "" if filename.startswith("<") else os.path.realpath(filename)
            file = real[len(self._root) :]
            ours = real.startswith(self._root) and _INSTALLED.isdisjoint(file.split(os.sep))
            self._known[filename] = file if ours else None
        return self._known[filename]

    def depth(self, frame: FrameType | None) -> int:
        """How many of the project's frames there are from this one on."""
        depth = 0
        while frame is not None:
            depth += self.name(frame.f_code.co_filename) is not None
            frame = frame.f_back
        return depth


class ProjectTracer:
    """Collects what runs of a project, by `sys.settrace`."""

    def __init__(self, root: str) -> None:
        self._files = ProjectFiles(root)
        self._lines: Dict[str, Set[int]] = {}
        self._depths: Dict[str, Dict[int, int]] = {}

    def start(self) -> None:
        """Forget what was seen and watch from here, in all threads."""
        self._lines, self._depths = {}, {}
        threading.settrace(self._call)
        sys.settrace(self._call)

    def stop(self) -> Ran:
        """What ran since the start."""
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
        return _sorted(self._lines), self._depths

    def _call(self, frame: FrameType, event: str, arg: Any) -> Any:
        code = frame.f_code
        file = self._files.name(code.co_filename)
        if file is None:
            return None
        depths = self._depths.setdefault(file, {})
        if code.co_firstlineno not in depths:
            depths[code.co_firstlineno] = self._files.depth(frame.f_back)
        lines = self._lines.setdefault(file, set())

        def trace_line(frame: FrameType, event: str, arg: Any) -> Any:
            if event == "line":
                lines.add(frame.f_lineno)
            return trace_line

        return trace_line


class MonitoringTracer:
    """Collects the same by `sys.monitoring`."""

    def __init__(self, root: str) -> None:
        self._files = ProjectFiles(root)
        self._lines: Dict[str, Set[int]] = {}
        self._depths: Dict[str, Dict[int, int]] = {}
        self._tool: Optional[int] = None

    def start(self) -> None:
        """Forget what was seen and watch from here, in all threads."""
        self._lines, self._depths = {}, {}
        for tool in _TOOLS:
            if _MONITORING.get_tool(tool) is None:
                _MONITORING.use_tool_id(tool, "coe-lsp")
                break
        else:  # others have them all
            return
        self._tool = tool
        events = _MONITORING.events
        _MONITORING.register_callback(tool, events.PY_START, self._started)
        _MONITORING.register_callback(tool, events.LINE, self._line)
        _MONITORING.set_events(tool, events.PY_START | events.LINE)
        _MONITORING.restart_events()

    def stop(self) -> Ran:
        """What ran since the start."""
        if self._tool is not None:
            _MONITORING.set_events(self._tool, 0)
            _MONITORING.free_tool_id(self._tool)
            self._tool = None
        return _sorted(self._lines), self._depths

    # Each place tells but once until the next start.

    def _started(self, code: CodeType, _offset: int) -> Any:
        file = self._files.name(code.co_filename)
        if file is not None:
            depths = self._depths.setdefault(file, {})
            depths.setdefault(code.co_firstlineno, self._files.depth(sys._getframe(1).f_back))  # pyright: ignore[reportPrivateUsage]
        return _MONITORING.DISABLE

    def _line(self, code: CodeType, line: int) -> Any:
        file = self._files.name(code.co_filename)
        if file is not None:
            self._lines.setdefault(file, set()).add(line)
        return _MONITORING.DISABLE


def project_tracer(root: str) -> Union[ProjectTracer, MonitoringTracer]:
    """What watches a project best under this Python."""
    return ProjectTracer(root) if _MONITORING is None else MonitoringTracer(root)


def _sorted(lines: Dict[str, Set[int]]) -> Dict[str, List[int]]:
    return {file: real for file, found in lines.items() if (real := _real(found))}


def _real(lines: Set[int]) -> List[int]:
    """In order, without line 0: what runs of an empty file, an `__init__.py` mostly."""
    return sorted(line for line in lines if line >= 1)
