"""From a faulty program back to a correct one, in the order that the tests suggest.

The difference is cut into edits, hunks that lie close being one. Of those the next is the one after
which the fewest tests fail; among equals, one of a line that the feedback names. An edit that no
test sees by itself is none: `drop_unseen` takes its fault out of the start. What the tests say
comes from the caller; nothing is run here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from attrs import frozen

from coe_lsp.chain.commands import Command
from coe_lsp.chain.edits import Hunk, hunks_between, shortest_commands
from coe_lsp.chain.scratchpad import Scratchpad
from training.demonstrations.program_text import parses

Lines = tuple[str, ...]

# Hunks with so many lines between them are one edit, where a command may have several lines.
_BETWEEN = 2
# So many lines between them are no obstacle if the tests see nothing of the one without the other.
_BETWEEN_COUPLED = 8
_NAMED = re.compile(r"\(line (\d+)\)")


@frozen
class Said:
    """What the tests say of a program: how many fail, and the feedback."""

    failed: int
    feedback: str

    @property
    def named(self) -> frozenset[int]:
        """The lines (1-based) that the feedback names."""
        return named_lines(self.feedback)


Judge = Callable[[Lines], Said]


def named_lines(feedback: str) -> frozenset[int]:
    """The lines (1-based) that a feedback names."""
    return frozenset(int(number) for number in _NAMED.findall(feedback))


def drop_unseen(start: Lines, goal: Lines, judge: Judge) -> Lines:
    """The start without those differences from the goal that no test sees by themselves."""
    while True:
        hunks = hunks_between(start, goal)
        for hunk in hunks if len(hunks) > 1 else ():
            alone = (*goal[: hunk.start], *start[hunk.first : hunk.last], *goal[hunk.end :])
            if not judge(alone).failed:
                start = (*start[: hunk.first], *goal[hunk.start : hunk.end], *start[hunk.last :])
                break
        else:
            return start


def order_edits(
    start: Lines, goal: Lines, judge: Judge, *, blocks: bool, words: bool
) -> list[Command] | None:
    """The commands that lead from `start` to a program that passes, most often `goal`.

    Each is to be given to the program that those before it made. Without `blocks` an edit may need
    several. None if some program on the way would not parse though the one before it did.
    """
    commands: list[Command] = []
    now = start
    edits = _edits(start, goal, _BETWEEN if blocks else 0)
    done: set[int] = set()
    while judge(now).failed:
        left = [number for number in range(len(edits)) if number not in done]
        if not left:
            return None
        chosen, then = _next(now, start, goal, edits, done, judge)
        if chosen is None:
            return None
        said, before = judge(then), judge(now)
        if blocks and said.failed and said.feedback == before.feedback:
            beside = _neighbour(edits, chosen, left)
            if beside is not None:
                edits = _joined(edits, chosen, beside)
                done = {n if n < max(chosen, beside) else n - 1 for n in done}
                continue
        done.add(chosen)
        for command in shortest_commands(now, then, blocks=blocks, words=words):
            after = Scratchpad(now).apply(command).lines
            if parses(now) and not parses(after):
                return None
            commands.append(command)
            now = after
            if not judge(now).failed:
                break
    return commands


def _next(
    now: Lines,
    start: Lines,
    goal: Lines,
    edits: Sequence[Hunk],
    done: set[int],
    judge: Judge,
) -> tuple[int | None, Lines]:
    """The best next edit, and the program after it; no edit if none leaves a program."""
    before = judge(now)
    found: list[tuple[tuple[int, bool, bool, int], Lines]] = []
    for number, edit in enumerate(edits):
        if number in done:
            continue
        then = _program(start, goal, edits, done | {number})
        if parses(now) and not parses(then):
            continue
        said = judge(then)
        place = _places(edits, done, number)
        misses = not any(line in place for line in before.named)
        same = said.feedback == before.feedback
        found.append(((said.failed, misses, same, number), then))
    if not found:
        return None, now
    key, then = min(found)
    return key[-1], then


def _program(start: Lines, goal: Lines, edits: Sequence[Hunk], done: set[int]) -> Lines:
    """The start with some of the edits."""
    lines: list[str] = []
    position = 0
    for number, edit in enumerate(edits):
        lines += start[position : edit.first]
        lines += (
            goal[edit.start : edit.end] if number in done else start[edit.first : edit.last]
        )
        position = edit.last
    return (*lines, *start[position:])


def _places(edits: Sequence[Hunk], done: set[int], number: int) -> range:
    """The lines (1-based) of an edit where those that are done have moved it, and one around."""
    shift = sum(edits[other].growth for other in done if other < number)
    return range(edits[number].first + shift, edits[number].last + shift + 2)


def _edits(start: Lines, goal: Lines, between: int) -> list[Hunk]:
    """Hunks; those with so few lines between them are one."""
    found: list[Hunk] = []
    for hunk in hunks_between(start, goal):
        if found and hunk.first - found[-1].last <= between:
            found[-1] = _spanning(found[-1], hunk)
        else:
            found.append(hunk)
    return found


def _spanning(one: Hunk, other: Hunk) -> Hunk:
    return Hunk(one.first, other.last, one.start, other.end)


def _neighbour(edits: Sequence[Hunk], chosen: int, left: Sequence[int]) -> int | None:
    """The nearest other edit that is left, if it is near enough to be made with this one."""

    def gaps() -> Iterator[tuple[int, int]]:
        for other in (chosen - 1, chosen + 1):
            if other in left:
                first, second = sorted((chosen, other))
                yield edits[second].first - edits[first].last, other

    near = [pair for pair in gaps() if pair[0] <= _BETWEEN_COUPLED]
    return min(near)[1] if near else None


def _joined(edits: Sequence[Hunk], one: int, other: int) -> list[Hunk]:
    first, second = sorted((one, other))
    return [*edits[:first], _spanning(edits[first], edits[second]), *edits[second + 1 :]]
