"""What an edit does, in plain words: the commands of a chain are not shown to people. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from coe_lsp.chain.commands import (
    AddBlock,
    AddLine,
    Command,
    DeleteLine,
    Exit,
    ReplaceBlock,
    ReplaceLine,
    ReplaceWords,
)

_MOST_CODE = 60


def edit_in_words(edit: Sequence[Command], first_line: int) -> str:
    """What an edit does, with the file's line numbers; line 1 of the commands is `first_line`."""
    if not edit:
        return ""
    more = f" and {len(edit) - 1} more" if len(edit) > 1 else ""
    return _one(edit[0], first_line - 1) + more


def _one(command: Command, above: int) -> str:
    match command:
        case AddLine(line, text):
            return f"line {line + above} added: {_code(text)}"
        case ReplaceLine(line, text):
            return f"line {line + above} changed to {_code(text)}"
        case ReplaceWords(line, old, new):
            if not new.strip():
                return f"line {line + above} without {_code(old)}"
            return f"line {line + above}: {_code(old)} changed to {_code(new)}"
        case DeleteLine(line):
            return f"line {line + above} taken out"
        case ReplaceBlock(first, last, lines):
            where = f"lines {first + above} to {last + above}"
            return f"{where} changed to {_code(_first(lines))}" if lines else f"{where} taken out"
        case AddBlock(line, lines):
            return f"{len(lines)} lines added at line {line + above}: {_code(_first(lines))}"
        case Exit():
            return "nothing changed"


def _first(lines: Sequence[str]) -> str:
    return next((line for line in lines if line.strip()), "") + (" ..." if len(lines) > 1 else "")


def _code(text: str) -> str:
    text = " ".join(text.split())
    return f"`{text if len(text) <= _MOST_CODE else text[: _MOST_CODE - 3] + '...'}`"
