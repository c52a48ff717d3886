"""Supervised fine-tuning on demonstrations: the first stage.

Cross-entropy on commands alone. One optimizer step is one batch of `batch_tokens` tokens, cut into
parts of `micro_tokens` that fit the memory, over however many processes accelerate was started
with. Stops when the session's time is up with a checkpoint, and goes on from there to the same
numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import islice
from typing import Any

import torch
from attrs import define

from training.files import MetricsLog
from training.interruption import finishing_steps
from training.model.checkpoint import BestAdapter, resume, save_checkpoint
from training.model.encode import TokenizedExample, collate, make_batches
from training.model.policy_model import PolicyModel
from training.process_group import ProcessGroup
from training.session import Session
from training.settings import SftConfig


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
    session: Session,
    report: Callable[[SftProgress], None] = lambda _: None,
) -> bool:
    """Train; True when done, False when the time was up first. See `Session` for what is written.

    The adapter of the step with the lowest validation loss is kept, and training ends where that
    was not lowered `patience` times in a row; without validation the last step's is kept.
    TrainingError if a gradient is not finite, OSError if the disk is full.
    """
    processes = ProcessGroup(session.device)
    session.prepare(model, processes.device)
    optimizer = torch.optim.AdamW(model.trainable().values(), weight_decay=0.0)
    step = resume(session.folder, model, optimizer)
    plan = _Plan(train, config, session.seed, processes.count)
    best = BestAdapter(session.folder)
    log = MetricsLog(session.folder / "metrics.jsonl", step) if processes.is_main else None
    wrapped: Any = processes.accelerator.prepare_model(model)

    with finishing_steps():
        while step < plan.steps:
            started = time.monotonic()
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * plan.rate(step)
            batch = plan.batch(step)  # of all processes
            loss = _accumulate_gradients(wrapped, batch, config.micro_tokens, processes)
            model.clip_gradients(config.clip)
            optimizer.step()
            optimizer.zero_grad()
            step += 1

            seconds = time.monotonic() - started
            scores: dict[str, float] = {}
            is_due = step % config.evaluate_every == 0 or step == plan.steps
            if validation and is_due:
                scores = validate(model, validation, config.micro_tokens, processes.device)
                if processes.is_main:
                    best.offer(step, -scores["validation_loss"], model)
            tokens = sum(len(example.ids) for example in batch)
            if log is not None:
                log.write(
                    {"step": step, "loss": loss, "tokens": tokens, "seconds": seconds, **scores}
                )
            report(SftProgress(step, plan.steps, loss, tokens / seconds, scores))

            waited = step - best.step if processes.is_main and best.step is not None else 0
            if processes.any(waited >= config.patience * config.evaluate_every):
                break
            stops = processes.any(session.is_over) and step < plan.steps
            if stops or step % config.save_every == 0:
                if processes.is_main:
                    save_checkpoint(session.folder, step, model, optimizer)
                processes.wait()
            if stops:
                return False

    if processes.is_main:
        best.keep(model)
    processes.wait()
    return True


def _accumulate_gradients(
    wrapped: Any, batch: Sequence[TokenizedExample], micro_tokens: int, processes: ProcessGroup
) -> float:
    """Backpropagate this process's share of a batch; the loss a label, over all processes."""
    learned = sum(example.learned for example in batch)
    accelerator = processes.accelerator
    parts = _cut_into_parts(processes.share(batch), micro_tokens)
    total = torch.zeros((), device=processes.device)
    for number, part in enumerate(parts):
        is_last = number == len(parts) - 1  # gradients are exchanged only once a step
        with nullcontext() if is_last else accelerator.no_sync(wrapped):
            tensors = collate(part)  # (examples, tokens)
            logprobs, _, _ = wrapped(  # (labels,)
                tensors.ids.to(processes.device),
                tensors.mask.to(processes.device),
                tensors.labels.to(processes.device),
            )
            # Gradients are averaged over processes; the loss is a mean over all labels.
            loss = -logprobs.sum() * processes.count / learned
            accelerator.backward(loss)
            total += loss.detach() / processes.count
    return float(processes.total(total))


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
    for part in _cut_into_parts(sorted(examples, key=lambda e: len(e.ids)), micro_tokens):
        tensors = collate(part)
        logprobs, _, hits = model(
            tensors.ids.to(device), tensors.mask.to(device), tensors.labels.to(device)
        )
        total -= float(logprobs.sum())
        labels += logprobs.numel()
        hits_left = iter(hits.tolist())
        for count in [count for example in part for count in example.count_labels_by_turn()]:
            right += sum(islice(hits_left, count)) == count
            commands += 1
    return {"validation_loss": total / labels, "command_accuracy": right / commands}


def _cut_into_parts(
    examples: Sequence[TokenizedExample], tokens: int
) -> list[list[TokenizedExample]]:
    """Parts of at most so many tokens with padding; a longer example is a part of its own."""
    parts: list[list[TokenizedExample]] = [[]]
    for example in examples:
        longest = max([len(example.ids), *(len(other.ids) for other in parts[-1])])
        if parts[-1] and longest * (len(parts[-1]) + 1) > tokens:
            parts.append([])
        parts[-1].append(example)
    return [part for part in parts if part]


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
        self.steps = self._count_steps()

    def _of(self, epoch: int) -> list[list[TokenizedExample]]:
        if epoch != self._epoch:
            made = make_batches(self._examples, self._config.batch_tokens, f"{self._seed}/{epoch}")
            # Every process needs something to do in every step.
            self._batches = [batch for batch in made if len(batch) >= self._processes]
            self._epoch = epoch
        return self._batches

    def _count_steps(self) -> int:
        config = self._config
        if not config.epochs:
            return 0
        steps = max(1, round(self._epoch_steps * config.epochs))
        if config.most_tokens is None:
            return steps
        tokens = sum(len(example.ids) for batch in self._of(0) for example in batch)
        bound = round(config.most_tokens / tokens * self._epoch_steps)
        return max(1, min(steps, bound))

    def batch(self, step: int) -> list[TokenizedExample]:
        # Epochs differ in the number of batches by a few; short ones wrap around.
        found = self._of(step // self._epoch_steps)
        return found[step % self._epoch_steps % len(found)]

    def rate(self, step: int) -> float:
        """The share of the learning rate that a step has."""
        warm = min(1.0, (step + 1) / max(1, self._config.warmup))
        return warm * (1 - step / self.steps)
