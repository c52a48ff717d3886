"""When a search has to end: a point in time that can be held off.

It is held while a model is fetched or loaded, which is not searching, so that a first repair has as
long as any other. May be read from several threads; only one holds it.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager

from attrs import define


@define
class Deadline:
    """`end` is on the clock of `time.monotonic`; without one there is all the time."""

    end: float = float("inf")
    _since: float | None = None

    def left(self) -> float:
        """Seconds that are left; as many as ever while the deadline is held."""
        since = self._since
        return self.end - (time.monotonic() if since is None else since)

    @contextmanager
    def held(self) -> Generator[None]:
        """Put the end off by as long as this lasts."""
        self._since = time.monotonic()
        try:
            yield
        finally:
            self.end += time.monotonic() - self._since
            self._since = None
