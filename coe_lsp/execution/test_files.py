"""Which files are tests: by their names, as pytest and the project's settings for it have it.

Files are read, nothing of the user's is run.
"""

from __future__ import annotations

import ast
import configparser
import fnmatch
import glob
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from attrs import frozen

from coe_lsp.files import MOST_SETTINGS, read_bounded, read_text_bounded
from coe_lsp.parsing import parse, parse_ini, parse_toml

_USUAL_PATTERNS = ("test_*.py", "*_test.py")
_INI_FILES = (("pytest.ini", "pytest"), (".pytest.ini", "pytest"), ("pyproject.toml", ""),
              ("tox.ini", "pytest"), ("setup.cfg", "tool:pytest"))  # fmt: skip


@frozen(slots=False)
class TestNames:
    """How a project's files of tests are called, and where they are if the project says so."""

    __test__ = False

    root: Path
    patterns: tuple[str, ...] = _USUAL_PATTERNS
    folders: tuple[str, ...] = ()

    @classmethod
    def of(cls, root: Path) -> TestNames:
        """Those of a project, from the file that pytest would take its settings from."""
        for name, section in _INI_FILES:
            found = _settings(root / name, section)
            if found is not None:
                patterns = _words(found.get("python_files")) or _USUAL_PATTERNS
                return cls(root, patterns, _words(found.get("testpaths")))
        return cls(root)

    def fits(self, path: Path) -> bool:
        """Whether a file is one of tests."""
        if path.suffix != ".py" or not any(_matches(path, p) for p in self.patterns):
            return False
        if any(_matches(path, usual) for usual in _USUAL_PATTERNS):
            return True
        # Some projects have pytest look into every file of their folders of tests.
        return self.is_looked_into(path) and _has_tests(path)

    def is_looked_into(self, path: Path) -> bool:
        """Whether pytest looks at a file by itself, not only when it is named."""
        if not self.folders:
            return True
        path = path.resolve()
        return any(place in (path, *path.parents) for place in self._places)

    @cached_property
    def _places(self) -> tuple[Path, ...]:
        # Not Path.glob, which knows neither "." nor whole paths.
        found = [glob.glob(f, root_dir=self.root, recursive=True) for f in self.folders]  # noqa: PTH207
        return tuple((self.root / name).resolve() for names in found for name in names)


def _matches(path: Path, pattern: str) -> bool:
    if "/" in pattern:
        return fnmatch.fnmatch(path.as_posix(), f"*/{pattern}")
    return fnmatch.fnmatch(path.name, pattern)


def has_only_functions(path: Path) -> bool:
    """Whether the tests of a file are functions, which unittest knows nothing of."""
    return _tests_in(_body(path)) and not _tests_in(_classes(path))


def _has_tests(path: Path) -> bool:
    return _tests_in([*_body(path), *_classes(path)])


def _tests_in(body: Sequence[ast.stmt]) -> bool:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return any(isinstance(node, kinds) and node.name.startswith("test") for node in body)


def _classes(path: Path) -> list[ast.stmt]:
    """What is in the classes of a file."""
    return [n for node in _body(path) if isinstance(node, ast.ClassDef) for n in node.body]


def _body(path: Path) -> list[ast.stmt]:
    try:
        return parse(read_bounded(path)).body
    except (OSError, SyntaxError):
        return []


def _settings(path: Path, section: str) -> Mapping[str, Any] | None:
    """What a file sets for pytest; None if pytest would look into the next one."""
    try:
        text = read_text_bounded(path, MOST_SETTINGS)
        if not section:
            return _table(parse_toml(text))
        parser = parse_ini(text)
    except (OSError, ValueError, configparser.Error):
        return None
    if parser.has_section(section):
        return dict(parser.items(section))
    return {} if path.name.endswith("pytest.ini") else None


def _table(data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found: Any = data
    for name in ("tool", "pytest"):
        found = cast("Mapping[str, Any]", found).get(name) if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping):
        return None
    pytest = cast("Mapping[str, Any]", found)
    old = pytest.get("ini_options")  # before pytest 9
    return cast("Mapping[str, Any]", old) if isinstance(old, Mapping) else pytest


def _words(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(value.split())
    words = cast("Sequence[object]", value) if isinstance(value, list) else ()
    return tuple(word for word in words if isinstance(word, str))
