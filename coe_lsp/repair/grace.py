"""How long a search goes on after its first repair, so that there is a choice.

A fixed time, as a rule. With few tests, which a wrong program easily passes, it is longer, or until
the model has said which mutants are likely and these were tested.
"""

from __future__ import annotations

import time

_CANDIDATES = 40
_FEW_TESTS, _DOUBT = 4, 4


class Grace:
    """The clock of one search. `counted`: it ends after so many programs, whatever the time."""

    def __init__(self, seconds: float, tests: int, *, counted: bool) -> None:
        self._seconds = seconds
        self._counted = counted
        self._found: tuple[float, int] | None = None  # time, programs tested
        self._heard: float | None = None
        #: Seconds after the first repair, at most.
        self.longest = seconds * (_DOUBT if tests <= _FEW_TESTS else 1)

    @property
    def began(self) -> float | None:
        """When the first repair was there (on the clock of `time.monotonic`), if there is one."""
        return self._found[0] if self._found else None

    def begin(self, tested: int) -> bool:
        """The first repair is there, after `tested` programs. False if it was there before."""
        if self._found is not None:
            return False
        self._found = time.monotonic(), tested
        return True

    def heard(self) -> None:
        """The model has said which mutants are likely."""
        if self._heard is None:
            self._heard = time.monotonic()

    def over(self, tested: int) -> bool:
        """Whether the search is to end, now that `tested` programs were."""
        if self._found is None:
            return False
        first, before = self._found
        if self._counted:
            return tested >= before + _CANDIDATES
        now = time.monotonic()
        if now >= first + self.longest:
            return True
        return self._heard is not None and now >= max(first, self._heard) + self._seconds
