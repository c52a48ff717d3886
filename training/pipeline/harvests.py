"""What a run harvests as tasks: a project, its history, listed bugs, packages; each kept when done.

So a run that was stopped does not begin again with what takes minutes.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from coe_lsp.execution.interpreter import find_interpreter, probe
from coe_lsp.files import replace_file
from training.pipeline.workspace import TrainingRun
from training.tasks.harvest import harvest_package, harvest_project
from training.tasks.tasks import Cleaned, Task, save_tasks


def find_harvests(run: TrainingRun) -> Iterator[tuple[str, Callable[[], Cleaned]]]:
    """What is to be harvested, by name."""
    # Needs what talks to a package index, which no other stage does.
    from training.bugs.command import listed_bug_tasks, own_bug_tasks

    config, sandbox = run.config.tasks, run.sandbox

    def show(path: Path, number: int, files: int) -> None:
        run.report(f"tests of {path.name}", number, files)

    def harvest_own(project: str) -> Cleaned:
        root = Path(project).resolve()
        interpreter = find_interpreter(root, config.python, sandbox)
        return harvest_project(
            root, interpreter, sandbox, max_lines=config.max_lines, progress=show
        )

    def harvest_installed(package: str) -> Cleaned:
        interpreter = probe(Path(sys.executable), Path.cwd(), sandbox)
        return harvest_package(
            package, interpreter, sandbox, max_lines=config.max_lines, progress=show
        )

    if config.project is not None:
        yield "project", partial(harvest_own, config.project)
    if config.history is not None:
        yield (
            "history",
            partial(
                own_bug_tasks,
                Path(config.history).resolve(),
                config.python,
                sandbox,
                run.say,
                seconds=max(60.0, 60 * run.minutes),
                max_lines=config.max_lines,
                progress=lambda text: run.report(text, 0, 1),
            ),
        )
    if config.bugs is not None:
        yield (
            "bugs",
            partial(
                listed_bug_tasks,
                config.bugs,
                config.clones,
                sandbox,
                max_lines=config.max_lines,
                progress=lambda done, total: run.report("bugs made again", done, total),
            ),
        )
    for package in config.packages:
        yield f"package-{package}", partial(harvest_installed, package)


def read_harvest(run: TrainingRun, name: str) -> Cleaned | None:
    """What an earlier call harvested, if it was done."""
    counts = run.file(f"tasks.{name}.json")
    if not counts.exists():
        return None
    lines = run.file(f"tasks.{name}.jsonl").read_text(encoding="utf-8").splitlines()
    dropped = json.loads(counts.read_text(encoding="utf-8"))
    return Cleaned(tuple(map(Task.loads, lines)), Counter(dropped))


def keep_harvest(run: TrainingRun, name: str, harvested: Cleaned) -> None:
    """Remember it for the next call."""
    save_tasks(run.file(f"tasks.{name}.jsonl"), harvested.tasks)
    replace_file(run.file(f"tasks.{name}.json"), json.dumps(harvested.dropped).encode())
