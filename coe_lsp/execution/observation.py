"""What a function answers where tests call it, and in calls that are a little different.

The host's side of `coe_worker.calls`: puts the observer before a function, and reads what a run of
such a program told. Which programs and which tests is for the caller to say.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import cast

from attrs import frozen

from coe_lsp.escaping import printable
from coe_lsp.execution.coe_worker.messages import OBSERVED
from coe_lsp.execution.suite import Run

#: What a run must be allowed to print: all that is observed, of each test.
OUTPUT_BYTES = 128 << 10
_OBSERVER = '@__import__("coe_worker.calls", fromlist=["observed"]).observed'
_DEFINITION = re.compile(r"\s*(async\s+)?def\s")


@frozen
class Call:
    """A call that a test makes, or one like it: as `text`, the `nth` of that test with this text.

    `whole` says that the text says all that the function was given.
    """

    test: str
    text: str
    nth: int
    whole: bool

    def __str__(self) -> str:
        name = self.test.rpartition("::")[2]
        return self.text if self.whole or not name else f"{self.text} in {name}"


#: What a program answers to each call: a value as text, or the name of an exception.
Answers = Mapping[Call, str]


def with_observer(lines: Sequence[str]) -> tuple[str, ...] | None:
    """The lines with their outermost function observed, one line longer; None if there is none."""
    for number, line in enumerate(lines):
        if _DEFINITION.match(line):
            indent = line[: len(line) - len(line.lstrip())]
            return (*lines[:number], f"{indent}{_OBSERVER}", *lines[number:])
    return None


def answers_of(run: Run) -> Answers:
    """What an observed program told in a run; what is not of the right form is left out.

    The program itself can print such lines: the answers are good for nothing but to be shown.
    """
    answers: dict[Call, str] = {}
    times: Counter[tuple[str, str]] = Counter()
    for result in run.results:
        for piece in result.output.split(OBSERVED)[1:]:
            try:
                told = cast("object", json.loads(piece.partition("\n")[0]))
            except (ValueError, RecursionError):
                continue
            match told:
                case [str() as text, bool() as whole, str() as answer]:
                    text = _one_line(text)
                    times[result.id, text] += 1
                    call = Call(result.id, text, times[result.id, text], whole)
                    answers[call] = _one_line(answer)
                case _:
                    pass
    return answers


def _one_line(text: str) -> str:
    return " ".join(printable(text).split())
