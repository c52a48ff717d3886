"""What the user changed lately: which lines, and which hunks are not committed.

Read from git's objects and compared here. Runs nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

from coe_lsp.execution.git import committed, fork_point
from coe_lsp.repair.patch import BlockEdit, Patch
from coe_lsp.repair.target.source import Function, SourceError, SourceFile

#: How much a line counts that has changed since a commit, and since the branch began.
_REVISIONS = (("HEAD", 1.0), ("HEAD~1", 0.6), ("HEAD~5", 0.3))
_ON_THE_BRANCH = 0.5


@frozen
class Hunk:
    """Lines `first` to `last` (1-based) of a file that were `old` before; none if last < first."""

    file: str
    first: int
    last: int
    old: tuple[str, ...]


@frozen
class Changes:
    """What was changed: by file and line (1-based) how lately, from 0 to 1; and open hunks.

    `before` has the committed text of each file that has hunks.
    """

    lines: Mapping[str, Mapping[int, float]]
    hunks: tuple[Hunk, ...]
    before: Mapping[str, SourceFile]


def find_changes(root: Path, sources: Mapping[str, SourceFile]) -> Changes:
    """The changes of some files since the last commits; none where git knows nothing of them."""
    lines: dict[str, dict[int, float]] = {}
    hunks: list[Hunk] = []
    before: dict[str, SourceFile] = {}
    fork = fork_point(root) if sources else None
    revisions = (*_REVISIONS, *(((fork, _ON_THE_BRANCH),) if fork else ()))
    for revision, weight in revisions:
        for file, data in committed(root, list(sources), revision).items():
            try:
                old = SourceFile.parse(sources[file].path, data)
            except SourceError:
                continue
            if not sources[file].lines:  # there is no line that a change could be of
                continue
            found = list(_hunks(file, old, sources[file]))
            for hunk in found:
                # Where lines were taken out, those on both sides are near.
                near = range(hunk.first, max(hunk.last, hunk.first) + 1)
                for line in near:
                    known = lines.setdefault(file, {})
                    known[line] = max(weight, known.get(line, 0.0))
            if found and revision == "HEAD":
                hunks += found
                before[file] = old
    return Changes(lines, tuple(hunks), before)


def _hunks(file: str, old: SourceFile, new: SourceFile) -> list[Hunk]:
    matcher = difflib.SequenceMatcher(None, old.lines, new.lines)
    return [
        Hunk(file, start + 1, end, old.lines[first:last])
        for tag, first, last, start, end in matcher.get_opcodes()
        if tag != "equal"
    ]


def parts_of(hunk: Hunk, source: SourceFile) -> tuple[Hunk, ...]:
    """Hunks of one line each: one of the new lines as an old one, the most alike first, or gone.

    Where nothing is new one of the old lines is there again.
    """
    new = range(hunk.first, hunk.last + 1)
    if not new:
        return tuple(Hunk(hunk.file, hunk.first, hunk.last, (old,)) for old in hunk.old)
    pairs = [(number, old) for number in new for old in hunk.old]
    pairs.sort(key=lambda pair: -_likeness(source.lines[pair[0] - 1], pair[1]))
    replaced = [Hunk(hunk.file, number, number, (old,)) for number, old in pairs]
    return (*replaced, *(Hunk(hunk.file, number, number, ()) for number in new))


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one.strip(), other.strip()).ratio()


def taken_back(hunks: Sequence[Hunk], sources: Mapping[str, SourceFile]) -> Patch:
    """The patch that takes hunks back."""
    edits: list[BlockEdit] = []
    for file in dict.fromkeys(hunk.file for hunk in hunks):
        source = sources[file]
        mine = sorted((h for h in hunks if h.file == file), key=lambda h: h.first, reverse=True)
        lines = list(source.lines)
        for hunk in mine:
            lines[hunk.first - 1 : hunk.last] = hunk.old
        # From a line without indentation on, which is what a block's lines have in common.
        first = _unindented(source.lines, min(hunk.first for hunk in mine))
        last = max(first, *(min(hunk.last, len(source.lines)) for hunk in mine))
        end = len(lines) - (len(source.lines) - last)
        text = tuple(line.rstrip("\r\n") for line in lines[first - 1 : end])
        edits.append(BlockEdit(file, Function(_name(mine), first, last), text))
    return Patch(tuple(edits))


def describe_hunks(hunks: Sequence[Hunk]) -> str:
    """Which changes these are, for people: `line 12 of shop.py`."""
    return " and ".join(f"{_name([hunk])} of {hunk.file}" for hunk in hunks)


def _name(hunks: Sequence[Hunk]) -> str:
    first, last = min(h.first for h in hunks), max(h.last for h in hunks)
    return f"lines {first} to {last}" if last > first else f"line {first}"


def _unindented(lines: Sequence[str], number: int) -> int:
    """The last line (1-based) up to this one that starts at the margin."""
    for at in range(min(number, len(lines)), 0, -1):
        if lines[at - 1][:1].strip():
            return at
    return 1
