"""The stages of a run: each one function, resumable, from files to files below the run's folder.

`TrainingRun` knows the folder's layout; `training.pipeline.run` decides what comes next and shows
progress.
A stage returns False when its time was up, and goes on from there at the next call.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from attrs import frozen

from coe_lsp.execution.interpreter import find_interpreter, probe
from coe_lsp.files import replace_file
from training.bugs.command import listed_bug_tasks, own_bug_tasks
from training.demonstrations.generate import generate_demonstrations
from training.files import resume_work, write_lines
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
from training.pipeline.written import read_written
from training.sampling.rollouts import (
    AttemptTester,
    Generator,
    count_together,
    make_starts,
    roll_out,
)
from training.tasks.environment import open_environments
from training.tasks.harvest import harvest_package, harvest_project
from training.tasks.records import Record, read_faulty_tasks, read_records, read_some_records
from training.tasks.tasks import Task, TaskError, clean, load_tasks, save_tasks

if TYPE_CHECKING:
    from training.model.base import Tokenizer
    from training.model.encode import TokenizedExample
    from training.model.policy_model import PolicyModel
    from training.rlvr import SampledGroups
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
    if config.history is not None:
        mended = own_bug_tasks(
            Path(config.history).resolve(),
            config.python,
            run.sandbox,
            run.say,
            max_lines=config.max_lines,
            progress=lambda text: run.report(text, 0, 1),
        )
        found += mended.tasks
        dropped += mended.dropped
    if config.bugs is not None:
        mended = listed_bug_tasks(
            config.bugs,
            config.clones,
            run.sandbox,
            max_lines=config.max_lines,
            progress=lambda done, total: run.report("bugs made again", done, total),
        )
        found += mended.tasks
        dropped += mended.dropped
    for package in config.packages:
        interpreter = probe(Path(sys.executable), Path.cwd(), run.sandbox)
        harvested = harvest_package(
            package, interpreter, run.sandbox, max_lines=config.max_lines, progress=show
        )
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
            lines = _resume_lines(
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
                        max_turns=config.rlvr.max_turns,
                        with_instructions=config.demonstrations.with_instructions,
                        sandbox=run.sandbox,
                        threads=config.processes,
                    )
                ),
                size=_together(run, generator, each),
                say="programs rolled out",
            )
        if lines is None:
            return False
        write_lines(file, lines)
        file.with_name(file.name + ".part").unlink()
    new = list(read_records(file))
    # A model that solves nothing is tuned on some more of the old data.
    random = Random(config.seed)
    old = read_some_records(run.file("demonstrations.jsonl"), max(len(new), 64), random)
    examples = _split(run, [*new, *old], "rejection")
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
    corrupted: dict[str, list[Task]] = {task.task_id: [] for task in chosen}
    for task in read_faulty_tasks(run.file("demonstrations.jsonl"), by_id):
        corrupted[task.task_id].append(task)
    found = {name: some[: config.corrupted] for name, some in corrupted.items()}
    if config.written:
        left_from = [some[-1] for some in corrupted.values() if some]
        for make, tasks in ((_write, chosen), (_collect, left_from)):
            lines = make(run, tasks)
            if lines is None:
                return False
            for task in map(Task.loads, lines):
                found[task.task_id.rpartition("#")[0]].append(task)
    programs = [task for some in found.values() for task in some[: config.most]]
    if not programs:
        raise TaskError("There are no faulty programs to start from.")
    save_tasks(run.file("starts.jsonl"), programs)
    return True


def _write(run: TrainingRun, tasks: Sequence[Task]) -> list[str] | None:
    """What the base model writes and gets wrong; tasks of a project have no words to write from."""
    from training.sampling.faulty_programs import ProgramSampling, write_faulty_programs

    plain = [task for task in tasks if task.place is None]
    if not plain:
        return []
    sampling = ProgramSampling(run.config.starts.written, seed=run.config.seed)
    with open_base_writer(run, sampling.each) as writer:
        return _resume_lines(
            run,
            run.file("starts.written.jsonl"),
            plain,
            lambda some: (
                task.dumps()
                for task in write_faulty_programs(
                    some, writer, sampling, run.sandbox, threads=run.config.processes
                )
            ),
            size=_together(run, writer, sampling.each),
            say="written by the base model",
        )


def _collect(run: TrainingRun, faulty: Sequence[Task]) -> list[str] | None:
    """What the SFT model's chains end in at a high temperature, from these programs."""
    from training.sampling.faulty_programs import collect_failed_states

    config = run.config.starts
    with open_adapter_generator(
        run, run.file("sft") / "adapter", config.written, temperature=config.temperature
    ) as generator:
        return _resume_lines(
            run,
            run.file("starts.left.jsonl"),
            faulty,
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
            say="left by failed chains",
        )


