"""Names the function and the lines to suspect, from which lines failing and passing tests run.

The score is Ochiai's: failing(line) / sqrt(all failing * (failing(line) + passing(line))), between
0 and 1 (Abreu, Zoeteweij, van Gemund 2006). It ranks; it does not explain. Lines that only run in
child processes are invisible to it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from coe_lsp.execution.suite import TestResult

_NOT_ENDED_FACTOR = 0.5


@frozen
class FaultLocalization:
    """Scores between 0 and 1 by line, and the lines in which failing tests ended."""

    lines: Mapping[int, float]
    ended: Mapping[int, int]

    def score(self, first: int, last: int) -> tuple[float, int, float]:
        """How suspect lines `first` to `last` are: best line, failures that ended there, mean."""
        inside = [self.lines[n] for n in range(first, last + 1) if n in self.lines]
        ended = sum(self.ended.get(n, 0) for n in range(first, last + 1))
        if not inside:
            return (0.0, ended, 0.0)
        return (max(inside), ended, sum(inside) / len(inside))

    def within(self, first: int, last: int) -> dict[int, float]:
        """The scores of lines `first` to `last`, counted from 1.

        Where failing tests ended in some of them, with an exception, the others count for less.
        """
        found = {n: self.lines[n] for n in range(first, last + 1) if n in self.lines}
        if not self.ended.keys().isdisjoint(found):
            found = {n: s if n in self.ended else _NOT_ENDED_FACTOR * s for n, s in found.items()}
        return {n - first + 1: score for n, score in found.items()}


def localize(
    results: Iterable[TestResult], lines: Mapping[str, frozenset[int]]
) -> FaultLocalization:
    """Score all lines seen. Skipped tests, and tests without coverage, say nothing."""
    failing: dict[int, int] = {}
    passing: dict[int, int] = {}
    ended: dict[int, int] = {}
    total = 0
    for result in results:
        if result.outcome == "skipped" or result.id not in lines:
            continue
        counts = failing if result.failing else passing
        total += result.failing
        for line in lines[result.id]:
            counts[line] = counts.get(line, 0) + 1
        if result.failing and result.line is not None:
            ended[result.line] = ended.get(result.line, 0) + 1
    scores = {
        line: count / math.sqrt(total * (count + passing.get(line, 0)))
        for line, count in failing.items()
    }
    return FaultLocalization(scores, ended)


def rank(spans: Sequence[tuple[int, int]], suspect: FaultLocalization) -> list[int]:
    """Indices of functions, given as (first line, last line), by suspiciousness, highest first.

    Functions that no failing test runs are left out. Ties go to the one in which more failing tests
    ended, then to the one whose lines are more suspect on average, then to the shorter one.
    """
    scored = [
        (suspect.score(first, last), first - last, -index)
        for index, (first, last) in enumerate(spans)
    ]
    scored = [entry for entry in scored if entry[0] > (0.0, 0, 0.0)]
    return [-index for _, _, index in sorted(scored, reverse=True)]
