"""What people changed between two versions, in units that can be taken back one by one.

Pure: works on texts, runs nothing. A unit is one function, one hunk, or everything at once. Units
that change nothing that runs (comments, docstrings, layout) are left out, and so are those that
would leave a file that does not parse.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from attrs import evolve, frozen

from coe_lsp.chain.edits import Hunk, hunks_between
from coe_lsp.parsing import parse
from coe_lsp.repair.target.source import Function, SourceFile, split_lines
from training.bugs.bugs import Size, Unit
from training.meaning import does_parse, meaning

#: Changed lines with so few between them are one hunk.
_GAP = 2
_DOCUMENTED = (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@frozen
class Change:
    """Something to take back: the `files` as they are with it taken back, by path.

    `lines` are the lines (1-based) of the new version that it concerns, by path: those that are
    replaced, or the two around a place where something is put back.
    """

    unit: Unit
    files: Mapping[str, str]
    lines: Mapping[str, range]
    function: str | None = None
    hunk: int | None = None

    @property
    def digest(self) -> str:
        """Of the files' names and texts."""
        whole = hashlib.sha256()
        for path in sorted(self.files):
            whole.update(f"{path}\0{self.files[path]}\0".encode("utf-8", "surrogatepass"))
        return whole.hexdigest()[:16]


def find_hunks(before: Sequence[str], after: Sequence[str]) -> list[Hunk]:
    """The runs of lines that differ; those with next to nothing between them are one."""
    joined: list[Hunk] = []
    for hunk in hunks_between(before, after):
        if joined and hunk.first - joined[-1].last <= _GAP:
            joined[-1] = evolve(joined[-1], last=hunk.last, end=hunk.end)
        else:
            joined.append(hunk)
    return joined


def find_changes(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    """Functions, then hunks, by file; the same text is given once. Paths in both versions only."""
    seen: set[str] = set()
    for path in sorted(before.keys() & after.keys()):
        if before[path] == after[path] or not (
            does_parse(before[path]) and does_parse(after[path])
        ):
            continue
        texts = before[path], after[path]
        for change in (*_functions(path, *texts), *_hunks(path, *texts)):
            if change.digest not in seen and _matters(change, after):
                seen.add(change.digest)
                yield change


def whole_change(before: Mapping[str, str], after: Mapping[str, str]) -> Change | None:
    """All that changed in files of both versions, as one unit; None if it changes nothing."""
    changed = {p: before[p] for p in before.keys() & after.keys() if before[p] != after[p]}
    lines = {path: range(1, after[path].count("\n") + 2) for path in changed}
    functions = {_only_function(path, before[path], after[path]) for path in changed}
    function = functions.pop() if len(functions) == 1 and len(changed) == 1 else None
    change = Change("commit", changed, lines, function)
    return change if changed and _matters(change, after) else None


@frozen
class Fix:
    """The human fix of a bug: how big it is, its code lines, and a digest of what they say."""

    size: Size
    added: int
    removed: int
    digest: str


def measure_fix(change: Change, after: Mapping[str, str]) -> Fix:
    """The fix that a change taken back waits for.

    Lines that are blank, only a comment, or of a docstring do not count. A function with several
    hunks is "one function"; what lies in several functions or files is "several". Two fixes with
    the same digest are the same fix in two versions.
    """
    added: list[str] = []
    removed: list[str] = []
    hunks = 0
    for path, faulty in sorted(change.files.items()):
        old, new = _code(faulty), _code(after[path])
        for hunk in find_hunks(old, new):
            gone = [line for line in old[hunk.first : hunk.last] if line]
            come = [line for line in new[hunk.start : hunk.end] if line]
            for part in hunks_between(gone, come):
                removed += gone[part.first : part.last]
                added += come[part.start : part.end]
            hunks += bool(gone or come)
    size: Size = "one function" if change.function else "several"
    if hunks <= 1:
        size = "one line" if len(added) <= 1 and len(removed) <= 1 else "one hunk"
    said = "\n".join([*map(str.strip, removed), "=>", *map(str.strip, added)])
    digest = hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return Fix(size, len(added), len(removed), digest)


def is_source(path: str) -> bool:
    """Whether a path is of Python code that is not there for tests, documents or building."""
    parts = PurePosixPath(path).parts
    name = parts[-1]
    away = {"test", "tests", "testing", "docs", "doc", "examples", "benchmarks", "build", "tools"}
    return (
        name.endswith(".py")
        and not name.startswith("test_")
        and not name.endswith("_test.py")
        and name not in {"setup.py", "conftest.py", "conf.py", "noxfile.py", "_version.py"}
        and away.isdisjoint(parts[:-1])
        and not any(part.startswith(".") for part in parts)
    )


def _code(text: str) -> list[str]:
    """The lines of a text, those that are no code as empty ones."""
    lines = [line.rstrip() for line in split_lines(text)]
    for node in ast.walk(parse(text)):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False):
            first = node.body[0]
            span = first.lineno - 1, first.end_lineno
            lines[slice(*span)] = [""] * len(lines[slice(*span)])
    return ["" if line.strip().startswith("#") else line for line in lines]


def _matters(change: Change, after: Mapping[str, str]) -> bool:
    trees = [(meaning(text), meaning(after[path])) for path, text in change.files.items()]
    return all(None not in pair for pair in trees) and any(old != new for old, new in trees)


def _unique_functions(text: str, path: str) -> tuple[SourceFile, dict[str, Function]]:
    """The outermost functions (methods among them) whose name only one has."""
    source = SourceFile.parse(Path(path), text.encode("utf-8", "surrogatepass"))
    found: dict[str, list[Function]] = {}
    for function in source.functions():
        found.setdefault(function.name, []).append(function)
    outer = {name: many[0] for name, many in found.items() if len(many) == 1}
    return source, {name: f for name, f in outer.items() if f.owner not in outer}


def _functions(path: str, before: str, after: str) -> Iterator[Change]:
    old_source, old = _unique_functions(before, path)
    source, new = _unique_functions(after, path)
    for name, function in new.items():
        if name not in old:
            continue
        past = old_source.lines[old[name].first - 1 : old[name].last]
        if past == source.lines[function.first - 1 : function.last]:
            continue
        lines = (*source.lines[: function.first - 1], *past, *source.lines[function.last :])
        span = range(function.first, function.last + 1)
        yield Change("function", {path: "".join(lines)}, {path: span}, name)


def _hunks(path: str, before: str, after: str) -> Iterator[Change]:
    lines = split_lines(after)
    _, functions = _unique_functions(after, path)
    old = split_lines(before)
    for number, hunk in enumerate(find_hunks(lines, old)):
        put_back = old[hunk.start : hunk.end]
        text = "".join((*lines[: hunk.first], *put_back, *lines[hunk.last :]))
        first = hunk.first + 1
        inside = [
            name
            for name, f in functions.items()
            if f.first <= first <= f.last and hunk.last <= f.last
        ]
        touched = range(first, hunk.last + 1) or range(max(1, hunk.first), first + 1)
        function = inside[0] if inside else None
        yield Change("hunk", {path: text}, {path: touched}, function, number)


def _only_function(path: str, before: str, after: str) -> str | None:
    """The function in which all of a file's hunks lie, if there is one."""
    try:
        names = {change.function for change in _hunks(path, before, after)}
    except ValueError:
        return None
    return names.pop() if len(names) == 1 else None
