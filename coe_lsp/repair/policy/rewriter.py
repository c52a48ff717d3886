"""The policy that writes a function anew: whole answers of a model that was not trained on chains.

It expands the start alone, and has no opinion of what others wrote. What it is told and how its
answers are read is in `chain.rewriting`.
"""

from __future__ import annotations

from attrs import define

from coe_lsp.chain.commands import render
from coe_lsp.chain.episode import Episode
from coe_lsp.chain.prompt import ChatFormat, Segment
from coe_lsp.chain.rewriting import Rewriting
from coe_lsp.engine.engine import Cancelled, Engine
from coe_lsp.engine.sampling import Sampling
from coe_lsp.engine.sequence import Job
from coe_lsp.engine.sequence import Sequence as EngineSequence
from coe_lsp.repair.policy.protocol import CommandRequest, ContextError, Proposal
from coe_lsp.repair.policy.reading import Reading

# The first answer is the likeliest; the others differ as much as answers that still parse may.
_TEMPERATURE, _TOP_K, _TOP_P = 0.8, 60, 0.95
# An answer may be longer than the code by this factor and so many tokens.
_LONGER, _TOKENS_MORE = 1.3, 64
# Longer code takes too long to write, several times over.
_MOST_TOKENS = 800


@define
class _Answer:
    id: int
    sequence: EngineSequence


class Rewriter:
    """Samples whole functions from a model in llama.cpp, so many at a time, all in one batch."""

    def __init__(
        self, engine: Engine, format: ChatFormat, *, answers: int = 8, seed: int = 0
    ) -> None:
        self._engine = engine
        self._format: ChatFormat = format
        self._answers = answers
        self._seed = seed
        self._question = engine.sequence()
        self._asked: Rewriting | None = None
        self._size = 0
        self._drawn = 0
        self._reading = Reading(engine)
        self._jobs: dict[Job, _Answer] = {}

    def read(self, start: Episode) -> bool:
        """See `Policy.read`."""
        if self._asked is None or (self._asked.task, self._asked.pad) != (start.task, start.pad):
            self._begin(Rewriting(self._format, start.task, start.pad))
        return self._reading.advance(self._question)

    def ask(self, request: CommandRequest) -> bool:
        """See `Policy.ask`. A line that is to be replaced is not minded."""
        if request.episode.turns or self._asked is None or len(self._jobs) >= self._answers:
            return False
        sampling = Sampling(
            temperature=_TEMPERATURE if self._drawn else 0.0,
            top_k=_TOP_K,
            top_p=_TOP_P,
            seed=hash((self._seed, request.seed)) & 0xFFFFFFFF,
            find_end=self._asked.find_end,
            max_tokens=self._longest,
        )
        try:
            sequence = self._question.fork()
            self._jobs[self._engine.submit(sequence, sampling)] = _Answer(request.id, sequence)
        except Cancelled:
            return False
        self._drawn += 1
        return True

    def step(self) -> list[Proposal]:
        """See `Policy.step`. The text of an answer that is no edit is told as it is."""
        if not self._jobs:
            return []
        try:
            completions = self._engine.step()
        except Cancelled:
            self._drop()
            return []
        found: list[Proposal] = []
        for completion in completions:
            answer = self._jobs.pop(completion.job)
            answer.sequence.release()
            assert self._asked is not None
            cut = completion.finished == "length"
            command = None if cut else self._asked.read(completion.text)
            text = completion.text if command is None else render(command)
            found.append(Proposal(answer.id, text, sum(completion.logprobs)))
        return found

    def forget(self, id: int) -> None:
        """See `Policy.forget`."""
        for job, answer in list(self._jobs.items()):
            if answer.id == id:
                del self._jobs[job]
                answer.sequence.release()

    def interrupt(self) -> None:
        """See `Policy.interrupt`."""
        self._engine.cancel()

    def close(self) -> None:
        """Give back all that this policy holds of the engine."""
        self._reading.stop()
        self._drop()
        self._question.release()

    @property
    def _longest(self) -> int:
        """How many tokens an answer may have."""
        return int(_LONGER * self._size) + _TOKENS_MORE

    def _begin(self, asked: Rewriting) -> None:
        self._reading.stop()
        self._drop()
        self._asked, self._drawn = None, 0
        self._size = len(self._engine.tokenize([Segment(asked.pad.text)], add_bos=False))
        if self._size > _MOST_TOKENS or not asked.can_be_asked:
            raise ContextError("The code is too long, or not of a form, to be written anew.")
        tokens = self._engine.tokenize(asked.segments(), add_bos=True)
        room = self._engine.free_tokens + self._question.evaluated
        length = len(tokens) + self._longest
        if length > self._engine.max_tokens or len(tokens) + self._answers * self._longest > room:
            raise ContextError("The code and its tests do not fit the model's context.")
        self._question.set_tokens(tokens)
        self._asked = asked

    def _drop(self) -> None:
        for answer in self._jobs.values():
            answer.sequence.release()
        self._jobs.clear()
