"""What failing tests say and spell, which tells likely edits from unlikely ones."""

from __future__ import annotations

import ast
import difflib
import functools
import re
from collections.abc import Iterator

from attrs import frozen

_SHORTEST_WORD, _LONGEST_WORD = 4, 60
_PIECE = re.compile(r"\w+|\s+|[^\w\s]")
_MOST_PIECES = 12


@frozen
class BadCall:
    """A call of a function that failed for its arguments: by keyword, left out, or too many.

    The `name` has the class in front, as Python 3.10 and later say it.
    """

    name: str
    unexpected: str = ""
    missing: tuple[str, ...] = ()
    taken: int = 0
    given: int = 0

    @property
    def function(self) -> str:
        """The function's own name."""
        return self.name.rpartition(".")[2]


@frozen(slots=False)
class Clues:
    """Literals that the tests spell out, names that they report as undefined, exceptions raised.

    `constants` are texts as in the source, such as `'a'` or `12`; `raised` are exceptions' names,
    `expected` those of exceptions that should have been raised and were not. `compared` are pairs
    of values, as text, that should have been equal: which of them is the right one is not known.
    `bad_calls` are those that no function with that name takes. `nothing` are names, also such as
    `self.x`, that were None where it failed, `empty` those that were empty or zero.
    """

    constants: frozenset[str] = frozenset()
    undefined: frozenset[str] = frozenset()
    raised: frozenset[str] = frozenset()
    compared: tuple[tuple[str, str], ...] = ()
    expected: frozenset[str] = frozenset()
    bad_calls: tuple[BadCall, ...] = ()
    nothing: frozenset[str] = frozenset()
    empty: frozenset[str] = frozenset()

    @functools.cached_property
    def strings(self) -> tuple[str, ...]:
        """The values of those that are strings, but for very long ones."""
        quoted = sorted(text for text in self.constants if text[0] in "'\"")
        values = (str(ast.literal_eval(text)) for text in quoted)
        return tuple(value for value in values if len(value) <= _LONGEST_WORD)

    @property
    def words(self) -> tuple[str, ...]:
        """Strings that are long enough to be misspelt."""
        return tuple(word for word in self.strings if len(word) >= _SHORTEST_WORD)

    @functools.cached_property
    def replaced(self) -> tuple[tuple[str, str], ...]:
        """Pieces that stand for one another in what was compared, either way round."""
        found: dict[tuple[str, str], None] = {}
        for one, two in self.compared:
            for old, new in _different_pieces(one, two):
                found |= dict.fromkeys(((old, new), (new, old)))
        return tuple(found)[:_MOST_PIECES]

    @functools.cached_property
    def around(self) -> str:
        """The characters that one value has at its ends, and the other has not."""
        found: dict[str, None] = {}
        for one, two in self.compared:
            for long, short in ((one, two), (two, one)):
                before, middle, after = long.partition(short) if short else ("", "", "")
                if middle:
                    found |= dict.fromkeys(before + after)
        return "".join(found) if len(found) <= _SHORTEST_WORD else ""


def _different_pieces(one: str, two: str) -> Iterator[tuple[str, str]]:
    a, b = _PIECE.findall(one), _PIECE.findall(two)
    for tag, i, j, k, m in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if tag == "replace":
            yield "".join(a[i:j]), "".join(b[k:m])


NO_CLUES = Clues()
