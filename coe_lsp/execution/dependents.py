"""Which files of a project a change reaches: those that import it, and those that import them.

Judged by the names in import statements alone, so rather too many than too few.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from coe_lsp.files import read_text_bounded

_MOST_FILES = 5000
_IMPORT = re.compile(
    r"^[ \t]*(?:>>>[ \t]*)?"
    r"(?:from[ \t]+\S+[ \t]+import\b[ \t]*(?:\([^)]*\)|[^\n]*)|import\b[^\n]*)",
    re.MULTILINE,
)
_SKIPPED = frozenset({"node_modules", "site-packages", "dist-packages", "__pycache__"})


def is_ignored(path: Path, folder: Path) -> bool:
    """Whether a file below a folder is none of the project's sources: hidden, or installed."""
    return any(
        part.startswith(".") or part in _SKIPPED or (at / "pyvenv.cfg").exists()
        for at, part in _steps(path, folder)
    )


def _steps(path: Path, folder: Path) -> Iterator[tuple[Path, str]]:
    for part in path.relative_to(folder).parts:
        folder = folder / part
        yield folder, part


def reached(changed: Iterable[Path], root: Path) -> set[Path]:
    """The changed files, and all Python files of the project that they may concern."""
    found = {path for path in changed if path.suffix == ".py"}
    names = {_name(path) for path in found}
    left = {
        path: words for path in python_files(root) if path not in found and (words := _words(path))
    }
    while more := [path for path, words in left.items() if not names.isdisjoint(words)]:
        found.update(more)
        names.update(map(_name, more))
        for path in more:
            del left[path]
    return found


def imports_any(path: Path, names: Collection[str]) -> bool:
    """Whether a file has one of these names in its import statements."""
    return not _words(path).isdisjoint(names)


def _name(path: Path) -> str:
    """What the file is imported by."""
    return path.parent.name if path.stem == "__init__" else path.stem


def _words(path: Path) -> frozenset[str]:
    try:
        return _read(path, path.stat().st_mtime_ns)
    except OSError:
        return frozenset()


@functools.lru_cache(_MOST_FILES)
def _read(path: Path, _written: int) -> frozenset[str]:
    text = read_text_bounded(path, errors="replace")
    return frozenset(word for part in _IMPORT.findall(text) for word in re.findall(r"\w+", part))


def python_files(root: Path) -> Iterator[Path]:
    """The project's own Python files; of a very large project not all."""
    for folder, files in source_folders(root):
        yield from (folder / name for name in files if name.endswith(".py"))


def source_folders(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """The folders of a project's sources, and the names of the files in each; likewise."""
    seen = 0
    for place, folders, files in os.walk(root):
        folder = Path(place)
        folders[:] = [name for name in folders if not is_ignored(folder / name, folder)]
        seen += len(files)
        yield folder, files
        if seen > _MOST_FILES:
            return
