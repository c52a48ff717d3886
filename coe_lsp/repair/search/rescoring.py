"""The model's opinion of changes that it did not write: of mutants, and of repairs.

Asks the judge and turns its log-likelihoods into weights; what is done with them is the search's.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from coe_lsp.chain.commands import Command, Exit, ReplaceBlock, ReplaceLine, render
from coe_lsp.chain.episode import Episode
from coe_lsp.mutations.mutants import Mutant
from coe_lsp.repair.policy.protocol import Judge
from coe_lsp.repair.search.ranking import PassingProgram, rank

# A log-ratio counts less than it says: a model is surprised by much that is right. The median
# mutant's changes nothing, so that mutants which no model has scored compare fairly.
_RATIO_FACTOR, _LOWEST_RATIO, _MEDIAN_RATIO, _HIGHEST_RATIO = 0.3, -16.0, -8.0, 4.0
_MOST_VARIANTS_A_LINE = 2000
_MOST_PROGRAMS, _MOST_COMMANDS = 5, 6


def score_mutants(
    judge: Judge, episode: Episode, line: int, mutants: Sequence[Mutant]
) -> dict[int, float]:
    """What to add to the weights of mutants that change this line (1-based) alone, by `id`."""
    start = episode.pad.lines
    single = [m for m in mutants if m.line == line and _only_differs_in(m.lines, start, line)]
    single = single[:_MOST_VARIANTS_A_LINE]
    if not single:
        return {}
    ratios = judge.logprob_ratios(episode, line, [mutant.lines[line - 1] for mutant in single])
    return {
        id(mutant): _RATIO_FACTOR * (min(max(ratio, _LOWEST_RATIO), _HIGHEST_RATIO) - _MEDIAN_RATIO)
        for mutant, ratio in zip(single, ratios, strict=True)
    }


def rerank(
    judge: Judge, episode: Episode, programs: Sequence[PassingProgram]
) -> tuple[PassingProgram, ...]:
    """The first few of the programs in the order that the model's likelihoods give them.

    Only these are scored; the rest follows as it is.
    """
    first, rest = programs[:_MOST_PROGRAMS], programs[_MOST_PROGRAMS:]
    if any(len(program.commands) > _MOST_COMMANDS for program in first):
        return tuple(programs)  # many lines reindented: nothing that a model must judge
    start = episode.pad.lines
    pairs = [
        [(render(command), render(_unchanged(command, start))) for command in program.commands]
        for program in first
    ]
    texts = list(dict.fromkeys(text for some in pairs for pair in some for text in pair))
    scores = dict(zip(texts, judge.likelihoods(episode, texts), strict=True))
    scored = [
        evolve(program, likelihood=sum(scores[text] - scores[same] for text, same in some))
        for program, some in zip(first, pairs, strict=True)
    ]
    return (*rank(scored), *rest)


def _only_differs_in(new: Sequence[str], old: Sequence[str], line: int) -> bool:
    same = len(new) == len(old) and new[: line - 1] == old[: line - 1]
    return same and new[line:] == old[line:]


def _unchanged(command: Command, lines: Sequence[str]) -> Command:
    """The command that would leave the lines as they are, to compare a command with."""
    if isinstance(command, ReplaceBlock):
        last = min(command.last, len(lines))
        first = min(command.first, last)
        return ReplaceBlock(first, last, tuple(lines[first - 1 : last]))
    number = 1 if isinstance(command, Exit) else min(command.line, len(lines))
    return ReplaceLine(number, lines[number - 1])
