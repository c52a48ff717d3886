"""A run's folder and settings, and what its stages share: model, tuning, the served policy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from coe_lsp.execution.sandbox import Sandbox, find_sandbox
from coe_lsp.models.adapters import AdapterError, resolve_adapter
from training.config import ModelConfig, RunConfig
from training.pieces import write_lines
from training.rollouts import LlamaGenerator

if TYPE_CHECKING:
    from training.base import Tokenizer
    from training.encode import Example
    from training.policy_model import PolicyModel

Report = Callable[[str, float, float], None]


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


def policy_model(run: Run) -> tuple[PolicyModel, Tokenizer]:
    """The base with a new adapter, and its tokenizer."""
    import torch

    from training.base import dtype_for, find_base, load_model, load_tokenizer
    from training.policy_model import PolicyModel

    config = run.config.model
    source = find_base(config.base)
    decided = run.file("dtype")  # once: another slice or process must train the same weights
    if not decided.exists():
        gpu = config.device == "auto" and torch.cuda.is_available()
        write_lines(decided, [dtype_for(config.dtype, gpu=gpu)])
    dtype = getattr(torch, decided.read_text().strip())
    torch.manual_seed(run.config.seed)  # the adapter begins with random numbers
    model = PolicyModel(load_model(source, dtype=dtype), config.lora)
    return model, load_tokenizer(source)


def starting_adapter(config: ModelConfig) -> tuple[Path, Path] | None:
    """The adapter that training goes on from, and its base's GGUF; None to begin with nothing.

    AdapterError or ExportError if it is not there or does not fit.
    """
    from training.base import find_base
    from training.export import check_adapter

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
    run: Run,
    name: str,
    train: Sequence[Example],
    validation: Sequence[Example],
    init: Path | None,
) -> bool:
    """SFT into the folder `name`; False when the time was up first."""
    from training.sft import Progress, train_sft

    model, _ = policy_model(run)
    if init is None and (adapter := starting_adapter(run.config.model)) is not None:
        from training.export import import_adapter

        lora = run.config.model.lora
        model.load_adapter_state(import_adapter(*adapter, lora, model.adapter_state()))

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


@contextmanager
def served(
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
