"""Whether the product's search takes a fault back without any model: then nothing is to be learned.

The search's own mutants are listed in its own order. Nothing is run here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from coe_lsp.mutations.clues import NO_CLUES, Clues
from coe_lsp.mutations.mutants import mutants
from coe_lsp.mutations.surroundings import NOTHING, Surroundings

#: How many mutants a search tests in the time that a user waits.
FIRST = 500


def is_found_unaided(
    start: Sequence[str],
    goal: Sequence[str],
    suspiciousness: Mapping[int, float] | None = None,
    enclosing: Surroundings = NOTHING,
    clues: Clues = NO_CLUES,
) -> bool:
    """Whether the goal is among the first mutants of the start, but for blanks."""
    wanted = _bare(goal)
    found = mutants(start, suspiciousness, enclosing, clues=clues)
    return any(_bare(mutant.lines) == wanted for mutant in islice(found, FIRST))


def _bare(lines: Sequence[str]) -> list[str]:
    return ["".join(line.split()) for line in lines if line.strip()]
