"""What a caller asks of sampling; the native side, which needs llama.cpp, is in `sampler`."""

from __future__ import annotations

from attrs import field, frozen, validators


@frozen
class Sampling:
    """How to continue a sequence by one line.

    `temperature` 0 is greedy, and the next three do not matter then; `top_k` 0 and `top_p` 1 are
    off. `grammar` is GBNF with the rule `root`. `not_first` are tokens that the line may not begin
    with. `max_tokens` 0 only evaluates the context. Generation ends at the end of a line or, if not
    `one_line`, when the model ends its turn.
    """

    temperature: float = field(default=0.0, validator=validators.ge(0.0))
    top_k: int = field(default=40, validator=validators.ge(0))
    top_p: float = field(default=0.95, validator=[validators.gt(0.0), validators.le(1.0)])
    seed: int = 0
    grammar: str | None = None
    not_first: tuple[int, ...] = ()
    one_line: bool = True
    max_tokens: int = field(default=128, validator=validators.ge(0))
