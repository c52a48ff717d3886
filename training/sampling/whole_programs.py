"""Whole answers, several to one question side by side: from the serving engine or transformers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from attrs import define, evolve, field, frozen

from coe_lsp.chain.prompt import ChatFormat, Segment, detect_format
from coe_lsp.engine.sampling import Sampling

if TYPE_CHECKING:  # a machine that only trains on a GPU needs no llama.cpp
    from coe_lsp.engine.engine import Engine
    from coe_lsp.engine.sequence import Sequence as Context
    from training.model.base import Tokenizer


@frozen
class Answer:
    """The text and its length in tokens."""

    text: str
    tokens: int


@frozen
class Question:
    """What is asked, and a seed for the answers."""

    segments: tuple[Segment, ...]
    seed: int


class Writer(Protocol):
    """Answers questions. `at_once`: how many answers to different ones it writes best together."""

    @property
    def at_once(self) -> int:
        """See the class."""
        ...

    @property
    def format(self) -> ChatFormat:
        """How its model marks the turns of a conversation."""
        ...

    def count_tokens(self, segment: Segment) -> int:
        """How many tokens a piece of a question takes."""
        ...

    def answers(
        self, questions: Sequence[Question], each: int, sampling: Sampling
    ) -> list[list[Answer]]:
        """`each` answers to every question; of the sampling all but the seed counts."""
        ...


@define
class LlamaWriter:
    """The serving engine. What begins the next question as well (worked examples) stays read."""

    engine: Engine
    _question: Context | None = field(default=None, init=False)

    @property
    def at_once(self) -> int:
        """One question at a time; the answers to it are written together anyway."""
        return 1

    @property
    def format(self) -> ChatFormat:
        """See `Writer.format`."""
        return detect_format(self.engine.chat_template)

    def count_tokens(self, segment: Segment) -> int:
        """See `Writer.count_tokens`."""
        return len(self.engine.tokenize([segment], add_bos=False))

    def answers(
        self, questions: Sequence[Question], each: int, sampling: Sampling
    ) -> list[list[Answer]]:
        """See `Writer.answers`."""
        return [self._answer(question, each, sampling) for question in questions]

    def _answer(self, question: Question, each: int, sampling: Sampling) -> list[Answer]:
        engine = self.engine
        if self._question is None:
            self._question = engine.sequence()
        self._question.set_tokens(engine.tokenize(question.segments, add_bos=True))
        forks = [self._question.fork() for _ in range(each)]
        jobs = [
            engine.submit(fork, evolve(sampling, find_end=None, seed=question.seed * 1000 + copy))
            for copy, fork in enumerate(forks)
        ]
        found = {id(c.job): Answer(c.text, len(c.logprobs)) for c in engine.run(jobs)}
        for fork in forks:
            fork.release()
        return [found[id(job)] for job in jobs]


@frozen
class TransformersWriter:
    """A transformers model.

    Of the sampling only temperature and length count, and of the seeds the first question's: the
    answers depend on which questions are asked together.
    """

    model: Any
    tokenizer: Tokenizer
    at_once: int

    @property
    def format(self) -> ChatFormat:
        """See `Writer.format`."""
        return self.tokenizer.format

    def count_tokens(self, segment: Segment) -> int:
        """See `Writer.count_tokens`."""
        return len(self.tokenizer.tokenize([segment], add_bos=False))

    def answers(
        self, questions: Sequence[Question], each: int, sampling: Sampling
    ) -> list[list[Answer]]:
        """See `Writer.answers`."""
        from training.sampling.hf_generate import sample_continuations

        ends = self.tokenizer.answer_ends
        contexts = [self.tokenizer.tokenize(q.segments, add_bos=True) for q in questions]
        written = sample_continuations(
            self.model,
            [tokens for tokens in contexts for _ in range(each)],
            ends=ends,
            most=sampling.max_tokens,
            temperature=sampling.temperature,
            seed=questions[0].seed,
        )
        rows = [list(itertools.takewhile(lambda t: t not in ends, row)) for row in written]
        found = [Answer(self.tokenizer.decode(row), len(row)) for row in rows]
        return [found[n * each : (n + 1) * each] for n in range(len(questions))]
