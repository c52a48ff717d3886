"""The paper's corruptions: delete, add or replace a line, change a word.

Added and replacing lines are drawn from other programs or from the program itself; a changed word
becomes another word of the same kind from either. Only lines of code are touched or drawn, not
docstrings and comments, and no signature is changed. How a corruption is taken back is `undo`'s
business. Pure; random numbers come from the caller.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from random import Random

from attrs import frozen

from coe_lsp.parsing import parse

_WORD = re.compile(r"[A-Za-z_]\w*|\d+|[-+*/%<>=!]=?|[()\[\],:]")
_NAME = re.compile(r"[A-Za-z_]\w*\Z")
_SIGNATURE = re.compile(r"\s*(async\s+def|def|class|@)")
_QUOTES = ("'", '"', "r'", 'r"')


@frozen
class Donors:
    """Lines and words of other programs."""

    lines: tuple[str, ...]
    words: tuple[str, ...]

    @classmethod
    def of(cls, programs: Sequence[str]) -> Donors:
        """Those of the code in some programs."""
        split = [text.split("\n") for text in programs]
        lines = sorted({some[n].strip() for some in split for n in code_lines(some)})
        words = sorted({word for line in lines for word in _WORD.findall(line)})
        return cls(tuple(lines), tuple(words))


def corrupt(lines: Sequence[str], donors: Donors, random: Random) -> tuple[tuple[str, ...], str]:
    """One random corruption and its kind; each of the four operators is as likely."""
    lines = tuple(lines)
    full = [n for n in code_lines(lines) if not _SIGNATURE.match(lines[n])]
    operators = ["add"] + (["delete", "replace", "word"] if full else [])
    kind = random.choice(operators)
    if kind == "add":
        place = random.randrange(len(lines) + 1)
        return (*lines[:place], _foreign(lines, place, donors, random), *lines[place:]), kind
    place = random.choice(full)
    before, after = lines[:place], lines[place + 1 :]
    if kind == "delete":
        return (*before, *after), kind
    if kind == "replace":
        return (*before, _foreign(lines, place, donors, random), *after), kind
    return (*before, _other_word(lines[place], lines, donors, random), *after), kind


def code_lines(lines: Sequence[str]) -> list[int]:
    """The numbers (0-based) of the lines that are neither empty, comments nor text alone.

    Of a program that does not parse those that look like it.
    """
    text: set[int] = set()
    try:
        for node in ast.walk(parse("\n".join(lines))):
            if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
                last = node.end_lineno or node.lineno
                alone = lines[node.lineno - 1].lstrip().startswith(_QUOTES)
                text.update(range(node.lineno - (1 if alone else 0), last))
    except (SyntaxError, RecursionError):
        pass
    return [
        n
        for n, line in enumerate(lines)
        if n not in text and line.strip() and not line.lstrip().startswith(("#", ">>>", *_QUOTES))
    ]


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
