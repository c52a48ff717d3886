"""What the model thinks of changes that it did not write: of mutants, and of repairs.

Asks the policy and turns its log-likelihoods into weights; what is done with them is the search's.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from coe_lsp.chain.commands import ReplaceLine, parse, render
from coe_lsp.chain.episode import Episode
from coe_lsp.mutations.mutants import Mutant
from coe_lsp.repair.policy.protocol import Policy
from coe_lsp.repair.search.ranking import Patch, best

# A model's opinion counts less than it says: it is surprised by much that is right. A usual one, as
# the median mutant gets it, changes nothing, as none does for mutants that no model has weighed.
_OPINION, _LOWEST, _USUAL, _HIGHEST = 0.3, -16.0, -8.0, 4.0
_VARIANTS_WEIGHED = 2000
_PATCHES_RANKED, _COMMANDS_ASKED = 5, 6


def weighed(
    policy: Policy, episode: Episode, line: int, mutants: Sequence[Mutant]
) -> dict[int, float]:
    """What to add to the weights of mutants that change this line (1-based) alone, by `id`."""
    start = episode.pad.lines
    single = [m for m in mutants if m.line == line and _only_differs_in(m.lines, start, line)]
    single = single[:_VARIANTS_WEIGHED]
    if not single:
        return {}
    ratios = policy.prefer(episode, line, [mutant.lines[line - 1] for mutant in single])
    return {
        id(mutant): _OPINION * (min(max(ratio, _LOWEST), _HIGHEST) - _USUAL)
        for mutant, ratio in zip(single, ratios, strict=True)
    }


def ranked(policy: Policy, episode: Episode, patches: Sequence[Patch]) -> tuple[Patch, ...]:
    """The best of the repairs asked about, in the order that the model's likelihoods give them."""
    asked, rest = patches[:_PATCHES_RANKED], patches[_PATCHES_RANKED:]
    if any(len(patch.commands) > _COMMANDS_ASKED for patch in asked):
        return tuple(patches)  # many lines that only hang deeper: nothing that a model must judge
    start = episode.pad.lines
    pairs = [[(text, _unchanged(text, start)) for text in patch.commands] for patch in asked]
    texts = list(dict.fromkeys(text for both in pairs for pair in both for text in pair))
    scores = dict(zip(texts, policy.likelihoods(episode, texts), strict=True))
    likelier = [
        evolve(patch, likelihood=sum(scores[text] - scores[same] for text, same in both))
        for patch, both in zip(asked, pairs, strict=True)
    ]
    return (*best(likelier), *rest)


def _only_differs_in(new: Sequence[str], old: Sequence[str], line: int) -> bool:
    same = len(new) == len(old) and new[: line - 1] == old[: line - 1]
    return same and new[line:] == old[line:]


def _unchanged(text: str, lines: Sequence[str]) -> str:
    """The command that would leave the line as it is, to compare a command with."""
    command = parse(text)
    number = min(getattr(command, "line", 1), len(lines))
    return render(ReplaceLine(number, lines[number - 1]))
