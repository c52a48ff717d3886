"""Reinforcement learning with verifiable rewards: the second stage (GRPO with per-turn advantages).

A step takes some start programs, rolls each out `num_generations` times, rewards every turn by the tests
(`training.rewards`), and moves the adapter by the clipped policy gradient with a KL term to the
adapter that SFT made (the estimator k3, as in GRPO). Own code rather than TRL's trainer: rewards by
turn would need an override of a private method there, and rollouts come from the serving engine.
One process; rollouts are what takes the time, and these are batched.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from random import Random

import torch
from attrs import field, frozen
from attrs.validators import ge, gt

from coe_lsp.chain.episode import Episode
from coe_lsp.chain.prompt import PromptBuilder
from training.files import cut_back
from training.model.base import Tokenizer
from training.model.checkpoint import load_adapter, resume, save_adapter, save_checkpoint
from training.model.encode import NO_LABEL, encode
from training.model.packing import TokenizedRollout, make_packed_batches, pack
from training.model.policy_model import PolicyModel
from training.rewards import compute_advantages, compute_rewards, draw_random_rewards
from training.sampling.rollouts import AttemptTester, Generator, Rollout, Start, roll_out
from training.tasks.records import Record

GeneratorFor = Callable[[PolicyModel, int], AbstractContextManager[Generator]]
StartsFor = Callable[[int], AbstractContextManager[Sequence[Start]]]


@frozen
class RlvrConfig:
    """Group size, KL weight and clip are the paper's; what it leaves open is ours."""

    learning_rate: float = field(default=1e-4, validator=gt(0))
    steps: int = field(default=100, validator=ge(0))
    starts: int = field(default=16, validator=gt(0))
    num_generations: int = field(default=4, validator=gt(0))
    beta: float = field(default=0.01, validator=ge(0))
    epsilon: float = field(default=0.2, validator=ge(0))
    max_turns: int = field(default=10, validator=gt(0))
    max_tokens: int = field(default=2048, validator=gt(0))
    micro_tokens: int = field(default=4096, validator=gt(0))
    num_iterations: int = field(default=1, validator=gt(0))
    warmup: int = 5
    save_every: int = field(default=5, validator=gt(0))
    max_norm: float = field(default=1.0, validator=gt(0))


def tokenize_rollouts(
    group: Sequence[Rollout],
    scores: Sequence[Sequence[float]],
    tokenizer: Tokenizer,
    builder: PromptBuilder,
    max_tokens: int,
) -> list[TokenizedRollout]:
    """Tokens and advantages of a group; chains without turns or too long are left out."""
    made: list[TokenizedRollout] = []
    for chain, by_turn in zip(group, compute_advantages(scores), strict=True):
        example = encode(Record("", chain.episode), tokenizer, builder, chain.commands)
        if not by_turn or len(example.ids) > max_tokens or not any(by_turn):
            continue
        # A turn in which the model wrote nothing before a line's end has no labels.
        values = [v for v, w in zip(by_turn, chain.commands, strict=True) if w.tokens or w.ended]
        advantages: list[float] = []
        turn, inside = -1, False
        for label in example.labels:
            if label != NO_LABEL and not inside:
                turn += 1
            inside = label != NO_LABEL
            advantages.append(values[turn] if inside else 0.0)
        made.append(TokenizedRollout(example, tuple(advantages)))
    return made


