"""A repair that was asked for, from the click to its end."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from attrs import define, field
from lsprotocol import types

from coe_lsp.lsp.aside import aside

if TYPE_CHECKING:
    from coe_lsp.repair.repair import Repair


@define(eq=False)
class RepairJob:
    """One of them. `token` is where the client wants to read of its progress, if it named that."""

    number: int
    uri: str
    function: str | None
    token: types.ProgressToken | None = None
    cancelled: threading.Event = field(factory=threading.Event)
    repair: Repair | None = None
    #: Set once nothing more is looked for: then it may still be offered.
    searched: asyncio.Event = field(factory=asyncio.Event)

    def cancel(self) -> None:
        """Stop looking: what was found already is shown."""
        self.cancelled.set()
        if self.repair is not None:
            aside(self.repair.cancel)

    def end(self) -> None:
        """Drop it."""
        self.cancelled.set()
        if self.repair is not None:
            self.repair.abandon()
