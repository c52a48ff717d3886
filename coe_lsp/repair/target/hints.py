"""What is known about where a function's mistake may be, and what its tests spell out."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping

from attrs import frozen

from coe_lsp.mutations.surroundings import NOTHING, Surroundings

_UNDEFINED = re.compile(r"NameError: name '(\w+)' is not defined")
_SHORTEST_WORD, _LONGEST_WORD = 4, 60


@frozen
class RepairHints:
    """What a search is told besides the function and its tests.

    `suspiciousness` has a score between 0 and 1 by line (1-based, of the function); `enclosing` is
    what the function can see beyond itself, `test_constants` are those that its tests spell out,
    and `undefined` are undefined names that every failing test reports.
    """

    suspiciousness: Mapping[int, float] = {}
    enclosing: Surroundings = NOTHING
    test_constants: frozenset[str] = frozenset()
    undefined: frozenset[str] = frozenset()

    @property
    def test_strings(self) -> tuple[str, ...]:
        """The words among the test constants, for the typing errors of the function."""
        quoted = sorted(text for text in self.test_constants if text[0] in "'\"")
        words = (str(ast.literal_eval(text)) for text in quoted)
        return tuple(word for word in words if _SHORTEST_WORD <= len(word) <= _LONGEST_WORD)


def undefined_names(details: Iterable[str]) -> frozenset[str]:
    """The names that failures complain about, if all of them do and it is nothing else."""
    found = [_UNDEFINED.match(detail) for detail in details]
    return frozenset(match[1] for match in found if match) if all(found) else frozenset()
