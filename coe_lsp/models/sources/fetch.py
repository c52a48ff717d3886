"""What the sources of a model's bytes have in common: progress, results, failures, disk space.

A source (`hub`, `wheels`) brings bytes into a working folder of the cache such that they survive an
interruption. It does not decide whether it is used, trusts nothing that came, and gives no file its
final name: `download` does.
"""

import errno
import hashlib
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from attrs import define, field, frozen

from coe_lsp.models.registry import ModelError

_SPARE = 32 << 20  # bytes left free on the user's disk, and room for a wheel's own overhead
_FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class ProgressSink(Protocol):
    """Where a download reports to. May be called from whatever thread downloads.

    An exception raised by any method cancels the download and reaches the caller unchanged; what
    is complete stays for the next time. `advance` is called at least every second or so while pip
    runs (with 0 where nothing came), so that it is a good place to cancel.
    """

    def start(self, total: int | None, description: str) -> None:
        """A source is tried; `total` bytes are expected. A second call starts over from zero."""
        ...

    def advance(self, count: int) -> None:
        """`count` more bytes are here (or were here from an earlier attempt)."""
        ...

    def message(self, text: str) -> None:
        """A line for the user that is no error, such as why a source was given up."""
        ...


class NoSpaceError(ModelError):
    """The disk of the cache folder has no room for the model."""


class SourceFailed(Exception):
    """A source did not work; the message is the short reason, for a list of such reasons."""


@frozen
class Fetched:
    """A complete file in the working folder, not yet trusted.

    `sha256` is that of its bytes; `stated` is the sum that the source itself claims, if it does.
    """

    path: Path
    sha256: str
    stated: str | None = None


@define
class Meter:
    """Turns totals into steps for a sink, and remembers what the sink raised."""

    sink: ProgressSink
    raised: BaseException | None = None
    _total: int | None = field(default=None, init=False)
    _reported: int = field(default=0, init=False)

    def start(self, total: int | None, description: str) -> None:
        """Begin counting from zero."""
        self._total, self._reported = total, 0
        with self._watch():
            self.sink.start(total, description)

    def to(self, done: int) -> None:
        """Report that `done` bytes are here; never goes back, nor beyond the total.

        A wheel under way counts by its own size, a little off from that of what it holds.
        """
        if self._total is not None:
            done = min(done, self._total)
        step = max(0, done - self._reported)
        self._reported += step
        with self._watch():
            self.sink.advance(step)

    def message(self, text: str) -> None:
        """Pass a line on."""
        with self._watch():
            self.sink.message(text)

    @contextmanager
    def _watch(self) -> Generator[None]:
        try:
            yield
        except BaseException as error:
            self.raised = error
            raise


def disk_is_full(error: OSError) -> bool:
    """Whether an error means that no more bytes can be written here."""
    return error.errno in _FULL_DISK


def require_space(folder: Path, needed: int) -> None:
    """Raise `NoSpaceError` unless the folder's disk has `needed` bytes and some to spare."""
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE:
        raise NoSpaceError(
            f"There is not enough room in {folder}: {megabytes(needed + _SPARE)} are needed and "
            f"{megabytes(free)} are free; free some, or set COE_LSP_CACHE to another folder."
        )


def megabytes(count: int) -> str:
    """Bytes as people read them."""
    return f"{count / 1e6:.0f} MB"


def file_sha256(path: Path) -> str:
    """Hash a file; lower-case hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
