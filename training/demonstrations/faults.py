"""Faulty programs of one task, by kind, so that the mix comes out as wished where it can.

The kind that lags most behind its share is next; one of which a task has no more is not asked
again. Nothing is run here: whether tests notice a fault is the caller's to find out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

from attrs import define, field

from training.demonstrations.line_noise import Donors, corrupt
from training.demonstrations.mistakes import Mistake, make_mistakes
from training.demonstrations.recipe import Kind, Recipe
from training.demonstrations.structural import take_away

Lines = tuple[str, ...]
_IN_VAIN = 6


@define
class Faults:
    """Faults of a task in one form: `reference`, a person's `code` if there is one, `written` ones.

    `made` counts the demonstrations of the task by kind, in whichever form.
    """

    reference: Lines
    code: Lines | None
    written: list[Lines]
    donors: Donors
    recipe: Recipe
    random: Random
    made: Counter[Kind]
    _in_vain: Counter[Kind] = field(factory=Counter["Kind"])

    def next_kind(self) -> Kind | None:
        """The kind whose turn it is; None if none is left."""
        weights = self.recipe.mix.weights()
        there: dict[Kind, float] = {
            kind: weight
            for kind, weight in weights.items()
            if weight and self._in_vain[kind] < _IN_VAIN and self._has(kind)
        }
        if not there:
            return None
        # What a task lacks is made up for by the others, in their proportion.
        total = sum(self.made[kind] for kind in there) + 1
        whole = sum(there.values())
        lag: dict[Kind, float] = {
            kind: weight / whole * total - self.made[kind] for kind, weight in there.items()
        }
        best = max(lag.values())
        near: list[Kind] = [kind for kind in lag if lag[kind] > best - 0.3]
        return self.random.choice(near)

    def _has(self, kind: Kind) -> bool:
        if self.code is not None or kind == "human":
            return kind == "human" and self.code is not None
        return kind != "written" or bool(self.written)

    def count(self, kind: Kind, *, made: bool) -> None:
        """Note whether a fault of that kind came to anything."""
        self._in_vain[kind] = 0 if made else self._in_vain[kind] + 1
        self.made[kind] += made

    def make(self, kind: Kind, lines: Lines) -> tuple[Lines, list[str]] | None:
        """A faulty form of a correct program, and what was done to it; None if there is none."""
        random, recipe = self.random, self.recipe
        match kind:
            case "human":
                return None if self.code is None else (self.code, ["human"])
            case "written":
                return self.written.pop(), ["written"]
            case "token":
                return self._break(lines, "token", make_mistakes)
            case _:
                break_it = self._noise if kind == "noise" else self._structural
                depth = random.choices(range(1, len(recipe.depths) + 1), recipe.depths)[0]
                kinds: list[str] = []
                whole = lines
                for _ in range(depth):
                    broken = break_it(lines)
                    if broken is None:
                        return None
                    lines = broken[0]
                    kinds += broken[1]
                if kind == "structural" and _is_gutted(whole, lines):
                    return None
                return lines, kinds

    def mislead(self, lines: Lines) -> tuple[Lines, list[str]] | None:
        """A program with one more mistake, as a wrong edit leaves it."""
        if self.recipe.mix.noise:
            return self._noise(lines)
        return self._break(lines, "detour", make_mistakes)

    def _structural(self, lines: Lines) -> tuple[Lines, list[str]] | None:
        return self._break(lines, "structural", take_away)

    def _noise(self, lines: Lines) -> tuple[Lines, list[str]] | None:
        new, kind = corrupt(lines, self.donors, self.random)
        return None if new == lines else (new, [f"noise: {kind}"])

    def _break(
        self,
        lines: Sequence[str],
        label: str,
        make: Callable[[str, Random, int], Sequence[Mistake]],
    ) -> tuple[Lines, list[str]] | None:
        found = make("\n".join(lines), self.random, 1)
        if not found:
            return None
        return tuple(found[0].text.split("\n")), [f"{label}: {found[0].kind}"]


def _is_gutted(whole: Lines, left: Lines) -> bool:
    """Whether half of a function or more is gone: that is to be written, not mended."""
    gone = len(whole) - len(left)
    return gone > 1 and 2 * gone >= len(whole) - 1
