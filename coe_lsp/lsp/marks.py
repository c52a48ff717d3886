"""The marks in a document: where they belong in its text as it is now, and what the editor shows.

Tests run on a text while the user types on. A mark stays at its line wherever that moves to, and
goes with it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence

from attrs import evolve
from lsprotocol import types

from coe_lsp.lsp.documents import line_range

# More lines than that, changed at a stretch, are not compared one by one.
_MOST_COMPARED = 2000


def moved(
    found: Sequence[types.Diagnostic],
    old: Sequence[str],
    new: Sequence[str],
    units: Callable[[str], int],
) -> list[types.Diagnostic]:
    """Marks of the lines of `old` at where these lines are in `new`; without those that are gone.

    `units` measures text in the client's units.
    """
    if not found or tuple(old) == tuple(new):
        return list(found)
    rows = _rows(old, new)
    kept = ((mark, rows.get(mark.range.start.line)) for mark in found)
    return [
        evolve(mark, range=line_range(new, row + 1, units)) for mark, row in kept if row is not None
    ]


def _rows(old: Sequence[str], new: Sequence[str]) -> dict[int, int]:
    """Where each line of `old` is in `new`, unless it is gone."""
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    rows = {row: row for row in range(start)}
    rows |= {len(old) - n: len(new) - n for n in range(1, end + 1)}
    first, second = old[start : len(old) - end], new[start : len(new) - end]
    if len(first) + len(second) <= _MOST_COMPARED:
        matcher = difflib.SequenceMatcher(None, first, second, autojunk=False)
        for block in matcher.get_matching_blocks():
            for n in range(block.size):
                rows[start + block.a + n] = start + block.b + n
    return rows
