"""The one owner of prompt bytes: how a task and its states become a model's context.

A context is a sequence of segments. Special segments are a chat template's control tokens and are
tokenised as such; all other text, the user's code above all, is tokenised with special parsing off,
so a program that contains "<|im_end|>" cannot end its own turn. Each segment is tokenised on its
own: where they are split is part of the prompt. A context only ever grows: opening, command, state,
command, state. A beginning-of-sequence token is not in the text: the engine, and training, put it
first if and only if the model's `add_bos` flag says so (Llama 3 yes; Qwen2.5 and SmolLM2 no).

Serving and training both build their contexts here; a golden test pins the bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from attrs import frozen

from coe_lsp.chain.commands import (
    AddLine,
    Command,
    ReplaceBlock,
    ReplaceLine,
    ReplaceWords,
    is_block,
    render,
)
from coe_lsp.chain.feedback import Failure, render_feedback
from coe_lsp.chain.scratchpad import Scratchpad

ChatFormat = Literal["chatml", "llama3", "plain"]

SYSTEM = """\
You repair a Python function by editing it, one command at a time, until its tests pass. You see \
the function with line numbers, then *** and what the tests say. Answer with exactly one command:
### REPL n >>>line    replace line n
### ADDL n >>>line    insert a new line n
### DELL n    delete line n
### REPW n >>>old >>>new    replace old by new in line n
### REPB n m    replace lines n to m by the lines below it, each after >>>
### ADDB n    insert from line n on the lines below it, each after >>>
Keep the indentation right."""


@frozen
class Segment:
    """A piece of context; `special` text holds control tokens of the chat template."""

    text: str
    special: bool = False


@frozen
class TaskDescription:
    """What does not change during an episode; each part may be empty.

    `instructions`: what the program should do, in words. `context`: code around the function.
    `tests`: source of tests that fail.
    """

    instructions: str = ""
    context: str = ""
    tests: tuple[str, ...] = ()


def detect_format(chat_template: str | None) -> ChatFormat:
    """The format that a model was tuned for, from the Jinja template in its GGUF.

    Models without a template or with one of another family get plain text.
    """
    if chat_template and "<|im_start|>" in chat_template:
        return "chatml"
    if chat_template and "<|start_header_id|>" in chat_template:
        return "llama3"
    return "plain"


class PromptBuilder:
    """Builds contexts in one format.

    `instructed` puts the rules and worked examples before the task. A model that was trained for
    the task is not told: what it always saw would only cost time.
    """

    def __init__(self, format: ChatFormat, *, instructed: bool) -> None:
        self.format: ChatFormat = format
        self.instructed = instructed

    @property
    def command_end(self) -> Segment:
        """What ends the model's turn if its command is one line; in training part of the target."""
        match self.format:
            case "chatml":
                return Segment("<|im_end|>", special=True)
            case "llama3":
                return Segment("<|eot_id|>", special=True)
            case "plain":
                return Segment("\n")

    @property
    def blank_line_ends_block(self) -> bool:
        """Whether a block, which goes on over line ends, is ended by an empty line.

        Else a control token ends it, as every command.
        """
        return not self.command_end.special

    def end_of(self, command_text: str) -> Segment:
        """What ends the model's turn after this command."""
        if self.blank_line_ends_block and is_block(command_text):
            return Segment("\n\n")
        return self.command_end

    def opening(self, task: TaskDescription, pad: Scratchpad) -> tuple[Segment, ...]:
        """Everything up to where the model writes its first command.

        What comes before the task (the rules and the examples) is the same for all tasks.
        """
        segments: list[Segment] = []
        if self.instructed:
            segments += chat_turn(self.format, "system", SYSTEM)
            for example in EXAMPLES:
                segments += self._example(example)
        segments += chat_turn(self.format, "user", first_message(task, pad))
        return (*segments, *start_of_answer(self.format))

    def next_turn(self, pad: Scratchpad) -> tuple[Segment, ...]:
        """What follows the end of a command: the new state, up to where the model writes again."""
        return (
            *between_turns(self.format),
            *chat_turn(self.format, "user", pad.render()),
            *start_of_answer(self.format),
        )

    def _example(self, example: Example) -> list[Segment]:
        pad = example.start
        segments = list(chat_turn(self.format, "user", first_message(example.task, pad)))
        for number, (command, feedback) in enumerate(example.turns):
            if number:
                segments += chat_turn(self.format, "user", pad.render())
            segments += start_of_answer(self.format)
            text = render(command)
            segments += [Segment(text), self.end_of(text), *between_turns(self.format)]
            applied = pad.apply(command)
            pad = Scratchpad(applied.lines, feedback)
        return segments


