"""Which return a turn is compared by: that of its own chain, or of the best that went on from it.

Chains of a group that begin with the same commands are one path of a tree, which parts where they
say different things. With `best` a turn gets the highest return of all chains that go through it:
an edit is as good as what can be made of it, so one that was right is not blamed for what came
after it in its own chain.

From MURPHY (arXiv 2511.07833) is the reward of the best descendant (its MaRS). There the tree is
grown, several continuations being sampled from each failed state; here it is what the chains of a
group happen to share, and nothing more is sampled: that is ours. Its other form, the mean of the
descendants (MeRS), is left out: over shared beginnings it gives the sum of gradients that single
chains give.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

from coe_lsp.chain.episode import Episode
from training.rewards import compute_returns

#: By which return a turn is compared.
Credit = Literal["chain", "best"]


def assign_credit(
    episodes: Sequence[Episode], rewards: Sequence[Sequence[float]], credit: Credit
) -> list[list[float]]:
    """The return of each turn of a group's episodes, from rewards by episode and turn."""
    returns = [compute_returns(scores) for scores in rewards]
    if credit == "chain":
        return returns
    paths = [_paths(episode) for episode in episodes]
    best: defaultdict[tuple[str, ...], float] = defaultdict(lambda: float("-inf"))
    for path, values in zip(paths, returns, strict=True):
        for node, value in zip(path, values, strict=True):
            best[node] = max(best[node], value)
    return [[best[node] for node in path] for path in paths]


def _paths(episode: Episode) -> list[tuple[str, ...]]:
    """For each turn the commands up to it: they alone say which state the chain is in."""
    commands = tuple(turn.command_text for turn in episode.turns)
    return [commands[: number + 1] for number in range(len(commands))]
