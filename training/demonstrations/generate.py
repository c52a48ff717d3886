"""Many demonstrations from many tasks: in parallel, seeded, resumable, with statistics.

Each task has random numbers of its own, so the result depends on the seed alone, not on the number
of processes or on where a run was interrupted. Results are appended task by task in the order of
the tasks to a file of work; a second call goes on after the last complete task.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random

from attrs import asdict, define, field, frozen

from coe_lsp.execution.sandbox import Sandbox
from coe_lsp.files import replace_file
from training.demonstrations.line_noise import Donors
from training.demonstrations.traces import Recipe, make_demonstrations
from training.files import write_lines
from training.tasks.records import Record, read_records
from training.tasks.tasks import Task

_DONATED = 400


@define
class Statistics:
    """What was made; see `summary`."""

    tasks: int = 0
    empty: int = 0
    records: int = 0
    kinds: Counter[str] = field(factory=Counter[str])
    commands: Counter[str] = field(factory=Counter[str])
    turns: list[int] = field(factory=list[int])
    distances: list[int] = field(factory=list[int])

    def add(self, records: Sequence[Record]) -> None:
        """Count what came of one task."""
        self.tasks += 1
        self.empty += not records
        for record in records:
            self.records += 1
            self.kinds.update(record.kinds)
            turns = record.episode.turns
            self.turns.append(len(turns))
            self.commands.update(turn.command_text[4:8] for turn in turns)
            self.distances.append(record.distance)

    def summary(self) -> dict[str, object]:
        """Counts and means; distances are in characters (the paper's mean is 39.9)."""
        return {
            "tasks": self.tasks,
            "tasks_without": self.empty,
            "demonstrations": self.records,
            "turns_mean": round(statistics.fmean(self.turns), 2) if self.turns else 0.0,
            "turns": dict(sorted(Counter(self.turns).items())),
            "distance_mean": round(statistics.fmean(self.distances), 1) if self.distances else 0.0,
            "commands": dict(self.commands.most_common()),
            "corruptions": dict(self.kinds.most_common()),
        }


@frozen
class _Job:
    task: Task
    donors: Donors
    recipe: Recipe
    seed: int
    sandbox: Sandbox


def generate_demonstrations(
    tasks: Sequence[Task],
    recipe: Recipe,
    path: Path,
    *,
    seed: int,
    processes: int,
    sandbox: Sandbox,
    deadline: float = float("inf"),
    progress: Callable[[int, int, int], None] = lambda done, total, records: None,
) -> Statistics | None:
    """Write demonstrations of all tasks to `path`; `progress` gets tasks done, all, and records.

    None if the deadline (of `time.monotonic`) came first. OSError if the file cannot be written.
    """
    if (known := _finished(path, tasks, recipe, seed)) is not None:
        return known
    random = Random(seed)
    donated = random.sample([task.reference for task in tasks], min(_DONATED, len(tasks)))
    donors = Donors.of(donated)
    work = path.with_name(path.name + ".work")
    done, statistics_ = _resume(path, work, tasks, recipe, seed)
    jobs = [_Job(task, donors, recipe, seed, sandbox) for task in tasks[done:]]
    context = multiprocessing.get_context("spawn")
    with (
        work.open("a", encoding="utf-8") as file,
        ProcessPoolExecutor(processes, context, initializer=_end_with_parent) as pool,
    ):
        for number, lines in enumerate(pool.map(_make, jobs), done + 1):
            for line in lines:
                file.write(line + "\n")
            file.write(json.dumps({"end": tasks[number - 1].task_id}) + "\n")
            file.flush()
            statistics_.add([Record.loads(line) for line in lines])
            progress(number, len(tasks), statistics_.records)
            if time.monotonic() > deadline and number < len(tasks):
                pool.shutdown(cancel_futures=True)
                return None
    _finish(path, work)
    return statistics_


def _end_with_parent() -> None:
    """A pool's processes outlive a killed parent otherwise."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _make(job: _Job) -> list[str]:
    random = Random(f"{job.seed}/{job.task.task_id}")
    made = make_demonstrations(job.task, job.donors, job.recipe, random, job.sandbox)
    return [record.dumps() for record in made]


def _resume(
    path: Path, work: Path, tasks: Sequence[Task], recipe: Recipe, seed: int
) -> tuple[int, Statistics]:
    """Cut off what an interrupted run left half done; how many tasks are complete."""
    mine = _settings(tasks, recipe, seed)
    if not _stamp(path).exists() or _stamp(path).read_text() != mine:
        path.unlink(missing_ok=True)
        write_lines(work, [])
        replace_file(_stamp(path), mine.encode())
    found = Statistics()
    kept: list[str] = []
    pending: list[str] = []
    lines = work.read_text(encoding="utf-8").split("\n") if work.exists() else []
    for line in lines:
        if line.startswith('{"end"') and line.endswith("}"):
            found.add([Record.loads(text) for text in pending])
            kept += [*pending, line]
            pending = []
        elif line:
            pending.append(line)
    write_lines(work, kept)
    return found.tasks, found


def _finish(path: Path, work: Path) -> None:
    """Leave only records in the file."""
    lines = work.read_text(encoding="utf-8").split("\n")
    write_lines(path, (x for x in lines if x and not x.startswith('{"end"')))
    work.unlink()


def _finished(path: Path, tasks: Sequence[Task], recipe: Recipe, seed: int) -> Statistics | None:
    """What an earlier call made of the same tasks, if it came to its end."""
    stamp = _stamp(path)
    mine = _settings(tasks, recipe, seed)
    if not path.exists() or not stamp.exists() or stamp.read_text() != mine:
        return None
    made: dict[str, list[Record]] = {task.task_id: [] for task in tasks}
    for record in read_records(path):
        made[record.task_id].append(record)
    found = Statistics()
    for records in made.values():
        found.add(records)
    return found


def _stamp(path: Path) -> Path:
    return path.with_name(path.name + ".stamp")


def _settings(tasks: Sequence[Task], recipe: Recipe, seed: int) -> str:
    return json.dumps([asdict(recipe), seed, [task.task_id for task in tasks]])
