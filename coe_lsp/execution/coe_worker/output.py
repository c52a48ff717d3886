"""Sorts a child's output by test, keeping the beginning of each and dropping the rest.

The child writes a marker to its own standard output when a test starts. The stream is read whole,
so a flood of output slows the child but fills neither memory nor disk.
"""

from __future__ import annotations

PREFIX = b"\x00coe:"
_MAX_KEPT_BYTES = 16 << 20  # of all tests together, their names included
_MAX_NAME_BYTES = 64 << 10


def marker(nonce: str, test: str) -> bytes:
    """The bytes that announce the output of `test`."""
    return PREFIX + nonce.encode() + b":" + test.encode("utf-8", "backslashreplace") + b"\x00"


class OutputSplitter:
    """Feed bytes; read off text by test id. Text before the first marker has the id ''."""

    def __init__(self, nonce: str, keep_bytes: int) -> None:
        self._start = PREFIX + nonce.encode() + b":"
        self._keep = keep_bytes
        self._rest = b""
        self._test = ""
        self._kept: dict[str, bytearray] = {"": bytearray()}
        self._total: dict[str, int] = {"": 0}
        self._left = _MAX_KEPT_BYTES

    def feed(self, data: bytes) -> None:
        """Take the next piece of the stream."""
        data = self._rest + data
        self._rest = b""
        while data:
            at = data.find(self._start)
            if at < 0:
                # A marker may be cut by the end of this piece.
                at = data.rfind(b"\x00")
                if at < 0 or not self._start.startswith(data[at : at + len(self._start)]):
                    at = len(data)
                self._add(data[:at])
                self._rest = data[at:]
                return
            end = data.find(b"\x00", at + len(self._start))
            self._add(data[:at])
            if end < 0:
                if len(data) - at < _MAX_NAME_BYTES:
                    self._rest = data[at:]
                return
            self._begin(data[at + len(self._start) : end])
            data = data[end + 1 :]

    def _begin(self, name: bytes) -> None:
        test = name[:_MAX_NAME_BYTES].decode("utf-8", "replace")
        if test not in self._kept:
            if self._left <= 0:
                return
            self._left -= len(name) + 100
            self._kept[test] = bytearray()
            self._total[test] = 0
        self._test = test

    def _add(self, data: bytes) -> None:
        kept = self._kept[self._test]
        more = data[: min(self._keep - len(kept), max(0, self._left))]
        kept += more
        self._left -= len(more)
        self._total[self._test] += len(data)

    def sections(self) -> dict[str, str]:
        """Text by test id, undecodable bytes escaped, cut text marked."""
        texts: dict[str, str] = {}
        for test, kept in self._kept.items():
            text = bytes(kept).decode("utf-8", "backslashreplace")
            cut = self._total[test] - len(kept)
            texts[test] = f"{text}\n[{cut} more bytes]" if cut > 0 else text
        return texts
