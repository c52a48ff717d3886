"""Which of the states that a search has reached to expand next.

Nothing here runs tests or asks a model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from attrs import frozen

from coe_lsp.repair.search.states import State
from coe_lsp.repair.verify import Verdict

# How much each counts in a state's score.
_PROGRESS_FACTOR = 4.0
_SUSPICIOUSNESS_FACTOR = 0.5
_LOGPROB_FACTOR = 0.1
_DEPTH_PENALTY = 0.3
_EXPANDED_PENALTY = 0.8
# To read a new state costs the model as much as a dozen commands from one that it has read.
_NO_PROGRESS_PENALTY = 3.0


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
        """Higher is better; the less, the more often it was expanded, so that others get a turn."""
        if not self.best_first:  # single chains, each followed to its end
            return float(state.depth) if not state.expanded else -float(state.depth) - 1.0
        expanded = _EXPANDED_PENALTY * math.log1p(state.expanded)
        progress = self.progress(state.verdict)
        idle = _NO_PROGRESS_PENALTY if state.depth and progress <= 0 else 0.0
        suspiciousness = max(
            (self.suspiciousness.get(line, 0.0) for line in state.touched), default=1.0
        )
        return (
            _PROGRESS_FACTOR * progress
            + _SUSPICIOUSNESS_FACTOR * suspiciousness
            + _LOGPROB_FACTOR * max(state.logprob, -20.0)
            - _DEPTH_PENALTY * state.depth
            - idle
            - expanded
        )


class Frontier:
    """The start and the best states that are worth expanding, `size` of them at most."""

    def __init__(self, scorer: Scorer, start: State, size: int) -> None:
        self._scorer = scorer
        self._size = size
        #: Whether states are taken in that pass just as many tests as the start.
        self.keep_ties = False
        self._states = [start]

    def add(self, state: State) -> bool:
        """Take a state in if it is good enough; the worst may have to go."""
        if state.episode is None or state.episode.done:
            return False
        progress = self._scorer.progress(state.verdict)
        if self._scorer.best_first and (progress < 0 or (progress == 0 and not self.keep_ties)):
            return False
        self._states.append(state)
        if len(self._states) > self._size:
            worst = min(self._states[1:], key=self._order)
            self._states.remove(worst)
            return worst is not state
        return True

    def remove(self, state: State) -> None:
        """Take a state out that cannot be expanded; the start stays."""
        if state in self._states[1:]:
            self._states.remove(state)

    @property
    def states(self) -> Sequence[State]:
        """All that are in it, the start first."""
        return self._states

    def next(self) -> State:
        """The state to expand now; it counts as expanded."""
        state = max(self._states, key=self._order)
        state.expanded += 1
        return state

    def _order(self, state: State) -> tuple[float, int]:
        return self._scorer.score(state), -state.number
