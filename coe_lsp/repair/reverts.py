"""Repairs that take back what the user changed: hunks that are not committed, singly and in pairs.

They are shown as what they are, and after any repair that keeps the change.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

from attrs import frozen

from coe_lsp.errors import CoeError
from coe_lsp.execution.project import Project
from coe_lsp.execution.suite import Run
from coe_lsp.repair.acceptance import Acceptance
from coe_lsp.repair.changes import Changes, Hunk, describe_hunks, taken_back
from coe_lsp.repair.deadline import Deadline
from coe_lsp.repair.outcome import Repaired
from coe_lsp.repair.patch import Patch
from coe_lsp.repair.target.source import SourceFile

# So many hunks are taken back singly, the first of these in pairs, before all at once.
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

    `suspect` files come first. `run` runs what the acceptance asks for with some files changed.
    """
    order = {file: number for number, file in enumerate(suspect)}
    hunks = sorted(changes.hunks, key=lambda hunk: order.get(hunk.file, len(order)))
    for chosen in _choices(hunks):
        if deadline.left() <= 0:
            return None
        patch = taken_back(chosen, sources)
        changed = patch.apply(sources)
        try:
            project, ran = run(changed)
            good = acceptance.met(ran) and not breaks_elsewhere(changed)
        except CoeError:  # no test can be run without them
            continue
        if good:
            changed = {file: sources[file] for file in patch.files}
            seen = Acceptance.seen(ran, acceptance.target_tests)
            return Revert(_shown(chosen, patch, changed), changed, project, ran, seen)
    return None


def _choices(hunks: Sequence[Hunk]) -> Iterator[tuple[Hunk, ...]]:
    for hunk in hunks[:_SINGLY]:
        yield (hunk,)
    if len(hunks) > 2:
        yield from itertools.combinations(hunks[:_IN_PAIRS], 2)
    if len(hunks) > 1:
        yield tuple(hunks)


def _shown(hunks: Sequence[Hunk], patch: Patch, sources: Mapping[str, SourceFile]) -> Repaired:
    reason = f"takes back your change of {_of(hunks)}"
    return Repaired(patch, patch.diff(sources), reason, (), takes_back=True)


def _of(hunks: Sequence[Hunk]) -> str:
    return describe_hunks(hunks) if len(hunks) < 3 else f"{len(hunks)} places"
