"""Where to look when the failing tests run no function: a block of the file's top level.

A broken `class` line, a `def` that was commented out, a method that has lost its indentation: the
file cannot be imported, or lacks what the tests ask for. Goes by what the failures say and by
indentation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from coe_lsp.execution.suite import TestResult
from coe_lsp.mutations.syntax import first_fault
from coe_lsp.repair.source import Function, SourceFile

_NAMED = re.compile(r"'(\w+)'|\btype object '(\w+)'")
# As in "expected an indented block after class definition on line 1".
_ABOVE = re.compile(r"(?:Syntax|Indentation)Error: .*\bon line (\d+)")
_HEAD = re.compile(r"(?:async[ \t]+def|def|class)[ \t]+(\w+)")
# A longer block is not what a model can read, nor mutations can try.
_MOST_LINES = 300


def with_block(
    functions: Sequence[Function], source: SourceFile, failing: Sequence[TestResult]
) -> list[Function]:
    """What to change so that these tests can run: of the functions those that may be to blame.

    And last the block that a failure's line is in, by the name of its class, or `<module>`. In a
    file that does not parse a function that does is not to blame.
    """
    if first_fault(source.text.splitlines()) is not None:
        functions = [f for f in functions if first_fault(source.scratch_lines(f)) is not None]
    block = _block_of(source, failing)
    if block is None or any(f.first <= block.first and block.last <= f.last for f in functions):
        return list(functions)
    return [*functions, block]


def _block_of(source: SourceFile, failing: Sequence[TestResult]) -> Function | None:
    line = next((test.line for test in failing if test.line is not None), None)
    above = next((m for test in failing if (m := _ABOVE.search(test.detail))), None)
    if above is not None:
        line = int(above[1])
    if line is None:
        line = _line_of_missing(source, failing)
    if line is None or not 1 <= line <= len(source.lines):
        return None
    first, last = _block(source.lines, line)
    if last - first >= _MOST_LINES:
        return None
    head = _HEAD.match(source.lines[first - 1])
    return Function(head[1] if head else "<module>", first, last)


def _line_of_missing(source: SourceFile, failing: Sequence[TestResult]) -> int | None:
    for test in failing:
        names = {name for pair in _NAMED.findall(test.detail) for name in pair if name}
        for number, line in enumerate(source.lines, 1):
            if names.intersection(_HEAD.findall(line)):
                return number
    return None


def _block(lines: Sequence[str], line: int) -> tuple[int, int]:
    """The unindented line at or above `line` that opens its block, and the block's last line."""
    first = line
    while first > 1 and not _opens(lines[first - 1]):
        first -= 1
    # Nothing hangs below a class whose method has lost its indentation.
    last = after = first
    if lines[first - 1].rstrip().endswith(":") and first < len(lines) and _opens(lines[first]):
        last = after = first + 1
    while after < len(lines) and not _opens(lines[after]):
        after += 1
        if lines[after - 1].strip():
            last = after
    return first, last


def _opens(line: str) -> bool:
    return bool(line.strip()) and line[0] not in " \t)]}"
