"""The programs that a search has reached, each with what its tests say of it.

Two programs are the same if their syntax trees are: layout and comments do not count. Nothing here
runs tests, asks a model or decides which state is worth expanding.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Literal

from attrs import define, field

from coe_lsp.chain.commands import Command
from coe_lsp.chain.episode import Episode
from coe_lsp.parsing import parse
from coe_lsp.repair.task import feedback_text
from coe_lsp.repair.verify import Verdict

#: What made a program.
Origin = Literal["start", "model", "mutation"]


def state_key(lines: Sequence[str]) -> str:
    """Equal for programs that differ in layout only; the text itself where it does not parse."""
    text = "\n".join(lines)
    try:
        return ast.dump(parse(text))
    except (SyntaxError, RecursionError):
        return "\n".join(line.rstrip() for line in lines)


def lines_touched(old: Sequence[str], new: Sequence[str]) -> frozenset[int]:
    """Lines of the old program (1-based) that are not in the new one, or next to what is new."""
    first = 0
    while first < min(len(old), len(new)) and old[first] == new[first]:
        first += 1
    last = 0
    while last < min(len(old), len(new)) - first and old[-1 - last] == new[-1 - last]:
        last += 1
    return frozenset(range(first + 1, max(first + 1, len(old) - last) + 1))


@define(eq=False)
class State:
    """A program with what its tests say of it, reached by `edit` from its `parent`.

    `number` is the place of its candidate among all of the search, 0 for the start. `episode` is
    the chain of commands from the start with true feedback; None where a step took several
    commands, or where its feedback is not known in full. `logprob` is the natural log of that
    chain's probability under the policy, 0 where no policy wrote it. `touched` are the lines that
    were changed on the way (1-based), `depth` the steps, and `expanded` counts how often a command
    was asked for from here.
    """

    number: int
    lines: tuple[str, ...]
    verdict: Verdict
    origin: Origin
    episode: Episode | None = None
    parent: State | None = None
    edit: tuple[Command, ...] = ()
    logprob: float = 0.0
    touched: frozenset[int] = frozenset()
    depth: int = 0
    expanded: int = field(default=0, kw_only=True)

    @property
    def commands(self) -> tuple[Command, ...]:
        """All commands from the start to here."""
        return (*self.parent.commands, *self.edit) if self.parent else self.edit

    def complete(self, verdict: Verdict, first: int, *, solved: bool) -> None:
        """Take over a verdict, and from a full one the feedback: the model can then go on.

        `first` is the line of the file where the function starts (1-based).
        """
        self.verdict = verdict
        episode = self.parent.episode if self.parent else None
        if episode is None or episode.done or len(self.edit) != 1 or verdict.hot:
            return
        feedback = feedback_text(verdict, first, len(self.lines))
        self.episode = episode.extend(episode.apply(self.edit[0]), feedback, solved)


class StateTree:
    """All states of one search, the start at the root; read and changed by one thread."""

    def __init__(self, start: State) -> None:
        self.start = start
        self._states = [start]
        #: The state that passes most tests, the first of several.
        self.closest = start

    def add(self, state: State) -> None:
        """Keep a state."""
        self._states.append(state)
        if state.verdict.passed > self.closest.verdict.passed:
            self.closest = state

    def halfway(self) -> State | None:
        """The state that passes most tests among those that pass more than the start, lose none."""
        better = [s for s in self._states if s.verdict.passing > self.start.verdict.passing]
        return max(better, key=lambda s: (s.verdict.passed, -s.number), default=None)
