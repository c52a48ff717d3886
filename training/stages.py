"""The stages of a run: each one function, resumable, from files to files below the run's folder.

`Run` knows the folder's layout; `training.run` decides what comes next and shows progress. A stage
returns False when its time was up, and goes on from there at the next call.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from coe_lsp.execution.interpreter import find_interpreter, probe
from coe_lsp.execution.sandbox import Sandbox, find_sandbox
from training.config import RunConfig
from training.generate import generate
from training.harvest import harvest_package, harvest_project
from training.judge import Judge
from training.pieces import in_pieces, write_lines
from training.records import Record, read_records
from training.rollouts import Generator, LlamaGenerator, Start, TransformersGenerator
from training.tasks import Task, TaskError, clean, load_tasks, save_tasks

if TYPE_CHECKING:
    from training.encode import Example
    from training.policy_model import PolicyModel

Report = Callable[[str, float, float], None]
_AT_A_TIME = 4


@frozen
class Run:
    """A run's settings and files. `deadline` is a time of `time.monotonic`."""

    config: RunConfig
    report: Report
    deadline: float = float("inf")

    @property
    def folder(self) -> Path:
        """Where everything is written."""
        return Path(self.config.out)

    def file(self, name: str) -> Path:
        """A file or folder of the run."""
        return self.folder / name

    @property
    def sandbox(self) -> Sandbox:
        """Where candidates run."""
        return find_sandbox(self.config.sandbox)

    @property
    def minutes(self) -> float:
        """What is left of the time."""
        return (self.deadline - time.monotonic()) / 60

    @property
    def last_adapter(self) -> Path:
        """The adapter of the latest stage that made one."""
        made = [self.file(stage) / "adapter" for stage in ("rlvr", "rejection", "sft")]
        return next((path for path in made if path.is_dir()), made[-1])


def tasks(run: Run) -> bool:
    """Load, harvest and clean the tasks; hold some out for validation."""
    config = run.config.tasks
    found: list[Task] = []
    dropped: dict[str, int] = {}
    for name in config.files:
        found += load_tasks(name)
    if config.project is not None:
        root = Path(config.project).resolve()
        interpreter = find_interpreter(root, config.python)
        harvested = harvest_project(root, interpreter, run.sandbox, max_lines=config.max_lines)
        found += harvested.tasks
        dropped |= harvested.dropped
    for package in config.packages:
        interpreter = probe(Path(sys.executable))
        harvested = harvest_package(package, interpreter, run.sandbox, max_lines=config.max_lines)
        found += harvested.tasks
        dropped |= harvested.dropped
    if not found:
        raise TaskError("The configuration names no tasks: set files, project or packages.")
    excluded = [task for name in config.exclude for task in load_tasks(name)]
    cleaned = clean(found, max_lines=config.max_lines, forbidden=excluded)
    if not cleaned.tasks:
        raise TaskError(f"No task is left: {dict(cleaned.dropped)}.")
    order = list(cleaned.tasks)
    Random(run.config.seed).shuffle(order)
    save_tasks(run.file("tasks.jsonl"), order)
    counts = {"kept": len(order), "dropped": dropped | dict(cleaned.dropped)}
    run.file("tasks.json").write_text(json.dumps(counts, indent=1))
    return True


