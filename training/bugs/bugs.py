"""A real bug as data: where it is, what takes it back, which tests notice. Holds no code of others.

A bug is a version of a package in which one change that people made is taken back. The list that
is committed names package, versions and place; `checkout.py` makes the code again from it. Nothing
is fetched or run here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import attrs
from attrs import field, frozen

from coe_lsp.errors import CoeError
from training.files import write_lines

#: What is taken back: one function, one hunk, or all that one commit changed.
Unit = Literal["function", "hunk", "commit"]
#: A fault is wrong code; a feature is code whose tests want names that it does not have yet.
Kind = Literal["fault", "feature"]
#: How much the human fix changes, from little to much.
Size = Literal["one line", "one hunk", "one function", "several"]
SIZES: tuple[Size, ...] = ("one line", "one hunk", "one function", "several")
# What a name on the index has that the repository's may lack: python-dateutil, jinja2.
_DECORATION = re.compile(r"^python-|(?<=[a-z]{3})\d$")


class BugError(CoeError):
    """A list of bugs, or what it names, cannot be used."""


@frozen
class Origin:
    """Which two versions: releases of a package, or a commit of a repository and its parent."""

    package: str
    after: str
    before: str
    repository: str = ""

    @property
    def name(self) -> str:
        """Short, and unique among versions."""
        return f"{self.package}-{self.after[:12]}"


@frozen
class Bug:
    """A change taken back.

    `files` are the ones that differ, relative to the root of the checkout, with forward slashes.
    `function` is the qualified name where the change lies within one; `hunk` its number among the
    file's hunks (from 0) if it is one. `failing` are ids of tests that fail only because of it (at
    most 40 of `failing_count`), `seconds` what the whole suite takes. `digest` is of the faulty
    files, so that what is made again is the same; `fix` is that of the human fix, whose lines
    `added` and `removed` count.
    """

    bug_id: str
    origin: Origin
    unit: Unit
    files: tuple[str, ...] = field(converter=tuple[str, ...])
    function: str | None
    hunk: int | None
    kind: Kind
    size: Size
    added: int
    removed: int
    failing: tuple[str, ...] = field(converter=tuple[str, ...])
    failing_count: int
    seconds: float
    digest: str
    fix: str = ""
    split: str = ""

    def dumps(self) -> str:
        """One line of JSON."""
        return json.dumps(attrs.asdict(self), ensure_ascii=False)

    @classmethod
    def loads(cls, line: str) -> Bug:
        """Read what `dumps` wrote. ValueError, KeyError or TypeError for anything else."""
        data: dict[str, Any] = json.loads(line)
        return cls(**{**data, "origin": Origin(**data["origin"])})


def load_bugs(path: Path, *, split: str = "") -> list[Bug]:
    """The bugs of a list, of all splits or of one. BugError for a file that is none."""
    bugs: list[Bug] = []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BugError(f"The list of bugs {path} cannot be read: {error}.") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                bugs.append(Bug.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise BugError(f"{path}, line {number}, is not a bug: {error!r}.") from error
    return [bug for bug in bugs if not split or bug.split == split]


def drop_repeated(bugs: Iterable[Bug]) -> list[Bug]:
    """The bugs without those that are mended by the same fix of the same project.

    A repository and the package of its name are one project.
    """
    seen: set[tuple[str, str]] = set()
    kept: list[Bug] = []
    for bug in bugs:
        key = (project_of(bug), bug.fix)
        if key not in seen:
            seen.add(key)
            kept.append(bug)
    return kept


def project_of(bug: Bug) -> str:
    """What a bug's package is called, as package and as repository alike."""
    return project_name(bug.origin.package)


def project_name(package: str) -> str:
    """One name for a package and its repository: `jinja` of `jinja2` and `pallets/jinja`."""
    return _DECORATION.sub("", package.rpartition("/")[2].lower())


def projects(bugs: Iterable[Bug]) -> set[str]:
    """The projects that bugs are of."""
    return {project_of(bug) for bug in bugs}


def save_bugs(path: Path, bugs: Iterable[Bug]) -> None:
    """Write a list, all at once or not at all."""
    write_lines(path, (bug.dumps() for bug in bugs))
