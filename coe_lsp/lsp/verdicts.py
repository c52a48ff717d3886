"""What the tests said of texts that were tested before: an undone change need not run them again.

Holds as long as nothing else has changed: whoever learns of that says `forget`.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coe_lsp.lsp.check import CheckResult

_MOST = 24


class Verdicts:
    """The last verdicts, by document and text."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], CheckResult] = OrderedDict()

    def remember(self, result: CheckResult) -> None:
        """Keep it, at the cost of the one that was not asked for the longest.

        If the same text had another verdict, something else has changed that nobody told of.
        """
        key = (result.document.uri, result.document.text)
        before = self._known.get(key)
        if before is not None and before.summary != result.summary:
            self.forget(result.document.uri)
        self._known[key] = result
        self._known.move_to_end(key)
        if len(self._known) > _MOST:
            self._known.popitem(last=False)

    def of(self, uri: str, text: str) -> CheckResult | None:
        """The verdict on exactly that text."""
        key = (uri, text)
        if key in self._known:
            self._known.move_to_end(key)
        return self._known.get(key)

    def forget(self, uri: str) -> None:
        """They hold no more for a document."""
        for key in [key for key in self._known if key[0] == uri]:
            del self._known[key]
