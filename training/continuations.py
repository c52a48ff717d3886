"""Batched sampling from a transformers model: many contexts at once, tokens in, tokens out.

For machines where the serving engine is not what samples: a GPU, or a base without a GGUF.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import torch


def continuations(
    model: Any,
    contexts: Sequence[Sequence[int]],
    *,
    ends: Sequence[int],
    most: int,
    temperature: float,
    seed: int,
) -> list[list[int]]:
    """What the model writes after each context: up to `most` tokens, an end and padding included.

    Each of `ends` ends a text, and the first of them pads. Temperature 0 is greedy. The same
    contexts and seed give the same texts on the same machine, whatever was drawn before.
    """
    longest = max(len(tokens) for tokens in contexts)
    device = model.device
    pad = ends[0] if ends else 0
    ids = [[pad] * (longest - len(tokens)) + list(tokens) for tokens in contexts]
    mask = [[0] * (longest - len(tokens)) + [1] * len(tokens) for tokens in contexts]
    sampling: dict[str, Any] = (
        {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
        if temperature
        else {"do_sample": False}
    )
    training = model.training
    model.eval()
    torch.manual_seed(Random(f"{seed}/{ids}").getrandbits(31))
    with torch.no_grad():
        written = model.generate(
            torch.tensor(ids, device=device),
            attention_mask=torch.tensor(mask, device=device),
            max_new_tokens=most,
            eos_token_id=list(ends) or None,
            pad_token_id=pad,
            use_cache=True,
            cache_implementation="static" if device.type == "cuda" else None,
            **sampling,
        )
    model.train(training)
    return written[:, longest:].tolist()
