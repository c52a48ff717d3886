"""Edits of whole statements: deleted, moved, unwrapped, their keyword changed, a line put in.

Weights are logs of rough frequencies, on the scale of those in `expressions`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import cast

from coe_lsp.mutations.program import Edit, Program
from coe_lsp.mutations.scope import Scope

_SIMPLE = (
    ast.Return, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr, ast.Break, ast.Continue,
    ast.Pass, ast.Raise, ast.Delete, ast.Assert,
)  # fmt: skip
_AUGMENTED = ("+", "-", "*", "//", "/", "%", "**", "|", "&", "^", "<<", ">>")
_BASE_VALUES = ("0", "1", "[]", "''", "None", "False", "True", "-1", "{}")
_PAIRED = 10
_Block = list[ast.stmt]
_Function = (ast.FunctionDef, ast.AsyncFunctionDef)


def statement_edits(program: Program, scope: Scope) -> Iterator[Edit]:
    """All edits of statements, in order of the text."""
    for owner in ast.walk(program.tree):
        for name in ("body", "orelse", "finalbody"):
            if not isinstance(owner, ast.Module):
                yield from _block(program, scope, owner, _statements(owner, name))
        if isinstance(owner, _Function):
            yield from _base_cases(program, scope, owner)


def _block(program: Program, scope: Scope, owner: ast.AST, block: _Block) -> Iterator[Edit]:
    for index, node in enumerate(block):
        if _is_docstring(owner, node, index) or not _alone(program, node):
            continue
        if not program.wanted(node):
            continue
        yield from _delete(program, block, node)
        if index + 1 < len(block) and _alone(program, block[index + 1]):
            yield _swap(program, node, block[index + 1])
        yield from _indent(program, block, index)
        yield from _dedent(program, owner, block, index)
        yield from _change(program, scope, node)
        yield from _insert(program, scope, block, index)


def _statements(owner: ast.AST | None, name: str) -> _Block:
    """A block of a compound statement; empty for what is none, like the body of a lambda."""
    block: object = getattr(owner, name, None)
    return cast(_Block, block) if isinstance(block, list) else []


def _is_docstring(owner: ast.AST, node: ast.stmt, index: int) -> bool:
    return index == 0 and isinstance(owner, _Function) and isinstance(node, ast.Expr) and (
        isinstance(node.value, ast.Constant)
    )  # fmt: skip


def _alone(program: Program, node: ast.stmt) -> bool:
    """Whether the statement has its lines to itself."""
    start, end = program.span(node)
    before = program.between(program.line_start(node.lineno), start)
    after = program.between(end, program.line_start((node.end_lineno or node.lineno) + 1))
    return not before.strip() and (not after.strip() or after.lstrip().startswith("#"))


def _lines(program: Program, node: ast.stmt) -> tuple[int, int]:
    """The statement's whole lines, its last line end included."""
    return program.line_start(_first_line(node)), program.line_start((node.end_lineno or 0) + 1)


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(d.lineno for d in decorators)])


def _text(program: Program, node: ast.stmt) -> str:
    """The statement's whole lines, ended by a line end even at the program's end."""
    text = program.between(*_lines(program, node))
    return text if text.endswith("\n") else text + "\n"


def _indentation(program: Program, node: ast.stmt) -> str:
    return program.between(program.line_start(node.lineno), program.span(node)[0])


def _whole(program: Program, node: ast.stmt, new: str, kind: str, weight: float) -> Edit:
    start, end = _lines(program, node)
    return _cut(program, start, end, new, kind, weight)


def _cut(program: Program, start: int, end: int, new: str, kind: str, weight: float) -> Edit:
    """An edit of whole lines that leaves the program's last line end as it was."""
    if end == len(program.data) and not program.data.endswith(b"\n"):
        if new:
            new = new.removesuffix("\n")
        elif start:
            start -= 1
    return Edit(start, end, new, kind, weight)


