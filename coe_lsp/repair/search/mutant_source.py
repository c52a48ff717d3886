"""Mutants as candidates: the thread that tests takes them, the one that searches adds more.

Everything shared is behind one lock, which is never held while tests run or the model works.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from coe_lsp.chain.edits import commands_between
from coe_lsp.mutations.mutants import Mutant
from coe_lsp.repair.search.mutation_queue import MutationQueue
from coe_lsp.repair.search.states import State
from coe_lsp.repair.search.tester import Candidate
from coe_lsp.repair.target.hints import RepairHints

# What is left of a line's suspiciousness once it was changed.
_CHANGED_LINE_FACTOR = 0.3


class MutantSource:
    """The mutants of the start and of states that won tests, most promising first."""

    def __init__(
        self, start: State, suspiciousness: Mapping[int, float], hints: RepairHints, *, empty: bool
    ) -> None:
        """`suspiciousness` by line of the start (1-based); `empty`: there are to be no mutants."""
        self._lock = threading.Lock()
        self._origins = [start]
        self._queue = MutationQueue(
            () if empty else start.lines,
            suspiciousness,
            hints.enclosing,
            hints.clues,
        )

    @property
    def of_start(self) -> Sequence[Mutant]:
        """All mutants of the start, used ones included; none of one that does not parse."""
        return self._queue.first

    def next(self) -> Candidate | None:
        """The next mutant, None while there is none. The tester calls it, perhaps on its thread."""
        with self._lock:
            entry = self._queue.pop()
            if entry is None:
                return None
            mutant, origin = entry
            parent = self._origins[origin]
        lines = mutant.lines
        commands = commands_between(parent.lines, lines)
        return Candidate(
            lines, "mutation", commands, parent, kind=mutant.kind, weight=mutant.plausibility
        )

    def add(self, state: State, progress: float, suspiciousness: Mapping[int, float]) -> None:
        """Have the mutants of a traced state tested as well.

        `progress` is its share of the tests to win, `suspiciousness` is by line of the state.
        Lines that were changed on the way to it count less.
        """
        rest = {
            line: score * (_CHANGED_LINE_FACTOR if line in state.touched else 1.0)
            for line, score in suspiciousness.items()
        }
        with self._lock:
            self._origins.append(state)
            self._queue.add(len(self._origins) - 1, state.lines, progress, rest)

    def add_scores(self, scores: Mapping[int, float]) -> None:
        """Add to the weights of the start's mutants, known by `id`."""
        with self._lock:
            self._queue.reweigh(lambda mutant: scores.get(id(mutant), 0.0))
