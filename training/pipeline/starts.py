"""Faulty programs to start from: for the stages after SFT, and for what is held out.

Training starts are fresh corruptions (never what a demonstration begins with), what the base model
writes wrong, and what chains of the SFT model leave behind; kept are those that one greedy chain of
the SFT model does not repair, since of the others there is little to learn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack

from attrs import evolve

from training.pipeline.held_out import choose_held_out
from training.pipeline.pieces import resume_lines, size_of_piece
from training.pipeline.workspace import TrainingRun, open_adapter_generator, open_base_writer
from training.sampling.corrupted import corrupt_tasks
from training.sampling.rollouts import AttemptTester, Generator, make_starts, roll_out
from training.tasks.environment import open_environments
from training.tasks.records import read_faulty_tasks
from training.tasks.tasks import Task, load_tasks, save_tasks

# Starts and what is held out are drawn with other seeds than demonstrations.
_STARTS_SEED, _HELD_OUT_SEED = 7_000_001, 9_000_001
_MORE = 2
_MOST_OF_A_FUNCTION = 4


def read_starts(run: TrainingRun, name: str = "starts.jsonl") -> list[Task]:
    """The programs of a file that may be empty."""
    path = run.file(name)
    return load_tasks(str(path)) if path.exists() and path.stat().st_size else []


def split_held_out(run: TrainingRun) -> tuple[list[Task], list[Task]]:
    """Held-out programs: by which RLVR chooses its adapter, and by which that is compared after.

    No function is in both, or the comparison would favour what was chosen. Without RLVR nothing is
    chosen.
    """
    programs = read_starts(run, "held_out.jsonl")
    if "rlvr" not in run.config.stages:
        return [], programs
    functions = list(dict.fromkeys(_function_of(program) for program in programs))
    choosing = set(functions[1::2])  # a single one is for the comparison
    parts: tuple[list[Task], list[Task]] = [], []
    for program in programs:
        parts[_function_of(program) not in choosing].append(program)
    return parts


def _function_of(program: Task) -> str:
    return program.task_id.partition("#")[0]


def run_held_out(run: TrainingRun) -> bool:
    """Faulty programs of the functions that are never trained on, the same in every run."""
    tasks = load_tasks(str(run.file("tasks.jsonl")))
    held = choose_held_out(tasks, run.config.held_out, run.config.seed)
    chosen = [task for task in tasks if task.task_id in held][: run.config.starts.held_out]
    programs: list[Task] = []
    if chosen:
        each = min(_MOST_OF_A_FUNCTION, -(-run.config.starts.held_out // len(chosen)))
        found = _corrupt(run, chosen, each, _HELD_OUT_SEED, "held_out.corrupted.jsonl")
        if found is None:
            return False
        programs = _in_turn(found)[: run.config.starts.held_out]
    save_tasks(run.file("held_out.jsonl"), programs)
    return True


def _training_tasks(run: TrainingRun) -> list[Task]:
    """Those that starts are made of: not held out, and no more than wanted."""
    tasks = load_tasks(str(run.file("tasks.jsonl")))
    held = choose_held_out(tasks, run.config.held_out, run.config.seed)
    return [task for task in tasks if task.task_id not in held][: run.config.starts.tasks]


def corrupt_training_tasks(run: TrainingRun) -> list[Task] | None:
    """Fresh faults of the tasks that starts are made of; None if the time was up."""
    correct = [evolve(task, code=None) for task in _training_tasks(run)]
    # Some will be what a demonstration begins with.
    each = _MORE * run.config.starts.corrupted
    return _corrupt(run, correct, each, _STARTS_SEED, "starts.corrupted.jsonl")


def run_starts(run: TrainingRun) -> bool:
    """Faulty programs for the stages after SFT."""
    config = run.config.starts
    chosen = _training_tasks(run)
    by_id = {task.task_id: task for task in chosen}
    shown = {
        (task.task_id, task.code)
        for task in read_faulty_tasks(run.file("demonstrations.jsonl"), by_id)
    }
    found: dict[str, list[Task]] = {task.task_id: [] for task in chosen}
    for task in chosen:  # a real bug
        if task.code is not None and (task.task_id, task.code) not in shown:
            found[task.task_id].append(task)
    if config.corrupted:
        fresh = corrupt_training_tasks(run)
        if fresh is None:
            return False
        for task in fresh:
            origin = task.task_id.rpartition("#")[0]
            if (origin, task.code) not in shown and len(found[origin]) < config.corrupted:
                found[origin].append(task)
    if config.written:
        left_from = [some[-1] for some in found.values() if some]
        for make, some in ((_write, chosen), (_collect, left_from)):
            lines = make(run, some)
            if lines is None:
                return False
            for task in map(Task.loads, lines):
                origin = task.task_id
                while origin not in found:
                    origin = origin.rpartition("#")[0]
                if (origin, task.code) not in shown:
                    found[origin].append(task)
    lines = _hard_ones(run, [task for some in found.values() for task in some[: config.most]])
    if lines is None:
        return False
    save_tasks(run.file("starts.jsonl"), map(Task.loads, lines))
    return True


def _turns(run: TrainingRun) -> int:
    """How long the chains are that start from these programs; those of the last stage count."""
    config = run.config
    turns = {stage: getattr(config, stage).max_turns for stage in ("rlvr", "expert", "rejection")}
    return next(turns[stage] for stage in turns if stage in config.stages)


def _in_turn(tasks: Sequence[Task]) -> list[Task]:
    """First one of each function, then the second of each."""
    return sorted(tasks, key=lambda task: int(task.task_id.rpartition("#")[2]))


def _corrupt(
    run: TrainingRun, tasks: Sequence[Task], each: int, seed: int, name: str
) -> list[Task] | None:
    return corrupt_tasks(
        tasks,
        run.config.demonstrations,
        run.file(name),
        each=each,
        seed=run.config.seed + seed,
        processes=run.config.processes,
        sandbox=run.sandbox,
        deadline=run.deadline,
        progress=lambda done, total: run.report("programs made faulty", done, total),
    )


def _hard_ones(run: TrainingRun, programs: Sequence[Task]) -> list[str] | None:
    """Those that a greedy chain of the SFT model does not repair, as lines."""
    if not programs:
        return []

    def hard(some: Sequence[Task], generator: Generator) -> Iterable[str]:
        with ExitStack() as stack:
            environments = open_environments(some, run.sandbox, stack)
            starts = make_starts(
                environments, run.config.demonstrations.with_instructions, run.config.processes
            )
            groups = roll_out(
                generator,
                starts,
                each=1,
                max_turns=_turns(run),
                tester=AttemptTester(run.config.processes),
            )
        for start, (chain,) in zip(starts, groups, strict=True):
            if not chain.right:
                yield start.environment.task.dumps()

    with open_adapter_generator(run, run.file("sft") / "adapter", 1, temperature=0.0) as generator:
        return resume_lines(
            run,
            run.file("starts.hard.jsonl"),
            programs,
            lambda some: hard(some, generator),
            size=size_of_piece(run, generator, 1),
            say="tried by a greedy chain",
        )


def _write(run: TrainingRun, tasks: Sequence[Task]) -> list[str] | None:
    """What the base model writes and gets wrong; tasks of a project have no words to write from."""
    from training.sampling.faulty_programs import ProgramSampling, write_faulty_programs

    plain = [task for task in tasks if task.place is None]
    if not plain:
        return []
    sampling = ProgramSampling(run.config.starts.written, seed=run.config.seed)
    with open_base_writer(run, sampling.each) as writer:
        return resume_lines(
            run,
            run.file("starts.written.jsonl"),
            plain,
            lambda some: (
                task.dumps()
                for task in write_faulty_programs(
                    some, writer, sampling, run.sandbox, threads=run.config.processes
                )
            ),
            size=size_of_piece(run, writer, sampling.each),
            say="written by the base model",
        )


def _collect(run: TrainingRun, faulty: Sequence[Task]) -> list[str] | None:
    """What the SFT model's chains end in at a high temperature, from these programs."""
    from training.sampling.faulty_programs import collect_failed_states

    config = run.config.starts
    with open_adapter_generator(
        run, run.file("sft") / "adapter", config.written, temperature=config.temperature
    ) as generator:
        return resume_lines(
            run,
            run.file("starts.left.jsonl"),
            faulty,
            lambda some: (
                task.dumps()
                for task in collect_failed_states(
                    some,
                    generator,
                    each=config.written,
                    max_turns=_turns(run),
                    with_instructions=run.config.demonstrations.with_instructions,
                    sandbox=run.sandbox,
                    threads=run.config.processes,
                )
            ),
            size=size_of_piece(run, generator, config.written),
            say="left by failed chains",
        )
