"""Verifiable rewards, one a turn, and advantages normalised among the rollouts of a group.

From the paper (arXiv 2507.05065): 1.0 at the turn that first makes every test pass, -0.5 for a
malformed command or for never exiting, 0 otherwise. A chain that ends without success and without
EXIT, out of turns or of context, has "never exited": its last turn gets -0.5. Both penalties are
not added up.

Our reading of "normalised per turn", which the paper leaves open: turn t of a rollout is compared
with turn t of the others of its group, so first the return of each turn is formed (the sum of the
rewards from there to the end, undiscounted: what an early edit is good for shows only later), then
mean and deviation are taken over the rollouts that are still alive at turn t. Where fewer than two
are alive there is nothing to compare with: the turn is compared with the returns of the whole group
at its first turn instead, so that the one chain that got further than the others still learns. If
all returns are equal the advantage is 0.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from random import Random

from coe_lsp.chain.episode import Episode

SOLVED = 1.0
MALFORMED = -0.5
NEVER_EXITED = -0.5
_SMALL = 1e-4


def compute_rewards(episode: Episode) -> list[float]:
    """One reward for each turn of an episode that has ended."""
    found = [
        SOLVED if turn.passed else MALFORMED if turn.error is not None else 0.0
        for turn in episode.turns
    ]
    if found and not episode.solved and not episode.exited:
        found[-1] = min(found[-1], NEVER_EXITED)
    return found


def draw_random_rewards(episode: Episode, random: Random) -> list[float]:
    """The control arm: a coin for the whole chain, given at its last turn."""
    reward = SOLVED * (random.random() < 0.5)
    return [0.0] * (len(episode.turns) - 1) + [reward] * bool(episode.turns)


def compute_returns(of: Sequence[float]) -> list[float]:
    """Sums of the rewards from each turn to the end."""
    total = 0.0
    sums: list[float] = []
    for reward in reversed(of):
        total += reward
        sums.append(total)
    return sums[::-1]


def compute_advantages(group: Sequence[Sequence[float]]) -> list[list[float]]:
    """Advantages by rollout and turn, from rewards by rollout and turn."""
    sums = [compute_returns(rewards) for rewards in group]
    first = [rollout[0] for rollout in sums if rollout]
    made: list[list[float]] = [[] for _ in sums]
    for turn in range(max((len(rollout) for rollout in sums), default=0)):
        alive = [rollout[turn] for rollout in sums if len(rollout) > turn]
        among = alive if len(alive) >= 2 else first
        mean, deviation = statistics.fmean(among), statistics.pstdev(among)
        for rollout, own in zip(sums, made, strict=True):
            if len(rollout) > turn:
                own.append((rollout[turn] - mean) / (deviation + _SMALL) if deviation else 0.0)
    return made
