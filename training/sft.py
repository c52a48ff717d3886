"""Supervised fine-tuning on demonstrations: the first stage.

Cross-entropy on commands alone. One optimizer step is one batch of `batch_tokens` tokens, cut into
parts of `micro_tokens` that fit the memory, over however many processes accelerate was started
with. Stops after `minutes` with a checkpoint, and goes on from there to the same numbers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from attrs import define, field, frozen
from attrs.validators import ge, gt

from training.files import cut_back
from training.model.checkpoint import load_adapter, resume, save_adapter, save_checkpoint
from training.model.encode import TokenizedExample, collate, make_batches
from training.model.policy_model import PolicyModel


@frozen
class SftConfig:
    """Sizes in tokens; the learning rate rises over `warmup` steps, then falls linearly to 0.

    With 0 `epochs` the adapter to go on from stays as it is.
    """

    learning_rate: float = field(default=5e-4, validator=gt(0))
    epochs: float = field(default=1.0, validator=ge(0))
    batch_tokens: int = field(default=4096, validator=gt(0))
    micro_tokens: int = field(default=2048, validator=gt(0))
    warmup: int = 20
    evaluate_every: int = field(default=50, validator=gt(0))
    save_every: int = field(default=50, validator=gt(0))
    clip: float = field(default=1.0, validator=gt(0))


@define
class SftProgress:
    """What a run reports after each step."""

    step: int
    steps: int
    loss: float
    tokens_per_second: float
    validation: dict[str, float]


def train_sft(
    model: PolicyModel,
    train: Sequence[TokenizedExample],
    validation: Sequence[TokenizedExample],
    config: SftConfig,
    folder: Path,
    *,
    seed: int,
    minutes: float = float("inf"),
    init: Path | None = None,
    progress: Callable[[SftProgress], None] = lambda _: None,
    cpu: bool = False,
) -> bool:
    """Train; True when done, False when the time was up first. The adapter is in `folder/adapter`.

    `init` is an adapter to start from. Metrics go to `folder/metrics.jsonl`.
    """
    accelerator = Accelerator(cpu=cpu)
    torch.manual_seed(seed)
    if init is not None:
        load_adapter(init, model)
    model.to(accelerator.device)
    optimizer = torch.optim.AdamW(
        model.trainable().values(), lr=config.learning_rate, weight_decay=0.0
    )
    found = resume(folder, model, optimizer)
    plan = _Plan(train, config, seed, accelerator.num_processes)
    log = _Log(folder / "metrics.jsonl", found.step if found else 0, accelerator.is_main_process)
    wrapped: Any = accelerator.prepare_model(model)
    end = time.monotonic() + 60 * minutes
    step = found.step if found else 0

    def save() -> None:
        if accelerator.is_main_process:
            save_checkpoint(folder, step, model, optimizer, {})
        accelerator.wait_for_everyone()

    while step < plan.steps:
        started = time.monotonic()
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * plan.rate(step)
        batch = plan.batch(step)
        learned = sum(example.learned for example in batch)
        mine = batch[accelerator.process_index :: accelerator.num_processes]
        total = torch.zeros((), device=accelerator.device)
        parts = list(_parts(mine, config.micro_tokens))
        for number, part in enumerate(parts):
            with _synced(accelerator, wrapped, number == len(parts) - 1):
                tensors = collate(part)
                chosen, _, _ = wrapped(
                    tensors.ids.to(accelerator.device),
                    tensors.mask.to(accelerator.device),
                    tensors.labels.to(accelerator.device),
                )
                # Gradients are averaged over processes; the loss is a mean over all labels.
                loss = -chosen.sum() * accelerator.num_processes / learned
                accelerator.backward(loss)
                total += loss.detach() / accelerator.num_processes
        model.clip_gradients(config.clip)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        loss = float(_summed(accelerator, total))
        seconds = time.monotonic() - started
        found_now: dict[str, float] = {}
        if validation and (step % config.evaluate_every == 0 or step == plan.steps):
            found_now = validate(model, validation, config.micro_tokens, accelerator.device)
        tokens = sum(len(example.ids) for example in batch)
        entry = {"step": step, "loss": loss, "tokens": tokens, "seconds": seconds, **found_now}
        log.write(entry)
        progress(SftProgress(step, plan.steps, loss, tokens / seconds, found_now))
        late = torch.tensor(float(time.monotonic() > end), device=accelerator.device)
        over = bool(_summed(accelerator, late) > 0)
        if over and step < plan.steps:
            save()
            return False
        if step % config.save_every == 0:
            save()
    if accelerator.is_main_process:
        save_adapter(folder / "adapter", model)
    accelerator.wait_for_everyone()
    return True


@torch.no_grad()
def validate(
    model: PolicyModel,
    examples: Sequence[TokenizedExample],
    micro_tokens: int,
    device: torch.device,
) -> dict[str, float]:
    """Mean loss a token, and the share of commands that greedy decoding would get whole.

    A command counts if each of its tokens is the likeliest after the true ones before it.
    """
    total, labels, right, commands = 0.0, 0, 0, 0
    for part in _parts(sorted(examples, key=lambda e: len(e.ids)), micro_tokens):
        tensors = collate(part)
        chosen, _, hits = model(
            tensors.ids.to(device), tensors.mask.to(device), tensors.labels.to(device)
        )
        total -= float(chosen.sum())
        labels += chosen.numel()
        found = hits.cpu().tolist()
        for example in part:
            for length in _runs(example):
                right += all(found[:length])
                commands += 1
                del found[:length]
    return {"validation_loss": total / labels, "command_accuracy": right / commands}


def _summed(accelerator: Accelerator, value: torch.Tensor) -> torch.Tensor:
    """A value's sum over all processes."""
    found = accelerator.reduce(value, "sum")
    assert isinstance(found, torch.Tensor)
    return found


