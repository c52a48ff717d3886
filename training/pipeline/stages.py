"""The stages of a run: each one function, resumable, from files to files below the run's folder.

`TrainingRun` knows the folder's layout; `training.pipeline.run` decides what comes next and shows
progress.
A stage returns False when its time was up, and goes on from there at the next call.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from coe_lsp.execution.interpreter import find_interpreter, probe
from coe_lsp.files import replace_file
from training.demonstrations.generate import generate_demonstrations
from training.files import make_shards, write_lines
from training.pipeline.workspace import (
    TrainingRun,
    fine_tune,
    load_policy_model,
    open_adapter_generator,
    open_base_writer,
    open_served_generator,
    open_stronger_generator,
    open_transformers_generator,
    serves,
)
from training.sampling.rollouts import Generator, Start, count_together, make_starts
from training.tasks.environment import open_environments
from training.tasks.harvest import harvest_package, harvest_project
from training.tasks.records import Record, make_faulty_task, read_records
from training.tasks.tasks import Task, TaskError, clean, load_tasks, save_tasks

if TYPE_CHECKING:
    from training.model.encode import TokenizedExample
    from training.model.policy_model import PolicyModel
    from training.sampling.whole_programs import Writer

_VALIDATED = 200
_A_PROCESS = 4


def run_tasks(run: TrainingRun) -> bool:
    """Load, harvest and clean the tasks."""
    config = run.config.tasks
    found: list[Task] = []
    dropped: Counter[str] = Counter()
    for name in config.files:
        found += load_tasks(name)
    measured = (*config.exclude, *run.config.evaluation.files)
    excluded = [task for name in measured for task in load_tasks(name)]

    def show(path: Path, number: int, files: int) -> None:
        run.report(f"tests of {path.name}", number, files)

    if config.project is not None:
        root = Path(config.project).resolve()
        interpreter = find_interpreter(root, config.python, run.sandbox)
        harvested = harvest_project(
            root, interpreter, run.sandbox, max_lines=config.max_lines, progress=show
        )
        found += harvested.tasks
        dropped += harvested.dropped
    for package in config.packages:
        interpreter = probe(Path(sys.executable), Path.cwd(), run.sandbox)
        harvested = harvest_package(
            package, interpreter, run.sandbox, max_lines=config.max_lines, progress=show
        )
        found += harvested.tasks
        dropped += harvested.dropped
    if not found:
        raise TaskError("The configuration names no tasks: set files, project or packages.")
    cleaned = clean(found, max_lines=config.max_lines, forbidden=excluded)
    if not cleaned.tasks:
        raise TaskError(f"No task is left: {dict(cleaned.dropped)}.")
    order = list(cleaned.tasks)
    Random(run.config.seed).shuffle(order)
    save_tasks(run.file("tasks.jsonl"), order)
    counts = {"kept": len(order), "dropped": dropped + cleaned.dropped}
    replace_file(run.file("tasks.json"), json.dumps(counts, indent=1).encode())
    return True


def run_demonstrations(run: TrainingRun) -> bool:
    """Make demonstrations of all tasks."""
    found = generate_demonstrations(
        load_tasks(str(run.file("tasks.jsonl"))),
        run.config.demonstrations,
        run.file("demonstrations.jsonl"),
        seed=run.config.seed,
        processes=run.config.processes,
        sandbox=run.sandbox,
        deadline=run.deadline,
        progress=lambda done, total, count: run.report(f"{count} demonstrations", done, total),
    )
    if found is None:
        return False
    if not found.records:
        raise TaskError(
            "No demonstration came of any task: their references fail, or no corruption does."
        )
    replace_file(run.file("demonstrations.json"), json.dumps(found.summary(), indent=1).encode())
    return True


def run_sft(run: TrainingRun) -> bool:
    """Supervised fine-tuning on the demonstrations."""
    records = list(read_records(run.file("demonstrations.jsonl")))
    return fine_tune(run, "sft", *_split(run, records, "sft"), None)


def run_rejection(run: TrainingRun) -> bool:
    """Roll a model out on faulty programs, and tune on what succeeded, old data mixed in.

    The model is the SFT model, or a stronger one that the configuration names.
    """
    from training.sampling.rejection import sample_successes

    config, file = run.config, run.file("rejection.jsonl")
    if not file.exists():
        programs = load_tasks(str(run.file("starts.jsonl")))
        named = config.rejection.model
        each = config.rejection.each
        sampled = (
            open_stronger_generator(run, named, each)
            if named is not None
            else open_adapter_generator(run, run.file("sft") / "adapter", each)
        )
        with sampled as generator:
            lines = make_shards(
                programs,
                run.file("rejection.pieces"),
                lambda some: (
                    record.dumps()
                    for record in sample_successes(
                        some,
                        generator,
                        each=config.rejection.each,
                        keep=config.rejection.keep,
                        max_turns=config.rlvr.max_turns,
                        with_instructions=config.demonstrations.with_instructions,
                        sandbox=run.sandbox,
                        threads=config.processes,
                    )
                ),
                size=_together(run, generator, config.rejection.each),
                deadline=run.deadline,
                progress=lambda done, total: run.report("programs rolled out", done, total),
            )
        if lines is None:
            return False
        write_lines(file, lines)
    new = list(read_records(file))
    old = list(read_records(run.file("demonstrations.jsonl")))
    Random(config.seed).shuffle(old)
    # A model that solves nothing is tuned on some more of the old data.
    examples = _split(run, [*new, *old[: max(len(new), 64)]], "rejection")
    sft_adapter = run.file("sft") / "adapter"
    return fine_tune(run, "rejection", *examples, sft_adapter, epochs=config.rejection.epochs)


def _together(run: TrainingRun, writes: Writer | Generator, each: int) -> int:
    """How many programs, each with a worker and `each` texts, make a piece."""
    return min(count_together(writes.at_once, each), _A_PROCESS * run.config.processes)


def _split(
    run: TrainingRun, records: Sequence[Record], stage: str
) -> tuple[list[TokenizedExample], list[TokenizedExample]]:
    """Examples for training and validation; no task is in both, in this stage or in another.

    What was too long, and how many tokens there are, is left in the stage's `examples.json`.
    """
    from training.model.base import find_base, load_tokenizer
    from training.model.encode import encode_all

    tokenizer = load_tokenizer(find_base(run.config.model.base))
    names = sorted(task.task_id for task in load_tasks(str(run.file("tasks.jsonl"))))
    Random(run.config.seed).shuffle(names)
    held = set(names[: round(len(names) * run.config.held_out)])

    known = set(names)

    def held_out(record: Record) -> bool:
        name = record.task_id  # that of a program made from a task has something behind a `#`
        while name not in known and "#" in name:
            name = name.rpartition("#")[0]
        return name in held

    builder = tokenizer.builder(instructed=False)
    limit = run.config.max_tokens
    train, too_long = encode_all(
        (r for r in records if not held_out(r)), tokenizer, builder, max_tokens=limit
    )
    validation, _ = encode_all(filter(held_out, records), tokenizer, builder, max_tokens=limit)
    if not train:
        raise TaskError(f"No demonstration has at most {limit} tokens; raise max_tokens.")
    counts = {
        "examples": len(train),
        "too_long": too_long,
        "tokens": sum(len(example.ids) for example in train),
        "learned_tokens": sum(example.learned for example in train),
        "held_out": len(validation),
    }
    run.file(stage).mkdir(exist_ok=True)
    replace_file(run.file(stage) / "examples.json", json.dumps(counts, indent=1).encode())
    Random(run.config.seed).shuffle(validation)
    return train, validation[:_VALIDATED]


def run_starts(run: TrainingRun) -> bool:
    """Faulty programs for RLVR: corrupted ones, and what the base and the SFT model got wrong."""
    config = run.config.starts
    chosen = load_tasks(str(run.file("tasks.jsonl")))[: config.tasks]
    by_id = {task.task_id: task for task in chosen}
    found: dict[str, list[Task]] = {task.task_id: [] for task in chosen}
    for record in read_records(run.file("demonstrations.jsonl")):
        some = found.get(record.task_id)
        if some is not None and len(some) < config.corrupted:
            some.append(make_faulty_task(record, by_id[record.task_id]))
    if config.written:
        for make in (_written, _left):
            lines = make(run, chosen)
            if lines is None:
                return False
            for task in map(Task.loads, lines):
                found[task.task_id.rpartition("#")[0]].append(task)
    programs = [task for some in found.values() for task in some[: config.most]]
    if not programs:
        raise TaskError("There are no faulty programs to start from.")
    save_tasks(run.file("starts.jsonl"), programs)
    return True


def _written(run: TrainingRun, chosen: Sequence[Task]) -> list[str] | None:
    """What the base model writes and gets wrong; tasks of a project have no words to write from."""
    from training.sampling.faulty_programs import ProgramSampling, write_faulty_programs

    plain = [task for task in chosen if task.place is None]
    if not plain:
        return []
    sampling = ProgramSampling(run.config.starts.written, seed=run.config.seed)
    with open_base_writer(run, sampling.each) as writer:
        return make_shards(
            plain,
            run.file("starts.written"),
            lambda some: (
                task.dumps()
                for task in write_faulty_programs(
                    some, writer, sampling, run.sandbox, threads=run.config.processes
                )
            ),
            size=_together(run, writer, sampling.each),
            deadline=run.deadline,
            progress=lambda done, total: run.report("written by the base model", done, total),
        )


def _left(run: TrainingRun, chosen: Sequence[Task]) -> list[str] | None:
    """What the SFT model's chains end in at a high temperature."""
    from training.sampling.faulty_programs import collect_failed_states

    config = run.config.starts
    corrupted = {r.task_id: r for r in read_records(run.file("demonstrations.jsonl"))}
    faulty = [make_faulty_task(corrupted[t.task_id], t) for t in chosen if t.task_id in corrupted]
    with open_adapter_generator(
        run, run.file("sft") / "adapter", config.written, temperature=config.temperature
    ) as generator:
        return make_shards(
            faulty,
            run.file("starts.left"),
            lambda some: (
                task.dumps()
                for task in collect_failed_states(
                    some,
                    generator,
                    each=config.written,
                    max_turns=run.config.rlvr.max_turns,
                    with_instructions=run.config.demonstrations.with_instructions,
                    sandbox=run.sandbox,
                    threads=run.config.processes,
                )
            ),
            size=_together(run, generator, config.written),
            deadline=run.deadline,
            progress=lambda done, total: run.report("left by failed chains", done, total),
        )


