"""How long a search goes on after its first repair, so that there is a choice.

A fixed time, as a rule. With few tests, which a wrong program easily passes, and a model to be
heard, it is until that has said which mutants are likely and a moment's more were tested.
"""

from __future__ import annotations

import time

_CANDIDATES = 40
_FEW_TESTS, _DOUBT = 4, 3
# What the mutants that the model finds likely get, as a share of the fixed time.
_HEARD = 0.5


class Grace:
    """The clock of one search. `counted`: it ends after so many programs, whatever the time."""

    def __init__(self, seconds: float, tests: int, *, counted: bool) -> None:
        self._seconds = seconds
        self._few = tests <= _FEW_TESTS
        self._counted = counted
        self._found: tuple[float, int] | None = None  # time, programs tested
        self._heard: float | None = None

    @property
    def began(self) -> float | None:
        """When the first repair was there (on the clock of `time.monotonic`), if there is one."""
        return self._found[0] if self._found else None

    def longest(self, *, model: bool) -> float:
        """Seconds after the first repair, at most; `model`: there is one to wait for."""
        return self._seconds * (_DOUBT if self._few and model else 1)

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

    def over(self, tested: int, *, model: bool) -> bool:
        """Whether the search is to end, now that `tested` programs were."""
        if self._found is None:
            return False
        first, before = self._found
        if self._counted:
            return tested >= before + _CANDIDATES
        now = time.monotonic()
        if now >= first + self.longest(model=model):
            return True
        if self._heard is None:
            return False
        return now >= max(first + self._seconds, self._heard + _HEARD * self._seconds)
