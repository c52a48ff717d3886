"""Faulty programs from correct ones, for chains to start from: what they are tested and tried on.

Made like demonstrations are, with another seed, so a start is no program that SFT has seen the
repair of. A task that comes with a faulty program (a real bug) keeps that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from attrs import evolve

from coe_lsp.execution.sandbox import Sandbox
from training.demonstrations.generate import generate_demonstrations
from training.demonstrations.traces import Recipe
from training.tasks.records import read_faulty_tasks
from training.tasks.tasks import Task


def corrupt_tasks(
    tasks: Sequence[Task],
    recipe: Recipe,
    path: Path,
    *,
    each: int,
    seed: int,
    processes: int,
    sandbox: Sandbox,
    deadline: float = float("inf"),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Task] | None:
    """Up to `each` faulty programs a task, named by task and number; None if the deadline came.

    Those of tasks without one are made by `recipe`, in the file `path`, from which a second call
    goes on.
    """
    known = [task for task in tasks if task.code is not None]
    correct = [task for task in tasks if task.code is None]
    found: dict[str, list[Task]] = {task.task_id: [] for task in tasks}
    for task in known:
        found[task.task_id].append(task)
    if correct:
        path.parent.mkdir(parents=True, exist_ok=True)
        made = generate_demonstrations(
            correct,
            evolve(recipe, per_task=each),
            path,
            seed=seed,
            processes=processes,
            sandbox=sandbox,
            deadline=deadline,
            progress=lambda done, total, records: progress(done, total),
        )
        if made is None:
            return None
        by_id = {task.task_id: task for task in correct}
        for task in read_faulty_tasks(path, by_id):
            found[task.task_id].append(task)
    return [
        evolve(task, task_id=f"{name}#{number}")
        for name, some in found.items()
        for number, task in enumerate(some[:each])
    ]
