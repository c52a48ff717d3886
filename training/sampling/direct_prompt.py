"""The baselines that answer at once: the whole program, with or without worked examples.

`direct` shows the task as the first state of a chain shows it and asks for the whole program;
`s1k` (a model tuned on s1K's traces) thinks before it answers. The answer is the last code block.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from attrs import frozen

from coe_lsp.chain.prompt import (
    EXAMPLES,
    ChatFormat,
    PromptBuilder,
    Segment,
    TaskDescription,
    between_turns,
    chat_turn,
    start_of_answer,
)
from coe_lsp.chain.scratchpad import Scratchpad

_ASK = (
    "Repair this Python program so that its tests pass. "
    "Answer with the whole program in one code block."
)
_WRITE = "Write a Python program that passes these tests. Answer with one code block."
_THINK = _ASK + " Think step by step first."
_BLOCK = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)


@frozen
class DirectPrompt:
    """How the question is put: `shots` worked examples, and whether to think first.

    `write` leaves the faulty program out: the model writes one from the task's words and tests.
    """

    shots: int = 0
    think: bool = False
    write: bool = False

    def segments(
        self, format: ChatFormat, task: TaskDescription, pad: Scratchpad
    ) -> Iterator[Segment]:
        """The context up to where the model answers."""
        for example in EXAMPLES[: self.shots]:
            solved = example.start
            for command, _ in example.turns:
                solved = solved.apply(command)
            yield from chat_turn(format, "user", self._question(example.task, example.start))
            yield from start_of_answer(format)
            yield Segment(f"```python\n{solved.text}\n```")
            yield PromptBuilder(format, instructed=False).command_end
            yield from between_turns(format)
        yield from chat_turn(format, "user", self._question(task, pad))
        yield from start_of_answer(format)

    def _question(self, task: TaskDescription, pad: Scratchpad) -> str:
        if self.write:
            parts = [_WRITE, task.instructions, "\n".join(task.tests)]
            return "\n\n".join(part for part in parts if part)
        parts = [
            _THINK if self.think else _ASK,
            *([task.instructions] if task.instructions else []),
            *([f"Context:\n{task.context}"] if task.context else []),
            *(["Tests:\n" + "\n".join(task.tests)] if task.tests else []),
            f"```python\n{pad.text}\n```",
            pad.feedback,
        ]
        return "\n\n".join(parts)


def extract_program(answer: str) -> str:
    """The program in an answer: the last code block, or all of it if there is none."""
    blocks: Sequence[str] = _BLOCK.findall(answer)
    return (blocks[-1] if blocks else answer).strip("\n")
