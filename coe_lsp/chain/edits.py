"""Commands that turn one program into another: of one line each, as few as there are, or one.

A hunk is a run of lines that differ. It does not judge in which order people would make the edits:
they come from top to bottom, each with the line numbers that hold when it is its turn. For another
order, ask for the commands between the programs on the way.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence

from attrs import frozen

from coe_lsp.chain.commands import (
    MARK,
    AddBlock,
    AddLine,
    Command,
    DeleteLine,
    ReplaceBlock,
    ReplaceLine,
    ReplaceWords,
    render,
)

# What a turn costs beside its command, in characters: the model reads the program once more. So
# two hunks become one block if what is between them is shorter than about this.
_TURN = 60
_WORD_OR_GAP = re.compile(r"\w+|\W")


@frozen
class Hunk:
    """`before[first:last]` becomes `after[start:end]`."""

    first: int
    last: int
    start: int
    end: int

    @property
    def growth(self) -> int:
        """How many lines more it makes."""
        return (self.end - self.start) - (self.last - self.first)


def commands_between(old: Sequence[str], new: Sequence[str]) -> tuple[Command, ...]:
    """Commands of one line each, from top to bottom; whole lines only."""
    commands: list[Command] = []
    shift = 0  # how many lines the commands so far have added
    for hunk in hunks_between(old, new):
        commands += _by_line(hunk, new, shift)
        shift += hunk.growth
    return tuple(commands)


def one_command(before: Sequence[str], after: Sequence[str]) -> Command | None:
    """The command that makes all of the change, from its first line to its last; None if none."""
    hunks = hunks_between(before, after)
    if not hunks:
        return None
    first, last = hunks[0], hunks[-1]
    return _as_block(Hunk(first.first, last.last, first.start, last.end), after, 0)


def shortest_commands(
    before: Sequence[str],
    after: Sequence[str],
    *,
    blocks: bool = True,
    words: bool = False,
    cost: Callable[[str], int] = len,
    turn: int = _TURN,
) -> tuple[Command, ...]:
    """The commands, from top to bottom, that cost least to write.

    Each costs `turn` and what `cost` says of its text. A hunk becomes commands of one line each or
    a block, neighbouring hunks with what is between them one block. `words` allows REPW, `blocks`
    REPB and ADDB.
    """
    hunks = hunks_between(before, after)

    def price(commands: Sequence[Command]) -> int:
        return sum(turn + cost(render(command)) for command in commands)

    shifts = [0]
    for hunk in hunks:
        shifts.append(shifts[-1] + hunk.growth)
    # best[n] is the cheapest way for the first n hunks.
    best: list[tuple[int, tuple[Command, ...]]] = [(0, ())]
    for count, other in enumerate(hunks, 1):
        ways: list[tuple[int, tuple[Command, ...]]] = []
        lines = _by_line(other, after, shifts[count - 1])
        if words:
            old = before[other.first : other.last]
            lines = [*map(_in_words, lines, old), *lines[len(old) :]]
        ways.append((best[-1][0] + price(lines), (*best[-1][1], *lines)))
        for begin in range(count - 1, -1, -1) if blocks else ():
            one = hunks[begin]
            whole = Hunk(one.first, other.last, one.start, other.end)
            block = _as_block(whole, after, shifts[begin])
            ways.append((best[begin][0] + price([block]), (*best[begin][1], block)))
        best.append(min(ways, key=lambda way: way[0]))
    return best[-1][1]


def hunks_between(before: Sequence[str], after: Sequence[str]) -> list[Hunk]:
    """The runs of lines that differ, from top to bottom."""
    matcher = difflib.SequenceMatcher(None, list(before), list(after), autojunk=False)
    return [Hunk(*place) for tag, *place in matcher.get_opcodes() if tag != "equal"]


def _by_line(hunk: Hunk, after: Sequence[str], shift: int) -> list[Command]:
    """A hunk's commands when the lines above it have become `shift` more."""
    new, old = hunk.end - hunk.start, hunk.last - hunk.first
    both, number = min(new, old), hunk.first + 1 + shift
    commands: list[Command] = []
    for n in range(both):
        commands.append(ReplaceLine(number + n, after[hunk.start + n]))
    for n in range(both, new):
        commands.append(AddLine(number + n, after[hunk.start + n]))
    for _ in range(both, old):
        commands.append(DeleteLine(number + both))
    return commands


def _as_block(hunk: Hunk, after: Sequence[str], shift: int) -> Command:
    """The one command that makes the whole hunk."""
    lines, number = tuple(after[hunk.start : hunk.end]), hunk.first + 1 + shift
    match hunk.last - hunk.first, len(lines):
        case 0, 1:
            return AddLine(number, lines[0])
        case 0, _:
            return AddBlock(number, lines)
        case 1, 0:
            return DeleteLine(number)
        case 1, 1:
            return ReplaceLine(number, lines[0])
        case _:
            return ReplaceBlock(number, hunk.last + shift, lines)


def _in_words(command: Command, old: str) -> Command:
    """For the replacement of a line the shortest one of words in it, if that is shorter."""
    if not isinstance(command, ReplaceLine):
        return command
    a, b = _WORD_OR_GAP.findall(old), _WORD_OR_GAP.findall(command.text)
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    end = 0
    while end < min(len(a), len(b)) - start and a[-1 - end] == b[-1 - end]:
        end += 1
    # Widened to the left, then to the right, until the words are there and name one place.
    for left in range(start, -1, -1):
        for right in range(end, -1, -1) if left == 0 else (end,):
            words, wanted = "".join(a[left : len(a) - right]), "".join(b[left : len(b) - right])
            if not words.strip() or f" {MARK}" in words:
                continue
            if old.replace(words, wanted, 1) == command.text:
                shorter = ReplaceWords(command.line, words, wanted)
                return min(command, shorter, key=lambda one: len(render(one)))
    return command
