"""What a repair asks of whoever says where to search: `FileSites` or `ProjectSites`.

The one place that lists what differs between a file that was named and tests that were.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from coe_lsp.execution.suite import Run
from coe_lsp.repair.acceptance import Acceptance
from coe_lsp.repair.deadline import Deadline
from coe_lsp.repair.outcome import Outcome
from coe_lsp.repair.processes import Processes
from coe_lsp.repair.reasons import Effort
from coe_lsp.repair.request import Watcher
from coe_lsp.repair.reverts import Revert
from coe_lsp.repair.search.ranking import PassingProgram
from coe_lsp.repair.search.states import State
from coe_lsp.repair.site import Base, Site

#: Places, each with what it gets of the time, as a share.
Weighted = list[tuple[Site, float]]


class Sites(Protocol):
    """Places to search, and what makes all that was named a repair."""

    #: The failing tests to win: those that were named, or of what was named.
    targets: tuple[str, ...]

    def open(
        self, processes: Processes, watcher: Watcher, deadline: Deadline
    ) -> tuple[Outcome, Weighted]:
        """Run the tests; the outcome so far, and the places, which are searched until the deadline.

        CoeError for whatever the user has to put right first.
        """
        ...

    def grow(self, site: Site, half: State) -> Weighted:
        """Places for the tests that `half`, a better version of one, leaves failing."""
        ...

    def beside(self, base: Base, left: Sequence[str]) -> Weighted:
        """With a change in place, places for the named tests that are `left`."""
        ...

    def confirm(
        self, site: Site, programs: Sequence[PassingProgram]
    ) -> list[tuple[PassingProgram, Run]]:
        """The programs that pass again, each with a run of all tests, from the best one on."""
        ...

    def half(self, site: Site, half: State) -> tuple[str, ...] | None:
        """The tests to win that a better version leaves failing; None if nothing is to be told."""
        ...

    def left(self, run: Run) -> tuple[str, ...]:
        """The named tests that do not pass in a run of a repair."""
        ...

    def accepted(self, site: Site, run: Run) -> tuple[int, Acceptance]:
        """How many tests a repair at a place passes, and what it does in all."""
        ...

    def still_failing(self, site: Site, program: PassingProgram) -> tuple[str, ...]:
        """Tests beside those to win that failed before a repair and fail with it.

        Only those that `accepted` knows nothing of.
        """
        ...

    def find_revert(self, deadline: Deadline) -> Revert | None:
        """What repairs it by taking back the user's own changes, if they are at fault."""
        ...

    def why_no_repair(self, effort: Effort) -> str:
        """Why nothing was found, if that is known; else ''."""
        ...
