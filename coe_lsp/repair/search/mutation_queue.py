"""The model-free policy: which mutant to test next, over all states that are worth changing.

Mutants of the start come in order of weight. A state that passes more tests than the start has its
own mutants woven in, so that two mistakes can be found one after the other, but never more than
every other one: there can be many such states, and one mistake is likelier than two. Once all
single changes are used up, pairs of likely ones follow. Same calls, same order.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from attrs import define, field, frozen

from coe_lsp.mutations.clues import NO_CLUES, Clues
from coe_lsp.mutations.mutants import Mutant, mutants
from coe_lsp.mutations.surroundings import NOTHING, Surroundings
from coe_lsp.mutations.syntax import first_fault

# What a share of the tests won adds to the weight of a second change, and what earlier states that
# won as much take away from it: there can be many.
_PROGRESS_BONUS = 2.0
_RIVALS_PENALTY = 0.7
# The others would take minutes to be tested, and there are pairs of the likelier ones.
_MOST_FIRST = 8000
# How many second changes are tried after each single one, once all single ones are used up.
_SECOND_CHANGES = 60


@frozen(order=True)
class _Entry:
    """Ordered by what is lost against the best one, then by age."""

    cost: float
    age: int
    mutant: Mutant = field(order=False)
    origin: int = field(order=False)


@define
class _StateMutants:
    """The mutants of one state, its next one already taken out."""

    mutants: Iterator[Mutant]
    bonus: float


class MutationQueue:
    """Mutants of the start, which is origin 0, and of further states, each an origin of its own."""

    def __init__(
        self,
        lines: Sequence[str],
        suspiciousness: Mapping[int, float],
        enclosing: Surroundings = NOTHING,
        clues: Clues = NO_CLUES,
    ) -> None:
        """`suspiciousness` by line, 1-based; see `mutants` for the rest."""
        self._mutants = partial(mutants, enclosing=enclosing, clues=clues)
        self._ages = itertools.count()
        self._heap: list[_Entry] = []
        self._further: list[_Entry] = []  # the same of further states
        self._was_further = False  # the last one was one of these
        self._sources: dict[int, _StateMutants] = {}
        self._progress: list[float] = []
        self._used: list[Mutant] = []
        self._second: Iterator[Mutant] = iter(())
        self._first: list[Mutant] = []
        found = self._mutants(lines, suspiciousness)
        if first_fault(lines) is None:
            self._first = list(itertools.islice(found, _MOST_FIRST))
            for mutant in self._first:
                self._push(mutant, 0.0, 0)
        else:  # edits after which it parses are few and take long to find
            self._sources[0] = _StateMutants(found, 0.0)
            self._refill(0)

    def add(
        self,
        origin: int,
        lines: Sequence[str],
        progress: float,
        suspiciousness: Mapping[int, float],
    ) -> None:
        """Weave in the mutants of a state that won tests (`progress`, a share of those to win)."""
        found = self._mutants(lines, suspiciousness)
        rivals = sum(other >= progress for other in self._progress)
        self._progress.append(progress)
        bonus = _PROGRESS_BONUS * progress - _RIVALS_PENALTY * math.log1p(rivals)
        self._sources[origin] = _StateMutants(found, bonus)
        self._refill(origin)

    def reweigh(self, weight: Callable[[Mutant], float]) -> None:
        """Add a model's scores to the weights of the start's mutants still to come."""
        changed = [
            _Entry(entry.cost - weight(entry.mutant), entry.age, entry.mutant, 0)
            for entry in self._heap
        ]
        heapq.heapify(changed)
        self._heap = changed

    @property
    def first(self) -> Sequence[Mutant]:
        """All mutants of the start; none of one that does not parse."""
        return self._first

    def pop(self) -> tuple[Mutant, int] | None:
        """The next mutant, and the origin to compare it with."""
        if heap := self._next_heap():
            entry = heapq.heappop(heap)
            if entry.origin in self._sources:
                self._refill(entry.origin)
            if not entry.origin:
                self._used.append(entry.mutant)
            return entry.mutant, entry.origin
        mutant = next(self._second, None)
        while mutant is None and self._used:
            first = self._used.pop(0)
            again = self._mutants(first.lines, None)
            self._second = itertools.islice(again, _SECOND_CHANGES)
            mutant = next(self._second, None)
        return None if mutant is None else (mutant, 0)

    def _next_heap(self) -> list[_Entry]:
        if not self._heap or not self._further:
            return self._heap or self._further
        self._was_further = self._further[0] < self._heap[0] and not self._was_further
        return self._further if self._was_further else self._heap

    def _refill(self, origin: int) -> None:
        source = self._sources[origin]
        mutant = next(source.mutants, None)
        if mutant is not None:
            self._push(mutant, source.bonus, origin)

    def _push(self, mutant: Mutant, bonus: float, origin: int) -> None:
        entry = _Entry(-mutant.weight - bonus, next(self._ages), mutant, origin)
        heapq.heappush(self._further if origin else self._heap, entry)
