"""Verifiable rewards, one a turn, and advantages normalised among the rollouts of a group.

1.0 at the turn that first makes every test pass, hidden ones included; -0.5 at the last turn of any
chain that ends otherwise, and for a malformed command; -0.1 for an edit that leads back to where
the chain was, or changes nothing; 0 else. Penalties of one turn are not added up.

From the paper (arXiv 2507.05065) are 1.0, and -0.5 for what is malformed or never exits. There EXIT
costs nothing, which pays as soon as a repair is unlikely (below one in three): here a chain that
gives up has failed like any other. In serving a command that leads back is drawn again; here the
first draw counts, so that its small penalty is what teaches to go on.

With an edit penalty (off by default) a repair earns less, the more characters it changes beyond the
smallest repair of its group. From PRepair (arXiv 2604.05963, EA-GRPO) is that only what is right
pays for its edits, and only in groups that are right often enough, since else a model learns to
change nothing; the share (a half), the measure and its scale are ours.

Our reading of "normalised per turn", which the paper leaves open: turn t of a rollout is compared
with turn t of the others of its group, so first the return of each turn is formed (the sum of the
rewards from there to the end, undiscounted: what an early edit is good for shows only later; or
that of another chain, see `training.credit`), then
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
FAILED = -0.5
WENT_BACK = -0.1
_SMALL = 1e-4
# The share of a group that has to be right before its repairs pay for their edits.
_RIGHT_OFTEN = 0.5


def compute_rewards(episode: Episode, *, overfits: bool = False) -> list[float]:
    """One reward for each turn of an episode that has ended.

    `overfits`: the tests that it was shown pass, but not all that are hidden.
    """
    found = [_reward_step(episode, number) for number in range(len(episode.turns))]
    if found and not (episode.solved and not overfits):
        found[-1] = min(found[-1], FAILED)
    elif found:
        found[-1] = SOLVED
    return found


def _reward_step(episode: Episode, number: int) -> float:
    """What a turn earns that does not end its chain."""
    turn = episode.turns[number]
    if turn.error is not None:
        return MALFORMED
    before = (episode.start, *(earlier.pad for earlier in episode.turns[:number]))
    went_back = any(turn.pad.lines == pad.lines for pad in before)
    return WENT_BACK if went_back else 0.0


def draw_random_rewards(episode: Episode, random: Random) -> list[float]:
    """The control arm: a coin for the whole chain, given at its last turn."""
    reward = SOLVED * (random.random() < 0.5)
    return [0.0] * (len(episode.turns) - 1) + [reward] * bool(episode.turns)


def charge_edits(
    rewards: Sequence[Sequence[float]], costs: Sequence[int | None], penalty: float
) -> list[list[float]]:
    """A group's rewards, less up to `penalty` for repairs that are not the smallest.

    `costs` are the characters that each rollout's repair changes, None where it is not right.
    """
    charged = [list(scores) for scores in rewards]
    right = [cost for cost in costs if cost is not None]
    if len(right) < max(1.0, _RIGHT_OFTEN * len(costs)):
        return charged
    least = min(right)
    for scores, cost in zip(charged, costs, strict=True):
        if cost:
            scores[-1] -= penalty * (1 - least / cost)
    return charged


def compute_returns(of: Sequence[float]) -> list[float]:
    """Sums of the rewards from each turn to the end."""
    total = 0.0
    sums: list[float] = []
    for reward in reversed(of):
        total += reward
        sums.append(total)
    return sums[::-1]


def compute_advantages(returns: Sequence[Sequence[float]]) -> list[list[float]]:
    """Advantages by rollout and turn, from returns by rollout and turn."""
    first = [rollout[0] for rollout in returns if rollout]
    made: list[list[float]] = [[] for _ in returns]
    for turn in range(max((len(rollout) for rollout in returns), default=0)):
        alive = [rollout[turn] for rollout in returns if len(rollout) > turn]
        among = alive if len(alive) >= 2 else first
        mean, deviation = statistics.fmean(among), statistics.pstdev(among)
        for rollout, own in zip(returns, made, strict=True):
            if len(rollout) > turn:
                own.append((rollout[turn] - mean) / (deviation + _SMALL) if deviation else 0.0)
    return made
