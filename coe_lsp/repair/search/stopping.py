"""When a search ends: cancelled, out of time, out of candidates, or some time after a repair.

After the first repair it goes on so that there is a choice. As a rule that is a fixed grace. With
few tests, which a wrong program easily passes, and a model at work, it lasts until the model has
scored the mutants and a moment's more were tested, but no longer than a multiple of the grace.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from coe_lsp.repair.deadline import Deadline

# Candidates tested after the first repair, where candidates are counted instead of seconds.
_CANDIDATES_AFTER_REPAIR = 40
# With so few tests the grace is up to so many times as long.
_FEW_TESTS, _FEW_TESTS_FACTOR = 4, 3
# What is tested for once the model has scored the mutants, as a share of the grace.
_AFTER_SCORES_SHARE = 0.5


class StoppingRule:
    """Decides when one search ends; `repair_found` may come from the thread that tests."""

    def __init__(
        self,
        grace: float,
        tests: int,
        deadline: Deadline,
        cancelled: Callable[[], bool],
        *,
        candidates: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`grace` in seconds, `tests` how many there are.

        `candidates` bounds the programs tested, and then no time counts but the deadline.
        """
        self._grace = grace
        self._few_tests = tests <= _FEW_TESTS
        self._deadline = deadline
        self._cancelled = cancelled
        self._candidates = candidates
        self._clock = clock
        self._repair: tuple[float, int] | None = None  # time, programs tested
        self._scored: float | None = None

    @property
    def counted(self) -> bool:
        """Whether the number of candidates is bounded, instead of the time."""
        return self._candidates is not None

    @property
    def repaired_at(self) -> float | None:
        """When the first repair was there, by the clock; None before."""
        return self._repair[0] if self._repair else None

    def longest_grace(self, *, model: bool) -> float:
        """Seconds after the first repair, at most; `model`: there is one to wait for."""
        return self._grace * (_FEW_TESTS_FACTOR if self._few_tests and model else 1)

    def repair_found(self, tested: int) -> bool:
        """A repair is there, after `tested` programs. False unless it is the first."""
        if self._repair is not None:
            return False
        self._repair = self._clock(), tested
        return True

    def model_scored(self) -> None:
        """The model has scored all mutants that it is asked about."""
        if self._scored is None:
            self._scored = self._clock()

    def over(self, tested: int, *, model: bool) -> bool:
        """Whether to end, now that `tested` programs were; `model`: there is one at work."""
        if self._cancelled() or self._deadline.left() <= 0:
            return True
        if self._candidates is not None and tested >= self._candidates:
            return True
        if self._repair is None:
            return False
        first, before = self._repair
        if self.counted:
            return tested >= before + _CANDIDATES_AFTER_REPAIR
        now = self._clock()
        if now >= first + self.longest_grace(model=model):
            return True
        if self._scored is None:
            return False
        return now >= max(first + self._grace, self._scored + _AFTER_SCORES_SHARE * self._grace)
