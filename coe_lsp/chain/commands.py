r"""The five commands of the edit language, parsed and printed exactly.

    ### ADDL <n> >>><line>            insert a line so that it becomes line n
    ### REPL <n> >>><line>            replace line n
    ### REPW <n> >>><old> >>><new>    replace the first occurrence of old in line n by new
    ### DELL <n>                      delete line n
    ### EXIT                          stop

One command a turn, on one line; content is verbatim to the end of the line, so spaces count. Only
"\n" ends a line. `parse(render(c)) == c` for every command. The names and forms are the paper's
(arXiv 2507.05065); that REPW changes only the first occurrence, and that `old` ends at the first
" >>>", are our own choices. Whether a line exists is the scratchpad's business, not ours.
"""

from __future__ import annotations

import re
from enum import Enum

from attrs import field, frozen
from attrs.validators import ge, le

from coe_lsp.errors import CoeError

MARK = ">>>"
MAX_LINE = 999_999_999
_SEPARATOR = f" {MARK}"
_HEAD = re.compile(r"### ([A-Z]+)(?= |\Z)")
# Nine digits at most, as MAX_LINE has.
_NUMBER = re.compile(r" ([1-9][0-9]{0,8})(?= |\Z)")


class Reason(Enum):
    """What is wrong with a command; the value is shown to the model."""

    EMPTY = "no command was given"
    SEVERAL = "give one command only, on one line"
    UNKNOWN = "unknown command; start with ### ADDL, ### REPL, ### REPW, ### DELL or ### EXIT"
    NUMBER = "missing or invalid line number after the command's name"
    NO_MARK = "missing >>> before the text"
    NO_SECOND_MARK = "REPW needs >>>old >>>new"
    EMPTY_OLD = "REPW needs some text to replace"
    EXTRA = "nothing may follow the command"
    RANGE = "there is no such line"
    NOT_IN_LINE = "the text to replace is not in that line"


class CommandError(CoeError):
    """A command that changes nothing. `str(error)` tells the model why; no user sees it raised."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.value} ({detail})" if detail else reason.value)
        self.reason = reason


def _one_line(instance: object, attribute: object, value: str) -> None:
    if "\n" in value:
        raise ValueError("the text of a command is a single line")


def _old_text(instance: object, attribute: object, value: str) -> None:
    _one_line(instance, attribute, value)
    if not value or _SEPARATOR in value:
        raise ValueError(f"text to replace must not be empty nor contain {_SEPARATOR!r}")


_LINE = [ge(1), le(MAX_LINE)]


@frozen
class AddLine:
    """Insert `text` so that it becomes line `line` (1-based)."""

    line: int = field(validator=_LINE)
    text: str = field(validator=_one_line)


@frozen
class ReplaceLine:
    """Replace line `line` (1-based) by `text`."""

    line: int = field(validator=_LINE)
    text: str = field(validator=_one_line)


@frozen
class ReplaceWords:
    """Replace the first occurrence of `old` in line `line` (1-based) by `new`."""

    line: int = field(validator=_LINE)
    old: str = field(validator=_old_text)
    new: str = field(validator=_one_line)


@frozen
class DeleteLine:
    """Delete line `line` (1-based)."""

    line: int = field(validator=_LINE)


@frozen
class Exit:
    """Stop editing."""


Command = AddLine | ReplaceLine | ReplaceWords | DeleteLine | Exit


def render(command: Command) -> str:
    """The command as the model writes it, without a line end."""
    match command:
        case AddLine(line, text):
            return f"### ADDL {line} {MARK}{text}"
        case ReplaceLine(line, text):
            return f"### REPL {line} {MARK}{text}"
        case ReplaceWords(line, old, new):
            return f"### REPW {line} {MARK}{old}{_SEPARATOR}{new}"
        case DeleteLine(line):
            return f"### DELL {line}"
        case Exit():
            return "### EXIT"


def parse(text: str) -> Command:
    """Read one command; a single line end after it is allowed. Raises CommandError.

    Nothing else is lenient: but for that line end, `render(parse(text)) == text`.
    """
    line = text.removesuffix("\n")
    if not line.strip():
        raise CommandError(Reason.EMPTY)
    if "\n" in line:
        raise CommandError(Reason.SEVERAL)
    head = _HEAD.match(line)
    if head is None:
        raise CommandError(Reason.UNKNOWN)
    rest = line[head.end() :]
    match head[1]:
        case "EXIT":
            _nothing(rest)
            return Exit()
        case "DELL":
            number, rest = _number(rest)
            _nothing(rest)
            return DeleteLine(number)
        case "ADDL":
            number, rest = _number(rest)
            return AddLine(number, _content(rest))
        case "REPL":
            number, rest = _number(rest)
            return ReplaceLine(number, _content(rest))
        case "REPW":
            number, rest = _number(rest)
            old, separator, new = _content(rest).partition(_SEPARATOR)
            if not separator:
                raise CommandError(Reason.NO_SECOND_MARK)
            if not old:
                raise CommandError(Reason.EMPTY_OLD)
            return ReplaceWords(number, old, new)
        case _:
            raise CommandError(Reason.UNKNOWN)


def _nothing(text: str) -> None:
    if text:
        raise CommandError(Reason.EXTRA)


def _number(text: str) -> tuple[int, str]:
    match = _NUMBER.match(text)
    if match is None:
        raise CommandError(Reason.NUMBER)
    return int(match[1]), text[match.end() :]


def _content(text: str) -> str:
    if not text.startswith(_SEPARATOR):
        raise CommandError(Reason.NO_MARK)
    return text[len(_SEPARATOR) :]
