"""How far long work is: a bar with the time left on a terminal, now and then a line in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

_SECONDS_A_LINE = 30


@contextmanager
def show_bars(console: Console) -> Iterator[Callable[[str], Line]]:
    """Gives what makes a bar for a stage, known by its name."""
    with Progress(
        TextColumn("{task.fields[stage]:>14}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
        console=console,
    ) as progress:
        yield lambda stage: Line(progress, stage)


class Line:
    """A stage's progress: see the file."""

    def __init__(self, progress: Progress, stage: str) -> None:
        self._progress = progress
        self._bar = progress.add_task("", total=None, stage=stage)
        self._stage = stage
        self._began = self._said = time.monotonic()
        self._first = self._total = -1.0
        if not progress.console.is_terminal:  # what comes first may take a while
            progress.console.print(f"{stage} begins", markup=False)

    def __call__(self, text: str, done: float, total: float) -> None:
        self._progress.update(self._bar, description=text, completed=done, total=total)
        now = time.monotonic()
        if total != self._total:  # another piece of the stage
            self._first, self._total, self._began = done, total, now
        if self._progress.console.is_terminal or now - self._said < _SECONDS_A_LINE:
            return
        self._said = now
        gained = done - self._first
        left = (
            f", {(total - done) * (now - self._began) / gained / 60:.0f} min left" if gained else ""
        )
        self._progress.console.print(
            f"{self._stage} {done:g}/{total:g}: {text}{left}", markup=False, soft_wrap=True
        )

    def end(self) -> None:
        """The stage is done."""
        done = max(self._total, 1.0)
        self._progress.update(self._bar, description="done", completed=done, total=done)
