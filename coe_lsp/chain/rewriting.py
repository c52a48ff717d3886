"""A function written anew in one answer: the question, where the answer ends, the edit that it is.

For models that were not trained on chains of edits. The answer is begun for them, with the
function's head and docstring, so that they keep both and write nothing else. It becomes one
command: what is applied and shown is an edit, as in a chain. Of a long function some lines are
hidden; it cannot be asked for.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from functools import cached_property

from attrs import frozen

from coe_lsp.chain.commands import Command, ReplaceLine
from coe_lsp.chain.edits import one_command
from coe_lsp.chain.prompt import (
    ChatFormat,
    Segment,
    TaskDescription,
    chat_turn,
    start_of_answer,
)
from coe_lsp.chain.scratchpad import Scratchpad
from coe_lsp.parsing import parse

_ASK = (
    "Some tests of this Python code fail. Find the mistake, and answer with the whole code, "
    "repaired, in one code block. Change no more than what is wrong."
)
_FENCE = "```"
_DEF = re.compile(r"([ \t]*)(?:async[ \t]+)?def[ \t]+\w+[ \t]*[\[(]")


@frozen
class Rewriting:
    """How the code of a state is asked for, and how the answer is read."""

    format: ChatFormat
    task: TaskDescription
    pad: Scratchpad

    @cached_property
    def given(self) -> str:
        """What the answer begins with: all that stands before the function's first statement.

        Of a function on one line, or one that is no Python, what stands before the parameters;
        nothing of statements that are no function.
        """
        lines, place = self.pad.lines, self._head
        if place is None:
            return ""
        number, head = place
        first = _first_statement(lines)
        if first is None or first <= number + 1:
            return "\n".join([*lines[:number], head[0]])
        line = lines[first - 1]
        # Tokenisers leave the last blank to the word that follows.
        indent = " " * (len(line) - len(line.lstrip(" ")) - 1)
        return "\n".join([*lines[: first - 1], indent])

    def segments(self) -> tuple[Segment, ...]:
        """The context up to where the model goes on."""
        task, pad = self.task, self.pad
        parts = [
            _ASK,
            *([task.instructions] if task.instructions else []),
            *([f"Context:\n{task.context}"] if task.context else []),
            *(["Tests:\n" + "\n".join(task.tests)] if task.tests else []),
            f"{_FENCE}python\n{pad.text}\n{_FENCE}",
            pad.feedback,
        ]
        return (
            *chat_turn(self.format, "user", "\n\n".join(parts)),
            *start_of_answer(self.format),
            Segment(f"{_FENCE}python\n{self.given}"),
        )

    def find_end(self, text: bytes) -> int | None:
        """Where the code ends in what a model has written so far; None if it may still go on.

        That is the end of the code block, or where the function's indentation does.
        """
        match = self._end.search(text)
        return match.start() if match else None

    @property
    def can_be_asked(self) -> bool:
        """Whether the whole code is shown, and an answer like it would be read to its end.

        A string with lines at the margin looks like an end.
        """
        rest = self.pad.text[len(self.given) :]
        return not self.pad.hidden and self.find_end(rest.encode()) is None

    def read(self, text: str) -> Command | None:
        """The edit that an answer is, without what was given; None if it is no Python.

        Code that is unchanged is an edit that changes nothing.
        """
        answer = text.encode()
        end = self.find_end(answer)
        answer = answer[:end]
        lines = f"{self.given}{answer.decode(errors='ignore')}".split("\n")
        while lines and (not lines[-1].strip() or lines[-1].startswith("#")):
            lines.pop()  # what comes after a function may begin with a comment
        lines = ["" if not line.strip() else line for line in lines]
        if not answer.strip() or _parse(lines) is None:
            return None
        unchanged = ReplaceLine(1, self.pad.lines[0])
        return one_command(self.pad.lines, lines) or unchanged

    @cached_property
    def _head(self) -> tuple[int, re.Match[str]] | None:
        """The function's first line, with its index, of code that is one or may be meant to be."""
        lines = self.pad.lines
        statements = _parse(lines)
        if statements and not isinstance(statements[0], ast.FunctionDef | ast.AsyncFunctionDef):
            return None
        first = statements[0].lineno - 2 if statements else 0
        heads = ((n, _DEF.match(line)) for n, line in enumerate(lines) if n >= first)
        return next(((n, head) for n, head in heads if head), None)

    @cached_property
    def _end(self) -> re.Pattern[bytes]:
        # Asked for each token that is written.
        place = self._head
        if place is None:
            return re.compile(rb"\n[ \t]*```")
        # A line that is no deeper than the `def`, but for a comment and what closes the parameters.
        deeper = rb"\n(?!" + re.escape(place[1][1].encode()) + rb"[ \t])"
        return re.compile(deeper + rb"[ \t]*[^\s)\]}#]")


def _parse(lines: Sequence[str]) -> list[ast.stmt] | None:
    """The statements of code that may be indented, each a line further down; None if it is none."""
    top = "if True:" if lines and lines[0][:1].isspace() else "pass"
    try:
        statements = parse("\n".join([top, *lines])).body
    except SyntaxError:
        return None
    return statements[0].body if isinstance(statements[0], ast.If) else statements[1:]


def _first_statement(lines: Sequence[str]) -> int | None:
    """The line (1-based) of a function's first statement but for its docstring; None if none."""
    statements = _parse(lines)
    if not statements or not isinstance(statements[0], ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    body = statements[0].body
    if ast.get_docstring(statements[0], clean=False) is not None:
        body = body[1:]
    if not body:
        return None
    decorators = getattr(body[0], "decorator_list", [])
    return min(node.lineno for node in (body[0], *decorators)) - 1