def demonstrations(run: Run) -> bool:
    """Make demonstrations of all tasks."""
    found = generate(
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
    run.file("demonstrations.json").write_text(json.dumps(found.summary(), indent=1))
    return True


def sft(run: Run) -> bool:
    """Supervised fine-tuning on the demonstrations."""
    return _fine_tune(run, "sft", list(read_records(run.file("demonstrations.jsonl"))), None)


def rejection(run: Run) -> bool:
    """Roll the SFT model out on faulty programs, and tune on what succeeded, old data mixed in."""
    from training.rejection import successes

    config, file = run.config, run.file("rejection.jsonl")
    if not file.exists():
        programs = load_tasks(str(run.file("starts.jsonl")))
        with _served(run, run.file("sft") / "adapter", constrained=True) as generator:
            lines = in_pieces(
                programs,
                run.file("rejection.pieces"),
                lambda some: (
                    record.dumps()
                    for record in successes(
                        some,
                        generator,
                        each=config.rejection.each,
                        keep=config.rejection.keep,
                        max_turns=config.rlvr.max_turns,
                        sandbox=run.sandbox,
                    )
                ),
                size=_AT_A_TIME,
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
    return _fine_tune(
        run, "rejection", [*new, *old[: max(len(new), 64)]], run.file("sft") / "adapter"
    )


def _fine_tune(run: Run, name: str, records: Sequence[Record], init: Path | None) -> bool:
    from training.sft import Progress, train_sft

    train, validation = _split(run, records)
    model, _ = _model(run)

    def show(state: Progress) -> None:
        text = f"loss {state.loss:.3f}, {state.tokens_per_second:.0f} tokens/s"
        if state.validation:
            text += f", commands right {state.validation['command_accuracy']:.0%}"
        run.report(text, state.step, state.steps)

    return train_sft(
        model,
        train,
        validation,
        run.config.sft,
        run.file(name),
        seed=run.config.seed,
        minutes=run.minutes,
        init=init,
        progress=show,
        cpu=run.config.model.device == "cpu",
    )


def _split(run: Run, records: Sequence[Record]) -> tuple[list[Example], list[Example]]:
    """Examples for training and validation; no task is in both."""
    from training.base import find_base, load_tokenizer
    from training.encode import encode_all

    tokenizer = load_tokenizer(find_base(run.config.model.base))
    names = sorted({record.task_id for record in records})
    Random(run.config.seed).shuffle(names)
    held = set(names[: round(len(names) * run.config.held_out)])
    builder = tokenizer.builder(instructed=False)
    limit = run.config.max_tokens
    train, _ = encode_all(
        (r for r in records if r.task_id not in held), tokenizer, builder, max_tokens=limit
    )
    validation, _ = encode_all(
        (r for r in records if r.task_id in held), tokenizer, builder, max_tokens=limit
    )
    if not train:
        raise TaskError(f"No demonstration has at most {limit} tokens; raise max_tokens.")
    return train, validation[:200]


def _model(run: Run) -> tuple[PolicyModel, Any]:
    import torch

    from training.base import find_base, load_model, load_tokenizer
    from training.policy_model import PolicyModel

    source = find_base(run.config.model.base)
    dtype = torch.bfloat16 if run.config.model.dtype == "bfloat16" else torch.float32
    model = PolicyModel(load_model(source, dtype=dtype), run.config.model.lora)
    return model, load_tokenizer(source)


def starts(run: Run) -> bool:
    """Faulty programs for RLVR: corrupted ones, and what the base and the SFT model got wrong."""
    config = run.config.starts
    chosen = load_tasks(str(run.file("tasks.jsonl")))[: config.tasks]
    by_id = {task.task_id: task for task in chosen}
    found: dict[str, list[Task]] = {task.task_id: [] for task in chosen}
    for record in read_records(run.file("demonstrations.jsonl")):
        some = found.get(record.task_id)
        if some is not None and len(some) < config.corrupted:
            some.append(evolve(by_id[record.task_id], code=record.episode.start.text))
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


def _written(run: Run, chosen: Sequence[Task]) -> list[str] | None:
    """What the base model writes and gets wrong; tasks of a project have no words to write from."""
    from coe_lsp.models.engine import Engine
    from training.base import find_base
    from training.starts import Written, written_by_model

    plain = [task for task in chosen if task.place is None]
    path = find_base(run.config.model.base).path
    if path is None or not plain:
        return []  # without a GGUF there is nothing to sample from on the CPU
    written = Written(run.config.starts.written, seed=run.config.seed)
    with Engine(path, context_tokens=8192, max_sequences=written.each + 2) as engine:
        return in_pieces(
            plain,
            run.file("starts.written"),
            lambda some: (t.dumps() for t in written_by_model(some, engine, written, run.sandbox)),
            size=1,
            deadline=run.deadline,
            progress=lambda done, total: run.report("written by the base model", done, total),
        )


def _left(run: Run, chosen: Sequence[Task]) -> list[str] | None:
    """What the SFT model's chains end in at a high temperature."""
    from training.base import find_base
    from training.starts import left_by_chains

    config = run.config.starts
    if find_base(run.config.model.base).path is None:
        return []
    corrupted = {
        record.task_id: record.episode.start.text
        for record in read_records(run.file("demonstrations.jsonl"))
    }
    faulty = [evolve(t, code=corrupted[t.task_id]) for t in chosen if t.task_id in corrupted]
    with _served(
        run, run.file("sft") / "adapter", temperature=config.temperature, constrained=True
    ) as generator:
        return in_pieces(
            faulty,
            run.file("starts.left"),
            lambda some: (
                task.dumps()
                for task in left_by_chains(
                    some,
                    generator,
                    each=config.written,
                    max_turns=run.config.rlvr.max_turns,
                    sandbox=run.sandbox,
                )
            ),
            size=1,
            deadline=run.deadline,
            progress=lambda done, total: run.report("left by failed chains", done, total),
        )


def rlvr(run: Run) -> bool:
    """Reinforcement learning from the latest adapter."""
    from training.rlvr import train_rlvr

    config = run.config
    programs = load_tasks(str(run.file("starts.jsonl")))
    model, tokenizer = _model(run)
    made = [run.file(stage) / "adapter" for stage in ("rejection", "sft")]
    init = next(path for path in made if path.is_dir())

    @contextmanager
    def starts_for(step: int) -> Iterator[list[Start]]:
        chosen = Random(f"{config.seed}/{step}").sample(
            programs, min(config.rlvr.starts, len(programs))
        )
        sandbox = run.sandbox
        with ExitStack() as stack:
            judges = [stack.enter_context(Judge(task, sandbox)) for task in chosen]
            yield [
                Start(judge, task.start, task.prompt)
                for judge, task in zip(judges, chosen, strict=True)
            ]

    @contextmanager
    def generator_for(current: PolicyModel, step: int) -> Iterator[Generator]:
        if next(current.parameters()).device.type == "cuda":
            builder = tokenizer.builder(instructed=False)
            yield TransformersGenerator(
                current.peft, tokenizer, builder, 1.0, max_tokens=config.max_tokens
            )
        else:
            from training.checkpoint import save_adapter

            save_adapter(run.file("rlvr") / "current", current)
            with _served(run, run.file("rlvr") / "current", seed=step) as generator:
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


@contextmanager
def _served(
    run: Run,
    adapter: Path,
    *,
    temperature: float = 1.0,
    constrained: bool = False,
    seed: int = 0,
) -> Iterator[LlamaGenerator]:
    """The serving policy with an adapter that is still in transformers' form."""
    from coe_lsp.chain.prompt import PromptBuilder, detect_format
    from coe_lsp.models.engine import Engine
    from coe_lsp.models.sampling import Sampling
    from coe_lsp.repair.policy import LlamaPolicy
    from training.base import BaseError, find_base
    from training.export import export_adapter

    base = find_base(run.config.model.base).path
    if base is None:
        raise BaseError("On the CPU rollouts need the base model as GGUF; use a GPU or name one.")
    target = adapter.parent / "served.gguf"
    export_adapter(adapter, base, target)
    chains = max(run.config.rlvr.starts, 4) * run.config.rlvr.group
    with Engine(
        base, adapter=target, context_tokens=32768, max_sequences=min(128, chains + 2)
    ) as engine:
        yield LlamaGenerator(
            LlamaPolicy(
                engine,
                PromptBuilder(detect_format(engine.chat_template), instructed=False),
                seed=run.config.seed * 100003 + seed,
                sampling=Sampling(temperature=temperature, top_k=0, top_p=1.0, max_tokens=96),
                constrained=constrained,
            )
        )


def export(run: Run) -> bool:
    """The latest adapter as GGUF, named so that the server finds it."""
    from training.base import find_base
    from training.export import export_adapter

    source = find_base(run.config.model.base)
    if source.path is not None:
        target = run.file(f"{source.base_key}-coe-v1.gguf")
        export_adapter(run.last_adapter, source.path, target, name=target.stem)
    return True


def evaluation(run: Run) -> bool:
    """Measure the adapter and what it is compared with."""
    from training.base import find_base
    from training.evaluate import EvaluationConfig, evaluate

    plan = run.config.evaluation
    source = find_base(run.config.model.base)
    if source.path is None:
        return True
    folder = run.file("evaluation")
    folder.mkdir(exist_ok=True)
    adapter = run.file(f"{source.base_key}-coe-v1.gguf")
    for name in plan.files:
        chosen = load_tasks(name)[: plan.tasks]
        for policy in plan.policies:
            kind, _, shots = policy.partition("-")
            out = folder / f"{Path(name.partition('#')[0]).stem}-{policy}.json"
            if out.exists():
                continue
            config = EvaluationConfig(
                policy=kind,  # type: ignore[arg-type]
                shots=int(shots or 0),
                samples=plan.samples,
                seed=run.config.seed,
            )
            evaluate(
                chosen,
                source.path,
                adapter if kind == "coe" else None,
                config,
                out,
                sandbox=run.sandbox,
                progress=lambda done, total, solved, label=out.stem: run.report(
                    f"{label}: {solved} solved", done, total
                ),
            )
            if run.minutes <= 0:
                return False
    return True
