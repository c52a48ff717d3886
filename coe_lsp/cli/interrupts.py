"""Ctrl-C, SIGTERM and a closed terminal: taken from the first moment on, acted on where it is safe.

An exception out of a signal handler may come in the midst of an import or of a `with`, and is lost
in native code that calls back into Python. So a signal is first of all noted; where something runs
that can be ended in order, the signal does that (`ending`); where nothing is under way, a note is
acted on (`check`). Commands that have nothing to put in order let it be raised (`release`).
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType


class _State:
    def __init__(self) -> None:
        self.noted: int | None = None
        self.released = False
        self.ends: list[Callable[[], None]] = []
        self.settles: list[Callable[[], bool]] = []


_state = _State()


class Interrupted(KeyboardInterrupt):
    """The user wants the program to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        #: As shells have it.
        self.status = 128 + number


def hold() -> None:
    """Note signals from now on. One that this process was started to ignore stays ignored."""
    _state.released = False
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _on_signal)


def release() -> None:
    """Raise Interrupted for what was noted, and from now on wherever a signal arrives."""
    _state.released = True
    check()


def check() -> None:
    """Raise Interrupted if a signal was noted."""
    if _state.noted is not None:
        raise Interrupted(_state.noted)


@contextmanager
def ending(end: Callable[[], None], settle: Callable[[], bool] | None = None) -> Generator[None]:
    """Have a signal call `end` during the block, and raise Interrupted at its end.

    But if `settle` says of Ctrl-C that the block ends well for it, that was all the user wanted.
    """
    _state.ends.append(end)
    if settle is not None:
        _state.settles.append(settle)
    try:
        if _state.noted is not None:
            end()
        yield
    finally:
        _state.ends.remove(end)
        if settle is not None:
            _state.settles.remove(settle)
        check()  # instead of what being ended made of the block


def _on_signal(number: int, frame: FrameType | None) -> None:
    first = number == signal.SIGINT and _state.noted is None
    if first and any(settle() for settle in _state.settles):
        return
    _state.noted = _state.noted or number
    for end in _state.ends:
        end()
    if _state.released and not _state.ends:
        raise Interrupted(number)
