"""Whole answers from the serving engine, several to one question side by side."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve, frozen

from coe_lsp.chain.prompt import Segment
from coe_lsp.models.engine import Engine
from coe_lsp.models.sampling import Sampling


@frozen
class Answer:
    """The text and its length in tokens."""

    text: str
    tokens: int


def answers(
    engine: Engine, question: Iterable[Segment], each: int, sampling: Sampling
) -> list[Answer]:
    """`each` answers, drawn with seeds that follow from `sampling.seed`."""
    opening = engine.sequence()
    opening.append(engine.tokenize(question, add_bos=True))
    forks = [opening.fork() for _ in range(each)]
    jobs = [
        engine.submit(fork, evolve(sampling, one_line=False, seed=sampling.seed * 1000 + copy))
        for copy, fork in enumerate(forks)
    ]
    found = {id(c.job): Answer(c.text, len(c.logprobs)) for c in engine.run(jobs)}
    for sequence in (opening, *forks):
        sequence.release()
    return [found[id(job)] for job in jobs]
