"""Repairs without one of their changes: what a chain tried on the way, a repair may not need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from coe_lsp.chain.edits import hunks_between

_MOST_HUNKS = 6


def smaller_programs(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Programs with all changes but one; none where there is one change, or very many."""
    hunks = hunks_between(before, after)
    if not 2 <= len(hunks) <= _MOST_HUNKS:
        return
    for hunk in hunks:
        yield (*after[: hunk.start], *before[hunk.first : hunk.last], *after[hunk.end :])