def policy_loss(
    new: torch.Tensor,
    old: torch.Tensor,
    reference: torch.Tensor,
    advantages: torch.Tensor,
    *,
    epsilon: float,
    beta: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and KL of each token, from log-probabilities and advantages of the same shape."""
    ratio = (new - old).exp()
    gain = torch.minimum(ratio * advantages, ratio.clamp(1 - epsilon, 1 + epsilon) * advantages)
    apart = (reference - new).exp() - (reference - new) - 1
    return beta * apart - gain, apart.detach()


def add_reference(model: PolicyModel) -> None:
    """Keep the adapter as it is now beside the one that learns, for the KL term."""
    model.peft.add_adapter("reference", model.peft.peft_config["default"])
    own = dict(model.named_parameters())
    with torch.no_grad():
        for name, weight in own.items():
            if ".reference." in name:
                weight.copy_(own[name.replace(".reference.", ".default.")])
                weight.requires_grad_(False)
    model.peft.set_adapter("default")


@contextmanager
def use_reference_adapter(model: PolicyModel) -> Iterator[None]:
    """Inside, the model is the one that RL started from."""
    model.peft.set_adapter("reference", inference_mode=True)
    try:
        yield
    finally:
        model.peft.set_adapter("default")


def train_rlvr(
    model: PolicyModel,
    tokenizer: Tokenizer,
    generator_for: GeneratorFor,
    starts_for: StartsFor,
    config: RlvrConfig,
    folder: Path,
    *,
    init: Path | None,
    seed: int,
    random_arm: bool = False,
    minutes: float = float("inf"),
    threads: int = 2,
    device: str = "auto",
    progress: Callable[[dict[str, float]], None] = lambda _: None,
) -> bool:
    """Train; True when done, False when the time was up. The adapter is in `folder/adapter`.

    `generator_for(model, step)` and `starts_for(step)` are context managers that give the rollout
    generator and the starts of a step. `init` is the SFT adapter, also the reference of the KL
    term; None starts from the base. `random_arm` replaces rewards by coins: a control.
    """
    torch.manual_seed(seed)
    if init is not None:
        load_adapter(init, model)
    if device == "auto" and torch.cuda.is_available():
        model.to("cuda")
    add_reference(model)
    trainable = list(model.trainable().values())
    optimizer = torch.optim.AdamW(trainable, lr=config.learning_rate, weight_decay=0.0)
    found = resume(folder, model, optimizer)
    step = found.step if found else 0
    builder = tokenizer.builder(instructed=False)
    log = folder / "metrics.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    cut_back(log, step)
    end = time.monotonic() + 60 * minutes
    while step < config.steps:
        began = time.monotonic()
        tester = AttemptTester(threads)
        with starts_for(step) as starts, generator_for(model, step) as generator:
            groups = roll_out(
                generator,
                starts,
                each=config.num_generations,
                max_turns=config.max_turns,
                tester=tester,
            )
        sampled = time.monotonic()
        coin = Random(f"{seed}/{step}")
        scores = [
            [
                draw_random_rewards(c.episode, coin) if random_arm else compute_rewards(c.episode)
                for c in group
            ]
            for group in groups
        ]
        learned = [
            tokenize_rollouts(group, score, tokenizer, builder, config.max_tokens)
            for group, score in zip(groups, scores, strict=True)
        ]
        rate = min(1.0, (step + 1) / max(1, config.warmup)) * (1 - step / config.steps)
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * rate
        entry = update(model, learned, optimizer, config)
        step += 1
        done = time.monotonic()
        entry |= _describe([chain.episode for group in groups for chain in group])
        entry |= {
            "step": step,
            "sampled_tokens": sum(len(w.tokens) for g in groups for c in g for w in c.commands),
            "sampling_seconds": sampled - began - tester.seconds,
            "testing_seconds": tester.seconds,
            "training_seconds": done - sampled,
        }
        entry["reward"] = _mean([sum(score) for group in scores for score in group])
        with log.open("a") as file:
            file.write(json.dumps(entry) + "\n")
        progress(entry)
        over = time.monotonic() > end and step < config.steps
        if over or step % config.save_every == 0:
            save_checkpoint(folder, step, model, optimizer, {})
        if over:
            return False
    save_adapter(folder / "adapter", model)
    return True


def update(
    model: PolicyModel,
    groups: Sequence[Sequence[TokenizedRollout]],
    optimizer: torch.optim.Optimizer,
    config: RlvrConfig,
) -> dict[str, float]:
    """`config.num_iterations` optimizer steps on these groups' rollouts; means over their tokens."""
    rows = [row for group in groups for row in pack(group, config.micro_tokens)]
    count = sum(rollout.example.learned for group in groups for rollout in group)
    if not count:
        return {"loss": 0.0, "kl": 0.0, "entropy": 0.0, "learned_tokens": 0}
    device = next(model.parameters()).device
    inputs = []
    for part in make_packed_batches(rows, config.micro_tokens):
        given = [t.to(device) for t in (part.ids, part.mask, part.labels, part.positions)]
        with torch.no_grad():
            # In the first update the policy is the one that sampled, but for rounding.
            old = model(*given)[0] if config.num_iterations > 1 else None
            with use_reference_adapter(model):
                reference = model(*given)[0]
        inputs.append((given, part.advantages.to(device), old, reference))
    total: dict[str, float] = {}
    for _ in range(config.num_iterations):
        total = {"loss": 0.0, "kl": 0.0, "entropy": 0.0, "learned_tokens": count}
        for given, advantages, old, reference in inputs:
            new, entropy, _ = model(*given)
            before = new.detach() if old is None else old
            loss, apart = policy_loss(
                new, before, reference, advantages, epsilon=config.epsilon, beta=config.beta
            )
            (loss.sum() / count).backward()
            total["loss"] += float(loss.detach().sum()) / count
            total["kl"] += float(apart.sum()) / count
            total["entropy"] += float(entropy.sum()) / count
        model.clip_gradients(config.max_norm)
        optimizer.step()
        optimizer.zero_grad()
    return total


def _describe(episodes: Sequence[Episode]) -> dict[str, float]:
    turns = [turn for episode in episodes for turn in episode.turns]
    return {
        "solve_rate": _mean([float(episode.solved) for episode in episodes]),
        "malformed_rate": _mean([float(turn.error is not None) for turn in turns]),
        "turns": _mean([float(len(episode.turns)) for episode in episodes]),
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
