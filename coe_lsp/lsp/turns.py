"""Whose check runs: a few at a time, and that of the document which the user is in at once.

If there is no room, the check that the user looked away from the longest ago makes room, and starts
anew later. On the event loop.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

from attrs import define, field

_AT_ONCE = 2


@define(eq=False)
class Turn:
    """A check's turn; `lost` to a more urgent one if `interrupt` was called."""

    uri: str
    interrupt: Callable[[], object] = lambda: None
    lost: bool = False
    given: asyncio.Future[None] = field(factory=lambda: asyncio.get_running_loop().create_future())


class Turns:
    """Who has a turn and who waits for one."""

    def __init__(self) -> None:
        self._looks = itertools.count(1)
        self._looked_at: dict[str, int] = {}
        self._running: list[Turn] = []
        self._waiting: list[Turn] = []

    def attend(self, uri: str) -> None:
        """The user is in this document now."""
        self._looked_at[uri] = next(self._looks)

    def forget(self, uri: str) -> None:
        """The document was closed."""
        self._looked_at.pop(uri, None)

    async def take(self, uri: str) -> Turn:
        """A turn, as soon as there is room. It must be given back."""
        turn = Turn(uri)
        self._waiting.append(turn)
        self._next()
        try:
            await turn.given
        except asyncio.CancelledError:
            self.give_back(turn)
            raise
        return turn

    def give_back(self, turn: Turn) -> None:
        """The check has ended, or nobody wants its result any more."""
        for turns in (self._running, self._waiting):
            if turn in turns:
                turns.remove(turn)
        self._next()

    def _next(self) -> None:
        while self._waiting:
            first = max(self._waiting, key=self._urgency)
            if len(self._running) >= _AT_ONCE:
                last = min(self._running, key=self._urgency)
                if self._urgency(last) >= self._urgency(first):
                    return
                self._running.remove(last)
                last.lost = True
                last.interrupt()
            self._waiting.remove(first)
            self._running.append(first)
            if not first.given.done():
                first.given.set_result(None)

    def _urgency(self, turn: Turn) -> int:
        return self._looked_at.get(turn.uri, 0)
