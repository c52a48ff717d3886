"""Many demonstrations from many tasks: in parallel, seeded, resumable, with statistics.

Each task has random numbers of its own, so the result depends on the seed alone, not on the number
of processes or on where a run was interrupted. A demonstration is written as text, and counted,
where it is made: nothing here reads it again.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import threading
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any

from attrs import asdict, define, field, frozen

from coe_lsp.execution.sandbox import Sandbox
from coe_lsp.execution.worker import WorkerError
from coe_lsp.files import replace_file
from training.demonstrations.line_noise import Donors
from training.demonstrations.recipe import Recipe
from training.demonstrations.traces import make_demonstrations
from training.files import resume_work, write_lines
from training.tasks.records import Record
from training.tasks.tasks import Task

_DONATED = 400


@define
class Statistics:
    """What was made; see `summary`."""

    tasks: int = 0
    empty: int = 0
    records: int = 0
    mix: Counter[str] = field(factory=Counter[str], converter=Counter[str])
    kinds: Counter[str] = field(factory=Counter[str], converter=Counter[str])
    commands: Counter[str] = field(factory=Counter[str], converter=Counter[str])
    turns: list[int] = field(factory=list[int])
    distances: list[int] = field(factory=list[int])

    @classmethod
    def of_task(cls, records: Sequence[Record]) -> Statistics:
        """Count what came of one task."""
        turns = [turn for record in records for turn in record.episode.turns]
        return cls(
            tasks=1,
            empty=not records,
            records=len(records),
            mix=Counter(record.kinds[0].partition(":")[0] for record in records),
            kinds=Counter(kind for record in records for kind in record.kinds),
            commands=Counter(turn.command_text[4:8] for turn in turns),
            turns=[len(record.episode.turns) for record in records],
            distances=[record.distance for record in records],
        )

    def add(self, other: Statistics) -> None:
        """Count what is counted there as well."""
        self.tasks += other.tasks
        self.empty += other.empty
        self.records += other.records
        self.mix += other.mix
        self.kinds += other.kinds
        self.commands += other.commands
        self.turns += other.turns
        self.distances += other.distances

    def realised_mix(self) -> dict[str, float]:
        """The share of each kind of fault among the demonstrations that came about."""
        return {kind: round(n / self.records, 3) for kind, n in self.mix.most_common()}

    def summary(self) -> dict[str, object]:
        """Counts and means; distances are in characters (the paper's mean is 39.9)."""
        return {
            "tasks": self.tasks,
            "tasks_without": self.empty,
            "demonstrations": self.records,
            "turns_mean": round(statistics.fmean(self.turns), 2) if self.turns else 0.0,
            "turns": dict(sorted(Counter(self.turns).items())),
            "distance_mean": round(statistics.fmean(self.distances), 1) if self.distances else 0.0,
            "realised_mix": self.realised_mix(),
            "commands": dict(self.commands.most_common()),
            "faults": dict(self.kinds.most_common()),
        }


@frozen
class _Job:
    task: Task
    donors: Donors
    recipe: Recipe
    seed: int
    sandbox: Sandbox
    written: tuple[str, ...]


def generate_demonstrations(
    tasks: Sequence[Task],
    recipe: Recipe,
    path: Path,
    *,
    seed: int,
    processes: int,
    sandbox: Sandbox,
    written: Mapping[str, Sequence[str]] = MappingProxyType({}),
    deadline: float = float("inf"),
    progress: Callable[[int, int, int], None] = lambda done, total, records: None,
) -> Statistics | None:
    """Write demonstrations of all tasks to `path`; `progress` gets tasks done, all, and records.

    `written` are faulty programs that a model wrote, by task.

    None if the deadline (of `time.monotonic`) came first. What an earlier call with the same tasks
    and settings made is not made again. OSError if the file cannot be written.
    """
    names = [[task.task_id, len(written.get(task.task_id, ()))] for task in tasks]
    settings = json.loads(json.dumps([asdict(recipe), seed, names]))
    done = path.with_name(path.name + ".done")
    if path.exists() and done.exists():
        known = json.loads(done.read_text())
        if known["settings"] == settings:
            return Statistics(**known["statistics"])
    done.unlink(missing_ok=True)
    donated = Random(seed).sample([task.reference for task in tasks], min(_DONATED, len(tasks)))
    donors = Donors.of(donated)

    def work(left: Sequence[Task]) -> Generator[Any, None, None]:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, context, initializer=_end_with_parent) as pool:
            jobs = [
                _Job(task, donors, recipe, seed, sandbox, tuple(written.get(task.task_id, ())))
                for task in left
            ]
            yield from pool.map(_make, jobs)

    part = path.with_name(path.name + ".part")
    total, lines = Statistics(), list[str]()
    for made in resume_work(part, settings, tasks, work, deadline=deadline):
        lines += made["records"]
        total.add(Statistics(**made["statistics"]))
        progress(total.tasks, len(tasks), total.records)
    if total.tasks < len(tasks):
        return None
    write_lines(path, lines)
    replace_file(done, json.dumps({"settings": settings, "statistics": asdict(total)}).encode())
    part.unlink()
    return total


def _end_with_parent() -> None:
    """A pool's processes outlive a killed parent otherwise."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _make(job: _Job) -> dict[str, Any]:
    """A task's demonstrations as lines of text, and what was counted of them.

    A project whose tests cannot be started any more gives none.
    """
    random = Random(f"{job.seed}/{job.task.task_id}")
    made: list[Record] = []
    with suppress(WorkerError):
        made += make_demonstrations(
            job.task, job.donors, job.recipe, random, job.sandbox, job.written
        )
    return {
        "records": [record.dumps() for record in made],
        "statistics": asdict(Statistics.of_task(made)),
    }
