"""Edits of whole statements: deleted, moved, unwrapped, their keyword changed.

Weights are logs of rough frequencies, on the scale of those in `expressions`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from coe_lsp.mutations.blocks import (
    FUNCTION,
    SIMPLE,
    Block,
    alone,
    cut,
    indentation,
    lines_of,
    reindent,
    statements,
    statements_of,
    text_of,
    whole,
)
from coe_lsp.mutations.program import Edit, Program, together
from coe_lsp.mutations.scope import Scope

_AUGMENTED = ("+", "-", "*", "//", "/", "%", "**", "|", "&", "^", "<<", ">>")
_RETURNED = ("0", "1", "[]", "''", "None", "False", "True", "-1", "{}")


def statement_edits(program: Program, scope: Scope) -> Iterator[Edit]:
    """All edits of statements."""
    for owner, block, index in statements(program):
        node = block[index]
        yield from _delete(program, block, node)
        if index + 1 < len(block) and alone(program, block[index + 1]):
            following = block[index + 1]
            yield _swap(program, node, following)
            yield from _exchange_values(program, node, following)
            if len(block) > 2 and isinstance(node, SIMPLE) and isinstance(following, SIMPLE):
                start, end = lines_of(program, node)[0], lines_of(program, following)[1]
                yield cut(program, start, end, "", "extra lines", -1.4)
        yield from _indent(program, block, index)
        yield from _dedent(program, owner, block, index)
        yield from _change(program, scope, node)


def _delete(program: Program, block: Block, node: ast.stmt) -> Iterator[Edit]:
    if isinstance(node, (*FUNCTION, ast.ClassDef)):
        return
    weight = -0.4 if isinstance(node, SIMPLE) else -1.0
    if len(block) > 1:
        yield whole(program, node, "", "extra line", weight)
    elif not isinstance(node, ast.Pass):
        yield whole(
            program, node, indentation(program, node) + "pass\n", "extra line", weight - 1.0
        )
    inner: object = getattr(node, "body", None)
    if isinstance(node, (ast.If, ast.For, ast.While, ast.With, ast.Try)) and inner:
        outside, inside = indentation(program, node), indentation(program, node.body[0])
        parts = [text_of(program, part) for part in node.body]
        text = reindent("".join(parts), inside, outside)
        yield whole(program, node, text, "extra block", -1.0)
        if isinstance(node, ast.If) and node.orelse:
            yield from _without_else(program, node)


def _without_else(program: Program, node: ast.If) -> Iterator[Edit]:
    last = node.body[-1].end_lineno or node.lineno
    start = program.line_start(last + 1)
    yield cut(program, start, lines_of(program, node)[1], "", "extra block", -1.2)
    outside = indentation(program, node)
    first = node.orelse[0]
    if _is_elif(program, first):
        text = program.between(program.line_start(first.lineno), lines_of(program, node)[1])
        new = text.replace("elif", "if", 1)
        yield cut(
            program, program.line_start(first.lineno), lines_of(program, node)[1], new,
            "elif", -0.6,
        )  # fmt: skip
    elif alone(program, first):
        inside = indentation(program, first)
        text = "".join(text_of(program, part) for part in node.orelse)
        new = reindent(text, inside, outside)
        yield cut(program, start, lines_of(program, node)[1], new, "else", -0.8)


def _is_elif(program: Program, node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and program.source(node).startswith("elif")


def _exchange_values(program: Program, one: ast.stmt, two: ast.stmt) -> Iterator[Edit]:
    """What two assignments in a row give, the other way round."""
    kinds = (ast.Assign, ast.AugAssign, ast.AnnAssign)
    if isinstance(one, kinds) and isinstance(two, kinds) and one.value and two.value:
        spans = [program.span(one.value), program.span(two.value)]
        texts = program.source(one.value), program.source(two.value)
        # What stands in parentheses ends before its statement does.
        bare = [program.span(one)[1], program.span(two)[1]] == [end for _, end in spans]
        if bare and texts[0] != texts[1]:
            yield together(program, spans, texts[::-1], "exchanged values", -1.2)


def _swap(program: Program, one: ast.stmt, two: ast.stmt) -> Edit:
    start, end = lines_of(program, one)[0], lines_of(program, two)[1]
    between = program.between(lines_of(program, one)[1], lines_of(program, two)[0])
    new = text_of(program, two) + between + text_of(program, one)
    return cut(program, start, end, new, "order", -0.7)


def _indent(program: Program, block: Block, index: int) -> Iterator[Edit]:
    """The statement after a compound one goes to the end of that one's block."""
    node = block[index]
    if index == 0:
        return
    before = block[index - 1]
    inner = _last_block(before)
    if not inner or not alone(program, inner[-1]):
        return
    new = reindent(
        text_of(program, node), indentation(program, node), indentation(program, inner[-1])
    )
    yield whole(program, node, new, "indentation", -0.6)
    deeper = _last_block(inner[-1])
    if deeper and alone(program, deeper[-1]):
        new = reindent(
            text_of(program, node), indentation(program, node), indentation(program, deeper[-1])
        )
        yield whole(program, node, new, "indentation", -1.2)


def _last_block(node: ast.stmt) -> Block:
    if not isinstance(node, (ast.If, ast.For, ast.While, ast.With)):
        return []
    block = getattr(node, "orelse", None) or node.body
    return list(block)


def _dedent(program: Program, owner: ast.AST, block: Block, index: int) -> Iterator[Edit]:
    """The last statement of a block leaves it."""
    if index == 0 or index + 1 < len(block) or not isinstance(owner, (ast.If, ast.For, ast.While)):
        return
    outer: ast.AST = owner
    weight = -0.4
    while isinstance(outer, (ast.If, ast.For, ast.While)):
        # What follows on the lines below must not be part of the same compound statement.
        if (outer.end_lineno or 0) > (block[index].end_lineno or 0):
            return
        if not alone(program, outer):
            return
        node = block[index]
        new = reindent(
            text_of(program, node), indentation(program, node), indentation(program, outer)
        )
        yield whole(program, node, new, "indentation", weight)
        parent = program.parents[outer]
        siblings = statements_of(parent, "body")
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
        case ast.Expr() if not isinstance(node.value, (ast.Yield, ast.YieldFrom)):
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
    if isinstance(node, ast.If) and alone(program, node):
        yield from _after_if(program, node)


def _after_if(program: Program, node: ast.If) -> Iterator[Edit]:
    """`if` below `if` as `elif`."""
    parent = program.parents.get(node)
    block = statements_of(parent, "body")
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
    for value in _RETURNED:
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
