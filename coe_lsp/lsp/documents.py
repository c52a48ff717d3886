"""Between an editor's text and ours: decoding, lines, minimal edits, the function at a line.

Pure: positions are the client's own units only where a line is cut, which happens at the end of a
file without a last line end. pygls splits lines where Python does (form feeds among them), the
protocol does not; so its lines are never used, and documents are synchronised whole.
"""

from __future__ import annotations

import difflib
import io
import re
import tokenize
from collections.abc import Callable, Sequence
from pathlib import Path

from lsprotocol import types

from coe_lsp.files import MOST_SOURCE
from coe_lsp.repair.target.source import SourceError, SourceFile, split_lines

_DEF = re.compile(r"([ \t]*)(?:async[ \t]+def|def|class)[ \t]+(\w+)")


def source_of(path: Path, text: str) -> SourceFile:
    """The editor's text as a source file, with the encoding that its cookie names.

    SourceError if it is too large, or holds what its encoding cannot.
    """
    bom = text.startswith("\ufeff")
    text = text.removeprefix("\ufeff")
    head = "".join(split_lines(text[:2000])[:2])
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(head.encode()).readline)
        size = len(text.encode(encoding))
    except (SyntaxError, LookupError, UnicodeEncodeError) as error:
        raise SourceError(f"{path} cannot be encoded: {error}.") from error
    if size > MOST_SOURCE:
        raise SourceError(f"{path} has {size} bytes; the limit is {MOST_SOURCE}.")
    return SourceFile(path, encoding, bom, split_lines(text))


def edits(
    old: Sequence[str], new: Sequence[str], units: Callable[[str], int]
) -> list[types.TextEdit]:
    """Edits of whole lines that make `new` of `old`; `units` measures text for the client."""
    found: list[types.TextEdit] = []
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for tag, first, last, start, end in matcher.get_opcodes():
        if tag == "equal":
            continue
        whole = types.Range(_start(old, first, units), _start(old, last, units))
        found.append(types.TextEdit(whole, "".join(new[start:end])))
    return found


def _start(lines: Sequence[str], index: int, units: Callable[[str], int]) -> types.Position:
    """Where a line begins; past the last one, where the file ends."""
    if index == len(lines) and lines and not lines[-1].endswith(("\n", "\r")):
        return types.Position(index - 1, units(lines[-1]))
    return types.Position(index, 0)


def line_range(lines: Sequence[str], number: int, units: Callable[[str], int]) -> types.Range:
    """The text of a line (1-based) without its indentation and line end."""
    line = lines[number - 1].rstrip() if 0 < number <= len(lines) else ""
    indent = line[: len(line) - len(line.lstrip())]
    row = max(0, min(number, len(lines)) - 1)
    return types.Range(types.Position(row, units(indent)), types.Position(row, units(line)))


def function_at(lines: Sequence[str], row: int) -> str | None:
    """The qualified name of the function around a row (0-based), by indentation alone.

    Looks only upward from the row, so it takes no time whatever the file's size, and needs no
    syntax that is right. None outside functions, and below a string that hangs out to the left.
    """
    row = min(row, len(lines) - 1)
    while row >= 0 and not lines[row].strip():
        row -= 1
    # A decorator belongs to what it decorates.
    while 0 <= row < len(lines) - 1 and lines[row].lstrip().startswith("@"):
        row += 1
    names: list[str] = []
    innermost = ""
    limit: int | None = None
    for number in range(row, -1, -1):
        line = lines[number]
        stripped = line.strip()
        # Comments and closing brackets may stand further left than what they belong to.
        loose = stripped.startswith(("#", ")", "]", "}")) and number != row
        if not stripped or loose:
            continue
        indent = len(line) - len(line.lstrip())
        if limit is not None and indent >= limit:
            continue
        match = _DEF.match(line)
        if match:
            names.insert(0, match[2])
            innermost = innermost or match[0].split()[0]
        limit = indent
        if limit == 0:
            break
    return ".".join(names) if names and innermost != "class" else None
