"""Replaces files: whole or not at all, with what the file system knows of them kept.

And reads those of a project that nobody has vouched for: ordinary files of a reasonable size. A
name in it may lead to a pipe, whose opening waits for ever, or to a device that never ends.

The new content is written beside the file, flushed to the disk and takes its place in one step.
Owner, group, mode and (on Linux) extended attributes stay; a link stays one, and what it names is
replaced. A file of which one of these could not be kept, that has other names (hard links) or is
read-only is refused before anything is changed.

With `expected`, what is replaced is known for sure to be that: on Linux the two files are swapped,
and back again if another one comes out, so that an editor that saves meanwhile loses nothing.
Elsewhere they are compared directly before.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import secrets
import stat
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from coe_lsp.errors import CoeError

#: What files that are still being written end with.
UNFINISHED = ".part"
#: Bytes that are read at most: of a file that is only looked into, of one that is worked on, and of
#: one with settings, of which some parsers take a time that grows with the square.
MOST_BYTES, MOST_SOURCE, MOST_SETTINGS = 1 << 20, 2 << 20, 1 << 18
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
# A pipe is opened at once, whoever writes to it or not.
_READING = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_BINARY", "O_CLOEXEC", "O_NOCTTY", "O_NONBLOCK")
)


class FileError(CoeError):
    """A file cannot be replaced, and is as it was."""


def read_bounded(path: Path, most: int = MOST_BYTES) -> bytes:
    """The content of an ordinary file of at most so many bytes. OSError for any other."""
    _check_readable(path.stat(), path, most)  # before it is opened, which some devices notice
    fd = os.open(path, _READING)
    try:
        _check_readable(os.fstat(fd), path, most)
        data = bytearray()
        while len(data) <= most:
            piece = os.read(fd, min(most + 1 - len(data), 1 << 20))
            if not piece:
                return bytes(data)
            data += piece
        raise _too_large(path, most)
    finally:
        os.close(fd)


def read_text_bounded(path: Path, most: int = MOST_BYTES, errors: str = "strict") -> str:
    """The same as UTF-8 text with plain line ends; UnicodeDecodeError as decoding raises it."""
    text = read_bounded(path, most).decode("utf-8", errors)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _check_readable(facts: os.stat_result, path: Path, most: int) -> None:
    if stat.S_ISDIR(facts.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(facts.st_mode):
        raise OSError(errno.EINVAL, "it is not an ordinary file", str(path))
    if facts.st_size > most:
        raise _too_large(path, most)


def _too_large(path: Path, most: int) -> OSError:
    return OSError(errno.EFBIG, f"the limit is {most} bytes", str(path))


def replace_file(path: Path, data: bytes, *, expected: bytes | None = None) -> None:
    """Give a file this content, or make it. FileError if its content is not what was `expected`."""
    with replacing(path, expected=expected) as part:
        part.write_bytes(data)


@contextmanager
def replacing(path: Path, *, expected: bytes | None = None) -> Generator[Path]:
    """A path to write the new content to, which takes the file's place at the end of the block.

    If the block raises, the file stays as it is. Raises FileError like `replace_file`, and OSError
    as writing does.
    """
    path = path.resolve()
    old = check_replaceable(path)
    if old is None and expected is not None:
        raise _changed(path)
    part = path.with_name(f".{path.name[:80]}.{secrets.token_hex(4)}{UNFINISHED}")
    # Nobody else may read it before it has the old one's mode.
    mode = 0o666 if old is None else 0o600
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    try:
        yield part
        _settle(part, path, old)
        if expected is None:
            part.replace(path)
        else:
            _exchange(part, path, expected)
        _flush_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


def check_replaceable(path: Path) -> os.stat_result | None:
    """What is known of the file that is to be replaced; None if there is none yet.

    FileError if it is clear already that it cannot be.
    """
    path = path.resolve()
    try:
        old = path.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(old.st_mode):
        raise FileError(f"{path} is not an ordinary file: it is not replaced.")
    if old.st_nlink > 1:
        raise FileError(
            f"{path} has {old.st_nlink} names (hard links), and would differ under the others "
            "afterwards: it is not replaced. Make it a file of its own first (copy it and move the "
            "copy over it)."
        )
    if not old.st_mode & 0o222 or not os.access(path, os.W_OK):
        raise FileError(f"{path} is read-only: it is not replaced. Make it writable first.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise FileError(
            f"{path} cannot be replaced, since its folder {path.parent} cannot be written."
        )
    if sys.platform != "win32" and os.geteuid() not in (0, old.st_uid):
        raise _not_kept(path, "owner")
    return old


def _settle(part: Path, path: Path, old: os.stat_result | None) -> None:
    """Give the new file all that the old one has but its content, and put it on the disk."""
    with part.open("rb+") as file:
        if old is not None:
            if sys.platform != "win32":
                _keep_owner(file.fileno(), path, old)
            _keep_attributes(part, path)
            part.chmod(stat.S_IMODE(old.st_mode))
        os.fsync(file.fileno())


def _keep_owner(fd: int, path: Path, old: os.stat_result) -> None:
    new = os.fstat(fd)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        try:
            os.fchown(fd, old.st_uid, old.st_gid)
        except OSError as error:
            raise _not_kept(path, "owner or group") from error


def _keep_attributes(part: Path, path: Path) -> None:
    """Extended attributes, of which access control lists are some."""
    if sys.platform != "linux":
        return
    wanted, have = _attributes(path), _attributes(part)
    try:
        for name in have.keys() - wanted.keys():
            os.removexattr(part, name)
        for name, value in wanted.items():
            if have.get(name) != value:
                os.setxattr(part, name, value)
    except OSError as error:
        raise _not_kept(path, "extended attributes") from error


def _attributes(path: Path) -> dict[str, bytes]:
    try:
        return {name: os.getxattr(path, name) for name in os.listxattr(path)}
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return {}
        raise


def _exchange(part: Path, path: Path, expected: bytes) -> None:
    """Put `part` in the place of a file that has the expected content, and of no other."""
    data, exchange = _content(part), _exchanger()
    try:
        exchanged = exchange is not None and exchange(part, path)
    except FileNotFoundError as error:
        raise _changed(path) from error
    if exchange is None or not exchanged:
        if _content(path) != expected:  # once more, as late as can be
            raise _changed(path)
        part.replace(path)
        return
    placed, out = data, _content(part)
    while out != expected:
        # Somebody saved in between: that goes back, and what they saved since then as well.
        exchange(part, path)
        before, placed, out = placed, out, _content(part)
        if out == before:
            raise _changed(path)


def _content(path: Path) -> bytes | None:
    """The content of an ordinary file; None for anything else, and for nothing."""
    try:
        fd = os.open(path, _READING | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return None
    with os.fdopen(fd, "rb") as file:
        return file.read()


@functools.cache
def _exchanger() -> Callable[[Path, Path], bool] | None:
    """A function that exchanges two files in one step; it says no where the file system cannot."""
    if sys.platform != "linux":
        return None
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:  # a libc from before 2018
        return None

    def exchange(one: Path, other: Path) -> bool:
        names = os.fsencode(one), os.fsencode(other)
        if call(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
            return True
        number = ctypes.get_errno()
        if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            return False
        raise OSError(number, os.strerror(number), str(other))

    return exchange


def _flush_folder(folder: Path) -> None:
    """Have the disk know the new name, where folders can be opened."""
    if sys.platform == "win32":
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _changed(path: Path) -> FileError:
    return FileError(f"{path} has changed since it was read: nothing is written.")


def _not_kept(path: Path, what: str) -> FileError:
    return FileError(
        f"{path} is not replaced: its {what} could not be kept. Do it as the owner of the file."
    )
