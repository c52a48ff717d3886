"""The settings of the trainers. Plain values, checked when they are made.

Imports nothing heavy: settings are read, and what is wrong with them told, before PyTorch is there.
"""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen, validators
from attrs.validators import ge, gt, le


@frozen
class Lora:
    """Size of the adapter: rank and alpha on all linear layers (16 and 32 in the paper)."""

    rank: int = 16
    alpha: int = 32


@frozen
class SftConfig:
    """Sizes in tokens; the learning rate rises over `warmup` steps, then falls linearly to 0.

    With 0 `epochs` the adapter to go on from stays as it is. `most_tokens` ends training after so
    many tokens, whatever the epochs say. Every `evaluate_every` steps the loss on what is held out
    is measured; after `patience` such evaluations in a row without a lower one training ends.
    """

    learning_rate: float = field(default=5e-4, validator=gt(0))
    epochs: float = field(default=1.0, validator=ge(0))
    most_tokens: int | None = field(default=None, validator=validators.optional(gt(0)))
    batch_tokens: int = field(default=4096, validator=gt(0))
    micro_tokens: int = field(default=2048, validator=gt(0))
    warmup: int = 20
    evaluate_every: int = field(default=50, validator=gt(0))
    patience: int = field(default=4, validator=gt(0))
    save_every: int = field(default=50, validator=gt(0))
    clip: float = field(default=1.0, validator=gt(0))


@frozen
class RlvrConfig:
    """Names as TRL has them. Group size, `beta` and `epsilon` are the paper's, the rest is ours.

    `num_generations`: rollouts of each start program. `beta`: weight of the KL term. `epsilon`: how
    far from 1 the ratio of probabilities is clipped. `num_iterations`: optimizer steps a batch of
    rollouts. `starts`: start programs a step. `resamples`: how often a step draws other programs in
    place of those whose rollouts are all right or all wrong. `most_weight`: bound of the importance
    weight of a token, the learner's probability over the sampler's. `evaluate_every`: steps between
    evaluations on held-out programs, by which the adapter is chosen. `edit_penalty`: how much less
    a repair earns for changing more than the smallest one of its group (see `training.rewards`).
    `credit`: which return a turn is compared by (see `training.credit`).
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
    resamples: int = field(default=2, validator=ge(0))
    most_weight: float = field(default=2.0, validator=gt(0))
    edit_penalty: float = field(default=0.0, validator=[ge(0), le(1)])
    credit: Literal["chain", "best"] = "chain"
    warmup: int = 5
    evaluate_every: int = field(default=10, validator=gt(0))
    save_every: int = field(default=5, validator=gt(0))
    max_norm: float = field(default=1.0, validator=gt(0))
