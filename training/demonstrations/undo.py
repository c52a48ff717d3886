"""In which order a fault is taken back: as the tests suggest, and no more than they need.

Between the faulty and the right program lie units, each one command: a line, or a block of lines
that differ. Next comes the unit with which fewest tests fail; of equals the one that touches the
line that the feedback names. What tests do not need is left out; so is what only changes docstrings
or annotations. Programs are judged by the caller; nothing is run here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Sequence

from attrs import frozen

from coe_lsp.chain.commands import Command
from coe_lsp.chain.edits import Hunk, hunks_between, shortest_commands
from training.meaning import does_parse, meaning

Lines = tuple[str, ...]
# So dear that a unit is always one command.
_ONE_COMMAND = 1_000_000


@frozen
class Judged:
    """What tests say of a program.

    `solved`: all that are shown pass, `right`: the hidden ones too. `named` are the lines (1-based)
    in which failures ended.
    """

    solved: bool
    right: bool
    failed: int
    named: frozenset[int]
    feedback: str


Judge = Callable[[Lines], Judged]


def plan_undo(
    start: Lines, goal: Lines, judge: Judge, *, whole: bool, blocks: bool, most: int
) -> list[Lines] | None:
    """The programs on the way from `start` to one that passes all tests, `start` first.

    None if there is no such way of at most `most` commands on which each program parses that comes
    after one that does, and none passes the shown tests alone. `whole`: the fault was mended by a
    person, whose mend is kept whole unless the tests need but one piece of it.
    """
    units = _units(start, goal, blocks=blocks)
    if len(units) > most:
        return None
    way = _Way(start, goal, judge)
    order = way.greedy(units, finish_last=False)
    if order is None:
        return None
    needed = way.prune(order)
    if whole and len(needed) > 1 and len(needed) < len(units):
        order = way.greedy(units, finish_last=True)
    else:
        order = way.greedy(needed, finish_last=False)
    if not order:
        return None
    return [way.with_units(order[:count]) for count in range(len(order) + 1)]


def undo_commands(way: Sequence[Lines], *, words: bool, blocks: bool) -> list[Command]:
    """One command a step; `words` allows REPW."""
    return [
        command
        for before, after in itertools.pairwise(way)
        for command in shortest_commands(
            before, after, words=words, blocks=blocks, turn=_ONE_COMMAND
        )
    ]


class _Way:
    def __init__(self, start: Lines, goal: Lines, judge: Judge) -> None:
        self._start, self._goal, self._judge = start, goal, judge

    def with_units(self, units: Collection[Hunk]) -> Lines:
        """The start with some units done."""
        lines: list[str] = []
        last = 0
        for unit in sorted(units, key=lambda u: (u.first, u.start)):
            lines += self._start[last : unit.first]
            lines += self._goal[unit.start : unit.end]
            last = unit.last
        return (*lines, *self._start[last:])

    def greedy(self, units: Sequence[Hunk], *, finish_last: bool) -> list[Hunk] | None:
        """Units in order until all tests pass; None if they never do."""
        order: list[Hunk] = []
        left = list(units)
        now = self._judge(self._start)
        while not now.right:
            before = self.with_units(order)
            parsed = does_parse("\n".join(before))
            ranked: list[tuple[tuple[int, ...], Hunk]] = []
            for unit in left:
                after = self.with_units([*order, unit])
                if parsed and not does_parse("\n".join(after)):
                    continue
                then = self._judge(after)
                if then.solved and not then.right:
                    continue
                early = finish_last and then.right and len(left) > 1
                touched = not now.named.isdisjoint(self._now_lines(order, unit))
                changed = then.feedback != now.feedback
                place = -unit.first
                rank = (-early, -then.failed, touched, does_parse("\n".join(after)), changed, place)
                ranked.append((tuple(map(int, rank)), unit))
            if not ranked:
                return None
            chosen = max(ranked, key=lambda one: one[0])[1]
            order.append(chosen)
            left.remove(chosen)
            now = self._judge(self.with_units(order))
        return order

    def prune(self, order: Sequence[Hunk]) -> list[Hunk]:
        """Those units without which tests fail."""
        kept = list(order)
        for unit in order:
            rest = [other for other in kept if other != unit]
            if rest and self._judge(self.with_units(rest)).right:
                kept = rest
        return kept

    def _now_lines(self, order: Collection[Hunk], unit: Hunk) -> range:
        """Which lines of the program with `order` done a unit touches (1-based)."""
        grown = sum(u.growth for u in order if (u.first, u.start) < (unit.first, unit.start))
        return range(unit.first + 1 + grown, max(unit.last, unit.first + 1) + 1 + grown)


def _units(start: Lines, goal: Lines, *, blocks: bool) -> list[Hunk]:
    hunks = hunks_between(start, goal)
    units: list[Hunk] = []
    if not blocks:
        for hunk in hunks:
            units += _single_lines(hunk)
    for hunk in hunks if blocks else ():
        joined = Hunk(units[-1].first, hunk.last, units[-1].start, hunk.end) if units else hunk
        whole = (*start[: joined.first], *goal[joined.start : joined.end], *start[joined.last :])
        if units and len(shortest_commands(start, whole)) == 1:
            units[-1] = joined
        else:
            units.append(hunk)
    if len(units) < 2:
        return units
    way = _Way(start, goal, lambda lines: Judged(False, False, 0, frozenset(), ""))
    plain = meaning("\n".join(start))
    return [u for u in units if plain is None or meaning("\n".join(way.with_units([u]))) != plain]


def _single_lines(hunk: Hunk) -> list[Hunk]:
    both = min(hunk.last - hunk.first, hunk.end - hunk.start)
    pairs = [
        Hunk(hunk.first + n, hunk.first + n + 1, hunk.start + n, hunk.start + n + 1)
        for n in range(both)
    ]
    gone = [Hunk(n, n + 1, hunk.end, hunk.end) for n in range(hunk.first + both, hunk.last)]
    new = [Hunk(hunk.last, hunk.last, n, n + 1) for n in range(hunk.start + both, hunk.end)]
    return [*pairs, *gone, *new]
