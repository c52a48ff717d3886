"""Programs in pieces: what a stage samples for some tasks at a time is kept, piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from training.files import resume_work
from training.pipeline.workspace import TrainingRun
from training.sampling.rollouts import Generator, count_together
from training.sampling.whole_programs import Writer
from training.tasks.tasks import Task

_A_PROCESS = 4


def size_of_piece(run: TrainingRun, writes: Writer | Generator, each: int) -> int:
    """How many programs, each with a worker and `each` texts, make a piece."""
    return min(count_together(writes.at_once, each), _A_PROCESS * run.config.processes)


def resume_lines(
    run: TrainingRun,
    path: Path,
    tasks: Sequence[Task],
    make: Callable[[Sequence[Task]], Iterable[str]],
    *,
    size: int,
    say: str,
) -> list[str] | None:
    """The lines that `make` gives for these tasks, `size` at a time; None if the time was up.

    With another `size`, as on another machine, all are made anew: what is sampled depends on it.
    """
    some = [tasks[first : first + size] for first in range(0, len(tasks), size)]
    settings = {"size": size, "tasks": [task.task_id for task in tasks]}
    lines: list[str] = []
    done = 0
    results = resume_work(
        path, settings, some, lambda left: (list(make(x)) for x in left), deadline=run.deadline
    )
    for made in results:
        lines += made
        done += 1
        run.report(say, min(done * size, len(tasks)), len(tasks))
    return lines if done == len(some) else None
