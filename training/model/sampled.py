"""A command as a model sampled it: its very tokens, and how likely each was. Knows no model."""

from __future__ import annotations

from attrs import frozen


@frozen
class SampledCommand:
    """`tokens` spell `text`; `ended` says whether the model ended its turn itself.

    `logprobs` has one natural logarithm for each token that was really sampled, from the first on,
    and for the end if that was sampled by itself, under the sampler's own distribution at
    temperature 1. A token behind these stands for a sampled one that reached beyond the command:
    nothing is learned there.
    """

    text: str
    tokens: tuple[int, ...]
    ended: bool
    logprobs: tuple[float, ...]
