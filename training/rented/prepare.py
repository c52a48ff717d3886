"""Everything that a rented GPU needs, made on the CPU: data, programs, base, and settings.

What needs no GPU is done here: tasks, demonstrations, their tokens, faulty programs to start from.
The base goes as its GGUF (`training.rented.base`). Projects whose functions chains are started
from go along with their tests, to be run by the Python that is there; functions whose tests do not
pass there are left out there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
from attrs import evolve

from coe_lsp.files import replace_file
from training.files import write_lines
from training.model.encoded import save_examples
from training.model.source import find_base
from training.pipeline.config import ConfigError, EvaluationPlan, TasksConfig
from training.pipeline.held_out import choose_held_out
from training.pipeline.run import RunError
from training.pipeline.stages import split_examples
from training.pipeline.starts import corrupt_training_tasks
from training.pipeline.workspace import TrainingRun
from training.rented.base import carry_base
from training.rented.pieces import cut_folder
from training.tasks.records import read_records
from training.tasks.tasks import Place, Task, load_tasks, save_tasks

#: Stages that the pipeline does before; the rest is done on the rented machine.
PREPARED = ("tasks", "estimate", "demonstrations", "held_out")
SETTINGS, RUN = "config.json", "run"
_SKIPPED = {".git", "__pycache__", ".venv", "venv", "node_modules", ".tox", "build", "dist"}
_MOST_BYTES = 1 << 20


def prepare(run: TrainingRun, bundle: Path, *, processes: int, piece_bytes: int) -> list[Path]:
    """Write the pieces of a run whose first stages are done; they are in `bundle/pieces`.

    `processes`: of the rented machine. RunError if what it would begin with cannot be carried.
    """
    config = run.config
    if config.model.adapter is not None:
        raise ConfigError("A rented run begins with a new adapter: leave model.adapter out.")
    source = find_base(config.model.base)
    inside = bundle / "bundle"
    shutil.rmtree(inside, ignore_errors=True)
    target = inside / RUN
    (target / "sft").mkdir(parents=True)
    _carry_examples(run, target)
    _carry_tasks(run, inside)
    if config.stages and not corrupt_training_tasks(run):
        raise RunError("The time was up while programs were made faulty: start again.")
    for path in run.folder.glob("starts.corrupted.jsonl*"):
        shutil.copy(path, target / path.name)
    for name in ("demonstrations.json", "tasks.json"):
        shutil.copy(run.file(name), target / name)
    # Enough to know what demonstrations begin with.
    with run.file("demonstrations.jsonl").open(encoding="utf-8") as file:
        write_lines(target / "demonstrations.jsonl", (_beginning(line) for line in file))
    base = carry_base(source, inside)
    there = evolve(
        config,
        out=RUN,
        processes=processes,
        sandbox="off",
        stages=tuple(stage for stage in config.stages if stage == "rlvr"),
        model=evolve(config.model, base=base, device="auto", dtype="bfloat16"),
        tasks=TasksConfig(),
        evaluation=EvaluationPlan(),
    )
    replace_file(inside / SETTINGS, json.dumps(attrs.asdict(there), indent=1).encode())
    names = [SETTINGS, RUN, base, *(["projects"] if (inside / "projects").exists() else [])]
    return cut_folder(inside, names, bundle / "pieces", piece_bytes)


def _beginning(line: str) -> str:
    data = json.loads(line)
    lines = {"lines": data["start"]["lines"]}
    return json.dumps({"task_id": data["task_id"], "start": lines, "setup": data.get("setup")})


def _carry_examples(run: TrainingRun, target: Path) -> None:
    """The demonstrations as tokens."""
    records = list(read_records(run.file("demonstrations.jsonl")))
    train, validation = split_examples(run, records, "sft")
    save_examples(target / "sft" / "encoded.npz", train=train, validation=validation)
    shutil.copy(run.file("sft") / "examples.json", target / "sft" / "examples.json")


def _carry_tasks(run: TrainingRun, inside: Path) -> None:
    """Tasks and held-out programs, and the projects of those that chains will start from."""
    tasks = load_tasks(str(run.file("tasks.jsonl")))
    held = choose_held_out(tasks, run.config.held_out, run.config.seed)
    count = run.config.starts.tasks if run.config.stages else 0
    trained = [task for task in tasks if task.task_id not in held][:count]
    text = run.file("held_out.jsonl").read_text(encoding="utf-8")
    programs = [Task.loads(line) for line in text.splitlines()]
    folders: dict[str, str] = {}
    for task in (*trained, *programs):
        if task.place is not None and task.place.root not in folders:
            name = f"{len(folders):03}-{Path(task.place.root).name}"
            folders[task.place.root] = f"projects/{name}"
            target = inside / folders[task.place.root]
            _copy_project(Path(task.place.root), target, without=(inside.parent, run.folder))
    save_tasks(inside / RUN / "tasks.jsonl", _moved(tasks, folders))
    save_tasks(inside / RUN / "held_out.jsonl", _moved(programs, folders))


def _moved(tasks: Sequence[Task], folders: dict[str, str]) -> Iterator[Task]:
    """Tasks with their projects' places in the bundle; the interpreter is the one there."""
    for task in tasks:
        if task.place is None:
            yield task
        else:
            root = folders.get(task.place.root, "projects/not-carried")
            yield evolve(task, place=evolve(task.place, root=root, python=""))


def place_here(task: Task, bundle: Path, python: str) -> Task:
    """The task with its project where the bundle was put together, also after it was elsewhere."""
    place: Place | None = task.place
    if place is None:
        return task
    root = bundle / "projects" / Path(place.root).name
    return evolve(task, place=evolve(place, root=str(root), python=python))


def _copy_project(root: Path, target: Path, *, without: Sequence[Path]) -> None:
    """`without` are folders that may be in the project but are not of it: the bundle, the run."""
    ours = [path.resolve() for path in without]

    def skipped(folder: str, names: list[str]) -> set[str]:
        here = Path(folder)
        return {
            name
            for name in names
            if name in _SKIPPED
            or (here / name).resolve() in ours
            or (here / name / "pyvenv.cfg").exists()
            or (here / name).is_symlink()
            or ((here / name).is_file() and (here / name).stat().st_size > _MOST_BYTES)
        }

    shutil.copytree(root, target, ignore=skipped)