def run_rlvr(run: TrainingRun) -> bool:
    """Reinforcement learning from the latest adapter."""
    from training.model.checkpoint import save_adapter
    from training.rlvr import train_rlvr

    config = run.config
    programs = load_tasks(str(run.file("starts.jsonl")))
    model, tokenizer = load_policy_model(run)
    made = [run.file(stage) / "adapter" for stage in ("rejection", "sft")]
    init = next(path for path in made if path.is_dir())

    @contextmanager
    def starts_for(step: int) -> Iterator[list[Start]]:
        chosen = Random(f"{config.seed}/{step}").sample(
            programs, min(config.rlvr.starts, len(programs))
        )
        sandbox = run.sandbox
        with ExitStack() as stack:
            environments = open_environments(chosen, sandbox, stack)
            if not environments:
                raise TaskError(
                    "All functions of this step have changed since they were harvested: undo that, "
                    "or begin anew with another `out`."
                )
            yield make_starts(
                environments, config.demonstrations.with_instructions, config.processes
            )

    @contextmanager
    def generator_for(current: PolicyModel, step: int) -> Iterator[Generator]:
        if not serves(config.model):
            with open_transformers_generator(run, current, tokenizer, seed=step) as generator:
                yield generator
            return
        adapter = run.file("rlvr") / "current"
        save_adapter(adapter, current)
        with open_served_generator(
            run, adapter, config.rlvr.num_generations, seed=step
        ) as generator:
            yield generator

    def show(entry: dict[str, float]) -> None:
        text = (
            f"reward {entry['reward']:+.2f}, solved {entry['solve_rate']:.0%}, "
            f"malformed {entry['malformed_rate']:.0%}, KL {entry['kl']:.3f}"
        )
        run.report(text, entry["step"], config.rlvr.steps)

    return train_rlvr(
        model,
        tokenizer,
        generator_for,
        starts_for,
        config.rlvr,
        run.file("rlvr"),
        init=init,
        seed=config.seed,
        random_arm=config.random_rewards,
        minutes=run.minutes,
        threads=config.processes,
        device=config.model.device,
        progress=show,
    )


