"""The handles an engine gives out: a sequence of tokens, a job on it, and what the job produced.

They hold state and delegate; all evaluation happens in `Engine`. Attributes are for reading: only
the engine and the methods here change them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from attrs import define, field, frozen

from coe_lsp.engine.context import EngineError, Slot
from coe_lsp.engine.sampler import Sampler
from coe_lsp.engine.sampling import Sampling

if TYPE_CHECKING:
    from coe_lsp.engine.engine import Engine

Finished = Literal["line", "eog", "length"]


@define(eq=False)
class Sequence:
    """A growing context of tokens. Made by `Engine.sequence` and `fork`; `release` it after use.

    Appended tokens are pending until a job (or a fork, or a score) needs them evaluated.
    """

    engine: Engine = field(repr=False)
    slot: Slot = field(repr=False)
    tokens: list[int] = field(repr=False)
    job: Job | None = field(default=None, init=False, repr=False)
    released: bool = field(default=False, init=False)

    @property
    def evaluated(self) -> int:
        """How many of the first tokens are in the key-value cache."""
        return len(self.slot.cells)

    @property
    def pending(self) -> int:
        """How many of the last tokens are not evaluated yet."""
        return len(self.tokens) - self.evaluated

    def append(self, tokens: Iterable[int]) -> None:
        """Add tokens; EngineError if the sequence would then exceed `Engine.max_tokens`."""
        self.engine.check(self)
        new = list(tokens)
        length, limit = len(self.tokens) + len(new), self.engine.max_tokens
        if length > limit:
            raise EngineError(
                f"The text needs {length} tokens but the model's context holds {limit}; shorten "
                "it or use a larger context."
            )
        self.tokens += new

    def set_tokens(self, tokens: list[int]) -> None:
        """Have these tokens instead; what begins both is not evaluated again. See `append`."""
        shared = common_start(self.tokens, tokens)
        self.truncate(shared)
        self.append(tokens[shared:])

    def truncate(self, length: int) -> None:
        """Forget all tokens from the one with index `length` on."""
        self.engine.check(self)
        self.engine.trim(self, length)

    def fork(self) -> Sequence:
        """A copy that shares this sequence's memory.

        What is pending, but for one token, is evaluated first, so that it is evaluated once. To
        have that done beside other jobs, run a job with `max_tokens=0` before. EngineError when
        all sequences are in use.
        """
        return self.engine.fork(self)

    def release(self) -> None:
        """Give the memory back; drops a running job. Doing it twice is harmless."""
        self.engine.release(self)


@define(eq=False)
class Job:
    """The generation of one text; `completion` is set when it is finished."""

    sequence: Sequence
    sampling: Sampling
    sampler: Sampler = field(repr=False)
    start: int
    """Tokens in the sequence when the job was submitted."""
    text: bytearray = field(factory=bytearray, init=False)
    token_ends: list[int] = field(factory=list[int], init=False, repr=False)
    """How long the text was after each sampled token."""
    logprobs: list[float] = field(factory=list[float], init=False, repr=False)
    completion: Completion | None = field(default=None, init=False, repr=False)

    @property
    def prefill_only(self) -> bool:
        """Whether the job only reads its context (`max_tokens` 0)."""
        return self.sampling.max_tokens == 0


@frozen
class Completion:
    """One generated text, as a rule a line.

    `text` has no line end of its own. `tokens` are those that the sequence now ends with, which
    spell `text`; what ended it is not among them. `logprobs` has one natural logarithm for each
    sampled token, the ending one included, under the model's own distribution: no temperature, no
    truncation, no grammar. `finished`: the line (or what else `Sampling.find_end` looks for) ended,
    the model ended its text (any control token), or `max_tokens` (or the context) was used up.
    """

    job: Job = field(repr=False)
    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    finished: Finished


def common_start(one: list[int], two: list[int]) -> int:
    """How many tokens both begin with."""
    count = 0
    for a, b in zip(one, two, strict=False):
        if a != b:
            break
        count += 1
    return count
