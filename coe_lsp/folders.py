"""The user's folders: what `~` stands for, and where the program keeps what is its own.

A user may have no home folder (a container started for any number, a service), or one that is not
an absolute path, which would be another place in every folder that the program is called in.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs

from coe_lsp.errors import CoeError

_APP = "coe-lsp"


class FolderError(CoeError):
    """There is no folder for something."""


def expanded(text: str | Path) -> Path:
    """A path with the user's home in place of `~`; as it is where that is not known."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def cache_folder() -> Path:
    """Where models are kept; it need not exist yet. FolderError if there is no place for one."""
    if given := os.environ.get("COE_LSP_CACHE"):
        return expanded(given).absolute()
    return _own(lambda: platformdirs.user_cache_path(_APP, appauthor=False), "COE_LSP_CACHE")


def log_folder() -> Path:
    """Where the server's log is kept. FolderError if there is no place for one."""
    return _own(lambda: platformdirs.user_log_path(_APP, appauthor=False), "XDG_STATE_HOME")


def check_temporary_folder() -> None:
    """FolderError if there is none: everything that runs tests needs one."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise FolderError(
            f"There is no folder for temporary files ({error.strerror}): make one of them writable "
            "and see that its disk has room, or name another in TMPDIR."
        ) from error


def _own(find: Callable[[], Path], variable: str) -> Path:
    try:
        found = find()
    except RuntimeError:  # neither HOME nor an entry in the user database
        found = Path("~")
    if not found.is_absolute():
        raise FolderError(
            "Your home folder is not known, or not an absolute path: set HOME, or name a folder "
            f"in {variable}."
        )
    return found
