"""Frames on a pipe: a four-byte length, then one JSON object.

JSON text is pure ASCII, so that lone surrogates in captured output survive. Nothing is retried: a
closed or broken pipe raises `EOFError`, and a frame that cannot be ours raises `FrameError`, since
what comes next on its pipe means nothing any more. Neither side trusts the other to go on reading
or writing: with a `deadline` (by `time.monotonic`) both raise `TimeoutError` when it has passed.
"""

from __future__ import annotations

import json
import os
import select
import struct
import sys
import time
from typing import Any, cast

_LENGTH = struct.Struct(">I")
MAX_FRAME = 64 * 1024 * 1024  # bytes
#: What one report of a child may take: the most are the names of a hundred thousand tests.
MAX_EVENT = 16 * 1024 * 1024
#: What a pipe that can be written to takes without waiting.
_PIPE_BYTES = 4096


class FrameError(Exception):
    """What arrived is not a frame of ours."""


def _plain(part: object) -> Any:
    """What JSON does not know: a set is a list there, an object its fields."""
    if isinstance(part, frozenset):
        return list(cast("frozenset[Any]", part))
    return vars(part)


# Made once: `json.dumps` with an option makes one each time.
_ENCODER = json.JSONEncoder(default=_plain)


def write_frame(fd: int, message: dict[str, Any], deadline: float | None = None) -> None:
    """Write one message whole; EOFError if the reader is gone, FrameError if it cannot be one."""
    try:
        data = _ENCODER.encode(message).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise FrameError("a message cannot be written as JSON") from error
    if len(data) > MAX_FRAME:
        raise FrameError("a frame of %d bytes is too large" % len(data))
    view = memoryview(_LENGTH.pack(len(data)) + data)
    try:
        while view:
            _wait(fd, deadline, writing=True)
            # No more than a pipe takes at once, so that a write after a wait does not block.
            view = view[os.write(fd, view if deadline is None else view[:_PIPE_BYTES]) :]
    except BrokenPipeError as error:
        raise EOFError("the reader closed the pipe") from error


def read_frame(fd: int, deadline: float | None = None) -> dict[str, Any]:
    """Read one message whole."""
    (length,) = _LENGTH.unpack(_read_exactly(fd, _LENGTH.size, deadline))
    if length > MAX_FRAME:
        raise FrameError("a frame of %d bytes is not ours" % length)
    return _parse(_read_exactly(fd, length, deadline))


def _read_exactly(fd: int, count: int, deadline: float | None) -> bytes:
    parts: list[bytes] = []
    while count:
        _wait(fd, deadline)
        try:
            part = os.read(fd, min(count, 1 << 20))
        except (ConnectionResetError, BrokenPipeError) as error:
            raise EOFError("the writer is gone") from error
        if not part:
            raise EOFError("the writer closed the pipe")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _wait(fd: int, deadline: float | None, writing: bool = False) -> None:
    if deadline is None or sys.platform == "win32":  # only sockets can be waited for there
        return
    poll = select.poll()
    poll.register(fd, select.POLLOUT if writing else select.POLLIN)
    if not poll.poll(1000 * max(0.0, deadline - time.monotonic())):
        raise TimeoutError


def _parse(data: bytes) -> dict[str, Any]:
    try:
        message = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FrameError("a frame is not JSON") from error
    if not isinstance(message, dict):
        raise FrameError("a frame is not an object")
    return cast("dict[str, Any]", message)


class FrameReader:
    """Cuts frames out of a byte stream that arrives in arbitrary pieces."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Add bytes; return the messages that they complete. FrameError if one is not ours."""
        self._buffer += data
        messages: list[dict[str, Any]] = []
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > MAX_EVENT:
                raise FrameError("a frame of %d bytes is not ours" % length)
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                break
            messages.append(_parse(bytes(self._buffer[_LENGTH.size : end])))
            del self._buffer[:end]
        return messages
