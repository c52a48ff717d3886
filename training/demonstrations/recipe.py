"""How demonstrations are made: how many, of which faults, and in how many forms."""

from __future__ import annotations

from typing import Literal

from attrs import asdict, field, frozen
from attrs.validators import ge

#: What a fault is: a person's own, something taken away, what a model wrote, a single token that
#: the search does not put right, or the paper's line noise.
Kind = Literal["human", "structural", "written", "token", "noise"]


@frozen
class Mix:
    """Weights of the kinds of faults; with 0 there are none of a kind.

    `human` are tasks that come with a faulty program, which have no other demonstrations: of these
    it says only whether they are used. `written` needs programs that a model wrote: slow on a CPU.
    """

    human: float = field(default=1.0, validator=ge(0))
    structural: float = field(default=0.4, validator=ge(0))
    written: float = field(default=0.0, validator=ge(0))
    token: float = field(default=0.3, validator=ge(0))
    noise: float = field(default=0.0, validator=ge(0))

    def weights(self) -> dict[Kind, float]:
        """By kind."""
        return asdict(self)  # type: ignore[return-value]


@frozen
class Recipe:
    """Shares are probabilities, drawn for each demonstration.

    `per_task`: demonstrations of a task, `per_fix` of one that comes with a person's fault.
    `depths`: weights of 1, 2, ... faults together, of what is taken away and of noise. `words`:
    share of changed lines undone by REPW; `blocks`: whether several lines are one command.
    `pytest`: share tested by pytest instead of plain statements. `wrong_first_edit`: share that
    begins with a bad edit, which is shown but not learned. `idle_line`: share with a harmless extra
    line. `without_docs`: share without docstring and comments; `with_instructions`: share that get
    the task in words. `hidden_tests`: whether a third of at least three tests is not shown.
    """

    per_task: int = 10
    per_fix: int = 3
    mix: Mix = field(factory=Mix)
    depths: tuple[float, ...] = (0.7, 0.2, 0.1)
    words: float = 0.2
    blocks: bool = True
    pytest: float = 0.3
    wrong_first_edit: float = 0.1
    idle_line: float = 0.03
    without_docs: float = 0.5
    with_instructions: float = 0.25
    hidden_tests: bool = True
    max_turns: int = 8
