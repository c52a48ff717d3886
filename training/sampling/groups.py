"""Groups of rollouts that there is something to learn from: dynamic sampling (DAPO, 2503.14476).

Where all rollouts of a program are right, or none is, none is better than the others. Such groups
are put aside and other programs tried in their place, a bounded number of times.
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
) -> SampledGroups:
    """Up to `count` groups in which some rollouts are right and some are not.

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
            right = {rollout.right for rollout in group}
            (kept if len(right) > 1 else alike).append(group)
    return SampledGroups(kept, alike)
