"""Groups of rollouts that there is something to learn from: dynamic sampling (DAPO, 2503.14476).

Where all rollouts of a program are right, or none is, none is better than the others, unless right
ones are told apart by their edits. Groups that are alike are put aside and other programs tried in
their place, a bounded number of times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from attrs import frozen

from training.sampling.rollouts import Rollout

T = TypeVar("T")


@frozen
class SampledGroups:
    """The rollouts of one step: `groups[i][j]` is the j-th from the i-th start program.

    `alike` are the groups that were put aside. `testing_seconds` is the part of the time that the
    tests took.
    """

    groups: Sequence[Sequence[Rollout]]
    alike: Sequence[Sequence[Rollout]] = ()
    testing_seconds: float = 0.0


def sample_informative(
    programs: Iterator[T],
    sample: Callable[[Sequence[T]], Sequence[Sequence[Rollout]]],
    count: int,
    resamples: int,
    *,
    by_edits: bool = False,
) -> SampledGroups:
    """Up to `count` groups in which some rollouts are right and some are not.

    `by_edits`: or in which all are right and some change more than others.

    `sample` rolls out a few programs. After the first time it is asked at most `resamples` times
    more, for as many programs as groups are missing.
    """
    kept: list[Sequence[Rollout]] = []
    alike: list[Sequence[Rollout]] = []
    for _ in range(1 + resamples):
        some = list(islice(programs, count - len(kept)))
        if not some:
            break
        for group in sample(some):
            (kept if _differ(group, by_edits=by_edits) else alike).append(group)
    return SampledGroups(kept, alike)


def _differ(group: Sequence[Rollout], *, by_edits: bool) -> bool:
    right = {rollout.right for rollout in group}
    return right == {True, False} or (
        by_edits and right == {True} and len({rollout.edit_cost for rollout in group}) > 1
    )
