"""What the user named, as tests to make pass or a source file to repair, and whose project it is.

A file of tests, one test, a folder, nothing at all: each leads to tests, of which those that fail
are to be repaired. A source file is what it always was. Nothing is run here; which of the tests
fail is for a run to find out, unless pytest remembers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from attrs import frozen

from coe_lsp.errors import CoeError
from coe_lsp.execution.discovery import find_root, find_test_files, is_for_tests, is_test_file
from coe_lsp.files import MOST_SETTINGS, read_text_bounded
from coe_lsp.folders import expanded
from coe_lsp.repair.target.source import locate

_LAST_FAILED = Path(".pytest_cache/v/cache/lastfailed")


class WayInError(CoeError):
    """What was named leads to no tests."""


@frozen
class WayIn:
    """Where a repair begins: at `path`, a source file, perhaps at its `function`; or at tests.

    `tests` are node ids, files and folders, relative to `root` as pytest takes them; none means all
    of the project's. If `remembered`, they are what pytest saw fail last, perhaps long ago.
    """

    root: Path
    path: Path | None = None
    function: str | None = None
    tests: tuple[str, ...] = ()
    remembered: bool = False

    @property
    def file(self) -> str:
        """The file that was named, relative to the root; '' for tests of several."""
        if self.path is not None:
            return self.path.name
        files = {test.partition("::")[0] for test in self.tests}
        return files.pop() if len(files) == 1 else ""


def way_of(path: Path, inside: str | None = None) -> WayIn:
    """The way in by a file, and a function or test in it by its qualified name.

    SourceError or WayInError if there is none.
    """
    path = locate(path)
    root = find_root(path)
    if not is_for_tests(path, root):
        return WayIn(root, path, inside)
    if not is_test_file(path, root):
        raise WayInError(f"{path.name} only sets tests up: name a test, or what is tested.")
    test = f"::{inside.replace('.', '::')}" if inside else ""
    return WayIn(root, tests=(path.relative_to(root).as_posix() + test,))


def find_way_in(targets: Sequence[str], folder: Path) -> WayIn:
    """Read what was typed in a working directory. WayInError or SourceError says what to name.

    A target is a file, `FILE::NAME`, a pytest node id or a folder; none stands for the project.
    Several lead to tests of one project.
    """
    if not targets:
        return _of_folder(folder.resolve(), remembered=True)
    ways = [_way_in(target, folder) for target in targets]
    first = ways[0]
    if len(ways) == 1:
        return first
    if any(way.path is not None for way in ways):
        raise WayInError("Several places were named, one of them not a test: name it alone.")
    if any(way.root != first.root for way in ways):
        raise WayInError(f"The tests are of several projects: name those of {first.root} first.")
    return WayIn(first.root, tests=tuple(dict.fromkeys(t for way in ways for t in way.tests)))


def _way_in(target: str, folder: Path) -> WayIn:
    name, _, inside = target.partition("::")
    path = folder / expanded(Path(name))
    if _is_folder(path):
        return _of_folder(path.resolve(), remembered=False)
    way = way_of(path, None)
    if not inside:
        return way
    if way.path is not None:
        return WayIn(way.root, way.path, inside.replace("::", "."))
    return WayIn(way.root, tests=(f"{way.tests[0]}::{inside}",))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # too long, a null byte: `locate` says what is wrong
        return False


def _of_folder(folder: Path, *, remembered: bool) -> WayIn:
    """The tests of a folder, or, if `remembered`, of the project around it.

    Of a whole project those that pytest saw fail last, if it knows.
    """
    root = find_root(folder / "pyproject.toml")
    if remembered:
        folder = root
    if not find_test_files(folder):
        raise WayInError(f"There are no files of tests in {folder}: name one, or a source file.")
    if folder == root or not folder.is_relative_to(root):
        failed = _last_failed(root) if remembered else ()
        return WayIn(root, tests=failed, remembered=bool(failed))
    return WayIn(root, tests=(folder.relative_to(root).as_posix(),))


def _last_failed(root: Path) -> tuple[str, ...]:
    """What pytest's cache has of a project, without tests whose files are gone."""
    try:
        known: object = json.loads(read_text_bounded(root / _LAST_FAILED, MOST_SETTINGS))
    except (OSError, ValueError, RecursionError):
        return ()
    names = list(cast("dict[str, object]", known)) if isinstance(known, dict) else []
    return tuple(n for n in names if (root / n.partition("::")[0]).is_file())
