"""Puts a repair into a text that was edited while the repair was made. Pure; it runs no tests."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from coe_lsp.errors import CoeError
from coe_lsp.repair.target.source import SourceError, SourceFile

# Lines around a change of a block that must still be there.
_AROUND = 3


class StaleError(CoeError):
    """The repair no longer fits the document; the message says why."""


def rebase(
    old: SourceFile, repaired: SourceFile, current: SourceFile, name: str
) -> tuple[str, ...]:
    """The repair of `old` put into `current`. StaleError if what was repaired has changed."""
    edited = StaleError(
        f"{name} was edited while it was being repaired: the repair is not offered."
    )
    try:
        mine = old.find(name)
    except SourceError:  # a block that is no function
        first, last, new = _changed(old.lines, repaired.lines)
        piece, text = old.lines[first:last], current.lines
        places = [n for n in range(len(text)) if text[n : n + len(piece)] == piece]
        if len(places) != 1:
            raise edited from None
        return (*text[: places[0]], *new, *text[places[0] + len(piece) :])
    try:
        function = current.find(name)
        lines = repaired.scratch_lines(repaired.find(name))
    except SourceError as error:
        raise StaleError(f"{name} has gone: its repair is not offered.") from error
    if current.scratch_lines(function) != old.scratch_lines(mine):
        raise edited
    return current.replace(function, lines)


def _changed(old: Sequence[str], new: Sequence[str]) -> tuple[int, int, Sequence[str]]:
    """Which lines of `old` (from 0) change, some around them included, and what they become."""
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    changes = [code for code in matcher.get_opcodes() if code[0] != "equal"]
    first = max(0, changes[0][1] - _AROUND)
    last = min(len(old), changes[-1][2] + _AROUND)
    return first, last, new[first : len(new) - (len(old) - last)]
