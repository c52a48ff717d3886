"""Where to look when the failing tests run no function: a block of the file's top level.

A broken `class` line, a `def` in a comment, a method or a body that has lost its indentation: the
file cannot be imported, or lacks what the tests ask for. Goes by what the failures say, and in a
file that does not parse by indentation.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from coe_lsp.execution.suite import TestResult
from coe_lsp.mutations.syntax import HIDDEN, first_fault
from coe_lsp.parsing import parse
from coe_lsp.repair.target.source import Function, SourceFile

# As in "expected an indented block after class definition on line 1".
_ABOVE = re.compile(r"(?:Syntax|Indentation)Error: .*\bon line (\d+)")
_OUTSIDE = re.compile(r"SyntaxError: .* outside (?:async )?function")
_LACKS = re.compile(
    r"'(?P<owner>\w+)' (?:object )?has no attribute '(?P<attribute>\w+)'"
    r"|cannot import name '(?P<imported>\w+)'|NameError: name '(?P<name>\w+)' is not defined"
)
_HEAD = re.compile(r"(?:async[ \t]+def|def|class)[ \t]+(\w+)")
_CLASS = re.compile(r"class\b[^#]*:\s*(#|\Z)")
_METHOD = re.compile(r"(?:async[ \t]+)?def[ \t]+\w+\((?:self|cls)\b")
_GOES_ON = re.compile(r"[ \t)\]}]|(?:else|elif|except|finally)\b")
# A longer block is not what a model can read, nor mutations can try.
_MOST_LINES = 300


def with_toplevel_block(
    functions: Sequence[Function],
    source: SourceFile,
    failing: Sequence[TestResult],
    *,
    reached: bool,
) -> list[Function]:
    """What to change so that these tests pass: of the functions those that may be to blame.

    Where the tests have `reached` none, or lack what a comment defines, also the block that is to
    blame, by the name of its class, or `<module>`. In a file that does not parse a function that
    does is not to blame.
    """
    hidden = _hidden_definition(source, failing)
    if hidden is not None:
        return _joined([], _around(source, hidden), functions)
    if reached:
        return list(functions)
    if first_fault([source.text]) is not None:
        functions = [f for f in functions if first_fault(source.scratch_lines(f)) is not None]
    line, left_outside = _line_at_fault(source, failing)
    block = _around(source, line, left_outside=left_outside) if line else None
    return _joined(functions, block, [])


def _joined(
    first: Sequence[Function], block: Function | None, last: Sequence[Function]
) -> list[Function]:
    given = [*first, *last]
    if block is None or any(f.first <= block.first and block.last <= f.last for f in given):
        return given
    return [*first, block, *last]


def _line_at_fault(source: SourceFile, failing: Sequence[TestResult]) -> tuple[int | None, bool]:
    """The line, and whether it is one of a body that was left outside of its function."""
    for test in failing:
        if test.line is not None and test.line <= len(source.lines):
            above = _ABOVE.search(test.detail)
            line = int(above[1]) if above else test.line
            if _OUTSIDE.search(test.detail):
                head = _head_before(source, line)
                return head, head != line
            return line, False
    for lacks in _lacking(failing):
        for number, line in enumerate(source.lines, 1):
            head = _HEAD.match(line)
            if head and lacks["owner"] == head[1] and line.startswith("class"):
                return number, False
    return None, False


def _hidden_definition(source: SourceFile, failing: Sequence[TestResult]) -> int | None:
    """The line of a comment that defines what a failure says is lacking."""
    lacking = {name for lacks in _lacking(failing) for name in lacks.groupdict().values() if name}
    for number, line in enumerate(source.lines, 1):
        hidden = HIDDEN.match(line)
        head = _HEAD.match(line[hidden.end() :]) if hidden else None
        if head and head[1] in lacking:
            return number
    return None


def _lacking(failing: Sequence[TestResult]) -> Iterator[re.Match[str]]:
    for test in failing:
        yield from _LACKS.finditer(test.detail)


def _head_before(source: SourceFile, line: int) -> int:
    """The last unindented definition at or above a line; the line itself if there is none."""
    heads = (n for n in range(line, 0, -1) if _HEAD.match(source.lines[n - 1]))
    head = next(heads, line)
    return head if _block(source.lines, line)[0] > head else line


def _around(source: SourceFile, line: int, *, left_outside: bool = False) -> Function | None:
    """The block that a line (1-based) is in, with what was left outside; None if it is too long."""
    first, last = _block(source.lines, line)
    if not HIDDEN.match(source.lines[first - 1]):
        first, last = _statement(source, first, last)
    if left_outside:
        last = _with_body_outside(source.lines, last)
    if last - first >= _MOST_LINES:
        return None
    heads = (_HEAD.match(text) for text in source.lines[first - 1 : last])
    name = next((head[1] for head in heads if head), "<module>")
    return Function(name, first, last)


def _statement(source: SourceFile, first: int, last: int) -> tuple[int, int]:
    """The lines of the statement in a file that parses: a text may hang out to the left."""
    try:
        body = parse(source.text).body
    except SyntaxError:
        return first, last
    for node in body:
        decorators: list[ast.expr] = getattr(node, "decorator_list", [])
        begin = min([node.lineno, *(d.lineno for d in decorators)])
        if begin <= first <= (node.end_lineno or begin):
            return begin, max(last, node.end_lineno or begin)
    return first, last


def _block(lines: Sequence[str], line: int) -> tuple[int, int]:
    """The unindented line at or above `line` that opens its block, and the block's last line."""
    openings = list(_openings(lines))
    first = max((n for n in openings if n <= line), default=1)
    later = [n for n in openings if n > max(first, line)]
    if _CLASS.match(lines[first - 1]) and _is_bare(lines, first, later):
        # Nothing hangs below a class whose methods have lost their indentation.
        while later and _is_method(lines, later[0]):
            del later[0]
    end = later[0] - 1 if later else len(lines)
    while end > first and not lines[end - 1].strip():
        end -= 1
    return first, end


def _openings(lines: Sequence[str]) -> Iterator[int]:
    """The lines (1-based) that open a block; a decorator opens that of what it decorates."""
    decorated = False
    for number, line in enumerate(lines, 1):
        comment = line.startswith("#") and not HIDDEN.match(line)
        if not line.strip() or _GOES_ON.match(line) or comment:
            continue
        if not decorated:
            yield number
        decorated = line.startswith("@")


def _is_bare(lines: Sequence[str], first: int, later: Sequence[int]) -> bool:
    end = later[0] - 1 if later else len(lines)
    return not any(lines[n].strip() for n in range(first, end))


def _is_method(lines: Sequence[str], opening: int) -> bool:
    while lines[opening - 1].startswith("@") and opening < len(lines):
        opening += 1
    return bool(_METHOD.match(lines[opening - 1]))


def _with_body_outside(lines: Sequence[str], last: int) -> int:
    """Where a function would end together with the statements below it that no head begins."""
    end = last
    for number in range(last + 1, len(lines) + 1):
        line = lines[number - 1]
        if _HEAD.match(line) or line.startswith(("@", "import ", "from ")):
            break
        if line.strip():
            end = number
    return end
