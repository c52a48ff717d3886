"""The paper's corruptions: delete, add or replace a line, change a word.

Each gives the corrupted lines and the command that undoes it. Added and replacing lines are drawn
from other programs or from the program itself; a changed word becomes another word of the same kind
from either. Pure; random numbers come from the caller.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

from attrs import frozen

from coe_lsp.chain.commands import AddLine, Command, DeleteLine, ReplaceLine, ReplaceWords
from coe_lsp.chain.edits import commands_between
from coe_lsp.chain.scratchpad import Scratchpad

_WORD = re.compile(r"[A-Za-z_]\w*|\d+|[-+*/%<>=!]=?|[()\[\],:]")
_NAME = re.compile(r"[A-Za-z_]\w*\Z")


@frozen
class Corruption:
    """Corrupted lines, the kind of corruption, and the command that takes it back."""

    lines: tuple[str, ...]
    kind: str
    undo: Command


@frozen
class Donors:
    """Lines and words of other programs."""

    lines: tuple[str, ...]
    words: tuple[str, ...]

    @classmethod
    def of(cls, programs: Sequence[str]) -> Donors:
        lines = sorted({line.strip() for text in programs for line in text.split("\n")} - {""})
        words = sorted({word for line in lines for word in _WORD.findall(line)})
        return cls(tuple(lines), tuple(words))


def corrupt(lines: Sequence[str], donors: Donors, words: float, random: Random) -> Corruption:
    """One random corruption; each of the four operators is as likely.

    `words` is the share of changed words that are undone by REPW; the rest is undone by REPL.
    """
    lines = tuple(lines)
    full = [n for n, line in enumerate(lines) if line.strip()]
    operators = ["add"] + (["delete", "replace", "word"] if len(full) > 1 else [])
    kind = random.choice(operators)
    if kind == "add":
        place = random.randrange(len(lines) + 1)
        return Corruption(
            (*lines[:place], _foreign(lines, place, donors, random), *lines[place:]),
            kind,
            DeleteLine(place + 1),
        )
    place = random.choice(full)
    old = lines[place]
    if kind == "delete":
        return Corruption((*lines[:place], *lines[place + 1 :]), kind, AddLine(place + 1, old))
    if kind == "replace":
        new = _foreign(lines, place, donors, random)
    else:
        new = _other_word(old, lines, donors, random)
    return Corruption(
        (*lines[:place], new, *lines[place + 1 :]), kind, undo_line(place, new, old, words, random)
    )


def undo_line(place: int, new: str, old: str, words: float, random: Random) -> Command:
    """The command that turns line `place` (0-based), now `new`, into `old` again."""
    if random.random() < words:
        command = _replace_words(place + 1, new, old)
        if command is not None:
            return command
    return ReplaceLine(place + 1, old)


def undo_edits(
    new: Sequence[str], old: Sequence[str], words: float, random: Random
) -> list[Command]:
    """Commands, one a line, that turn one program into another, from top to bottom."""
    commands: list[Command] = []
    pad = Scratchpad(tuple(new))
    for plain in commands_between(new, old):
        command = plain
        if isinstance(plain, ReplaceLine):
            place = plain.line - 1
            command = undo_line(place, pad.lines[place], plain.text, words, random)
        commands.append(command)
        pad = pad.apply(command)
    return commands


def _replace_words(line: int, new: str, old: str) -> Command | None:
    """The shortest change of whole words, widened until it names one place; None if it is long."""
    a, b = _WORD_OR_GAP.findall(new), _WORD_OR_GAP.findall(old)
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    end = 0
    while end < min(len(a), len(b)) - start and a[-1 - end] == b[-1 - end]:
        end += 1
    while True:
        before = "".join(a[start : len(a) - end])
        after = "".join(b[start : len(b) - end])
        if before.strip() and " >>>" not in before and new.replace(before, after, 1) == old:
            short = len(before) + len(after) < len(old)
            return ReplaceWords(line, before, after) if short else None
        if start:
            start -= 1
        elif end:
            end -= 1
        else:
            return None


_WORD_OR_GAP = re.compile(r"\w+|\s+|[^\w\s]")


def _foreign(lines: Sequence[str], place: int, donors: Donors, random: Random) -> str:
    """A line from elsewhere with the indentation of this place."""
    own = [line.strip() for n, line in enumerate(lines) if n != place and line.strip()]
    pool = own if own and random.random() < 0.5 else donors.lines
    near = lines[min(place, len(lines) - 1)] if lines else ""
    indent = near[: len(near) - len(near.lstrip())]
    return indent + random.choice(pool or ("pass",))


def _other_word(line: str, lines: Sequence[str], donors: Donors, random: Random) -> str:
    match = random.choice(list(_WORD.finditer(line)) or list(re.finditer(r"\S+", line)))
    own = sorted({word for text in lines for word in _WORD.findall(text)})
    pool = own if random.random() < 0.7 else donors.words
    kind = _kind(match[0])
    same = [word for word in pool if _kind(word) == kind and word != match[0]]
    new = random.choice(same) if same else match[0] + match[0]
    return line[: match.start()] + new + line[match.end() :]


def _kind(word: str) -> str:
    if _NAME.match(word):
        return "name"
    return "number" if word.isdigit() else "sign"
