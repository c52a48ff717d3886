"""Reads the protocol's messages from a stream: headers, an empty line, and as many bytes of JSON.

There is no way back from a header that is wrong, since nobody knows where the next message begins:
that ends the connection, with a reason.
"""

from __future__ import annotations

from typing import BinaryIO

_MOST_HEADER = 4096
_MOST_HEADERS = 32
# Far more than a document of the largest size takes.
_MOST_BODY = 256 << 20


class FramingError(Exception):
    """Where messages begin and end cannot be known any more; the message quotes none of them."""


def read_frame(stream: BinaryIO) -> bytes | None:
    """The next message's body; None if the stream has ended. FramingError if it makes no sense."""
    length: int | None = None
    for _ in range(_MOST_HEADERS):
        line = stream.readline(_MOST_HEADER)
        if not line.endswith(b"\n"):
            if len(line) == _MOST_HEADER:
                raise FramingError(f"a header line is longer than {_MOST_HEADER} bytes")
            return None
        if not line.strip():
            if length is None:
                raise FramingError("a message has no Content-Length header")
            body = stream.read(length)
            return body if len(body) == length else None
        name, colon, value = line.partition(b":")
        if not colon or not name.strip().replace(b"-", b"").isalnum():
            raise FramingError(
                "there is no header where one has to be (was a Content-Length too small?)"
            )
        if name.strip().lower() == b"content-length":
            length = _length(value.strip())
    raise FramingError(f"a message has more than {_MOST_HEADERS} headers")


def _length(value: bytes) -> int:
    shown = ascii(value[:40].decode("latin-1"))
    if not value.isdigit():
        raise FramingError(f"Content-Length is {shown}, which is no number of bytes")
    if len(value) > 20 or int(value) > _MOST_BODY:
        raise FramingError(f"Content-Length is {shown}; the most is {_MOST_BODY}")
    return int(value)
