"""Programs that a search has reached, and which of them to go on from.

A state is known by its syntax tree: layout and comments do not make another one. Nothing here runs
tests or asks a model.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from typing import Literal

from attrs import define, field, frozen

from coe_lsp.chain.episode import Episode
from coe_lsp.parsing import parse
from coe_lsp.repair.verify import Verdict

Source = Literal["start", "model", "mutation"]

# What counts how much when a state is chosen to go on from.
_PROGRESS = 4.0
_SUSPICION = 0.5
_LIKELIHOOD = 0.1
_SIZE = 0.3
_VISITS = 0.8
# To read a new state costs the model as much as a dozen commands from one that it has read.
_NOTHING_WON = 3.0


def state_key(lines: Sequence[str]) -> str:
    """Equal for programs that differ in layout only; the text itself where it does not parse."""
    text = "\n".join(lines)
    try:
        return ast.dump(parse(text))
    except (SyntaxError, RecursionError):
        return "\n".join(line.rstrip() for line in lines)


def lines_touched(old: Sequence[str], new: Sequence[str]) -> frozenset[int]:
    """Lines of the old program (1-based) that are not in the new one, or next to what is new."""
    first = 0
    while first < min(len(old), len(new)) and old[first] == new[first]:
        first += 1
    last = 0
    while last < min(len(old), len(new)) - first and old[-1 - last] == new[-1 - last]:
        last += 1
    return frozenset(range(first + 1, max(first + 1, len(old) - last) + 1))


@define(eq=False)
class State:
    """A program with what its tests say of it.

    `commands` led to it; `episode` is the chain of them with true feedback, None where that would
    have to be found out first. `logprob` is the natural log of that chain's probability under the
    policy, 0 where no policy wrote it. `visits` counts how often it was gone on from.
    """

    number: int
    lines: tuple[str, ...]
    verdict: Verdict
    source: Source
    episode: Episode | None = None
    commands: tuple[str, ...] = ()
    logprob: float = 0.0
    touched: frozenset[int] = frozenset()
    depth: int = 0
    visits: int = field(default=0, kw_only=True)


@frozen
class Scorer:
    """How promising a state is, from the tests that it passes and the lines that it changed.

    `suspiciousness` has scores between 0 and 1 by line (1-based, of the start).
    """

    start: Verdict
    suspiciousness: Mapping[int, float]
    best_first: bool = True

    def progress(self, verdict: Verdict) -> float:
        """Tests won since the start, as a share of those to win; negative if some were lost."""
        to_win = max(1, self.start.total - self.start.passed)
        lost = len(self.start.passing - verdict.passing)
        return (verdict.passed - self.start.passed - lost) / to_win

    def score(self, state: State) -> float:
        """Higher is better; visits make a state less attractive, so that others get their turn."""
        if not self.best_first:  # single chains, each gone on with to its end
            return float(state.depth) if not state.visits else -float(state.depth) - 1.0
        visits = _VISITS * math.log1p(state.visits)
        progress = self.progress(state.verdict)
        idle = _NOTHING_WON if state.depth and progress <= 0 else 0.0
        suspiciousness = max(
            (self.suspiciousness.get(line, 0.0) for line in state.touched), default=1.0
        )
        return (
            _PROGRESS * progress
            + _SUSPICION * suspiciousness
            + _LIKELIHOOD * max(state.logprob, -20.0)
            - _SIZE * state.depth
            - idle
            - visits
        )


class Frontier:
    """The start and the best states that are worth going on from, a bounded number of them."""

    def __init__(self, scorer: Scorer, start: State, room: int) -> None:
        self._scorer = scorer
        self._room = room
        #: Whether states that pass just as many tests as the start are taken in, too.
        self.stay = False
        self._states = [start]
        self._dropped: list[State] = []

    def add(self, state: State) -> bool:
        """Take a state in if it is good enough; others may have to go (see `dropped`)."""
        if state.episode is None or state.episode.done:
            return False
        progress = self._scorer.progress(state.verdict)
        if self._scorer.best_first and (progress < 0 or (progress == 0 and not self.stay)):
            return False
        self._states.append(state)
        if len(self._states) > self._room:
            worst = min(self._states[1:], key=self._order)
            self._states.remove(worst)
            if worst is state:
                return False
            self._dropped.append(worst)
        return True

    def remove(self, state: State) -> None:
        """Nothing comes of this one."""
        if state in self._states[1:]:
            self._states.remove(state)

    def dropped(self) -> list[State]:
        """The states that had to make room since the last call."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def next(self) -> State:
        """The state to go on from now; it counts as visited."""
        state = max(self._states, key=self._order)
        state.visits += 1
        return state

    def _order(self, state: State) -> tuple[float, int]:
        return self._scorer.score(state), -state.number
