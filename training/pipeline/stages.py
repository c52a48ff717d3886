"""The stages of a run: each one function, resumable, from files to files below the run's folder.

`TrainingRun` knows the folder's layout; `training.pipeline.run` decides what comes next and shows
progress.
A stage returns False when its time was up, and goes on from there at the next call.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from coe_lsp.files import replace_file
from training.demonstrations.generate import generate_demonstrations
from training.files import write_lines
from training.pipeline.harvests import find_harvests, keep_harvest, read_harvest
from training.pipeline.held_out import choose_held_out, is_held_out
from training.pipeline.pieces import resume_lines, size_of_piece
from training.pipeline.starts import read_starts
from training.pipeline.workspace import (
    TrainingRun,
    fine_tune,
    open_adapter_generator,
    open_stronger_generator,
)
from training.pipeline.written import read_written
from training.tasks.records import Record, read_records, read_some_records
from training.tasks.tasks import Task, TaskError, clean, load_tasks, save_tasks

if TYPE_CHECKING:
    from training.model.encode import TokenizedExample

_VALIDATED = 200


def run_tasks(run: TrainingRun) -> bool:
    """Load, harvest and clean the tasks; what was harvested in an earlier call is taken again."""
    config = run.config.tasks
    found: list[Task] = []
    dropped: Counter[str] = Counter()
    for name in config.files:
        found += load_tasks(name)
    measured = (*config.exclude, *run.config.evaluation.files)
    excluded = [task for name in measured for task in load_tasks(name)]
    worked = False
    for name, harvest in find_harvests(run):
        harvested = read_harvest(run, name)
        if harvested is None:
            if worked and run.minutes <= 0:
                return False
            harvested = harvest()
            keep_harvest(run, name, harvested)
            worked = True
        found += harvested.tasks
        dropped += harvested.dropped
    if not found:
        raise TaskError(
            "The configuration names no tasks: set files, project, packages, history or bugs."
        )
    cleaned = clean(found, max_lines=config.max_lines, forbidden=excluded)
    if not cleaned.tasks:
        raise TaskError(f"No task is left: {dict(cleaned.dropped)}.")
    order = list(cleaned.tasks)
    Random(run.config.seed).shuffle(order)
    if config.most is not None and len(order) > config.most:
        dropped["more than tasks.most"] += len(order) - config.most
        order = order[: config.most]
    save_tasks(run.file("tasks.jsonl"), order)
    counts = {"kept": len(order), "dropped": dropped + cleaned.dropped}
    replace_file(run.file("tasks.json"), json.dumps(counts, indent=1).encode())
    return True


def run_demonstrations(run: TrainingRun) -> bool:
    """Make demonstrations of all tasks."""
    tasks = load_tasks(str(run.file("tasks.jsonl")))
    written = read_written(run, tasks)
    if written is None:
        return False
    found = generate_demonstrations(
        tasks,
        run.config.demonstrations,
        run.file("demonstrations.jsonl"),
        seed=run.config.seed,
        processes=run.config.processes,
        sandbox=run.sandbox,
        written=written,
        deadline=run.deadline,
        progress=lambda done, total, count: run.report(f"{count} demonstrations", done, total),
    )
    if found is None:
        return False
    if not found.records:
        raise TaskError(
            "No demonstration came of any task: their references fail, or no fault does."
        )
    shares = ", ".join(f"{kind} {share:.0%}" for kind, share in found.realised_mix().items())
    run.say(f"{found.records} demonstrations of {found.tasks - found.empty} tasks: {shares}")
    summary = {"wished_mix": run.config.demonstrations.mix.weights(), **found.summary()}
    replace_file(run.file("demonstrations.json"), json.dumps(summary, indent=1).encode())
    return True


def run_sft(run: TrainingRun) -> bool:
    """Supervised fine-tuning on the demonstrations; on those that `training.rented` encoded."""
    encoded = run.file("sft") / "encoded.npz"
    if encoded.exists():
        from training.model.encoded import load_examples

        examples = load_examples(encoded, "train"), load_examples(encoded, "validation")
    else:
        records = list(read_records(run.file("demonstrations.jsonl")))
        examples = split_examples(run, records, "sft")
    return fine_tune(run, "sft", *examples, None)


def run_rejection(run: TrainingRun) -> bool:
    """Roll a model out on faulty programs, and tune on what succeeded, old data mixed in.

    The model is the SFT model, or a stronger one that the configuration names.
    """
    from training.sampling.rejection import sample_successes

    config, file = run.config, run.file("rejection.jsonl")
    if not file.exists():
        programs = read_starts(run)
        if not programs:
            return True
        named = config.rejection.model
        each = config.rejection.each
        sampled = (
            open_stronger_generator(run, named, each)
            if named is not None
            else open_adapter_generator(run, run.file("sft") / "adapter", each)
        )
        with sampled as generator:
            lines = resume_lines(
                run,
                file.with_name(file.name + ".part"),
                programs,
                lambda some: (
                    record.dumps()
                    for record in sample_successes(
                        some,
                        generator,
                        each=each,
                        keep=config.rejection.keep,
                        max_turns=config.rejection.max_turns,
                        with_instructions=config.demonstrations.with_instructions,
                        sandbox=run.sandbox,
                        threads=config.processes,
                    )
                ),
                size=size_of_piece(run, generator, each),
                say="programs rolled out",
            )
        if lines is None:
            return False
        write_lines(file, lines)
        file.with_name(file.name + ".part").unlink()
    new = list(read_records(file))
    before = run.adapter_before("rejection")
    return tune_beside_old(run, "rejection", new, before, epochs=config.rejection.epochs)


def tune_beside_old(
    run: TrainingRun, stage: str, new: Sequence[Record], init: Path, *, epochs: float
) -> bool:
    """Fine-tune an adapter on new records and as many of the old ones, lest those be forgotten.

    A model that solves nothing is tuned on some more of the old data.
    """
    random = Random(run.config.seed)
    old = read_some_records(run.file("demonstrations.jsonl"), max(len(new), 64), random)
    examples = split_examples(run, [*new, *old], stage)
    return fine_tune(run, stage, *examples, init, epochs=epochs)


def split_examples(
    run: TrainingRun, records: Sequence[Record], stage: str
) -> tuple[list[TokenizedExample], list[TokenizedExample]]:
    """Examples for training and validation; no task is in both, in this stage or in another.

    What was too long, and how many tokens there are, is left in the stage's `examples.json`.
    """
    from training.model.base import load_tokenizer
    from training.model.encode import encode_all
    from training.model.source import find_base

    tokenizer = load_tokenizer(find_base(run.config.model.base))
    tasks = load_tasks(str(run.file("tasks.jsonl")))
    known = {task.task_id for task in tasks}
    held = choose_held_out(tasks, run.config.held_out, run.config.seed)

    def held_out(record: Record) -> bool:
        return is_held_out(record.task_id, known, held)

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


def run_export(run: TrainingRun) -> bool:
    """The latest adapter as GGUF, named so that the server finds it."""
    from training.model.export import export_adapter
    from training.model.source import find_base
    from training.pipeline.card import write_card

    source = find_base(run.config.model.base)
    target = run.file(f"{source.base_key}-coe-v1.gguf")
    export_adapter(run.last_adapter, source.files, target, name=target.stem)
    write_card(run, target)
    return True


def run_evaluation(run: TrainingRun) -> bool:
    """Measure the adapter and what it is compared with."""
    from training.evaluation.config import EvaluationConfig
    from training.evaluation.evaluate import evaluate
    from training.evaluation.report import write_report
    from training.model.source import find_base

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
    logs = [run.file(name) / "metrics.jsonl" for name in ("sft", "rejection", "expert", "rlvr")]
    write_report(sorted(folder.glob("*.json")), folder, [log for log in logs if log.exists()])
    return True
