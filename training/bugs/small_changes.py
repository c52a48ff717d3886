"""Small changes of single functions from git histories: what people's fixes look like.

No test is run: a commit that changes one function of the code, by a few lines, and tests beside it,
nearly always mends something. So there are many more of these than real bugs whose tests can be
run, enough to count which kinds of edits people make.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from coe_lsp.repair.target.source import SourceError, SourceFile
from training.bugs.bugs import Size
from training.bugs.changes import measure_fix, whole_change
from training.bugs.history import find_commits, read_texts

# Between the first line that differs and the last there are no more lines in a small change.
_FAR = 60


@frozen
class SmallChange:
    """A function before and after a commit, in lines at the margin, and the module before it."""

    name: str
    size: Size
    module: str
    owner: str
    before: tuple[str, ...]
    after: tuple[str, ...]


def find_small_changes(repository: Path, *, commits: int, most_lines: int) -> Iterator[SmallChange]:
    """Of the newest `commits` those changes of one function with at most so many lines of code.

    BugError if there is no history.
    """
    for commit in find_commits(repository, most=commits):
        if len(commit.sources) != 1:
            continue
        (path,) = commit.sources
        texts = [read_texts(repository, c, (path,)) for c in (commit.parent, commit.commit)]
        if not all(path in text for text in texts) or _is_far(*(text[path] for text in texts)):
            continue
        change = whole_change(*texts)
        if change is None or change.function is None:
            continue
        fix = measure_fix(change, texts[1])
        if fix.added + fix.removed > most_lines:
            continue
        try:
            old, new = (SourceFile.parse(Path(path), t[path].encode()) for t in texts)
            function, later = old.find(change.function), new.find(change.function)
        except SourceError:
            continue
        around = old.lines[: function.first - 1], old.lines[function.last :]
        if around != (new.lines[: later.first - 1], new.lines[later.last :]):
            continue
        yield SmallChange(
            f"{commit.commit[:12]} {path}::{change.function}",
            fix.size,
            texts[0][path],
            function.owner,
            old.scratch_lines(function),
            new.scratch_lines(later),
        )


def _is_far(before: str, after: str) -> bool:
    """Whether changes are so far apart that they are not small; quickly, since most are."""
    old, new = before.split("\n"), after.split("\n")
    pairs = list(zip(old, new, strict=False))
    start = next((n for n, (a, b) in enumerate(pairs) if a != b), len(pairs))
    pairs = list(zip(reversed(old[start:]), reversed(new[start:]), strict=False))
    same = next((n for n, (a, b) in enumerate(pairs) if a != b), len(pairs))
    return max(len(old), len(new)) - start - same > _FAR
