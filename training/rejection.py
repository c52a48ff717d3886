"""Rejection sampling: chains that succeeded become demonstrations (cheap where RL is too slow).

Chains of the current model, or of a stronger one in the same loop, are rolled out on faulty
programs; of those that pass all tests the shortest few of a task are kept. Malformed turns are
shown but not learned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rapidfuzz.distance import Levenshtein

from coe_lsp.execution.sandbox import Sandbox
from training.judge import Judge
from training.records import Record
from training.rollouts import Generator, Start, roll_out
from training.tasks import Task

_AT_A_TIME = 4


def successes(
    tasks: Sequence[Task],
    generator: Generator,
    *,
    each: int,
    keep: int,
    max_turns: int,
    sandbox: Sandbox,
    progress: Callable[[int, int], None] = lambda done, kept: None,
) -> Iterator[Record]:
    """The shortest `keep` of each task's `each` chains that pass, without repetitions."""
    found = 0
    for first in range(0, len(tasks), _AT_A_TIME):
        some = tasks[first : first + _AT_A_TIME]
        judges = [Judge(task, sandbox) for task in some]
        try:
            starts = [
                Start(judge, task.start.strip("\n"), task.prompt)
                for judge, task in zip(judges, some, strict=True)
            ]
            groups = roll_out(
                generator, starts, each=each, max_turns=max_turns, threads=len(starts)
            )
        finally:
            for judge in judges:
                judge.close()
        for task, chains in zip(some, groups, strict=True):
            solved = sorted((c for c in chains if c.solved), key=lambda c: len(c.turns))
            different = {tuple(turn.command_text for turn in c.turns): c for c in reversed(solved)}
            for chain in list(reversed(different.values()))[:keep]:
                found += 1
                malformed = [n for n, turn in enumerate(chain.turns) if turn.error is not None]
                distance = Levenshtein.distance(chain.start.text, chain.pad.text)
                yield Record(task.task_id, chain, malformed, ("sampled",), distance)
        progress(first + len(some), found)
