"""A download's progress on the terminal: a bar where there is one, a line a step elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from coe_lsp.cli.view import error_console


class BarProgress:
    """A `ProgressSink`; use as a context manager so that the bar is gone at the end.

    `before` is called ahead of the first output, to make way on the terminal.
    """

    def __init__(self, before: Callable[[], None] = lambda: None) -> None:
        self._console = error_console()
        self._before: Callable[[], None] | None = before
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._task: TaskID | None = None
        #: Set from a signal handler to have what is fetched given up.
        self.interrupted = False

    def start(self, total: int | None, description: str) -> None:
        """See `ProgressSink.start`."""
        self._make_way()
        if not self._console.is_terminal:
            size = "" if total is None else f" ({total / 1e6:.0f} MB)"
            self._console.print(f"{description}{size}", highlight=False, markup=False)
            return
        self._progress.start()
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(description, total=total)

    def advance(self, count: int) -> None:
        """See `ProgressSink.advance`. KeyboardInterrupt once `interrupted`."""
        if self.interrupted:
            raise KeyboardInterrupt
        if self._task is not None:
            self._progress.advance(self._task, count)

    def message(self, text: str) -> None:
        """See `ProgressSink.message`."""
        self._make_way()
        self._console.print(text, style="dim", highlight=False, markup=False)

    def _make_way(self) -> None:
        if self._before is not None:
            self._before()
            self._before = None

    def __enter__(self) -> BarProgress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._task is not None:  # where nothing was drawn it would print an empty line
            self._progress.stop()
