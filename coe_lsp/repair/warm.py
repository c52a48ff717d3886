"""Test processes that wait for the next run of the same tests, with what they said last.

A check leaves its processes and its baseline here; a repair of the same text starts from both, and
leaves the processes to the next check. All methods may be called from any thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, evolve, field

from coe_lsp.execution.dependents import python_files

if TYPE_CHECKING:
    from coe_lsp.execution.project import Project
    from coe_lsp.execution.runner import SuiteRunner
    from coe_lsp.repair.target.baseline import Baseline
    from coe_lsp.repair.target.source import SourceFile

Stamps = dict[Path, tuple[int, int] | None]


@define(eq=False)
class WarmRunner:
    """A project's test processes. Whoever leases it may measure, and leave the baseline here."""

    project: Project
    runner: SuiteRunner
    #: What the project's other files were like when the lease began, and since when it waits.
    files: Stamps = field(factory=Stamps)
    since: float = 0.0
    _baseline: Baseline | None = None
    _baseline_files: Stamps = field(factory=Stamps)

    def keep(self, baseline: Baseline) -> None:
        """Remember what the tests said of a text in this lease, if they said all that they can."""
        if not baseline.results or baseline.missing or baseline.unwatched:
            return
        # Those of the lease's beginning: what changes while the tests run is not what they saw.
        self._baseline, self._baseline_files = baseline, self.files

    def baseline_of(self, source: SourceFile) -> Baseline | None:
        """What the tests said of exactly this text, unless another file has changed since."""
        known = self._baseline
        same = known is not None and _text(known.source) == _text(source)
        return known if same and self._baseline_files == self.files else None


class WarmRunners:
    """At most `room` sets of processes that wait; the oldest of too many end."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._lock = threading.Lock()
        self._waiting: list[WarmRunner] = []

    @contextmanager
    def lease(self, project: Project, seconds: float = float("inf")) -> Generator[WarmRunner]:
        """A project's processes, warm if there are some; kept afterwards unless cancelled.

        All tests together get so many `seconds`, if the project's limits allow as much.
        """
        warm = self._take(project) or WarmRunner(project, project.start_runner())
        longest = min(project.limits.wall_seconds, seconds)
        warm.files = _stamps(project) if self._room else {}
        warm.runner.limits = evolve(project.limits, wall_seconds=longest)
        try:
            yield warm
        except BaseException:
            warm.runner.close()
            raise
        if warm.runner.cancelled:
            warm.runner.close()
        else:
            warm.runner.narrow()
            self._give(warm)

    def _take(self, project: Project) -> WarmRunner | None:
        with self._lock:
            for warm in self._waiting:
                if warm.project == project and not warm.runner.cancelled:
                    self._waiting.remove(warm)
                    return warm
        return None

    def _give(self, warm: WarmRunner) -> None:
        warm.since = time.monotonic()
        with self._lock:
            self._waiting.append(warm)
            cut = max(0, len(self._waiting) - self._room)
            old, self._waiting = self._waiting[:cut], self._waiting[cut:]
        _close(old)

    def close(self, *, idle: float = 0.0, but: Collection[Path] = ()) -> None:
        """End those that have waited that many seconds, but for those of some files.

        They end on a thread of their own; nobody gets one of them any more.
        """
        end = time.monotonic() - idle
        with self._lock:
            old = [w for w in self._waiting if w.since <= end and w.project.path not in but]
            self._waiting = [warm for warm in self._waiting if warm not in old]
        if old:
            threading.Thread(target=_close, args=(old,), name="coe-end-tests", daemon=True).start()

    def end(self) -> None:
        """End all, and keep none from now on."""
        with self._lock:
            old, self._waiting, self._room = self._waiting, [], 0
        _close(old)


def _close(old: Sequence[WarmRunner]) -> None:
    for warm in old:
        warm.runner.close()


def _text(source: SourceFile) -> tuple[object, ...]:
    return source.path, source.encoding, source.bom, source.lines


def _stamps(project: Project) -> Stamps:
    """What the project's files are like now: editors need not tell of all that changes them."""
    files = set(python_files(project.root)) - {project.path}
    return {file: _stamp(file) for file in files}


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
