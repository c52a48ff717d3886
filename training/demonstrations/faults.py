"""Kinds of faults, and how they are mixed.

| kind | what it is |
| --- | --- |
| human | what people left wrong and mended later, where a task comes with it |
| omission | something taken away that people forget (`omissions`) |
| written | a statement or expression that the base model wrote in place of the right one |
| token | one small slip (`mistakes`) that the search does not repair by itself |
| paper | the paper's corruptions (`line_noise`) |

A mix has a weight for each. What cannot be made of a function is made up for by other kinds, so
what comes out is counted: `Fault.kind` says what it really was. Nothing is run here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random
from typing import Literal

import attrs
from attrs import field, frozen
from attrs.validators import ge

from training.demonstrations.line_noise import Donors, corrupt
from training.demonstrations.mistakes import make_mistakes
from training.demonstrations.omissions import make_omissions

Kind = Literal["human", "omission", "written", "token", "paper"]


@frozen
class Mix:
    """Weights of kinds. A task's own fault is taken once, and first, unless its weight is 0."""

    human: float = field(default=1.0, validator=ge(0))
    omission: float = field(default=0.4, validator=ge(0))
    written: float = field(default=0.25, validator=ge(0))
    token: float = field(default=0.3, validator=ge(0))
    paper: float = field(default=0.05, validator=ge(0))

    @property
    def weights(self) -> dict[Kind, float]:
        """Of the kinds that are wanted."""
        return {kind: weight for kind, weight in attrs.asdict(self).items() if weight > 0}


@frozen
class Fault:
    """A program with a fault more, and which: the kind, and what it is in particular."""

    lines: tuple[str, ...]
    kind: Kind
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


@frozen
class FaultMaker:
    """Puts faults into programs of one task. `known` are whole faulty programs by kind."""

    donors: Donors
    random: Random
    known: Mapping[Kind, Sequence[tuple[str, ...]]]

    def make(self, lines: tuple[str, ...], kind: Kind, *, first: bool) -> Fault | None:
        """One fault of that kind, or None; whole programs are known only where it is the `first`.

        The same call gives another the next time.
        """
        match kind:
            case "paper":
                made = corrupt(lines, self.donors, self.random)
                return Fault(made.lines, kind, made.kind) if made.lines != lines else None
            case "omission" | "token":
                make = make_omissions if kind == "omission" else make_mistakes
                found = make("\n".join(lines), self.random, 1)
                return Fault(tuple(found[0].text.split("\n")), kind, found[0].kind) if found else None
            case "human" | "written":
                programs = self.known.get(kind, ())
                if not first or not programs:
                    return None
                return Fault(self.random.choice(programs), kind, "program")


def choose_kind(wanted: Mapping[Kind, float], made: Counter[Kind], random: Random) -> Kind | None:
    """A kind that is behind its share so far, the more so the likelier; None if none is wanted."""
    total, count = sum(wanted.values()), sum(made[kind] for kind in wanted) + 1
    behind = {
        kind: max(count * weight / total - made[kind], 0.05 * weight / total)
        for kind, weight in wanted.items()
    }
    if not behind:
        return None
    return random.choices(list(behind), list(behind.values()))[0]