def _runs(example: TokenizedExample) -> list[int]:
    """Lengths of the stretches of labels."""
    lengths: list[int] = []
    inside = False
    for label in example.labels:
        if label >= 0:
            lengths = [*lengths[:-1], lengths[-1] + 1] if inside else [*lengths, 1]
        inside = label >= 0
    return lengths


def _parts(examples: Sequence[TokenizedExample], tokens: int) -> list[list[TokenizedExample]]:
    parts: list[list[TokenizedExample]] = [[]]
    for example in examples:
        longest = max([len(example.ids), *(len(other.ids) for other in parts[-1])])
        if parts[-1] and longest * (len(parts[-1]) + 1) > tokens:
            parts.append([])
        parts[-1].append(example)
    return [part for part in parts if part]


def _synced(accelerator: Accelerator, model: Any, last: bool) -> Any:
    """Exchange gradients only once a step."""
    return accelerator.no_sync(model) if not last else nullcontext()


class _Plan:
    """Which batch belongs to which step, and the learning rate's course."""

    def __init__(
        self, examples: Sequence[TokenizedExample], config: SftConfig, seed: int, processes: int
    ) -> None:
        self._examples = examples
        self._config = config
        self._seed = seed
        self._processes = processes
        self._epoch = -1
        self._batches: list[list[TokenizedExample]] = []
        self._epoch_steps = len(self._of(0))
        self.steps = max(1, round(self._epoch_steps * config.epochs)) if config.epochs else 0

    def _of(self, epoch: int) -> list[list[TokenizedExample]]:
        if epoch != self._epoch:
            found = make_batches(self._examples, self._config.batch_tokens, f"{self._seed}/{epoch}")
            # Every process needs something to do in every step.
            self._batches = [batch for batch in found if len(batch) >= self._processes]
            self._epoch = epoch
        return self._batches

    def batch(self, step: int) -> list[TokenizedExample]:
        # Epochs differ in the number of batches by a few; short ones wrap around.
        found = self._of(step // self._epoch_steps)
        return found[step % self._epoch_steps % len(found)]

    def rate(self, step: int) -> float:
        warm = min(1.0, (step + 1) / max(1, self._config.warmup))
        return warm * (1 - step / self.steps)


class _Log:
    """metrics.jsonl, cut back to where the run resumes."""

    def __init__(self, path: Path, step: int, active: bool) -> None:
        self._path = path
        self._active = active
        if not active:
            return
        cut_back(path, step)

    def write(self, entry: dict[str, Any]) -> None:
        if self._active:
            with self._path.open("a") as file:
                file.write(json.dumps(entry) + "\n")
