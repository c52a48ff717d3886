"""Whole answers, several to one question side by side: from the serving engine or transformers."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from attrs import define, evolve, field, frozen

from coe_lsp.chain.prompt import ChatFormat, Segment, detect_format
from coe_lsp.models.sampling import Sampling

if TYPE_CHECKING:  # a machine that only trains on a GPU needs no llama.cpp
    from coe_lsp.models.engine import Engine
    from coe_lsp.models.sequence import Sequence
    from training.base import Tokenizer


@frozen
class Answer:
    """The text and its length in tokens."""

    text: str
    tokens: int


class Writer(Protocol):
    """Answers questions."""

    @property
    def format(self) -> ChatFormat:
        """How its model marks the turns of a conversation."""
        ...

    def answers(self, question: Iterable[Segment], each: int, sampling: Sampling) -> list[Answer]:
        """`each` answers, drawn with seeds that follow from `sampling.seed`."""
        ...


@define
class LlamaWriter:
    """The serving engine. What begins the next question as well (worked examples) stays read."""

    engine: Engine
    _question: Sequence | None = field(default=None, init=False)

    @property
    def format(self) -> ChatFormat:
        """See `Writer.format`."""
        return detect_format(self.engine.chat_template)

    def answers(self, question: Iterable[Segment], each: int, sampling: Sampling) -> list[Answer]:
        """See `Writer.answers`."""
        engine = self.engine
        if self._question is None:
            self._question = engine.sequence()
        self._question.hold(engine.tokenize(question, add_bos=True))
        forks = [self._question.fork() for _ in range(each)]
        jobs = [
            engine.submit(fork, evolve(sampling, one_line=False, seed=sampling.seed * 1000 + copy))
            for copy, fork in enumerate(forks)
        ]
        found = {id(c.job): Answer(c.text, len(c.logprobs)) for c in engine.run(jobs)}
        for fork in forks:
            fork.release()
        return [found[id(job)] for job in jobs]


@frozen
class TransformersWriter:
    """A transformers model; of the sampling only temperature, length and seed count."""

    model: Any
    tokenizer: Tokenizer

    @property
    def format(self) -> ChatFormat:
        """See `Writer.format`."""
        return self.tokenizer.format

    def answers(self, question: Iterable[Segment], each: int, sampling: Sampling) -> list[Answer]:
        """See `Writer.answers`."""
        from training.continuations import continuations

        ends = self.tokenizer.answer_ends
        written = continuations(
            self.model,
            [self.tokenizer.tokenize(question, add_bos=True)] * each,
            ends=ends,
            most=sampling.max_tokens,
            temperature=sampling.temperature,
            seed=sampling.seed,
        )
        rows = [list(itertools.takewhile(lambda t: t not in ends, row)) for row in written]
        return [Answer(self.tokenizer.decode(row), len(row)) for row in rows]
