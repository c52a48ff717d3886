"""One command for all stages: shows progress, resumes after a kill, and says what was made.

A stage is marked as done in `state.json` when all its files are complete, so a run that was killed
goes on in the middle of its stage. The settings are kept there too: another configuration in the
same folder is refused, not mixed in.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import attrs
import cattrs
from filelock import FileLock, Timeout
from rich.console import Console

from coe_lsp.errors import CoeError
from coe_lsp.files import replace_file
from training.interruption import raise_if_asked
from training.model.source import find_base
from training.pipeline import stages
from training.pipeline.comparison import run_comparison
from training.pipeline.config import RunConfig
from training.pipeline.estimate import run_estimate
from training.pipeline.expert import run_expert
from training.pipeline.progress import show_bars
from training.pipeline.starts import run_held_out, run_starts
from training.pipeline.workspace import TrainingRun, find_starting_adapter, find_stronger_model
from training.tasks.tasks import TaskError, load_tasks
from training.trackers import check_trackers

_BYTES_FREE = 2 << 30


class RunError(CoeError):
    """A run cannot be started as asked."""


def helps() -> bool:
    """Whether this is one of the processes that only help the first one."""
    return int(os.environ.get("RANK", "0")) > 0


def run_all(
    config: RunConfig,
    *,
    minutes: float = float("inf"),
    console: Console,
    only: Collection[str] | None = None,
    trackers: Sequence[str] = (),
) -> bool:
    """Run what is left of a run, or of some of its stages; True when all of it is done.

    Raises the stages' own errors for bad input, before any long work where that is possible.
    """
    folder = Path(config.out)
    deadline = time.monotonic() + 60 * minutes
    if helps():
        return _help(config, deadline, trackers)
    check_trackers(trackers)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder), show_bars(console) as bar:
        check_request(config)
        check_machine(config, folder)
        state = _State(folder / "state.json", config)

        def say(text: str) -> None:
            console.print(text, markup=False, soft_wrap=True)

        begun = 0
        for name, stage in _plan(config):
            if name in state.done or (only is not None and name not in only):
                continue
            started = time.monotonic()
            if begun and started >= deadline:  # one stage is begun whatever the time
                console.print(f"Stopped before stage {name}; run the same command again to go on.")
                return False
            begun += 1
            line = bar(name)
            finished = stage(TrainingRun(config, line, deadline, say, trackers))
            state.spend(name, time.monotonic() - started)
            if not finished:
                console.print(f"Stopped in stage {name}; run the same command again to go on.")
                return False
            state.finish(name)
            line.end()
            raise_if_asked()
    return True


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """RunError if another process works in this folder."""
    lock = FileLock(folder / "run.lock", timeout=0)
    try:
        with lock:
            yield
    except Timeout as error:
        raise RunError(
            f"Another process is at work in {folder}: wait for it, or name another `out`."
        ) from error


def _help(config: RunConfig, deadline: float, trackers: Sequence[str]) -> bool:
    """What the other processes of `accelerate launch` do: wait for data, then share the tuning."""
    run = TrainingRun(config, lambda text, done, total: None, deadline, trackers=trackers)

    def finished(stage: str) -> bool:
        state = run.file("state.json")
        return state.exists() and stage in json.loads(state.read_text())["done"]

    shared = [("sft", stages.run_sft, lambda: finished("demonstrations"))]
    for stage, work in (("rejection", stages.run_rejection), ("expert", run_expert)):
        if stage in config.stages:
            sampled = run.file(f"{stage}.jsonl")
            shared.append((stage, work, lambda s=stage, made=sampled: made.exists() or finished(s)))
    if "rlvr" in config.stages:
        names = [name for name, _ in _plan(config)]
        before = names[names.index("rlvr") - 1]
        shared.append(("rlvr", _run_rlvr, lambda: finished(before)))
    for name, stage, ready in shared:
        while not ready() and time.monotonic() < deadline:
            time.sleep(1)
        if not finished(name) and not (ready() and stage(run)):
            return False
    return True


def _plan(config: RunConfig) -> list[tuple[str, Callable[[TrainingRun], bool]]]:
    plan: list[tuple[str, Callable[[TrainingRun], bool]]] = [
        ("tasks", stages.run_tasks),
        ("estimate", run_estimate),
        ("demonstrations", stages.run_demonstrations),
        ("held_out", run_held_out),
        ("sft", stages.run_sft),
    ]
    if config.stages:
        plan.append(("starts", run_starts))
    if "rejection" in config.stages:
        plan.append(("rejection", stages.run_rejection))
    if "expert" in config.stages:
        plan.append(("expert", run_expert))
    if "rlvr" in config.stages:
        plan.append(("rlvr", _run_rlvr))
    plan += [("export", stages.run_export), ("comparison", run_comparison)]
    if config.evaluation.files:
        plan.append(("evaluation", stages.run_evaluation))
    return plan


def _run_rlvr(run: TrainingRun) -> bool:
    from training.pipeline.reinforcement import run_rlvr

    return run_rlvr(run)


_OLD_SETTINGS = cattrs.Converter(forbid_extra_keys=True)


class _State:
    """What is done, and how long it took in seconds."""

    def __init__(self, path: Path, config: RunConfig) -> None:
        self._path = path
        if path.exists():
            self._data = json.loads(path.read_text())
            # A setting that there was not then has its default; one that is gone is another one.
            try:
                old = _OLD_SETTINGS.structure(self._data["config"], RunConfig)
            except cattrs.BaseValidationError:
                old = None
            names = [field.name for field in attrs.fields(RunConfig)]
            changed = [n for n in names if not old or getattr(old, n) != getattr(config, n)]
            if changed:
                raise RunError(
                    f"{path.parent} holds a run with other settings ({', '.join(changed)}): give "
                    "this one another `out`, or delete that folder."
                )
        else:
            self._data = {"config": attrs.asdict(config), "done": [], "seconds": {}}
            self._write()

    @property
    def done(self) -> list[str]:
        return self._data["done"]

    def spend(self, stage: str, seconds: float) -> None:
        spent = self._data["seconds"]
        spent[stage] = round(spent.get(stage, 0.0) + seconds, 1)
        self._write()

    def finish(self, stage: str) -> None:
        self._data["done"].append(stage)
        self._write()

    def _write(self) -> None:
        replace_file(self._path, json.dumps(self._data, indent=1).encode())


def check_request(config: RunConfig) -> None:
    """Raise what is wrong with files, project and models that are named; imports nothing heavy."""
    source = find_base(config.model.base)
    if source.path is None and config.evaluation.files:
        raise RunError(
            "Evaluation runs in the serving engine: leave evaluation.files out, make a GGUF of "
            f"{source.name} with llama.cpp's convert_hf_to_gguf.py, and evaluate with that."
        )
    stronger = {"rejection": config.rejection.model, "expert": config.expert.model}
    for stage, model in stronger.items():
        if model is not None:
            if stage not in config.stages:
                raise RunError(f"{stage}.model is set, but stages has no {stage}.")
            find_stronger_model(model, f"{stage}.model")
    if "expert" in config.stages and config.expert.model is None and source.path is None:
        raise RunError(
            "The search asks a model in the serving engine: name one with a GGUF as expert.model, "
            f"or make a GGUF of {source.name} with llama.cpp's convert_hf_to_gguf.py."
        )
    for name in (*config.tasks.files, *config.tasks.exclude, *config.evaluation.files):
        if name.partition("#")[0] != "mbpp":  # that may be on the hub
            load_tasks(name)
    if config.tasks.project is not None and not Path(config.tasks.project).is_dir():
        raise TaskError(f"{config.tasks.project} is no folder: name the project's.")


def check_machine(config: RunConfig, folder: Path) -> None:
    """RunError if memory or disk will clearly not do; estimated from the base model's size.

    Also raises what is wrong with the base or with the adapter to go on from.
    """
    import torch

    from training.model.base import load_tokenizer
    from training.model.export import check_base

    source = find_base(config.model.base)
    if source.path is None:
        load_tokenizer(source)  # a gated or missing repository says so now
    check_base(source.files)
    find_starting_adapter(config.model)
    free = shutil.disk_usage(folder).free
    if free < _BYTES_FREE:
        raise RunError(
            f"{folder} has {free >> 20} MiB free; a run needs about {_BYTES_FREE >> 20} MiB."
        )
    if source.path is None or not hasattr(os, "sysconf"):
        return
    # Quantised weights take 4 to 8 bits; in training 16 or 32, and activations about as much again.
    factor = 4 if config.model.dtype == "bfloat16" else 8
    needed = factor * source.path.stat().st_size + 180_000 * config.sft.micro_tokens * 4
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    on_cpu = config.model.device == "cpu" or not torch.cuda.is_available()
    if on_cpu and needed > memory:
        raise RunError(
            f"Training {source.name} takes about {needed >> 30} GiB of memory and there are "
            f"{memory >> 30}: use a smaller base, dtype bfloat16, or smaller sft.micro_tokens."
        )
