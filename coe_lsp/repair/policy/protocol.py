"""What a search asks of a policy, and what it gets: state in, command out, many at a time.

A policy sees episodes and answers with the text of one command each; a judge says how likely
changes are. Neither ever applies or tests anything. They may keep what they computed for an
episode, to go on from there; nobody else relies on that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import frozen

from coe_lsp.chain.episode import Episode
from coe_lsp.errors import CoeError
from coe_lsp.repair.outcome import ModelUsed

#: A block of twenty lines takes as many; a command of one line seldom takes forty.
COMMAND_TOKENS = 256
#: The lowest temperature at which another command for the same state is drawn.
REDRAW_TEMPERATURE = 1.0


class ContextError(CoeError):
    """The function does not fit the model's context."""


@frozen
class CommandRequest:
    """Asks for the next command of an episode.

    `id` is the request's own, and that of the proposal that answers it. `parent` is the id of the
    proposal that led to the episode's newest state; None for the start; and `id` itself to replace
    that proposal, after which nothing else can be asked of its state. `target_line` is a line
    (1-based) to be replaced. Requests that are equal but for the `seed` draw differently.
    """

    id: int
    episode: Episode
    parent: int | None = None
    target_line: int | None = None
    seed: int = 0


@frozen
class Proposal:
    """One command; `logprob` is the natural log of its probability, summed over its tokens.

    `id` is that of the request.
    `tokens` are those that the model wrote, and `ended` says whether it ended its turn itself or
    was cut off at a line's end or at the limit. `logprobs` are of those of the tokens that were
    sampled as they are, and of the end if it `ended`. Only training looks at these.
    """

    id: int
    text: str
    logprob: float
    tokens: tuple[int, ...] = ()
    ended: bool = True
    logprobs: tuple[float, ...] = ()


class Policy(Protocol):
    """State in, command out; many at a time."""

    def read(self, start: Episode) -> bool:
        """Read on in the task and its first state; True once all is read.

        Raises ContextError if it does not fit.
        """
        ...

    def ask(self, request: CommandRequest) -> bool:
        """Ask for a command; False if this policy cannot go on from there."""
        ...

    def step(self) -> Sequence[Proposal]:
        """Advance all requests; the proposals that are complete. None after `interrupt`."""
        ...

    def forget(self, id: int) -> None:
        """Free what is kept for this request or proposal; nothing will name it as a parent."""
        ...

    def interrupt(self) -> None:
        """End what runs at once; from any thread. Nothing more may be asked of the policy."""
        ...


class Judge(Protocol):
    """What a model thinks of changes that it did not write; a policy may be one as well."""

    def logprob_ratios(self, start: Episode, line: int, variants: Sequence[str]) -> Sequence[float]:
        """For each variant of a line the log of its probability over that of the line as it is.

        Natural logs, of the first token that differs: good only for variants that differ little.
        """
        ...

    def likelihoods(self, start: Episode, texts: Sequence[str]) -> Sequence[float]:
        """The natural log of the probability of each text as the first command."""
        ...


@frozen
class LoadedPolicy:
    """A policy ready to be asked, the weights behind it, and whether they were trained for this.

    It is its own `judge` if it has opinions. After `commands_a_turn`, if given, another place is to
    be searched; else after some time.
    """

    policy: Policy
    model: ModelUsed
    trained: bool
    judge: Judge | None = None
    commands_a_turn: int | None = None
