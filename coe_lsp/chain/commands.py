r"""The seven commands of the edit language, parsed and printed exactly.

    ### ADDL <n> >>><line>            insert a line so that it becomes line n
    ### REPL <n> >>><line>            replace line n
    ### REPW <n> >>><old> >>><new>    replace the first occurrence of old in line n by new
    ### DELL <n>                      delete line n
    ### EXIT                          stop

    ### REPB <first> <last>           replace lines first to last by those that follow, if any
    >>><line>
    >>><line>
    ### ADDB <n>                      insert those that follow, so that the first becomes line n
    >>><line>

One command a turn. The first five are one line each; of a block every line of content stands on a
line of its own. Content is verbatim to the end of the line, so spaces count. Only "\n" ends a line.
`parse(render(c)) == c` for every command. The names and forms of the first five are the paper's
(arXiv 2507.05065); that REPW changes only the first occurrence, that `old` ends at the first
" >>>", and the blocks are our own. Whether a line exists is the scratchpad's business, not ours.
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
_BLOCK_HEADS = ("### REPB ", "### ADDB ")


class Reason(Enum):
    """What is wrong with a command; the value is shown to the model."""

    EMPTY = "no command was given"
    SEVERAL = "give one command only, on one line"
    UNKNOWN = (
        "unknown command; start with ### REPL, ### ADDL, ### REPW, ### DELL, ### REPB, ### ADDB "
        "or ### EXIT"
    )
    NUMBER = "missing or invalid line number after the command's name"
    NO_MARK = "missing >>> before the text"
    NO_SECOND_MARK = "REPW needs >>>old >>>new"
    EMPTY_OLD = "REPW needs some text to replace"
    EXTRA = "nothing may follow the command"
    NO_LAST = "REPB needs the numbers of the first and the last line to replace"
    ORDER = "the last line to replace is before the first"
    BESIDE = "the lines of a block stand below its line numbers, each after >>>"
    NO_LINES = "ADDB needs at least one line below it, after >>>"
    UNMARKED = "each line below REPB or ADDB must start with >>>"
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


def _all_one_line(instance: object, attribute: object, value: tuple[str, ...]) -> None:
    for line in value:
        _one_line(instance, attribute, line)


def _not_before(instance: ReplaceBlock, attribute: object, value: int) -> None:
    if value < instance.first:
        raise ValueError("the last line of a block must not be before the first")


def _some(instance: object, attribute: object, value: tuple[str, ...]) -> None:
    if not value:
        raise ValueError("a block to insert has at least one line")


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
class ReplaceBlock:
    """Replace the lines from `first` to `last` (1-based, both included) by `lines`, if any."""

    first: int = field(validator=_LINE)
    last: int = field(validator=[*_LINE, _not_before])
    lines: tuple[str, ...] = field(validator=_all_one_line)


@frozen
class AddBlock:
    """Insert `lines`, one or more, so that the first becomes line `line` (1-based)."""

    line: int = field(validator=_LINE)
    lines: tuple[str, ...] = field(validator=[_some, _all_one_line])


@frozen
class Exit:
    """Stop editing."""


Command = AddLine | ReplaceLine | ReplaceWords | DeleteLine | ReplaceBlock | AddBlock | Exit


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
        case ReplaceBlock(first, last, lines):
            return f"### REPB {first} {last}{_below(lines)}"
        case AddBlock(line, lines):
            return f"### ADDB {line}{_below(lines)}"
        case Exit():
            return "### EXIT"


def is_block(text: str) -> bool:
    """Whether a text, of a command or of its beginning, may go on over the end of its first line.

    The numbers need not be right: a model that writes a wrong one is told so after the whole block.
    """
    return text.startswith(_BLOCK_HEADS)


def find_end(text: bytes) -> int | None:
    """Where a command ends in what a model has written so far; None if it may still go on.

    That is the first line end, and in a block the first that no `>>>` follows.
    """
    end = text.find(b"\n")
    if end < 0 or not is_block(text[:end].decode("utf-8", "replace")):
        return None if end < 0 else end
    mark = MARK.encode()
    while end >= 0:
        start = text[end + 1 : end + 1 + len(mark)]
        if start != mark:
            return None if mark.startswith(start) else end
        end = text.find(b"\n", end + 1)
    return None


def parse(text: str) -> Command:
    """Read one command; a single line end after it is allowed. Raises CommandError.

    Nothing else is lenient: but for that line end, `render(parse(text)) == text`.
    """
    line = text.removesuffix("\n")
    if not line.strip():
        raise CommandError(Reason.EMPTY)
    below: list[str] = []
    if is_block(line):
        line, *below = line.split("\n")
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
        case "REPB":
            first, rest = _number(rest)
            last, rest = _number(rest, Reason.NO_LAST)
            lines = _block(rest, below)
            if last < first:
                raise CommandError(Reason.ORDER)
            return ReplaceBlock(first, last, lines)
        case "ADDB":
            number, rest = _number(rest)
            lines = _block(rest, below)
            if not lines:
                raise CommandError(Reason.NO_LINES)
            return AddBlock(number, lines)
        case _:
            raise CommandError(Reason.UNKNOWN)


def _below(lines: tuple[str, ...]) -> str:
    return "".join(f"\n{MARK}{line}" for line in lines)


def _nothing(text: str) -> None:
    if text:
        raise CommandError(Reason.EXTRA)


def _block(beside: str, below: list[str]) -> tuple[str, ...]:
    if beside:
        raise CommandError(Reason.BESIDE)
    if not all(line.startswith(MARK) for line in below):
        raise CommandError(Reason.UNMARKED)
    return tuple(line[len(MARK) :] for line in below)


def _number(text: str, reason: Reason = Reason.NUMBER) -> tuple[int, str]:
    match = _NUMBER.match(text)
    if match is None:
        raise CommandError(reason)
    return int(match[1]), text[match.end() :]


def _content(text: str) -> str:
    if not text.startswith(_SEPARATOR):
        raise CommandError(Reason.NO_MARK)
    return text[len(_SEPARATOR) :]
