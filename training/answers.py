"""Whole answers, several to one question side by side: from the serving engine or transformers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from attrs import define, evolve, field, frozen

from coe_lsp.chain.prompt import ChatFormat, Segment, detect_format
from coe_lsp.models.sampling import Sampling

if TYPE_CHECKING:  # a machine that only trains on a GPU needs no llama.cpp
    from coe_lsp.models.engine import Engine
    from coe_lsp.models.sequence import Sequence as Context
    from training.base import Tokenizer


@frozen
class Answer:
    """The text and its length in tokens."""

    text: str
    tokens: int


@frozen
class Question:
    """What is asked, and how the answers are drawn: with seeds that follow from the sampling's."""

    segments: tuple[Segment, ...]
    sampling: Sampling


class Writer(Protocol):
    """Answers questions. `at_once` is how many answers it writes best side by side."""

    @property
    def at_once(self) -> int:
        """See the class."""
        ...

    @property
    def format(self) -> ChatFormat:
        """How its model marks the turns of a conversation."""
        ...

    def answers(self, questions: Sequence[Question], each: int) -> list[list[Answer]]:
        """`each` answers to every question."""
        ...


@define
class LlamaWriter:
    """The serving engine. What begins the next question as well (worked examples) stays read."""

    engine: Engine
    at_once: int = 1  # one question at a time
    _question: Context | None = field(default=None, init=False)

    @property
    def format(self) -> ChatFormat:
        """See `Writer.format`."""
        return detect_format(self.engine.chat_template)

    def answers(self, questions: Sequence[Question], each: int) -> list[list[Answer]]:
        """See `Writer.answers`."""
        return [self._answer(question, each) for question in questions]

    def _answer(self, question: Question, each: int) -> list[Answer]:
        engine, sampling = self.engine, question.sampling
        if self._question is None:
            self._question = engine.sequence()
        self._question.hold(engine.tokenize(question.segments, add_bos=True))
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
    """A transformers model.

    Of the sampling only temperature, length and seed count; together it asks with those of the
    first question.
    """

    model: Any
    tokenizer: Tokenizer
    at_once: int = 256

    @property
    def format(self) -> ChatFormat:
        """See `Writer.format`."""
        return self.tokenizer.format

    def answers(self, questions: Sequence[Question], each: int) -> list[list[Answer]]:
        """See `Writer.answers`."""
        from training.continuations import continuations

        ends = self.tokenizer.answer_ends
        sampling = questions[0].sampling
        contexts = [self.tokenizer.tokenize(q.segments, add_bos=True) for q in questions]
        written = continuations(
            self.model,
            [tokens for tokens in contexts for _ in range(each)],
            ends=ends,
            most=sampling.max_tokens,
            temperature=sampling.temperature,
            seed=sampling.seed,
        )
        rows = [list(itertools.takewhile(lambda t: t not in ends, row)) for row in written]
        found = [Answer(self.tokenizer.decode(row), len(row)) for row in rows]
        return [found[n * each : (n + 1) * each] for n in range(len(questions))]
