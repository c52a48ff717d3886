"""Rejection sampling: chains that succeeded become demonstrations (cheap where RL is too slow).

Chains of the current model, or of a stronger one in the same loop, are rolled out on faulty
programs; of those that pass all tests the shortest few of a task are kept. Malformed turns are
shown but not learned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from rapidfuzz.distance import Levenshtein

from coe_lsp.execution.sandbox import Sandbox
from training.judge import Judge
from training.records import Record
from training.rollouts import Generator, Start, roll_out
from training.tasks import Task


def successes(
    tasks: Sequence[Task],
    generator: Generator,
    *,
    each: int,
    keep: int,
    max_turns: int,
    sandbox: Sandbox,
) -> Iterator[Record]:
    """The shortest `keep` of each task's `each` chains that pass, without repetitions.

    All chains advance together: give as many tasks as the generator's context has room for.
    """
    with ExitStack() as stack:
        judges = [stack.enter_context(Judge(task, sandbox)) for task in tasks]
        starts = [
            Start(judge, task.start.strip("\n"), task.prompt)
            for judge, task in zip(judges, tasks, strict=True)
        ]
        groups = roll_out(generator, starts, each=each, max_turns=max_turns, threads=len(starts))
    for task, chains in zip(tasks, groups, strict=True):
        solved = sorted((c for c in chains if c.solved), key=lambda c: len(c.turns))
        different = {tuple(turn.command_text for turn in c.turns): c for c in reversed(solved)}
        for chain in list(reversed(different.values()))[:keep]:
            malformed = [n for n, turn in enumerate(chain.turns) if turn.error is not None]
            distance = Levenshtein.distance(chain.start.text, chain.pad.text)
            yield Record(task.task_id, chain, malformed, ("sampled",), distance)
