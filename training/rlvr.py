"""Reinforcement learning with verifiable rewards: the second stage (GRPO with per-turn advantages).

A step takes some start programs, rolls each out `num_generations` times, rewards every turn by the
tests (`training.rewards`), and moves the adapter by the clipped policy gradient with a KL term to
the adapter that SFT made. Several processes each roll out and learn from a share of the groups.

Departures from the paper (arXiv 2507.05065), or what it leaves open and we chose:
1. Turn t is compared with turn t of the group's other rollouts by return, not by reward, and a
   chain that gives up has failed: see `training.rewards`.
2. Groups that are all right or all wrong are replaced by others: see `training.sampling.groups`.
3. Learning rate with warm-up and linear decay, no weight decay, at most 3 or 4 turns in our own
   configurations.
4. What is kept is the adapter that did best on held-out programs, the one before RL among them.

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
6. The sampler rounds its weights, so its probabilities are not quite the learner's: each token's
   gradient is weighted by the ratio of the two, at most `most_weight` (a truncated importance
   weight, as TRL's `vllm_importance_sampling_*`). `sampler_kl` in the log is how far they are
   apart.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random

import torch

from coe_lsp.chain.episode import Episode, Turn
from coe_lsp.chain.prompt import PromptBuilder
from training.credit import assign_credit
from training.files import MetricsLog
from training.interruption import finishing_steps, stop_asked
from training.model.base import Tokenizer
from training.model.checkpoint import BestAdapter, resume, save_checkpoint
from training.model.encode import NO_LABEL, encode
from training.model.packing import PackedBatch, TokenizedRollout, make_packed_batches, pack
from training.model.policy_model import PolicyModel
from training.process_group import ProcessGroup
from training.rewards import (
    charge_edits,
    compute_advantages,
    compute_rewards,
    draw_random_rewards,
)
from training.sampling.groups import SampledGroups
from training.sampling.rollouts import Rollout
from training.session import Session
from training.settings import RlvrConfig

_MEANS = ("loss", "kl", "entropy", "sampler_kl", "weight")


#: Rolls out the start programs of a step, with the policy as it is now.
GroupSampler = Callable[[PolicyModel, int], SampledGroups]


#: The share of held-out programs that the policy repairs.
Evaluation = Callable[[PolicyModel], float]


def train_rlvr(
    model: PolicyModel,
    tokenizer: Tokenizer,
    sample: GroupSampler,
    config: RlvrConfig,
    session: Session,
    report: Callable[[dict[str, float]], None] = lambda _: None,
    *,
    evaluate: Evaluation | None = None,
    random_rewards: bool = False,
) -> bool:
    """Train; True when done, False when the time was up first. See `Session` for what is written.

    The KL term's reference is the model as it is with the session's `init`. With `evaluate` the
    adapter of the best step is kept, else that of the last. `random_rewards` replaces rewards by
    coins: a control. All processes call this together; what `sample` and `evaluate` tell each of
    them is the same. TrainingError if a gradient is not finite, OSError if the disk is full.
    """
    processes = ProcessGroup(session.device)
    # What samples knows no other device than these two.
    device = processes.device if processes.device.type == "cuda" else torch.device("cpu")
    session.prepare(model, device)
    add_reference(model)
    optimizer = torch.optim.AdamW(model.trainable().values(), weight_decay=0.0)
    step = resume(session.folder, model, optimizer)
    log = MetricsLog(session.folder / "metrics.jsonl", step) if processes.is_main else None
    best = BestAdapter(session.folder)
    builder = tokenizer.builder(instructed=False)
    if evaluate is not None and step == 0 and best.step is None:
        share = evaluate(model)
        if processes.is_main:
            best.offer(0, share, model)

    while step < config.steps:
        began = time.monotonic()
        try:
            sampled = sample(model, step)
        except KeyboardInterrupt:
            if processes.is_main:
                save_checkpoint(session.folder, step, model, optimizer)
            raise
        sampled_at = time.monotonic()

        coin = Random(f"{session.seed}/{step}")
        rewards = [
            [draw_random_rewards(rollout.episode, coin) for rollout in group]
            if random_rewards
            else reward_group(group, config)
            for group in sampled.groups
        ]
        learned = [
            tokenize_rollouts(group, scores, tokenizer, builder, config)
            for group, scores in zip(sampled.groups, rewards, strict=True)
        ]
        warm = min(1.0, (step + 1) / max(1, config.warmup))
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * warm * (1 - step / config.steps)
        with finishing_steps():
            metrics = update(model, learned, optimizer, config, processes)
        step += 1

        metrics |= {
            "step": step,
            "reward": _mean([sum(scores) for group in rewards for scores in group]),
            "groups": len(sampled.groups),
            "groups_alike": len(sampled.alike),
            **_describe([r for group in (*sampled.groups, *sampled.alike) for r in group]),
            "sampling_seconds": sampled_at - began - sampled.testing_seconds,
            "testing_seconds": sampled.testing_seconds,
            "training_seconds": time.monotonic() - sampled_at,
        }
        if (
            evaluate is not None
            and not processes.any(stop_asked())
            and (step % config.evaluate_every == 0 or step == config.steps)
        ):
            metrics["held_out"] = evaluate(model)
            if processes.is_main:
                best.offer(step, metrics["held_out"], model)
        if log is not None:
            log.write(metrics)
            report(metrics)

        stops = processes.any(session.is_over) and step < config.steps
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


def reward_group(group: Sequence[Rollout], config: RlvrConfig) -> list[list[float]]:
    """Rewards by rollout and turn."""
    rewards = [compute_rewards(r.episode, overfits=r.overfits) for r in group]
    if not config.edit_penalty:
        return rewards
    costs = [rollout.edit_cost if rollout.right else None for rollout in group]
    return charge_edits(rewards, costs, config.edit_penalty)


def tokenize_rollouts(
    group: Sequence[Rollout],
    rewards: Sequence[Sequence[float]],
    tokenizer: Tokenizer,
    builder: PromptBuilder,
    config: RlvrConfig,
) -> list[TokenizedRollout]:
    """Tokens and advantages of a group, from its rewards by rollout and turn.

    Rollouts that are too long are left out, before any is compared with the others; then those
    that have no advantage other than 0.
    """
    examples = [encode(r.episode, tokenizer, builder, sampled=r.commands) for r in group]
    fitting = [n for n, example in enumerate(examples) if len(example.ids) <= config.max_tokens]
    returns = assign_credit(
        [group[n].episode for n in fitting], [rewards[n] for n in fitting], config.credit
    )
    tokenized: list[TokenizedRollout] = []
    for n, by_turn in zip(fitting, compute_advantages(returns), strict=True):
        example = examples[n]
        if any(by_turn):
            turns = zip(example.turn_of_token, example.labels, strict=True)
            by_token = (by_turn[turn] if label != NO_LABEL else 0.0 for turn, label in turns)
            tokenized.append(TokenizedRollout(example, tuple(by_token)))
    return tokenized


def update(
    model: PolicyModel,
    groups: Sequence[Sequence[TokenizedRollout]],
    optimizer: torch.optim.Optimizer,
    config: RlvrConfig,
    processes: ProcessGroup,
) -> dict[str, float]:
    """`config.num_iterations` optimizer steps on these rollouts; means over their tokens.

    Each process scores its share of them.
    """
    rows = [row for group in groups for row in pack(group, config.micro_tokens)]
    count = sum(rollout.example.learned for group in groups for rollout in group)
    metrics: dict[str, float] = dict.fromkeys(_MEANS, 0.0) | {"learned_tokens": count}
    if not count:
        return metrics
    mine = make_packed_batches(processes.share(rows), config.micro_tokens)
    device = next(model.parameters()).device
    batches = [batch.to(device) for batch in mine]
    with torch.no_grad():
        # In the first iteration the policy is the one before the step.
        olds = [score(model, b)[0] if config.num_iterations > 1 else None for b in batches]
        with use_reference_adapter(model):
            references = [score(model, batch)[0] for batch in batches]
    for _ in range(config.num_iterations):
        sums = torch.zeros(len(_MEANS), device=device)  # the last iteration's count
        for batch, before, reference in zip(batches, olds, references, strict=True):
            new, entropy = score(model, batch)  # (labels,) each
            old = new.detach() if before is None else before
            weights = importance_weights(old, batch.logprobs, config.most_weight)
            loss, kl = policy_loss(
                new,
                old,
                reference,
                batch.advantages * weights,
                epsilon=config.epsilon,
                beta=config.beta,
            )
            (loss.sum() / count).backward()
            told = (loss.detach(), kl, entropy, k3(batch.logprobs, old), weights)  # by _MEANS
            sums += torch.stack([values.sum() for values in told])
        processes.total_gradients(model.trainable().values())
        metrics |= zip(_MEANS, (processes.total(sums) / count).tolist(), strict=True)
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
    kl = k3(new, reference)
    return beta * kl - gain, kl.detach()


def importance_weights(learner: torch.Tensor, sampler: torch.Tensor, most: float) -> torch.Tensor:
    """How much likelier a token is for the learner than for what sampled it, `most` at most."""
    return (learner - sampler).exp().clamp(max=most)


def k3(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """An estimate, token by token, of the KL divergence of `one`, which drew them, from `other`."""
    return (other - one).exp() - (other - one) - 1


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
        "solve_rate": _mean([float(rollout.right) for rollout in rollouts]),
        "overfit_rate": _mean([float(rollout.overfits) for rollout in rollouts]),
        "malformed_rate": _mean([float(turn.error is not None) for turn in turns]),
        "turns": _mean([float(len(episode.turns)) for episode in episodes]),
        "edit_cost": _mean([float(rollout.edit_cost) for rollout in rollouts if rollout.right]),
        "sampled_tokens": sum(len(command.tokens) for r in rollouts for command in r.commands),
        **_share_commands(turns),
    }


def _share_commands(turns: Sequence[Turn]) -> dict[str, float]:
    """What share each command has of those that are well-formed: RL may drop some of them."""
    words = [turn.command_text.split()[1] for turn in turns if turn.command is not None]
    return {f"share_{word}": count / len(words) for word, count in sorted(Counter(words).items())}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