def _reindent(text: str, old: str, new: str) -> str:
    return "".join(
        new + line.removeprefix(old) if line.startswith(old) else line
        for line in text.splitlines(keepends=True)
    )


def _delete(program: Program, block: _Block, node: ast.stmt) -> Iterator[Edit]:
    if isinstance(node, (*_Function, ast.ClassDef)):
        return
    weight = -0.4 if isinstance(node, _SIMPLE) else -1.0
    if len(block) > 1:
        yield _whole(program, node, "", "extra line", weight)
    elif not isinstance(node, ast.Pass):
        yield _whole(
            program, node, _indentation(program, node) + "pass\n", "extra line", weight - 1.0
        )
    inner: object = getattr(node, "body", None)
    if isinstance(node, (ast.If, ast.For, ast.While, ast.With, ast.Try)) and inner:
        outside, inside = _indentation(program, node), _indentation(program, node.body[0])
        parts = [_text(program, part) for part in node.body]
        text = _reindent("".join(parts), inside, outside)
        yield _whole(program, node, text, "extra block", -1.0)
        if isinstance(node, ast.If) and node.orelse:
            yield from _without_else(program, node)


def _without_else(program: Program, node: ast.If) -> Iterator[Edit]:
    last = node.body[-1].end_lineno or node.lineno
    start = program.line_start(last + 1)
    yield _cut(program, start, _lines(program, node)[1], "", "extra block", -1.2)
    outside = _indentation(program, node)
    first = node.orelse[0]
    if _is_elif(program, first):
        text = program.between(program.line_start(first.lineno), _lines(program, node)[1])
        new = text.replace("elif", "if", 1)
        yield _cut(
            program, program.line_start(first.lineno), _lines(program, node)[1], new,
            "elif", -0.6,
        )  # fmt: skip
    elif _alone(program, first):
        inside = _indentation(program, first)
        text = "".join(_text(program, part) for part in node.orelse)
        new = _reindent(text, inside, outside)
        yield _cut(program, start, _lines(program, node)[1], new, "else", -0.8)


