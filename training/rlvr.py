"""Reinforcement learning with verifiable rewards: the second stage (GRPO with per-turn advantages).

A step takes some start programs, rolls each out `num_generations` times, rewards every turn by the
tests (`training.rewards`), and moves the adapter by the clipped policy gradient with a KL term to
the adapter that SFT made. One process; rollouts are what takes the time, and these are batched.

Departures from the paper (arXiv 2507.05065), or what it leaves open and we chose:
1. Turn t is compared with turn t of the group's other rollouts by return, not by reward: see
   `training.rewards`.
2. A command that leads back to an earlier program is drawn again (`training.sampling.rollouts`):
   what is learned is the last draw, with the probability of a single one.
3. Learning rate with warm-up and linear decay, no weight decay, at most 3 or 4 turns in our own
   configurations.

Departures from GRPO as TRL's GRPOTrainer has it:
1. An advantage for each turn, so for each token: (rollouts, tokens) in place of (rollouts,). In TRL
   1.10 `_compute_loss` takes such advantages from a subclass, but they are computed as one number a
   rollout in the private `_generate_and_score_completions`, which would have to be overridden, and
   rollouts come from the serving engine: that is why this is own code.
2. The loss is a mean over all sampled tokens of a step, as TRL's loss_type "dapo" does, not over
   rollouts.
3. The standard deviation is that of the population, over the rollouts still alive at a turn.
4. Rollouts of which all advantages are 0 are left out, so they have no KL term either.
5. The KL term's reference is the adapter before RL, kept beside the one that learns; the estimator
   is k3, as in GRPO.
6. No correction for the sampler: with one iteration the old policy is taken to be the present one,
   though the engine that sampled rounds its weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random

import torch
from attrs import field, frozen
from attrs.validators import ge, gt

from coe_lsp.chain.episode import Episode
from coe_lsp.chain.prompt import PromptBuilder
from training.files import MetricsLog
from training.model.base import Tokenizer
from training.model.checkpoint import resume, save_adapter, save_checkpoint
from training.model.encode import NO_LABEL, encode
from training.model.packing import PackedBatch, TokenizedRollout, make_packed_batches, pack
from training.model.policy_model import PolicyModel
from training.rewards import compute_advantages, compute_rewards, draw_random_rewards
from training.sampling.rollouts import Rollout
from training.session import Session


@frozen
class SampledGroups:
    """The rollouts of one step: `groups[i][j]` is the j-th from the i-th start program.

    `testing_seconds` is the part of the time that the tests took.
    """

    groups: Sequence[Sequence[Rollout]]
    testing_seconds: float = 0.0


#: Rolls out the start programs of a step, with the policy as it is now.
GroupSampler = Callable[[PolicyModel, int], SampledGroups]


@frozen
class RlvrConfig:
    """Names as TRL has them. Group size, `beta` and `epsilon` are the paper's, the rest is ours.

    `num_generations`: rollouts of each start program. `beta`: weight of the KL term. `epsilon`: how
    far from 1 the ratio of probabilities is clipped. `num_iterations`: optimizer steps a batch of
    rollouts. `starts`: start programs a step.
    """

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


def train_rlvr(
    model: PolicyModel,
    tokenizer: Tokenizer,
    sample: GroupSampler,
    config: RlvrConfig,
    session: Session,
    report: Callable[[dict[str, float]], None] = lambda _: None,
    *,
    random_rewards: bool = False,
) -> bool:
    """Train; True when done, False when the time was up first. See `Session` for what is written.

    The KL term's reference is the model as it is with the session's `init`. `random_rewards`
    replaces rewards by coins: a control. TrainingError if a gradient is not finite, OSError if the
    disk is full.
    """
    on_gpu = session.device == "auto" and torch.cuda.is_available()
    session.prepare(model, torch.device("cuda" if on_gpu else "cpu"))
    add_reference(model)
    optimizer = torch.optim.AdamW(model.trainable().values(), weight_decay=0.0)
    step = resume(session.folder, model, optimizer)
    log = MetricsLog(session.folder / "metrics.jsonl", step)
    builder = tokenizer.builder(instructed=False)

    while step < config.steps:
        began = time.monotonic()
        sampled = sample(model, step)
        sampled_at = time.monotonic()

        coin = Random(f"{session.seed}/{step}")
        rewards = [
            [
                draw_random_rewards(r.episode, coin)
                if random_rewards
                else compute_rewards(r.episode)
                for r in group
            ]
            for group in sampled.groups
        ]
        learned = [
            tokenize_rollouts(group, scores, tokenizer, builder, config.max_tokens)
            for group, scores in zip(sampled.groups, rewards, strict=True)
        ]
        warm = min(1.0, (step + 1) / max(1, config.warmup))
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * warm * (1 - step / config.steps)
        metrics = update(model, learned, optimizer, config)
        step += 1

        metrics |= {
            "step": step,
            "reward": _mean([sum(scores) for group in rewards for scores in group]),
            **_describe([rollout for group in sampled.groups for rollout in group]),
            "sampling_seconds": sampled_at - began - sampled.testing_seconds,
            "testing_seconds": sampled.testing_seconds,
            "training_seconds": time.monotonic() - sampled_at,
        }
        log.write(metrics)
        report(metrics)

        stops = session.is_over and step < config.steps
        if stops or step % config.save_every == 0:
            save_checkpoint(session.folder, step, model, optimizer)
        if stops:
            return False

    save_adapter(session.folder / "adapter", model)
    return True


def tokenize_rollouts(
    group: Sequence[Rollout],
    rewards: Sequence[Sequence[float]],
    tokenizer: Tokenizer,
    builder: PromptBuilder,
    max_tokens: int,
) -> list[TokenizedRollout]:
    """Tokens and advantages of a group, from its rewards by rollout and turn.

    Rollouts that are too long or have no advantage other than 0 are left out.
    """
    tokenized: list[TokenizedRollout] = []
    for rollout, by_turn in zip(group, compute_advantages(rewards), strict=True):
        if not any(by_turn):
            continue
        example = encode(rollout.episode, tokenizer, builder, sampled=rollout.commands)
        if len(example.ids) <= max_tokens:
            turns = zip(example.turn_of_token, example.labels, strict=True)
            by_token = (by_turn[turn] if label != NO_LABEL else 0.0 for turn, label in turns)
            tokenized.append(TokenizedRollout(example, tuple(by_token)))
    return tokenized


def update(
    model: PolicyModel,
    groups: Sequence[Sequence[TokenizedRollout]],
    optimizer: torch.optim.Optimizer,
    config: RlvrConfig,
) -> dict[str, float]:
    """`config.num_iterations` optimizer steps on these rollouts; means over their tokens."""
    rows = [row for group in groups for row in pack(group, config.micro_tokens)]
    count = sum(rollout.example.learned for group in groups for rollout in group)
    metrics: dict[str, float] = {"loss": 0.0, "kl": 0.0, "entropy": 0.0, "learned_tokens": count}
    if not count:
        return metrics
    device = next(model.parameters()).device
    batches = [batch.to(device) for batch in make_packed_batches(rows, config.micro_tokens)]
    with torch.no_grad():
        # In the first iteration the policy is the one that sampled, but for rounding.
        olds = [score(model, b)[0] if config.num_iterations > 1 else None for b in batches]
        with use_reference_adapter(model):
            references = [score(model, batch)[0] for batch in batches]
    for _ in range(config.num_iterations):
        metrics |= {"loss": 0.0, "kl": 0.0, "entropy": 0.0}  # the last iteration's count
        for batch, old, reference in zip(batches, olds, references, strict=True):
            new, entropy = score(model, batch)  # (labels,) each
            loss, kl = policy_loss(
                new,
                new.detach() if old is None else old,
                reference,
                batch.advantages,
                epsilon=config.epsilon,
                beta=config.beta,
            )
            (loss.sum() / count).backward()
            metrics["loss"] += float(loss.detach().sum()) / count
            metrics["kl"] += float(kl.sum()) / count
            metrics["entropy"] += float(entropy.sum()) / count
        model.clip_gradients(config.max_norm)
        optimizer.step()
        optimizer.zero_grad()
    return metrics


def score(model: PolicyModel, batch: PackedBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities and entropies of a batch's labels, (labels,) each."""
    logprobs, entropy, _ = model(batch.ids, batch.mask, batch.labels, batch.positions)
    return logprobs, entropy


def policy_loss(
    new: torch.Tensor,
    old: torch.Tensor,
    reference: torch.Tensor,
    advantages: torch.Tensor,
    *,
    epsilon: float,
    beta: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and KL of each token, from log-probabilities and advantages; all are (labels,)."""
    ratio = (new - old).exp()
    clipped = ratio.clamp(1 - epsilon, 1 + epsilon)
    gain = torch.minimum(ratio * advantages, clipped * advantages)
    kl = (reference - new).exp() - (reference - new) - 1
    return beta * kl - gain, kl.detach()


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


def _describe(rollouts: Sequence[Rollout]) -> dict[str, float]:
    episodes: list[Episode] = [rollout.episode for rollout in rollouts]
    turns = [turn for episode in episodes for turn in episode.turns]
    return {
        "solve_rate": _mean([float(episode.solved) for episode in episodes]),
        "malformed_rate": _mean([float(turn.error is not None) for turn in turns]),
        "turns": _mean([float(len(episode.turns)) for episode in episodes]),
        "sampled_tokens": sum(len(command.tokens) for r in rollouts for command in r.commands),
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
