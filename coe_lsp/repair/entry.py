"""A place of a portfolio: its search, the time that it has had, and what it came to."""

from __future__ import annotations

from attrs import define, frozen

from coe_lsp.repair.search.search import Found, Search
from coe_lsp.repair.search.states import State
from coe_lsp.repair.site import Site

# A place that wins tests weighs so many times more.
_WINNING = 3.0


@define(eq=False)
class Entry:
    """A place with its search, once that has begun, and the seconds that it has had.

    `with_model` are the seconds for which the model was its own. It is `over` if nothing is left to
    try; repaired, it waits for others until then.
    """

    site: Site
    weight: float
    search: Search | None = None
    spent: float = 0.0
    with_model: float = 0.0
    grow_at: float = float("inf")
    grown: bool = False
    waits_until: float | None = None
    over: bool = False
    found: Found | None = None

    @property
    def dry(self) -> bool:
        """Whether all its mutants are tested, and all that the model wrote for it so far."""
        return self.search is not None and self.search.exhausted

    @property
    def share(self) -> float:
        """What its time is in proportion to."""
        wins = self.search is not None and self.search.halfway() is not None
        return self.weight * (_WINNING if wins else 1.0)


@frozen
class Tried:
    """What one place came to; `half` wins most of its tests and loses none, if any does."""

    site: Site
    seconds: float
    found: Found
    half: State | None
