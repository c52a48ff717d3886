"""What a search asks of a policy, and what it gets: state in, command out, many at a time.

A policy sees episodes and answers with the text of one command each. It never applies or tests
anything. It may keep what it computed for an episode, to go on from there; nobody else relies on
that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import frozen

from coe_lsp.chain.episode import Episode
from coe_lsp.errors import CoeError
from coe_lsp.repair.outcome import ModelUsed

#: Where another answer to the same is wanted, the likeliest one will not do.
REDRAW_TEMPERATURE = 1.0


class ContextError(CoeError):
    """The function does not fit the model's context."""


@frozen
class Ask:
    """A wish for the next command of an episode.

    `number` names what comes of it. `parent` is the number of the proposal that led to the
    episode's newest state; None for the start; and `number` itself to go on in its place, after
    which nothing else can be asked of that state. `focus` is a line (1-based) to be replaced.
    """

    number: int
    episode: Episode
    parent: int | None = None
    focus: int | None = None


@frozen
class Proposal:
    """One command; `logprob` is the natural log of its probability, summed.

    `tokens` are those that the model wrote, and `ended` says whether it ended its turn itself or
    was cut off at a line's end or at the limit. Only training looks at these.
    """

    number: int
    text: str
    logprob: float
    tokens: tuple[int, ...] = ()
    ended: bool = True


class Policy(Protocol):
    """State in, command out; many at a time."""

    def read(self, start: Episode) -> bool:
        """Read on in the task and its first state; True once all is read.

        Raises ContextError if it does not fit.
        """
        ...

    def ask(self, ask: Ask) -> bool:
        """Ask for a command; False if this policy cannot go on from there."""
        ...

    def step(self) -> Sequence[Proposal]:
        """Work on all that was asked for; what got finished. Nothing after `interrupt`."""
        ...

    def forget(self, number: int) -> None:
        """Nothing will be asked of that proposal's state; what is under way for it is dropped."""
        ...

    def prefer(self, start: Episode, line: int, variants: Sequence[str]) -> Sequence[float]:
        """How much likelier than the start's line as it is each variant is (natural log).

        Judged by the first place where they part, so it compares well only what differs little.
        """
        ...

    def likelihoods(self, start: Episode, texts: Sequence[str]) -> Sequence[float]:
        """The natural log of the probability of each text as the first command."""
        ...

    def interrupt(self) -> None:
        """Have whatever runs end at once, from any thread; nothing more is asked of the policy."""
        ...


@frozen
class LoadedPolicy:
    """A policy ready to be asked, the weights behind it, and whether they were trained for this."""

    policy: Policy
    model: ModelUsed
    trained: bool
