"""Whose a file is: the user's own, or a library's, which is never tested or repaired."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_PACKAGES = frozenset({"site-packages", "dist-packages"})
# What an environment puts into its own folder, beside which a project may lie.
_ENVIRONMENT = frozenset(
    {"lib", "lib64", "bin", "include", "share", "etc", "scripts", "conda-meta"}
)
_STDLIB = ("os.py", "abc.py", "encodings", "collections")


def library_around(path: Path, folders: Sequence[Path]) -> Path | None:
    """The library that a file belongs to, if any; `folders` are those open in the editor.

    Packages that were installed, the standard library of whatever Python, and virtual environments.
    """
    for folder in path.parents:
        if folder.name in _PACKAGES or all((folder / name).exists() for name in _STDLIB):
            return folder
        if (folder / "pyvenv.cfg").is_file() or (folder / "conda-meta").is_dir():
            inside = path.relative_to(folder).parts[0].lower()
            opened = any(open_one.is_relative_to(folder) for open_one in folders)
            if inside in _ENVIRONMENT or not opened:
                return folder
    return None


def is_within(path: Path, folders: Sequence[Path]) -> bool:
    """Whether a file lies in one of the folders, by its name or where links lead."""
    places = {place for folder in folders for place in (folder, folder.resolve())}
    names = (path, path.resolve())
    return any(name.is_relative_to(place) for name in names for place in places)