def run_export(run: TrainingRun) -> bool:
    """The latest adapter as GGUF, named so that the server finds it."""
    from training.model.base import find_base
    from training.model.export import export_adapter

    source = find_base(run.config.model.base)
    target = run.file(f"{source.base_key}-coe-v1.gguf")
    export_adapter(run.last_adapter, source.files, target, name=target.stem)
    return True


def run_evaluation(run: TrainingRun) -> bool:
    """Measure the adapter and what it is compared with."""
    from training.evaluation.evaluate import EvaluationConfig, evaluate
    from training.evaluation.report import write_report
    from training.model.base import find_base

    plan = run.config.evaluation
    source = find_base(run.config.model.base)
    assert source.path is not None  # seen to before the run began
    folder = run.file("evaluation")
    folder.mkdir(exist_ok=True)
    adapter = run.file(f"{source.base_key}-coe-v1.gguf")
    for name in plan.files:
        chosen = load_tasks(name)[: plan.tasks]
        for policy in plan.policies:
            kind, _, shots = policy.partition("-")
            path, _, split = name.partition("#")
            out = folder / f"{'-'.join(filter(None, (Path(path).stem, split)))}-{policy}.json"
            config = EvaluationConfig(
                policy="base" if kind == "base" else "direct" if kind == "direct" else "coe",
                shots=int(shots or 0),
                samples=plan.samples,
                seed=run.config.seed,
            )
            finished = evaluate(
                chosen,
                source.path,
                adapter if kind == "coe" else None,
                config,
                out,
                sandbox=run.sandbox,
                merge=source.merges,
                deadline=run.deadline,
                progress=lambda done, total, solved, label=out.stem: run.report(
                    f"{label}: {solved} solved", done, total
                ),
            )
            if finished is None:
                return False
    logs = [run.file(name) / "metrics.jsonl" for name in ("sft", "rejection", "rlvr")]
    write_report(sorted(folder.glob("*.json")), folder, [log for log in logs if log.exists()])
    return True
