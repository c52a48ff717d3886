r"""The program that a chain edits, with line numbers and the feedback on it; immutable.

Rendered as the paper has it: numbered lines, a line `***`, then the feedback, which is empty when
every test passes. Lines are separated by "\n" alone; other line ends are the caller's to remove.
Of a long program some lines may be hidden, which the paper does not have: a run of them is shown as
`...`, and the others keep their numbers.
"""

from __future__ import annotations

from attrs import evolve, field, frozen

from coe_lsp.chain.commands import (
    MARK,
    AddBlock,
    AddLine,
    Command,
    CommandError,
    DeleteLine,
    Exit,
    Reason,
    ReplaceBlock,
    ReplaceLine,
    ReplaceWords,
)

RULE = "***"
FOLD = "..."


def numbered(number: int, line: str) -> str:
    """A line as it is shown.

    The paper only says that lines have numbers. These are followed by the same mark as in a
    command, so that what the model copies stands in the same bytes in both places.
    """
    return f"{number} {MARK}{line}"


def _single_lines(instance: object, attribute: object, value: tuple[str, ...]) -> None:
    if any("\n" in line for line in value):
        raise ValueError("a line of the scratchpad must not contain a line end")


@frozen
class Scratchpad:
    r"""One state: the program's lines and what its tests said. ValueError for a line with "\n".

    `hidden` are the numbers of lines that the model does not see. It may edit them all the same;
    those that it wrote are shown.
    """

    lines: tuple[str, ...] = field(validator=_single_lines)
    feedback: str = ""
    hidden: frozenset[int] = frozenset()

    @classmethod
    def from_text(cls, text: str, feedback: str = "") -> Scratchpad:
        r"""Split a program at "\n"; an empty text has no lines. The text comes back by `text`."""
        return cls(tuple(text.split("\n")) if text else (), feedback)

    @property
    def text(self) -> str:
        """The program without line numbers."""
        return "\n".join(self.lines)

    def render(self) -> str:
        """What the model sees."""
        shown: list[str] = []
        for number, line in enumerate(self.lines, 1):
            if number not in self.hidden:
                shown.append(numbered(number, line))
            elif number - 1 not in self.hidden:
                shown.append(FOLD)
        return "\n".join([*shown, RULE, *([self.feedback] if self.feedback else [])])

    def apply(self, command: Command) -> Scratchpad:
        """The state after a command, with no feedback yet.

        Raises CommandError if the line does not exist or does not contain the text to replace.
        """
        lines, hidden = list(self.lines), self.hidden
        match command:
            case Exit():
                pass
            case AddLine(number, text):
                self._check(number, len(lines) + 1)
                lines.insert(number - 1, text)
                hidden = frozenset(n + (n >= number) for n in hidden)
            case AddBlock(number, new):
                self._check(number, len(lines) + 1)
                lines[number - 1 : number - 1] = new
                hidden = frozenset(n + len(new) * (n >= number) for n in hidden)
            case ReplaceBlock(first, last, new):
                self._check(last, len(lines))
                lines[first - 1 : last] = new
                moved = len(new) - (last - first + 1)
                outside = (n for n in hidden if not first <= n <= last)
                hidden = frozenset(n + moved * (n > last) for n in outside)
            case ReplaceLine(number, text):
                self._check(number, len(lines))
                lines[number - 1] = text
                hidden -= {number}
            case ReplaceWords(number, old, new):
                self._check(number, len(lines))
                if old not in lines[number - 1]:
                    raise CommandError(Reason.NOT_IN_LINE)
                lines[number - 1] = lines[number - 1].replace(old, new, 1)
                hidden -= {number}
            case DeleteLine(number):
                self._check(number, len(lines))
                del lines[number - 1]
                hidden = frozenset(n - (n > number) for n in hidden if n != number)
        return evolve(self, lines=tuple(lines), feedback="", hidden=hidden)

    def _check(self, number: int, last: int) -> None:
        if not 1 <= number <= last:
            there = f"lines are 1 to {last}" if last else "the program is empty"
            raise CommandError(Reason.RANGE, there)