def _is_elif(program: Program, node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and program.source(node).startswith("elif")


def _swap(program: Program, one: ast.stmt, two: ast.stmt) -> Edit:
    start, end = _lines(program, one)[0], _lines(program, two)[1]
    between = program.between(_lines(program, one)[1], _lines(program, two)[0])
    new = _text(program, two) + between + _text(program, one)
    return _cut(program, start, end, new, "order", -0.7)


def _indent(program: Program, block: _Block, index: int) -> Iterator[Edit]:
    """The statement after a compound one goes to the end of that one's block."""
    node = block[index]
    if index == 0:
        return
    before = block[index - 1]
    inner = _last_block(before)
    if not inner or not _alone(program, inner[-1]):
        return
    new = _reindent(
        _text(program, node), _indentation(program, node), _indentation(program, inner[-1])
    )
    yield _whole(program, node, new, "indentation", -0.6)
    deeper = _last_block(inner[-1])
    if deeper and _alone(program, deeper[-1]):
        new = _reindent(
            _text(program, node), _indentation(program, node), _indentation(program, deeper[-1])
        )
        yield _whole(program, node, new, "indentation", -1.2)


def _last_block(node: ast.stmt) -> _Block:
    if not isinstance(node, (ast.If, ast.For, ast.While, ast.With)):
        return []
    block = getattr(node, "orelse", None) or node.body
    return list(block)


def _dedent(program: Program, owner: ast.AST, block: _Block, index: int) -> Iterator[Edit]:
    """The last statement of a block leaves it."""
    if index == 0 or index + 1 < len(block) or not isinstance(owner, (ast.If, ast.For, ast.While)):
        return
    outer: ast.AST = owner
    weight = -0.4
    while isinstance(outer, (ast.If, ast.For, ast.While)):
        # What follows on the lines below must not be part of the same compound statement.
        if (outer.end_lineno or 0) > (block[index].end_lineno or 0):
            return
        if not _alone(program, outer):
            return
        node = block[index]
        new = _reindent(
            _text(program, node), _indentation(program, node), _indentation(program, outer)
        )
        yield _whole(program, node, new, "indentation", weight)
        parent = program.parents[outer]
        siblings = _statements(parent, "body")
        if not siblings or siblings[-1] is not outer:
            return
        outer, weight = parent, weight - 0.6


def _change(program: Program, scope: Scope, node: ast.stmt) -> Iterator[Edit]:
    start, end = program.span(node)
    match node:
        case ast.Break():
            yield Edit(start, end, "continue", "jump", 0.0)
            for text in ("return True", "return False", "pass"):
                yield Edit(start, end, text, "jump", -1.5)
        case ast.Continue():
            yield Edit(start, end, "break", "jump", 0.0)
            yield Edit(start, end, "pass", "jump", -1.5)
        case ast.Pass():
            for text in ("continue", "break", "return"):
                yield Edit(start, end, text, "jump", -0.8)
        case ast.Return():
            yield from _return(program, scope, node)
        case ast.Expr():
            text = program.source(node)
            yield Edit(start, end, f"return {text}", "missing return", 0.0)
            for name in scope.variables:
                yield Edit(start, end, f"{name} = {text}", "missing assignment", -1.0)
        case ast.AugAssign():
            yield from _augmented(program, node)
        case ast.Assign() if len(node.targets) == 1:
            yield from _assign(program, node)
        case ast.If():
            if program.source(node).startswith("if") and not node.orelse:
                yield Edit(start, start + 2, "while", "keyword", -1.2)
            elif program.source(node).startswith("elif"):
                yield Edit(start, start + 4, "if", "elif", -0.5)
        case ast.While():
            yield Edit(start, start + 5, "if", "keyword", -1.2)
        case _:
            pass
    if isinstance(node, ast.If) and _alone(program, node):
        yield from _after_if(program, node)


def _after_if(program: Program, node: ast.If) -> Iterator[Edit]:
    """`if` below `if` as `elif`."""
    parent = program.parents.get(node)
    block = _statements(parent, "body")
    if node in block:
        before = block[max(block.index(node) - 1, 0)]
        if before is not node and isinstance(before, ast.If) and not before.orelse:
            start = program.span(node)[0]
            yield Edit(start, start + 2, "elif", "elif", -0.5)


def _return(program: Program, scope: Scope, node: ast.Return) -> Iterator[Edit]:
    start, end = program.span(node)
    text = program.source(node.value) if node.value else ""
    for name in scope.variables:
        if name != text:
            yield Edit(start, end, f"return {name}", "wrong return", -0.9)
    for value in _BASE_VALUES:
        if value != text:
            yield Edit(start, end, f"return {value}", "wrong return", -1.8)
    if node.value is not None:
        value = program.atom(node.value)
        yield Edit(start, end, f"return not {value}", "negation", -1.2)
        yield Edit(start, end, text, "extra return", -2.0)
        for other in scope.conditions:
            for word in ("and", "or"):
                yield Edit(start, end, f"return {value} {word} {other}", "missing condition", -2.0)


def _augmented(program: Program, node: ast.AugAssign) -> Iterator[Edit]:
    before, after = program.span(node.target)[1], program.span(node.value)[0]
    gap = program.between(before, after)
    found = re.search(r"(\S+)=", gap)
    if found is None:
        return
    place = before + len(gap[: found.start()].encode()), before + len(gap[: found.end()].encode())
    for operator in _AUGMENTED:
        if operator != found[1]:
            near = {found[1], operator} in ({"+", "-"}, {"*", "+"}, {"//", "%"}, {"*", "//"})
            yield Edit(*place, operator + "=", "arithmetic", -0.3 if near else -1.8)
    yield Edit(*place, "=", "assignment", -0.8)
    target, value = program.source(node.target), program.atom(node.value)
    start, end = program.span(node)
    new = f"{target} = {value} {found[1]} {target}"
    yield Edit(start, end, new, "swapped operands", -1.0)


def _assign(program: Program, node: ast.Assign) -> Iterator[Edit]:
    target = node.targets[0]
    if isinstance(target, ast.Tuple):
        if isinstance(node.value, ast.Tuple) and len(node.value.elts) == len(target.elts) == 2:
            a, b = (program.source(part) for part in node.value.elts)
            yield Edit(*program.span(node.value), f"{b}, {a}", "swapped operands", -0.5)
        return
    before, after = program.span(target)[1], program.span(node.value)[0]
    gap = program.between(before, after)
    if "=" in gap and "(" not in gap:
        for operator, weight in (("+", -0.7), ("-", -1.5), ("*", -1.5), ("//", -2.0), ("|", -2.0)):
            yield Edit(before, after, f" {operator}= ", "assignment", weight)


def _insert(program: Program, scope: Scope, block: _Block, index: int) -> Iterator[Edit]:
    """A line put in before a statement, and after the last one of its block."""
    node = block[index]
    indent = _indentation(program, node)
    if isinstance(node, ast.If) and program.source(node).startswith("elif"):
        return
    places = [_lines(program, node)[0]]
    if index + 1 == len(block) and not isinstance(node, (ast.Return, ast.Break, ast.Continue)):
        places.append(_lines(program, node)[1])
    looped = _in_loop(program, node)
    for place in places:
        last = place == _lines(program, node)[1]
        for text, weight in _new_lines(scope, looped, last):
            new = f"{indent}{text}\n"
            if last and not program.between(0, place).endswith("\n"):
                new = f"\n{indent}{text}"
            yield Edit(place, place, new, "missing line", weight)


def _in_loop(program: Program, node: ast.AST) -> bool:
    parent = program.parents.get(node)
    while parent is not None and not isinstance(parent, _Function):
        if isinstance(parent, (ast.For, ast.While)):
            return True
        parent = program.parents.get(parent)
    return False


def _new_lines(scope: Scope, looped: bool, last: bool) -> Iterator[tuple[str, float]]:
    for name in scope.variables:
        if last:
            yield f"return {name}", -1.6
        yield f"{name} += 1", -2.2
        yield f"{name} -= 1", -2.4
        for value in ("0", "[]", "''", "1"):
            yield f"{name} = {value}", -3.0
        for other in scope.variables[:_PAIRED]:
            if other != name:
                yield f"{name}.append({other})", -2.6
                yield f"{name} = {other}", -2.8
                yield f"{name} += {other}", -2.8
                yield f"{name}.add({other})", -3.4
        yield f"{name}.sort()", -3.0
    if last:
        for value in _BASE_VALUES[:7]:
            yield f"return {value}", -2.4
    if looped:
        yield "break", -2.0
        yield "continue", -2.2


def _base_cases(
    program: Program, scope: Scope, owner: ast.FunctionDef | ast.AsyncFunctionDef
) -> Iterator[Edit]:
    """An early return at the top of a function."""
    body = [n for i, n in enumerate(owner.body) if not _is_docstring(owner, n, i)]
    if not body or not _alone(program, body[0]):
        return
    indent = _indentation(program, body[0])
    place = _lines(program, body[0])[0]
    parameters = [a.arg for a in owner.args.args if a.arg not in ("self", "cls")]
    for name in parameters:
        for test, weight in ((f"not {name}", -2.4), (f"{name} == 0", -2.6), (f"{name} < 0", -2.8),
                             (f"{name} == 1", -2.8), (f"{name} <= 1", -2.8), (f"{name} < 2", -3.0),
                             (f"{name} is None", -3.0), (f"len({name}) <= 1", -3.0)):  # fmt: skip
            for value in (*_BASE_VALUES, *parameters):
                line = f"{indent}if {test}:\n{indent}    return {value}\n"
                yield Edit(place, place, line, "missing base case", weight)
