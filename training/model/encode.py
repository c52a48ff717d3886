"""Episodes to tokens and labels, and tokens to batches.

Labels are set on what the model writes, its commands and the token that ends them, and nowhere
else; not on commands that a record only shows. Shapes are (batch, tokens); -100 is "no label".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from random import Random

import torch
from attrs import frozen
from torch.nn.utils.rnn import pad_sequence

from coe_lsp.chain.episode import Episode, episode_segments
from coe_lsp.chain.prompt import PromptBuilder
from training.model.base import Tokenizer
from training.model.sampled import SampledCommand
from training.tasks.records import Record

NO_LABEL, NO_TURN = -100, -1
_GROUP = 32


@frozen
class TokenizedExample:
    """One episode as tokens; all are of one length.

    `labels[i]` is the token at i if the model is to learn to write it, else `NO_LABEL`.
    `turn_of_token[i]` is the turn, from 0, whose command or command's end that token is part of,
    and `NO_TURN` for what the tool wrote. `logprobs[i]` is the sampler's natural logarithm where
    there is a label; all is empty where nothing was sampled.
    """

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    turn_of_token: tuple[int, ...]
    logprobs: tuple[float, ...] = ()

    @property
    def learned(self) -> int:
        """How many tokens carry a label."""
        return sum(label != NO_LABEL for label in self.labels)

    def count_labels_by_turn(self) -> list[int]:
        """How many labels each turn has, in order, without turns that have none."""
        turns = zip(self.turn_of_token, self.labels, strict=True)
        return list(Counter(turn for turn, label in turns if label != NO_LABEL).values())


@frozen
class PaddedBatch:
    """Padded tensors of shape (batch, tokens)."""

    ids: torch.Tensor
    mask: torch.Tensor
    labels: torch.Tensor


def encode(
    episode: Episode,
    tokenizer: Tokenizer,
    builder: PromptBuilder,
    *,
    masked: Collection[int] = (),
    sampled: Sequence[SampledCommand] | None = None,
) -> TokenizedExample:
    """Tokens and labels of an episode's whole context; turns in `masked` get no labels.

    `sampled`, by turn, gives the tokens that were sampled, which text alone does not tell: the same
    text has several spellings in tokens, and a command that was cut off has no end of its own. Only
    tokens that were really sampled get labels then.
    """
    ids, labels = list(tokenizer.bos), [NO_LABEL] * len(tokenizer.bos)
    turn_of_token = [NO_TURN] * len(tokenizer.bos)
    logprobs = [0.0] * len(tokenizer.bos)
    turn, is_end = 0, False  # a command and its end make a turn
    for segment, by_model in episode_segments(builder, episode):
        tokens = tokenizer.encode(segment)
        scores: Sequence[float] = ()
        if by_model and sampled is not None:
            command = sampled[turn]
            if is_end:
                scores = command.logprobs[len(command.tokens) :][: len(tokens)]
            else:
                tokens = list(command.tokens)
                scores = command.logprobs[: len(tokens)]
        learned = len(tokens if sampled is None else scores)
        if not by_model or turn in masked:
            learned = 0
        ids += tokens
        labels += [*tokens[:learned], *[NO_LABEL] * (len(tokens) - learned)]
        logprobs += [*scores, *[0.0] * (len(tokens) - len(scores))]
        turn_of_token += [turn if by_model else NO_TURN] * len(tokens)
        if by_model:
            turn, is_end = turn + is_end, not is_end
    return TokenizedExample(
        tuple(ids), tuple(labels), tuple(turn_of_token), () if sampled is None else tuple(logprobs)
    )


def encode_all(
    records: Iterable[Record], tokenizer: Tokenizer, builder: PromptBuilder, *, max_tokens: int
) -> tuple[list[TokenizedExample], int]:
    """Examples that fit, and how many did not."""
    examples = [
        encode(record.episode, tokenizer, builder, masked=record.masked) for record in records
    ]
    kept = [example for example in examples if len(example.ids) <= max_tokens]
    return kept, len(examples) - len(kept)


def make_batches(
    examples: Sequence[TokenizedExample], tokens: int, seed: str
) -> Iterator[list[TokenizedExample]]:
    """One epoch in batches of about equal length, at most `tokens` with padding each.

    Shuffled, then sorted within stretches of several batches; the batches come in random order.
    """
    random = Random(seed)
    order = list(examples)
    random.shuffle(order)
    mean = max(1, sum(len(example.ids) for example in order) // max(1, len(order)))
    stretch = max(1, _GROUP * tokens // mean)
    made: list[list[TokenizedExample]] = []
    for start in range(0, len(order), stretch):
        part = sorted(order[start : start + stretch], key=lambda example: len(example.ids))
        made += _cut(part, tokens)
    random.shuffle(made)
    yield from made


def _cut(examples: Sequence[TokenizedExample], tokens: int) -> Iterator[list[TokenizedExample]]:
    batch: list[TokenizedExample] = []
    for example in examples:  # in order of length, so the newest is the longest
        if batch and len(example.ids) * (len(batch) + 1) > tokens:
            yield batch
            batch = []
        batch.append(example)
    if batch:
        yield batch


def collate(examples: Sequence[TokenizedExample]) -> PaddedBatch:
    """Tensors of a batch, padded on the right."""

    def padded(rows: Iterable[Sequence[int]], fill: int = 0) -> torch.Tensor:
        return pad_sequence([torch.tensor(row) for row in rows], True, fill)

    return PaddedBatch(
        padded(example.ids for example in examples),
        padded([1] * len(example.ids) for example in examples),
        padded((example.labels for example in examples), NO_LABEL),
    )
