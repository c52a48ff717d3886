"""Frames on a pipe: a four-byte length, then one JSON object.

JSON text is pure ASCII, so that lone surrogates in captured output survive. Nothing is retried:
a closed or broken pipe raises `EOFError`.
"""

from __future__ import annotations

import json
import os
import struct
from typing import Any

_LENGTH = struct.Struct(">I")
MAX_FRAME = 256 * 1024 * 1024


def write_frame(fd: int, message: dict[str, Any]) -> None:
    """Write one message whole; raises EOFError if the reader is gone."""
    data = json.dumps(message).encode("ascii")
    view = memoryview(_LENGTH.pack(len(data)) + data)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except BrokenPipeError as error:
        raise EOFError("the reader closed the pipe") from error


def read_frame(fd: int) -> dict[str, Any]:
    """Read one message; blocks until it is whole."""
    (length,) = _LENGTH.unpack(_read_exactly(fd, _LENGTH.size))
    if length > MAX_FRAME:
        raise EOFError(f"a frame of {length} bytes is not ours")
    return json.loads(_read_exactly(fd, length))


def _read_exactly(fd: int, count: int) -> bytes:
    parts: list[bytes] = []
    while count:
        try:
            part = os.read(fd, min(count, 1 << 20))
        except (ConnectionResetError, BrokenPipeError) as error:
            raise EOFError("the writer is gone") from error
        if not part:
            raise EOFError("the writer closed the pipe")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


class FrameReader:
    """Cuts frames out of a byte stream that arrives in arbitrary pieces."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Add bytes; return the messages that they complete. Garbage is dropped with the rest."""
        self._buffer += data
        messages: list[dict[str, Any]] = []
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > MAX_FRAME:
                self._buffer.clear()
                break
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                break
            try:
                messages.append(json.loads(bytes(self._buffer[_LENGTH.size : end])))
            except ValueError:
                pass
            del self._buffer[:end]
        return messages
