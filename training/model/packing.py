"""Rollouts of one group in one row: their common opening once, then what each has of its own.

All rollouts of a group begin with the same task and program, which is a good part of their tokens
(training/README.md has how many). Positions go on from the opening's in every rollout, and a token
attends to the opening and to its own rollout alone, so log-probabilities and gradients are those
of the rollouts one by one. What rollouts share after their opening is not looked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile

import torch
from attrs import astuple, frozen
from torch.nn.utils.rnn import pad_sequence

from training.model.encode import NO_LABEL, TokenizedExample

_OPENING, _PADDING = 0, -1


@frozen
class TokenizedRollout:
    """An episode as it was sampled, with the advantage of each token (0 without a label)."""

    example: TokenizedExample
    advantages: tuple[float, ...]


@frozen
class PackedRow:
    """Tokens, labels, advantages, the sampler's logprobs; `positions` in the token's own rollout.

    `segment_ids` say which rollout a token is of, from 1; the opening, which is everybody's, has 0.
    """

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    advantages: tuple[float, ...]
    logprobs: tuple[float, ...]
    positions: tuple[int, ...]
    segment_ids: tuple[int, ...]


@frozen
class PackedBatch:
    """Padded tensors of shape (rows, tokens); `mask` is (rows, 1, tokens, tokens).

    `advantages` and `logprobs` are flat: one for each label, in the order of `labels[:, 1:]`.
    """

    ids: torch.Tensor
    mask: torch.Tensor
    labels: torch.Tensor
    positions: torch.Tensor
    advantages: torch.Tensor
    logprobs: torch.Tensor

    def to(self, device: torch.device) -> PackedBatch:
        """The same on a device."""
        return PackedBatch(*(tensor.to(device) for tensor in astuple(self, recurse=False)))


def pack(group: Sequence[TokenizedRollout], tokens: int) -> Iterator[PackedRow]:
    """The rollouts of one group in rows of at most `tokens`; a longer one has a row of its own."""
    if not group:
        return
    examples = [rollout.example for rollout in group]
    side_by_side = zip(*(example.ids for example in examples), strict=False)
    shared = sum(1 for _ in takewhile(lambda some: len({*some}) == 1, side_by_side))
    # A label is predicted at the token before it, which is therefore each rollout's own.
    shared = max(0, min(shared, *(_first_label(example) for example in examples)) - 1)
    some: list[TokenizedRollout] = []
    length = shared
    for rollout in group:
        own = len(rollout.example.ids) - shared
        if some and length + own > tokens:
            yield _row(some, shared)
            some, length = [], shared
        some.append(rollout)
        length += own
    yield _row(some, shared)


def _first_label(example: TokenizedExample) -> int:
    labels = enumerate(example.labels)
    return next((n for n, label in labels if label != NO_LABEL), len(example.labels))


def _row(rollouts: Sequence[TokenizedRollout], shared: int) -> PackedRow:
    opening = rollouts[0]
    ids, labels = list(opening.example.ids[:shared]), list(opening.example.labels[:shared])
    advantages, positions = list(opening.advantages[:shared]), list(range(shared))
    logprobs = list(opening.example.logprobs[:shared])
    segment_ids = [_OPENING] * shared
    for number, rollout in enumerate(rollouts, 1):
        ids += rollout.example.ids[shared:]
        labels += rollout.example.labels[shared:]
        advantages += rollout.advantages[shared:]
        logprobs += rollout.example.logprobs[shared:]
        positions += range(shared, len(rollout.example.ids))
        segment_ids += [number] * (len(ids) - len(segment_ids))
    return PackedRow(
        tuple(ids),
        tuple(labels),
        tuple(advantages),
        tuple(logprobs),
        tuple(positions),
        tuple(segment_ids),
    )


def make_packed_batches(rows: Sequence[PackedRow], tokens: int) -> Iterator[PackedBatch]:
    """Tensors of at most so many tokens with padding, shorter rows first."""
    part: list[PackedRow] = []
    for row in sorted(rows, key=lambda row: len(row.ids)):
        if part and len(row.ids) * (len(part) + 1) > tokens:
            yield _collate(part)
            part = []
        part.append(row)
    if part:
        yield _collate(part)


def _collate(rows: Sequence[PackedRow]) -> PackedBatch:
    def padded(values: Sequence[Sequence[float]], fill: float) -> torch.Tensor:
        return pad_sequence([torch.tensor(row) for row in values], True, fill)

    labels = padded([row.labels for row in rows], NO_LABEL)
    segment_ids = padded([row.segment_ids for row in rows], _PADDING)
    advantages = padded([row.advantages for row in rows], 0.0)
    logprobs = padded([row.logprobs for row in rows], 0.0)
    labelled = labels[:, 1:] != NO_LABEL
    whose, to = segment_ids[:, :, None], segment_ids[:, None, :]
    mask = ((to == whose) | (to == _OPENING)).tril()
    return PackedBatch(
        padded([row.ids for row in rows], 0),
        mask[:, None],
        labels,
        padded([row.positions for row in rows], 0),
        advantages[:, 1:][labelled],
        logprobs[:, 1:][labelled],
    )
