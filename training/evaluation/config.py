"""The settings of an evaluation, of which its command-line options are made too.

Imports nothing heavy: the command line's help reads it.
"""

from __future__ import annotations

from typing import Any, Literal

from attrs import Factory, field, frozen

PolicyName = Literal["coe", "base", "direct", "s1k"]


def _option(flag: str, help: str, default: Any, **more: Any) -> Any:
    """A field with an option on the command line; `more` is for argparse, `least` a bound."""
    return field(default=default, metadata={"flag": flag, "help": help, **more})


@frozen
class EvaluationConfig:
    """What is measured; `shots` matters for `direct` alone.

    A third of at least three tests is hidden, but not all that the program fails; `visible` shows
    the first so many instead, 0 all.

    `told`: the model is also given the task in words, which an editor does not have.

    `chains` run side by side: few, since with a unified cache each pays attention's price for the
    contexts of all.
    """

    policy: PolicyName = field(
        metadata={
            "flag": "--policy",
            "help": "chains of edits with an adapter, or without; whole programs; after thought",
            "choices": ["coe", "base", "direct", "s1k"],
        }
    )
    shots: int = _option("--shots", "of direct (%(default)s)", 0, type=int, choices=range(4))
    samples: int = _option("--samples", "a task, beside a greedy one (%(default)s)", 4, least=0)
    temperature: float = _option("--temperature", "of samples (%(default)s)", 0.8, type=float)
    max_turns: int = _option("--turns", "of a chain, at most (%(default)s)", 10, least=1)
    visible: int | None = _option(
        "--visible", "tests shown; 0: all (all but a third of three or more)", None, least=0
    )
    told: bool = _option("--told", "the task in words, too", False, action="store_true")
    constrained: bool = _option("--free", "without the grammar", True, action="store_false")
    answer_tokens: int = _option(
        "--answer-tokens",
        "of direct (512) and s1k (2048)",
        Factory(lambda self: 2048 if self.policy == "s1k" else 512, takes_self=True),
        least=1,
    )
    seed: int = _option("--seed", "what is drawn (%(default)s)", 0, type=int)
    chains: int = 4
    threads: int = 2
