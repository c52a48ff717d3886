"""Whether the search repairs a fault by itself: its mutations, in the order in which it tries them.

What it can is not worth teaching a model. Pure.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from coe_lsp.mutations.mutants import mutants
from coe_lsp.mutations.surroundings import NOTHING, Surroundings

TRIED = 500


def is_within_reach(
    start: tuple[str, ...],
    goal: tuple[str, ...],
    suspiciousness: Mapping[int, float] | None = None,
    enclosing: Surroundings = NOTHING,
) -> bool:
    """Whether `goal` is among the first mutants of `start` that the search would test."""
    found = mutants(start, suspiciousness, enclosing)
    return any(mutant.lines == goal for mutant in itertools.islice(found, TRIED))
