"""Which of a task's tests nobody is shown: those tell a repair from a program that fits the others.

Pure; `TaskEnvironment.hide` takes them out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from random import Random

_SHARE = 3


def choose_hidden(tests: Sequence[str], passing: Collection[str], seed: str) -> tuple[str, ...]:
    """A third of at least three tests, else none; `passing` are those that the start passes.

    One that the start fails stays, so that there is something to repair.
    """
    failing = [test for test in tests if test not in passing]
    hidden = list(tests)
    if failing:
        hidden.remove(Random(seed).choice(failing))
    chosen = Random(seed).sample(hidden, min(len(tests) // _SHARE, len(hidden)))
    return tuple(test for test in tests if test in chosen)
