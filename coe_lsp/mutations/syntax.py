"""Edits of a program that does not parse: only those after which it does.

Looks at the line where the parser gave up and the one before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from coe_lsp.parsing import parse

_MARKS = (":", ")", "]", "}", ",", "(", "'", '"', "=")
_BLOCK = re.compile(r"\s*(if|elif|else|for|while|def|class|try|except|finally|with|async)\b[^:]*\Z")


def syntax_edits(lines: Sequence[str]) -> Iterator[tuple[tuple[str, ...], int]]:
    """Programs that parse, each with the line (1-based) that was changed."""
    number = _where(lines)
    if number is None:
        return
    for line in dict.fromkeys((number, number - 1, number + 1, *range(1, len(lines) + 1))):
        if not 1 <= line <= len(lines):
            continue
        near = abs(line - number) <= 1
        for new in _variants(lines, line, near):
            program = (*lines[: line - 1], *new, *lines[line:])
            if program != tuple(lines) and _where(program) is None:
                yield program, line


def _where(lines: Sequence[str]) -> int | None:
    try:
        parse("\n".join(lines))
    except SyntaxError as error:
        return min(error.lineno or 1, len(lines))
    return None


def _variants(lines: Sequence[str], number: int, near: bool) -> Iterator[tuple[str, ...]]:
    line = lines[number - 1]
    code = line.rstrip()
    if _BLOCK.match(code):
        yield (code + ":",)
    if not near:
        return
    for mark in _MARKS[:5]:
        yield (code + mark,)
        if code.endswith(":"):
            yield (code[:-1] + mark + ":",)
    before = lines[number - 2] if number > 1 else ""
    indents = {len(text) - len(text.lstrip()) for text in lines if text.strip()}
    indents |= {len(before) - len(before.lstrip()) + step for step in (-4, 0, 4)}
    for indent in sorted(n for n in indents if n >= 0):
        yield (" " * indent + line.lstrip(),)
    # One character gone, one put in, `=` and `==` for each other.
    for place in range(len(line)):
        if not line[place].isspace():
            yield (line[:place] + line[place + 1 :],)
    for place in range(len(line) - len(line.lstrip()), len(line) + 1):
        for mark in _MARKS:
            yield (line[:place] + mark + line[place:],)
    yield (re.sub(r"(?<![=!<>])=(?!=)", "==", line),)
    yield (line.replace("==", "="),)
    yield ()
    yield line[: len(line) - len(line.lstrip())] + "pass", line
