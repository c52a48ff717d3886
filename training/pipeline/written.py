"""The faults that the base model writes, for a run's demonstrations: made once, piece by piece."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from training.files import resume_work
from training.pipeline.workspace import TrainingRun, open_base_writer
from training.tasks.tasks import Task, save_tasks

# Tasks whose gaps are filled before what was written is kept.
_TOGETHER = 8


def read_written(run: TrainingRun, tasks: Sequence[Task]) -> dict[str, list[str]] | None:
    """Faulty programs by task, from `written.jsonl`; None if the time was up.

    None are written where the mix wants none, nor by a base that cannot fill in gaps, which is
    said.
    """
    from training.sampling.infill import Infilling, fills_gaps, write_faults

    path = run.file("written.jsonl")
    correct = [task for task in tasks if task.code is None]
    if not run.config.demonstrations.mix.written or not correct:
        return {}
    if not path.exists():
        infilling = Infilling(seed=run.config.seed)
        with open_base_writer(run, infilling.each) as writer:
            if not fills_gaps(writer):
                run.say(
                    f"{run.config.model.base} cannot fill in gaps: none of the faults is written "
                    "by a model. Qwen2.5-Coder can."
                )
                return {}
            size = max(_TOGETHER, writer.at_once // (infilling.gaps * infilling.each))
            pieces = [correct[first : first + size] for first in range(0, len(correct), size)]

            def work(left: Sequence[Sequence[Task]]) -> Generator[Any, None, None]:
                for some in left:
                    found = write_faults(
                        some, writer, infilling, run.sandbox, threads=run.config.processes
                    )
                    yield [task.dumps() for task in found]

            part = path.with_name(path.name + ".part")
            settings = {"size": size, "tasks": [task.task_id for task in correct]}
            made: list[Task] = []
            done = 0
            for lines in resume_work(part, settings, pieces, work, deadline=run.deadline):
                made += map(Task.loads, lines)
                done += 1
                run.report("gaps filled by the base", min(done * size, len(correct)), len(correct))
        if done < len(pieces):
            return None
        save_tasks(path, made)
        part.unlink()
    found: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        task = Task.loads(line)
        found.setdefault(task.task_id.rpartition("#")[0], []).append(task.start)
    return found