def chat_turn(format: ChatFormat, role: str, text: str) -> tuple[Segment, ...]:
    """A whole turn of the system or the user."""
    match format:
        case "chatml":
            return (
                Segment("<|im_start|>", special=True),
                Segment(f"{role}\n{text}"),
                Segment("<|im_end|>", special=True),
                Segment("\n"),
            )
        case "llama3":
            return (
                Segment("<|start_header_id|>", special=True),
                Segment(role),
                Segment("<|end_header_id|>", special=True),
                Segment(f"\n\n{text}"),
                Segment("<|eot_id|>", special=True),
            )
        case "plain":
            return (Segment(f"{text}\n"),)


def start_of_answer(format: ChatFormat) -> tuple[Segment, ...]:
    """What stands before the model's own words."""
    match format:
        case "chatml":
            return (Segment("<|im_start|>", special=True), Segment("assistant\n"))
        case "llama3":
            return (
                Segment("<|start_header_id|>", special=True),
                Segment("assistant"),
                Segment("<|end_header_id|>", special=True),
                Segment("\n\n"),
            )
        case "plain":
            return ()


def between_turns(format: ChatFormat) -> tuple[Segment, ...]:
    """What stands between the end of an answer and the next turn."""
    return (Segment("\n"),) if format == "chatml" else ()


def first_message(task: TaskDescription, pad: Scratchpad) -> str:
    """The user's first message: the task's parts that there are, then the first state."""
    parts = [
        *([task.instructions] if task.instructions else []),
        *([f"Context:\n{task.context}"] if task.context else []),
        *(["Tests:\n" + "\n".join(task.tests)] if task.tests else []),
        pad.render(),
    ]
    return "\n\n".join(parts)


@frozen
class Example:
    """A worked chain: the first state, then each command with the feedback that it earned."""

    task: TaskDescription
    start: Scratchpad
    turns: tuple[tuple[Command, str], ...]


def _example(code: str, test: str, detail: str, turns: Sequence[tuple[Command, str]]) -> Example:
    def feedback(text: str) -> str:
        return render_feedback(1, 2, [Failure("test_it", text)]) if text else ""

    return Example(
        TaskDescription(tests=(test,)),
        Scratchpad.from_text(code, feedback(detail)),
        tuple((command, feedback(text)) for command, text in turns),
    )


EXAMPLES: tuple[Example, ...] = (
    _example(
        "def count_above(values, limit):\n"
        "    total = 0\n"
        "    for value in values:\n"
        "        if value >= limit:\n"
        "            total += 1\n"
        "    return total",
        "def test_it():\n    assert count_above([3, 5, 7], 5) == 1",
        "assert 2 == 1",
        [(ReplaceLine(4, "        if value > limit:"), "")],
    ),
    _example(
        "def initials(name):\n"
        "    letters = []\n"
        "    for part in name.split():\n"
        "        letters.append(part[1].upper())\n"
        "    return ''.join(letters)",
        "def test_it():\n    assert initials('ada lovelace') == 'AL'",
        "assert 'DO' == 'AL'",
        [(ReplaceWords(4, "part[1]", "part[0]"), "")],
    ),
    _example(
        "def longest(words):\n"
        "    best = ''\n"
        "    for word in words:\n"
        "        best = word\n"
        "    return best",
        "def test_it():\n    assert longest(['a', 'abc', 'ab']) == 'abc'",
        "assert 'ab' == 'abc'",
        [
            (
                ReplaceBlock(
                    4, 4, ("        if len(word) > len(best):", "            best = word")
                ),
                "",
            )
        ],
    ),
    _example(
        "def running_max(numbers):\n"
        "    best = numbers[0]\n"
        "    result = []\n"
        "    for number in numbers:\n"
        "        best = max(best, number)\n"
        "    return result",
        "def test_it():\n    assert running_max([1, 3, 2]) == [1, 3, 3]",
        "assert [] == [1, 3, 3]",
        [(AddLine(6, "        result.append(best)"), "")],
    ),
    _example(
        "def last_even(numbers):\n"
        "    for number in numbers:\n"
        "        if number % 2 == 1:\n"
        "            return number\n"
        "    return None",
        "def test_it():\n    assert last_even([1, 2, 4, 5]) == 4",
        "assert 1 == 4",
        [
            (ReplaceLine(3, "        if number % 2 == 0:"), "assert 2 == 4"),
            (ReplaceLine(2, "    for number in reversed(numbers):"), ""),
        ],
    ),
)
