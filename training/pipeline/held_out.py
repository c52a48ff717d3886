"""Which tasks are never trained on: they choose the adapter of a stage and compare it in the end.

Whole packages where there are several, since functions of one package are alike; else functions.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from random import Random

from training.bugs.bugs import project_name
from training.tasks.tasks import Task

_FEWEST_PACKAGES = 5
_FEWEST_TASKS = 5


def choose_held_out(tasks: Sequence[Task], share: float, seed: int) -> frozenset[str]:
    """The ids of about that share of the tasks, at least one if there are five.

    Tasks of a project have a package; with five packages or more some are held out whole, the rest
    of the share comes from tasks without one. A function is held out with all that people mended in
    it, and a package with its repository.
    """
    packages: dict[str, list[str]] = {}
    for task in tasks:
        if task.place is not None:
            packages.setdefault(project_name(task.source), []).append(task.task_id)
    if len(packages) < _FEWEST_PACKAGES:
        packages = {}
    others: dict[str, list[str]] = {}
    for task in tasks:
        if task.place is None:
            others.setdefault(task.task_id, []).append(task.task_id)
        elif not packages:
            key = f"{task.place.file}::{task.place.function}"
            others.setdefault(key, []).append(task.task_id)
    wanted = round(share * sum(map(len, packages.values())))
    order = sorted(packages)
    Random(seed).shuffle(order)
    held: list[str] = []
    for package in order:
        # A package that is most of the data cannot be held out.
        if len(held) < wanted and len(packages[package]) <= 2 * max(wanted, 1):
            held += packages[package]
    for key in _some(others, share, seed):
        held += others[key]
    return frozenset(held)


def _some(names: Collection[str], share: float, seed: int) -> list[str]:
    order = sorted(names)
    Random(seed).shuffle(order)
    least = 1 if share and len(order) >= _FEWEST_TASKS else 0
    return order[: max(least, round(share * len(order)))]


def is_held_out(task_id: str, known: Collection[str], held: Collection[str]) -> bool:
    """Whether what was made from a task is held out: its id has the task's before a `#`."""
    while task_id not in known and "#" in task_id:
        task_id = task_id.rpartition("#")[0]
    return task_id in held
