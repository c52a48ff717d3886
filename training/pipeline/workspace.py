"""A run's folder and settings, and what its stages share: model, tuning, the served policy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from coe_lsp.execution.sandbox import Sandbox, find_sandbox
from coe_lsp.models.adapters import AdapterError, resolve_adapter
from training.files import write_lines
from training.pipeline.config import ModelConfig, RunConfig
from training.sampling.rollouts import (
    LLAMA_AT_ONCE,
    Generator,
    LlamaGenerator,
)
from training.trackers import tracking

if TYPE_CHECKING:
    from training.model.base import Tokenizer
    from training.model.encode import TokenizedExample
    from training.model.policy_model import PolicyModel
    from training.sampling.whole_programs import Writer

Report = Callable[[str, float, float], None]
_ROWS_ON_A_GPU, _ROWS_ON_A_CPU = 256, 8
# The stages that move the adapter, in their order.
_TUNING = ("sft", "rejection", "expert", "rlvr")


@frozen
class TrainingRun:
    """A run's settings and files. `deadline` is a time of `time.monotonic`.

    `report` gets what is under way, `say` a line that stays; `trackers` show numbers as well.
    """

    config: RunConfig
    report: Report
    deadline: float = float("inf")
    say: Callable[[str], None] = lambda text: None
    trackers: Sequence[str] = ()

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
        return self._latest(_TUNING)

    def adapter_before(self, stage: str) -> Path:
        """What a stage begins with: the adapter of the latest one before it that made one."""
        return self._latest(_TUNING[: _TUNING.index(stage)])

    def _latest(self, stages: Sequence[str]) -> Path:
        made = [self.file(stage) / "adapter" for stage in reversed(stages)]
        return next((path for path in made if path.is_dir()), made[-1])


def load_policy_model(run: TrainingRun) -> tuple[PolicyModel, Tokenizer]:
    """The base with a new adapter, and its tokenizer."""
    import torch

    from training.model.base import choose_dtype, load_model, load_tokenizer
    from training.model.policy_model import PolicyModel
    from training.model.source import find_base

    config = run.config.model
    source = find_base(config.base)
    decided = run.file("dtype")  # once: another slice or process must train the same weights
    if not decided.exists():
        gpu = config.device == "auto" and torch.cuda.is_available()
        write_lines(decided, [choose_dtype(config.dtype, gpu=gpu)])
    dtype = getattr(torch, decided.read_text().strip())
    torch.manual_seed(run.config.seed)  # the adapter begins with random numbers
    model = PolicyModel(load_model(source, dtype=dtype), config.lora)
    return model, load_tokenizer(source)


def find_starting_adapter(config: ModelConfig) -> tuple[Path, Path] | None:
    """The adapter that training goes on from, and its base's GGUF; None to begin with nothing.

    AdapterError, LoraError or ExportError if it is not there or does not fit.
    """
    from training.model.export import check_adapter
    from training.model.source import find_base

    if config.adapter is None:
        return None
    source = find_base(config.base)
    shipped = config.adapter == "shipped"
    adapter = resolve_adapter(None if shipped else config.adapter, source.base_key)
    if adapter is None or source.path is None:
        raise AdapterError(
            f"There is no adapter to go on from for {source.name}: leave model.adapter out."
        )
    check_adapter(adapter, source.path, config.lora)
    return adapter, source.path


def fine_tune(
    run: TrainingRun,
    name: str,
    train: Sequence[TokenizedExample],
    validation: Sequence[TokenizedExample],
    init: Path | None,
    *,
    epochs: float | None = None,
) -> bool:
    """SFT into the folder `name`; False when the time was up first.

    `epochs` in place of those of the settings.
    """
    from training.session import Session
    from training.sft import SftProgress, train_sft

    model, _ = load_policy_model(run)
    if init is None and (adapter := find_starting_adapter(run.config.model)) is not None:
        from training.model.export import import_adapter

        lora = run.config.model.lora
        model.load_adapter_state(import_adapter(*adapter, lora, model.adapter_state()))

    config = run.config.sft if epochs is None else evolve(run.config.sft, epochs=epochs)

    def show(state: SftProgress) -> None:
        numbers = {"loss": state.loss, "tokens_per_second": state.tokens_per_second}
        track(state.step, numbers | state.validation)
        text = f"loss {state.loss:.3f}, {state.tokens_per_second:.0f} tokens/s"
        if state.validation:
            text += f", commands right {state.validation['command_accuracy']:.0%}"
        run.report(text, state.step, state.steps)

    session = Session(run.file(name), run.config.seed, init, run.minutes, run.config.model.device)
    with tracking(run.trackers, run.folder, name) as track:
        return train_sft(model, train, validation, config, session, show)


def serves(config: ModelConfig) -> bool:
    """Whether the serving engine samples: on a CPU, if the base has a GGUF; else transformers."""
    import torch

    from training.model.source import find_base

    on_gpu = config.device == "auto" and torch.cuda.is_available()
    return not on_gpu and find_base(config.base).path is not None


@contextmanager
def open_adapter_generator(
    run: TrainingRun, adapter: Path, each: int, *, temperature: float = 1.0
) -> Iterator[Generator]:
    """The base with an adapter of a stage, as what writes commands, `each` chains a program.

    They are held to the grammar where the serving engine samples.
    """
    from training.model.checkpoint import load_adapter

    if serves(run.config.model):
        with open_served_generator(
            run, adapter, each, temperature=temperature, constrained=True
        ) as generator:
            yield generator
        return
    with _load_on_device(run) as (model, tokenizer):
        load_adapter(adapter, model)
        with open_transformers_generator(
            run, model, tokenizer, max_tokens=run.config.max_tokens, temperature=temperature
        ) as generator:
            yield generator


@contextmanager
def open_transformers_generator(
    run: TrainingRun,
    model: PolicyModel,
    tokenizer: Tokenizer,
    *,
    max_tokens: int,
    temperature: float = 1.0,
    seed: int = 0,
) -> Iterator[Generator]:
    """The model as it is now, in a copy of its own; its memory is free again afterwards.

    A chain ends at `max_tokens`, what its learner can take.
    """
    from training.sampling.hf_generator import TransformersGenerator

    copy = model.copy_merged()
    try:
        yield TransformersGenerator(
            copy,
            tokenizer,
            tokenizer.builder(instructed=False),
            temperature,
            seed=run.config.seed * 100003 + seed,
            max_tokens=max_tokens,
            at_once=_rows(copy),
        )
    finally:
        _free(copy)


def _rows(model: Any) -> int:
    """How many texts a transformers model writes best together."""
    return _ROWS_ON_A_GPU if model.device.type == "cuda" else _ROWS_ON_A_CPU


def _free(model: Any) -> None:
    """Give back a model's memory, whoever still holds it, on the CPU and on the GPU."""
    import torch

    model.to("meta")
    torch.cuda.empty_cache()


