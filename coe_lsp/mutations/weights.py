"""How likely each kind of edit is, as learned from what people changed.

An edit is made with a guess of its weight (a natural log, as the one who wrote the edit thought).
The table beside this file says by how much guesses of a kind are wrong, and by how much more those
of one kind with one value are. `tests/benchmarks/learn_kinds.py` makes it; without the table the
guesses would stand as they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

TABLE = Path(__file__).with_name("weights.json")


@frozen
class Weights:
    """What is added to guesses: to those of a kind, and to those of a kind with one value."""

    by_kind: Mapping[str, float]
    by_class: Mapping[str, Mapping[float, float]]

    @classmethod
    def loads(cls, text: str) -> Weights:
        """The opposite of `dumps`."""
        data = json.loads(text)
        classes = {
            kind: {float(guess): value for guess, value in found.items()}
            for kind, found in data["by_class"].items()
        }
        return cls(data["by_kind"], classes)

    def dumps(self) -> str:
        """As JSON, the same for the same weights."""
        data = {"by_kind": self.by_kind, "by_class": self.by_class}
        return json.dumps(data, indent=1, sort_keys=True) + "\n"

    def of(self, kind: str, guess: float) -> float:
        """The weight of an edit of some kind that was made with this guess."""
        more = self.by_class.get(kind, {}).get(round(guess, 2), 0.0)
        return guess + self.by_kind.get(kind, 0.0) + more


LEARNED = Weights.loads(TABLE.read_text(encoding="utf-8"))
