"""Repairs that take back what the user changed: hunks that are not committed, singly, in pairs and
in part.

They are shown as what they are, and after any repair that keeps the change.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import cast

from attrs import frozen

from coe_lsp.errors import CoeError
from coe_lsp.execution.project import Project
from coe_lsp.execution.suite import Run
from coe_lsp.parsing import parse
from coe_lsp.repair.acceptance import Acceptance
from coe_lsp.repair.changes import Changes, Hunk, describe_hunks, parts_of, taken_back
from coe_lsp.repair.deadline import Deadline
from coe_lsp.repair.outcome import Repaired
from coe_lsp.repair.patch import Patch
from coe_lsp.repair.target.source import SourceFile

_ENDS = (ast.Return, ast.Raise, ast.Break, ast.Continue)
# So many hunks are taken back singly, the first of these in pairs, before all at once; of each so
# many lines.
_SINGLY, _IN_PAIRS = 24, 6


@frozen
class Revert:
    """A patch that takes hunks back, what it does, and the run of a project that showed it."""

    repaired: Repaired
    sources: Mapping[str, SourceFile]
    project: Project
    run: Run
    acceptance: Acceptance


def find_revert(
    changes: Changes,
    sources: Mapping[str, SourceFile],
    suspect: Sequence[str],
    acceptance: Acceptance,
    run: Callable[[Mapping[str, SourceFile]], tuple[Project, Run]],
    breaks_elsewhere: Callable[[Mapping[str, SourceFile]], bool],
    deadline: Deadline,
) -> Revert | None:
    """The fewest hunks that, taken back, make a repair; None if there are none, or not in time.

    Of those it is one line, if that does; of all hunks if none of them does as a whole. `suspect`
    files come first. `run` runs what the
    acceptance asks for with some files changed.
    """

    def attempt(chosen: Sequence[Hunk]) -> Revert | None:
        patch = taken_back(chosen, sources)
        changed = patch.apply(sources)
        try:
            project, ran = run(changed)
            good = acceptance.met(ran) and not breaks_elsewhere(changed)
        except CoeError:  # no test can be run without them
            return None
        if not good:
            return None
        changed = {file: sources[file] for file in patch.files}
        seen = Acceptance.seen(ran, acceptance.target_tests)
        return Revert(_shown(chosen, patch, changed), changed, project, ran, seen)

    def first_of(choices: Iterable[tuple[Hunk, ...]]) -> tuple[Revert | None, Sequence[Hunk]]:
        for chosen in choices:
            if deadline.left() <= 0:
                break
            if found := attempt(chosen):
                return found, chosen
        return None, ()

    order = {file: number for number, file in enumerate(suspect)}
    hunks = sorted(changes.hunks, key=lambda hunk: order.get(hunk.file, len(order)))
    found, chosen = first_of(_choices(hunks))
    part, _ = first_of(_parts(chosen or hunks, sources))
    return part or found


def _choices(hunks: Sequence[Hunk]) -> Iterator[tuple[Hunk, ...]]:
    for hunk in hunks[:_SINGLY]:
        yield (hunk,)
    if len(hunks) > 2:
        yield from itertools.combinations(hunks[:_IN_PAIRS], 2)
    if len(hunks) > 1:
        yield tuple(hunks)


def _parts(hunks: Sequence[Hunk], sources: Mapping[str, SourceFile]) -> Iterator[tuple[Hunk, ...]]:
    """Lines of hunks; not what would leave code that nothing comes to."""
    for hunk in hunks[:_SINGLY]:
        source = sources[hunk.file]
        dead = _dead_statements(source.text)
        parts = parts_of(hunk, source)
        for part in parts[:_SINGLY] if len(parts) > 1 else ():
            text = taken_back((part,), sources).apply(sources)[hunk.file].text
            if (left := _dead_statements(text)) is not None and left <= (dead or 0):
                yield (part,)


def _dead_statements(text: str) -> int | None:
    """How many statements stand directly below one that ends their block; None: no Python."""
    try:
        tree = parse(text)
    except SyntaxError:
        return None
    fields = (field for node in ast.walk(tree) for _, field in ast.iter_fields(node))
    blocks = (cast("list[ast.AST]", field) for field in fields if isinstance(field, list))
    return sum(isinstance(one, _ENDS) for block in blocks for one in block[:-1])


def _shown(hunks: Sequence[Hunk], patch: Patch, sources: Mapping[str, SourceFile]) -> Repaired:
    reason = f"takes back your change of {_of(hunks)}"
    return Repaired(patch, patch.diff(sources), reason, (), takes_back=True)


def _of(hunks: Sequence[Hunk]) -> str:
    return describe_hunks(hunks) if len(hunks) < 3 else f"{len(hunks)} places"