@contextmanager
def open_served_generator(
    run: TrainingRun,
    adapter: Path,
    each: int,
    *,
    temperature: float = 1.0,
    constrained: bool = False,
    seed: int = 0,
) -> Iterator[Generator]:
    """The serving policy with an adapter that is still in transformers' form."""
    with (
        open_served_weights(run, adapter) as (weights, beside),
        _open_engine_generator(
            run,
            weights,
            beside,
            each,
            instructed=False,
            temperature=temperature,
            constrained=constrained,
            seed=seed,
        ) as generator,
    ):
        yield generator


@contextmanager
def open_served_weights(run: TrainingRun, adapter: Path) -> Iterator[tuple[Path, Path | None]]:
    """The GGUF of the base with an adapter of a stage, and that adapter if it stays beside it.

    It is merged into models of the registry, as the server does, in a file that is gone afterwards.
    """
    from coe_lsp.models.lora_gguf import merge_lora
    from coe_lsp.models.merged import KIND
    from training.model.export import export_adapter
    from training.model.source import find_base

    source = find_base(run.config.model.base)
    assert source.path is not None
    weights, beside = source.path, adapter.parent / "served.gguf"
    export_adapter(adapter, weights, beside)
    whole = adapter.parent / "merged.gguf"
    for left in adapter.parent.glob(f"{whole.name}*"):  # by a run that was killed: half a gigabyte
        left.unlink()
    if source.merges:
        merge_lora(weights, beside, whole, KIND)
        weights, beside = whole, None
    try:
        yield weights, beside
    finally:
        whole.unlink(missing_ok=True)


def find_stronger_model(name: str, setting: str) -> Path:
    """The GGUF of a model that a setting names. BaseError if there is none."""
    from training.model.source import BaseError, find_base

    path = find_base(name).path
    if path is None:
        raise BaseError(f"{setting} needs a GGUF, and {name} is none.")
    return path


@contextmanager
def open_stronger_generator(run: TrainingRun, name: str, each: int) -> Iterator[Generator]:
    """Another model, untrained, with the commands explained to it, in the serving engine."""
    with _open_engine_generator(
        run,
        find_stronger_model(name, "rejection.model"),
        None,
        each,
        instructed=True,
        constrained=True,
    ) as generator:
        yield generator


@contextmanager
def _open_engine_generator(
    run: TrainingRun,
    path: Path,
    adapter: Path | None,
    each: int,
    *,
    instructed: bool,
    constrained: bool,
    temperature: float = 1.0,
    seed: int = 0,
) -> Iterator[Generator]:
    from coe_lsp.chain.prompt import PromptBuilder, detect_format
    from coe_lsp.engine.engine import Engine
    from coe_lsp.engine.sampling import Sampling
    from coe_lsp.repair.policy.llama import LlamaPolicy
    from coe_lsp.repair.policy.protocol import COMMAND_TOKENS

    # The chains that advance together, and what was read of their program.
    sequences = max(LLAMA_AT_ONCE, each)
    with Engine(path, adapter=adapter, context_tokens=32768, max_sequences=sequences + 2) as engine:
        yield LlamaGenerator(
            LlamaPolicy(
                engine,
                PromptBuilder(detect_format(engine.chat_template), instructed=instructed),
                seed=run.config.seed * 100003 + seed,
                sampling=Sampling(
                    temperature=temperature, top_k=0, top_p=1.0, max_tokens=COMMAND_TOKENS
                ),
                constrained=constrained,
            )
        )


@contextmanager
def open_base_writer(run: TrainingRun, each: int) -> Iterator[Writer]:
    """The base without an adapter, to write `each` whole answers at once."""
    from training.model.source import find_base
    from training.sampling.whole_programs import LlamaWriter, TransformersWriter

    path = find_base(run.config.model.base).path
    if path is not None and serves(run.config.model):
        from coe_lsp.engine.engine import Engine

        with Engine(path, context_tokens=8192, max_sequences=each + 2) as engine:
            yield LlamaWriter(engine)
    else:
        with _load_on_device(run) as (model, tokenizer):
            base = model.peft.unload()
            yield TransformersWriter(base, tokenizer, _rows(base))


@contextmanager
def _load_on_device(run: TrainingRun) -> Iterator[tuple[PolicyModel, Tokenizer]]:
    """A model to sample from; its memory is free again afterwards."""
    import torch

    model, tokenizer = load_policy_model(run)
    if run.config.model.device == "auto" and torch.cuda.is_available():
        model.to("cuda")
    try:
        yield model, tokenizer
    finally:
        _free(model)
