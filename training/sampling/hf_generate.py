"""Batched sampling from a transformers model: many contexts at once, tokens in, tokens out.

For machines where the serving engine is not what samples: a GPU, or a base without a GGUF.
Nothing is compiled: contexts differ in number and length at each turn, and each size would be anew.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import torch
from transformers import DynamicCache, StoppingCriteria


def sample_continuations(
    model: Any,
    contexts: Sequence[Sequence[int]],
    *,
    ends: Sequence[int],
    most: int,
    temperature: float,
    seed: int,
    has_ended: Callable[[list[int]], bool] | None = None,
) -> list[list[int]]:
    """What the model writes after each context: up to `most` tokens, an end and padding included.

    Each of `ends` ends a text, and the first of them pads. `has_ended` ends others, by the tokens
    written so far. Temperature 0 is greedy. A context that is there several times is read once. The
    same contexts and seed give the same texts on the same machine, whatever was drawn before.
    """
    different = {
        tuple(tokens): row for row, tokens in enumerate(dict.fromkeys(map(tuple, contexts)))
    }
    rows = torch.tensor([different[tuple(tokens)] for tokens in contexts], device=model.device)
    longest = max(len(tokens) for tokens in contexts)
    pad = ends[0] if ends else 0
    padded = [[pad] * (longest - len(tokens)) + list(tokens) for tokens in different]
    ids = torch.tensor(padded, device=model.device)
    there = [[0] * (longest - len(tokens)) + [1] * len(tokens) for tokens in different]
    mask = torch.tensor(there, device=model.device)
    sampling: dict[str, Any] = (
        {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
        if temperature
        else {"do_sample": False}
    )
    if has_ended is not None:
        sampling["stopping_criteria"] = [_RowEnds(has_ended, longest)]
    training = model.training
    model.eval()
    torch.manual_seed(Random(f"{seed}/{padded}/{len(contexts)}").getrandbits(31))
    with torch.no_grad():
        cache = DynamicCache(config=model.config)
        named = {_cache_name(model): cache}
        if len(different) < len(contexts) and longest > 1:
            model(
                ids[:, :-1],
                attention_mask=mask[:, :-1],
                position_ids=(mask.cumsum(-1) - 1).clamp(min=0)[:, :-1],
                use_cache=True,
                logits_to_keep=1,
                **named,
            )
            cache.batch_select_indices(rows)
        written = model.generate(
            ids[rows],
            attention_mask=mask[rows],
            max_new_tokens=most,
            eos_token_id=list(ends) or None,
            pad_token_id=pad,
            use_cache=True,
            **named,
            **sampling,
        )
    model.train(training)
    return written[:, longest:].tolist()


class _RowEnds(StoppingCriteria):
    """Which rows have ended, by what was written to them; asked of each until it has."""

    def __init__(self, has_ended: Callable[[list[int]], bool], start: int) -> None:
        self._has_ended = has_ended
        self._start = start
        self._ended: set[int] = set()

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        for number, row in enumerate(input_ids[:, self._start :].tolist()):
            if number not in self._ended and self._has_ended(row):
                self._ended.add(number)
        ended = [number in self._ended for number in range(len(input_ids))]
        return torch.tensor(ended, device=input_ids.device)


def _cache_name(model: Any) -> str:
    """What transformers calls the argument: it was renamed after 5.17."""
    named = inspect.signature(type(model).forward).parameters
    return "cache" if "cache" in named else "past_key_values"
