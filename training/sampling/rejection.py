"""Rejection sampling: chains that succeeded become demonstrations (cheap where RL is too slow).

Chains of the current model, or of a stronger one in the same loop, are rolled out on faulty
programs; of those that pass all tests, hidden ones too, the shortest few of a task are kept.
Malformed turns are shown but not learned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from rapidfuzz.distance import Levenshtein

from coe_lsp.execution.sandbox import Sandbox
from training.sampling.rollouts import AttemptTester, Generator, make_starts, roll_out
from training.tasks.environment import open_environments
from training.tasks.records import Record
from training.tasks.tasks import Task


def sample_successes(
    tasks: Sequence[Task],
    generator: Generator,
    *,
    each: int,
    keep: int,
    max_turns: int,
    with_instructions: float,
    sandbox: Sandbox,
    threads: int,
) -> Iterator[Record]:
    """The shortest `keep` of each task's `each` chains that pass, without repetitions.

    Each task has a worker until all are done; `threads` of them test at once. What is left out:
    see `open_environments`.
    """
    with ExitStack() as stack:
        environments = open_environments(tasks, sandbox, stack)
        starts = make_starts(environments, with_instructions, threads)
        tester = AttemptTester(threads)
        groups = roll_out(generator, starts, each=each, max_turns=max_turns, tester=tester)
    for start, chains in zip(starts, groups, strict=True):
        episodes = [chain.episode for chain in chains if chain.right]
        episodes.sort(key=lambda episode: len(episode.turns))
        different = {tuple(turn.command_text for turn in e.turns): e for e in reversed(episodes)}
        for episode in list(reversed(different.values()))[:keep]:
            malformed = [n for n, turn in enumerate(episode.turns) if turn.error is not None]
            distance = Levenshtein.distance(episode.start.text, episode.pad.text)
            yield Record(start.environment.task.task_id, episode, malformed, ("sampled",), distance)
