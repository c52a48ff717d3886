"""What a caller asks of sampling; the native side, which needs llama.cpp, is in `sampler`."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field, frozen, validators

FindEnd = Callable[[bytes], int | None]


def find_line_end(text: bytes) -> int | None:
    """Where the first line ends; None if there is no line end yet."""
    end = text.find(b"\n")
    return end if end >= 0 else None


@frozen
class Sampling:
    """How to continue a sequence, by one line if nothing else is said.

    `temperature` 0 is greedy, and the next three do not matter then; `top_k` 0 and `top_p` 1 are
    off. `grammar` is GBNF with the rule `root`. `not_first` are tokens that the text may not begin
    with. `max_tokens` 0 only evaluates the context. Generation ends where `find_end` says that the
    text so far has ended, or when the model ends its turn; `find_end` None leaves it to the model.
    """

    temperature: float = field(default=0.0, validator=validators.ge(0.0))
    top_k: int = field(default=40, validator=validators.ge(0))
    top_p: float = field(default=0.95, validator=[validators.gt(0.0), validators.le(1.0)])
    seed: int = 0
    grammar: str | None = None
    not_first: tuple[int, ...] = ()
    find_end: FindEnd | None = find_line_end
    max_tokens: int = field(default=128, validator=validators.ge(0))