def _resume_lines(
    run: TrainingRun,
    path: Path,
    tasks: Sequence[Task],
    make: Callable[[Sequence[Task]], Iterable[str]],
    *,
    size: int,
    say: str,
) -> list[str] | None:
    """The lines that `make` gives for these tasks, `size` at a time; None if the time was up.

    With another `size`, as on another machine, all are made anew: what is sampled depends on it.
    """
    some = [tasks[first : first + size] for first in range(0, len(tasks), size)]
    settings = {"size": size, "tasks": [task.task_id for task in tasks]}
    lines: list[str] = []
    done = 0
    results = resume_work(
        path, settings, some, lambda left: (list(make(x)) for x in left), deadline=run.deadline
    )
    for made in results:
        lines += made
        done += 1
        run.report(say, min(done * size, len(tasks)), len(tasks))
    return lines if done == len(some) else None


def run_rlvr(run: TrainingRun) -> bool:
    """Reinforcement learning from the latest adapter."""
    from training.rlvr import train_rlvr
    from training.session import Session

    config = run.config
    model, tokenizer = load_policy_model(run)
    made = [run.file(stage) / "adapter" for stage in ("rejection", "sft")]
    init = next(path for path in made if path.is_dir())

    def report(metrics: dict[str, float]) -> None:
        text = (
            f"reward {metrics['reward']:+.2f}, solved {metrics['solve_rate']:.0%}, "
            f"malformed {metrics['malformed_rate']:.0%}, KL {metrics['kl']:.3f}"
        )
        run.report(text, metrics["step"], config.rlvr.steps)

    return train_rlvr(
        model,
        tokenizer,
        _GroupSampler(run, load_tasks(str(run.file("starts.jsonl"))), tokenizer),
        config.rlvr,
        Session(run.file("rlvr"), config.seed, init, run.minutes, config.model.device),
        report,
        random_rewards=config.random_rewards,
    )


@frozen
class _GroupSampler:
    """Rolls out a step's start programs: what `train_rlvr` samples with."""

    run: TrainingRun
    programs: Sequence[Task]
    tokenizer: Tokenizer

    def __call__(self, model: PolicyModel, step: int) -> SampledGroups:
        from training.rlvr import SampledGroups

        config = self.run.config
        count = min(config.rlvr.starts, len(self.programs))
        chosen = Random(f"{config.seed}/{step}").sample(self.programs, count)
        tester = AttemptTester(config.processes)
        with ExitStack() as stack:
            environments = open_environments(chosen, self.run.sandbox, stack)
            if not environments:
                raise TaskError(
                    "All functions of this step have changed since they were harvested: undo that, "
                    "or begin anew with another `out`."
                )
            share = config.demonstrations.with_instructions
            starts = make_starts(environments, share, config.processes)
            generator = stack.enter_context(self._open_generator(model, step))
            groups = roll_out(
                generator,
                starts,
                each=config.rlvr.num_generations,
                max_turns=config.rlvr.max_turns,
                tester=tester,
            )
        return SampledGroups(groups, tester.seconds)

    def _open_generator(self, model: PolicyModel, step: int) -> AbstractContextManager[Generator]:
        from training.model.checkpoint import save_adapter

        run = self.run
        if not serves(run.config.model):
            return open_transformers_generator(run, model, self.tokenizer, seed=step)
        adapter = run.file("rlvr") / "current"
        save_adapter(adapter, model)
        return open_served_generator(run, adapter, run.config.rlvr.num_generations, seed=step)


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
    from training.evaluation.config import EvaluationConfig
    from training.evaluation.evaluate import evaluate
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
