"""Ctrl-C and SIGTERM: a step that moves weights is finished and saved, all else stops at once.

What makes results one by one keeps each as it comes, so there is nothing to finish. A second signal
stops the step as well; the last checkpoint is then what is left.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from attrs import define


class Interrupted(KeyboardInterrupt):
    """A signal asked to stop; `exit_code` is what the process says then, as shells do."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


@define
class _Stop:
    """Whether a step is being made, and the signal that came meanwhile."""

    in_step: bool = False
    asked: int | None = None


_STOP = _Stop()
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def stop_asked() -> bool:
    """Whether a signal came that a step was finished for."""
    return _STOP.asked is not None


def raise_if_asked() -> None:
    """Interrupted if a signal came that a step was finished for."""
    if _STOP.asked is not None:
        raise Interrupted(_STOP.asked)


@contextmanager
def finishing_steps() -> Iterator[None]:
    """Inside, the first signal only sets `stop_asked`."""
    _STOP.in_step = True
    try:
        yield
    finally:
        _STOP.in_step = False


@contextmanager
def handling_signals() -> Iterator[None]:
    """Inside, signals are handled as the file says; nothing changes outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _STOP.asked = None
    before = [signal.signal(number, _handle) for number in _SIGNALS]
    try:
        yield
    finally:
        for number, handler in zip(_SIGNALS, before, strict=True):
            signal.signal(number, handler)
        _STOP.asked = None


def _handle(number: int, _frame: FrameType | None) -> None:
    if not _STOP.in_step or _STOP.asked is not None:
        raise Interrupted(number)
    _STOP.asked = number
    # A print could come in the middle of another one.
    name = signal.Signals(number).name
    os.write(2, f"training: {name}: this step is finished and saved first.\n".encode())
