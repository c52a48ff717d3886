"""The paper's corruptions: delete, add or replace a line, change a word.

Added and replacing lines are drawn from other programs or from the program itself; a changed word
becomes another word of the same kind from either. Docstrings and comments neither lend lines nor
are changed. Pure; random numbers come from the caller.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

from attrs import frozen

from training.demonstrations.program_text import code_lines

_WORD = re.compile(r"[A-Za-z_]\w*|\d+|[-+*/%<>=!]=?|[()\[\],:]")
_NAME = re.compile(r"[A-Za-z_]\w*\Z")


@frozen
class Corruption:
    """Corrupted lines, and the kind of corruption."""

    lines: tuple[str, ...]
    kind: str


@frozen
class Donors:
    """Lines and words of other programs."""

    lines: tuple[str, ...]
    words: tuple[str, ...]

    @classmethod
    def of(cls, programs: Sequence[str]) -> Donors:
        """What the code of these programs lends."""
        texts = [text.split("\n") for text in programs]
        lines = sorted({text[index].strip() for text in texts for index in code_lines(text)})
        words = sorted({word for line in lines for word in _WORD.findall(line)})
        return cls(tuple(lines), tuple(words))


def corrupt(lines: Sequence[str], donors: Donors, random: Random) -> Corruption:
    """One random corruption; each of the four operators is as likely."""
    lines = tuple(lines)
    full = code_lines(lines)
    operators = ["add"] + (["delete", "replace", "word"] if len(full) > 1 else [])
    kind = random.choice(operators)
    if kind == "add":
        # Before a line of code or after the last: not in a docstring.
        place = random.choice([*full, len(lines)])
        new = _foreign(lines, place, donors, random)
        return Corruption((*lines[:place], new, *lines[place:]), kind)
    place = random.choice(full)
    if kind == "delete":
        return Corruption((*lines[:place], *lines[place + 1 :]), kind)
    if kind == "replace":
        new = _foreign(lines, place, donors, random)
    else:
        new = _other_word(lines[place], lines, donors, random)
    return Corruption((*lines[:place], new, *lines[place + 1 :]), kind)


def _foreign(lines: Sequence[str], place: int, donors: Donors, random: Random) -> str:
    """A line from elsewhere with the indentation of this place."""
    own = [lines[n].strip() for n in code_lines(lines) if n != place]
    pool = own if own and random.random() < 0.5 else donors.lines
    near = lines[min(place, len(lines) - 1)] if lines else ""
    indent = near[: len(near) - len(near.lstrip())]
    return indent + random.choice(pool or ("pass",))


def _other_word(line: str, lines: Sequence[str], donors: Donors, random: Random) -> str:
    match = random.choice(list(_WORD.finditer(line)) or list(re.finditer(r"\S+", line)))
    own = sorted({word for n in code_lines(lines) for word in _WORD.findall(lines[n])})
    pool = own if random.random() < 0.7 else donors.words
    kind = _kind(match[0])
    same = [word for word in pool if _kind(word) == kind and word != match[0]]
    new = random.choice(same) if same else match[0] + match[0]
    return line[: match.start()] + new + line[match.end() :]


def _kind(word: str) -> str:
    if _NAME.match(word):
        return "name"
    return "number" if word.isdigit() else "sign"
