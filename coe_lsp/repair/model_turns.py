"""Which place has the model, of several that are searched in turns, and which model it has.

It loads nothing and searches nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from coe_lsp.repair.entry import Entry
from coe_lsp.repair.lazy_policy import LazyPolicy
from coe_lsp.repair.policy.protocol import LoadedPolicy

# Seconds for which a model writes at one place, once it is prepared.
_WRITING = 6.0


class ModelTurns:
    """The model's turns, which are its own.

    Mutations change places every second. A model has to read each place's task anew, which takes a
    small machine many times longer: it stays at a place until it has read and scored the likeliest
    mutants, and then for long enough to write something, while mutations go on elsewhere. Places
    have it in proportion to their weights, the heaviest first.

    The second, larger model takes over once it is loaded, in later rounds of the repair as well,
    but not at places that do not fit it.
    """

    def __init__(self, first: LazyPolicy, second: LazyPolicy) -> None:
        self._first, self._second = first, second
        self._since: float | None = None
        #: The place that has the model.
        self.holder: Entry | None = None

    def loaded_for(self, entry: Entry) -> LoadedPolicy | None:
        """What a place would be searched with; None before a model is loaded."""
        second = self._second.loaded
        if second is not None and not (entry.search and entry.search.model.refuses(second)):
            return second
        return self._first.loaded

    def has_ideas(self, entry: Entry) -> bool:
        """Whether a model that is loaded has anything to say at a place."""
        loaded = self.loaded_for(entry)
        return loaded is not None and (entry.search is None or entry.search.model.asks(loaded))

    def choose(self, entries: Sequence[Entry]) -> None:
        """Give the model to one of these places, if its turn at another is over."""
        holder = self.holder
        if holder is not None and holder in entries and not self._is_over(holder):
            return
        begun = [e for e in entries if e.search and not e.over and self.has_ideas(e)]
        self.give(min(begun, key=lambda e: (e.with_model / e.share, -e.share), default=None))

    def give(self, entry: Entry | None) -> None:
        """Let a place have the model now."""
        if self.holder is not None and self.holder is not entry and self.holder.search:
            self.holder.search.model.release()
        self.holder, self._since = entry, None

    def ask(self) -> bool:
        """A step of the model's work at its place; False if there is none to do."""
        if self.holder is None or self.holder.search is None:
            return False
        loaded = self.loaded_for(self.holder)
        return loaded is not None and self.holder.search.model.ask(loaded)

    def _is_over(self, entry: Entry) -> bool:
        """Whether a place has had the model for long enough."""
        search, loaded = entry.search, self.loaded_for(entry)
        if entry.over or search is None or loaded is None or not search.model.asks(loaded):
            return True
        if search.model.preparing:
            return False
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if loaded.commands_a_turn is not None:
            return search.model.answers >= loaded.commands_a_turn
        return now - self._since >= _WRITING
