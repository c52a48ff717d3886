"""Edits of a program that does not parse: only those after which it does.

Looks at the line where the parser gave up and its neighbours. Where no single edit will do, two are
tried: one after which the parser gets further, and one where it gives up then.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from coe_lsp.parsing import parse

_MARKS = (":", ")", "]", "}", ",", "(", "'", '"', "=")
_EQUALS = re.compile(r"(?<![=!<>:])=(?!=)")
_CONDITION = re.compile(r"\s*(if|elif|while)\b")
_CLOSED_BY = {"(": ")", "[": "]", "{": "}"}
# How many half-mended programs are looked at again.
_SECOND, _MOST_TRIED = 6, 3000
# How many ends of lines that hang wrong are tried, the nearest ones, and the last.
_MOST_RUNS = 40
# A definition in a comment.
HIDDEN = re.compile(r"([ \t]*)#[ \t]?(?=(?:async[ \t]+def|def|class)\b.*:\s*(?:#.*)?\s*\Z)")
_TRIPLE = re.compile(r"\"{3}|\'{3}")
_TAIL = re.compile(r"([)\]}:,]*)\s*\Z")
_STRING = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"")
_BLOCK = re.compile(r"\s*(if|elif|else|for|while|def|class|try|except|finally|with|async)\b[^:]*\Z")


def syntax_edits(lines: Sequence[str]) -> Iterator[tuple[tuple[str, ...], int]]:
    """Programs that parse, each with the line (1-based) that was changed."""
    number = first_fault(lines)
    if number is None:
        return
    found = False
    for program in _everywhere(lines):
        pairs = enumerate(zip(lines, program, strict=True), 1)
        line = next((n for n, (old, new) in pairs if old != new), None)
        if line is not None and first_fault(program) is None:
            found = True
            yield program, line
    further: list[tuple[int, tuple[str, ...], int]] = []
    for program, line in _edited(lines, number):
        where = first_fault(program)
        if where is None:
            found = True
            yield program, line
        elif where > number:
            further.append((where, program, line))
    if found:
        return
    further.sort(key=lambda entry: -entry[0])
    twice = (
        (again, min(line, other))
        for where, program, line in further[:_SECOND]
        for again, other in _edited(program, where)
    )
    for again, line in itertools.islice(twice, _MOST_TRIED):
        if first_fault(again) is None:
            yield again, line


def _everywhere(lines: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Programs with the same done to all lines that begin a block."""
    yield tuple(line.rstrip() + ":" if _BLOCK.match(line.rstrip()) else line for line in lines)
    yield tuple(_EQUALS.sub("==", line) if _CONDITION.match(line) else line for line in lines)
    texts = _in_long_text(lines)
    yield tuple(line if n in texts else _closed(line) for n, line in enumerate(lines))


def _closed(line: str) -> str:
    """The line with the string closed that it leaves open, before what closes brackets."""
    rest = _STRING.sub("", line)
    quote = next((mark for mark in "'\"" if rest.count(mark) == 1), None)
    if quote is None or "#" in line:
        return line
    return _TAIL.sub(rf"{quote}\1", line, count=1)


def _in_long_text(lines: Sequence[str]) -> set[int]:
    """The lines (from 0) that have something of a text in three quotes."""
    found: set[int] = set()
    inside = ""
    for number, line in enumerate(lines):
        marks = _TRIPLE.findall(line)
        if inside or marks:
            found.add(number)
        for mark in marks:
            inside = "" if mark == inside else inside or mark
    return found


def _edited(lines: Sequence[str], number: int) -> Iterator[tuple[tuple[str, ...], int]]:
    """Programs with one line changed, those first that differ where the parser gave up."""
    for line in dict.fromkeys((number, number - 1, number + 1, *range(1, len(lines) + 1))):
        if not 1 <= line <= len(lines):
            continue
        near = abs(line - number) <= 1
        for new in _variants(lines, line, near):
            program = (*lines[: line - 1], *new, *lines[line:])
            if program != tuple(lines):
                yield program, line
    yield from _shifted(lines, number)


def _shifted(lines: Sequence[str], number: int) -> Iterator[tuple[tuple[str, ...], int]]:
    """Programs in which lines from the fault or just above it on hang deeper, or less deep.

    Such a run ends where the indentation changes.
    """
    indents = [line[: len(line) - len(line.lstrip())] for line in lines]
    code = [n for n, line in enumerate(lines) if line.strip()]
    after = {n: indents[m] for n, m in itertools.pairwise(code)}
    ends = [n + 1 for n in code if after.get(n) != indents[n] and n >= number]
    ends = [*ends[:_MOST_RUNS], *ends[_MOST_RUNS:][-1:]]
    unit = min((indents[n] for n in code if indents[n]), key=len, default="    ")
    for first, last in itertools.product((number, number - 1), ends):
        if not 1 <= first < last:
            continue
        block = lines[first - 1 : last]
        yield _replaced(lines, first, [unit + line if line.strip() else line for line in block])
        if all(line.startswith(unit) for line in block if line.strip()):
            yield _replaced(lines, first, [line.removeprefix(unit) for line in block])


def _replaced(lines: Sequence[str], first: int, new: Sequence[str]) -> tuple[tuple[str, ...], int]:
    return (*lines[: first - 1], *new, *lines[first - 1 + len(new) :]), first


def first_fault(lines: Sequence[str]) -> int | None:
    """The line (1-based) at which the parser gives up; None if it does not."""
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
    if HIDDEN.match(line):
        yield (HIDDEN.sub(r"\1", line),)
    if not near:
        return
    for mark in (*_MARKS[:5], *_missing(code)):
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
    yield (_EQUALS.sub("==", line),)
    yield (line.replace("==", "="),)
    yield ()
    yield line[: len(line) - len(line.lstrip())] + "pass", line


def _missing(code: str) -> Iterator[str]:
    """What closes all brackets that a line leaves open, if these are several."""
    still_open: list[str] = []
    for character in _STRING.sub("", code):
        if character in _CLOSED_BY:
            still_open.append(_CLOSED_BY[character])
        elif still_open and character == still_open[-1]:
            still_open.pop()
    if len(still_open) > 1:
        yield "".join(reversed(still_open))
