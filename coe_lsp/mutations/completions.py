"""Edits that finish what was begun: what one part of a program does, another part lacks.

A collection is asked about and never filled, or filled and never asked; one element of a pair is
looked up and the other is not; a result is worked out and thrown away; a best value is overwritten
instead of compared; a table has no first value; an operand is missing. Weights are logs of rough
frequencies, on the scale of those in `expressions`.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator, Sequence

from coe_lsp.mutations.blocks import SIMPLE, in_loop, indentation, lines_of, put_in, statements
from coe_lsp.mutations.program import Edit, Program, put
from coe_lsp.mutations.scope import Scope

_FILLING = frozenset({"add", "append", "appendleft", "insert", "push", "extend", "update"})
_MOST_PAIRS, _MOST_VARIABLES, _MOST_PIECES, _LONGEST = 6, 6, 12, 40
# What has a value that can be read, and set.
_PLACES = (ast.Name, ast.Attribute, ast.Subscript)


def completion_edits(program: Program, scope: Scope) -> Iterator[Edit]:
    """All edits of this kind."""
    filled, asked = _memberships(program)
    for _, block, index in statements(program):
        node = block[index]
        yield from _marks(program, node, filled, asked)
        if isinstance(node, ast.Assign):
            yield from _first_value(program, node)
            yield from _best(program, scope, node)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            yield from _kept_result(program, node, node.value)
    for node in filter(program.wanted, program.expressions()):
        parent = program.parents.get(node)
        if isinstance(parent, (ast.If, ast.While)) and node is parent.test:
            yield from _one_condition_more(program, scope, node, filled, asked)
        if isinstance(node, (ast.Tuple, ast.BinOp, ast.Compare)):
            yield from _as_beside_it(program, node)
        if isinstance(node, ast.BinOp):
            yield from _bound(program, node)
        if isinstance(node, ast.Call):
            yield from _arguments(program, scope, node)


# -- collections: what is in them, and what is asked of them

Pairs = dict[str, list[str]]


def _memberships(program: Program) -> tuple[Pairs, Pairs]:
    """By collection the elements that are put into it, and those that it is asked about."""
    filled: Pairs = {}
    asked: Pairs = {}

    def note(pairs: Pairs, owner: ast.expr, element: ast.expr) -> None:
        name, text = program.source(owner), program.source(element)
        if len(text) <= _LONGEST and "\n" not in text and text not in pairs.setdefault(name, []):
            pairs[name].append(text)

    for node in program.expressions():
        match node:
            case ast.Compare(left=left, ops=[ast.In() | ast.NotIn()], comparators=[owner]) if (
                isinstance(owner, (ast.Name, ast.Attribute))
            ):
                note(asked, owner, left)
            case ast.Call(func=ast.Attribute(value=owner, attr=name), args=[element]) if (
                name in _FILLING and isinstance(owner, (ast.Name, ast.Attribute))
            ):
                note(filled, owner, element)
            case ast.BinOp(left=ast.Name() as owner, op=ast.BitOr(), right=ast.Set(elts=[element])):
                note(filled, owner, element)
            case ast.Subscript(value=owner, slice=element, ctx=ast.Store()) if isinstance(
                owner, (ast.Name, ast.Attribute)
            ):
                note(filled, owner, element)
            case _:
                pass
    return filled, asked


def _marks(program: Program, node: ast.stmt, filled: Pairs, asked: Pairs) -> Iterator[Edit]:
    """What is asked about is put in, before a statement and after it."""
    if not isinstance(node, (*SIMPLE, ast.For, ast.While, ast.If)):
        return
    if isinstance(node, ast.If) and program.source(node).startswith("elif"):
        return
    indent = indentation(program, node)
    before, after = lines_of(program, node)
    ends = isinstance(node, (ast.Return, ast.Break, ast.Continue, ast.Raise))
    for owner, elements in itertools.islice(asked.items(), _MOST_PAIRS):
        weight = -2.8 if owner in filled else -0.2
        for element in elements[:2]:
            for call, less in (("add", 0.0), ("append", -0.4)):
                line = f"{indent}{owner}.{call}({element})\n"
                for place in (before,) if ends else (before, after):
                    yield put_in(program, place, line, "missing mark", weight + less)


def _one_condition_more(
    program: Program, scope: Scope, node: ast.expr, filled: Pairs, asked: Pairs
) -> Iterator[Edit]:
    """What was put in is asked for as well, and what a number may not be."""
    text = program.source(node)
    if isinstance(node, (ast.IfExp, ast.Lambda, ast.NamedExpr)):
        text = f"({text})"
    for_and = f"({text})" if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or) else text
    for_or = text
    for owner, elements in itertools.islice(filled.items(), _MOST_PAIRS):
        weight = -2.6 if owner in asked else -0.8
        for element in elements[:2]:
            yield put(program, node, f"{for_or} or {element} in {owner}", "missing member", weight)
            new = f"{for_and} and {element} not in {owner}"
            yield put(program, node, new, "missing member", weight)
    for name in scope.variables[:_MOST_VARIABLES]:
        for condition, weight in ((f"{name} < 0", -2.0), (f"{name} == 0", -2.4)):
            yield put(program, node, f"{condition} or {for_or}", "missing bound", weight)
        for condition, weight in ((f"{name} >= 0", -2.4), (f"{name} > 0", -2.2)):
            yield put(program, node, f"{condition} and {for_and}", "missing bound", weight)


# -- values


def _as_beside_it(program: Program, node: ast.Tuple | ast.BinOp | ast.Compare) -> Iterator[Edit]:
    """What is done with one part is done with the other: `f(a), b` as `f(a), f(b)`."""
    match node:
        case ast.Tuple():
            parts: Sequence[ast.expr] = node.elts
        case ast.BinOp():
            parts = (node.left, node.right)
        case ast.Compare():
            parts = (node.left, *node.comparators)
    for part, other in itertools.permutations(parts, 2):
        if not isinstance(other, _PLACES) or not isinstance(other.ctx, ast.Load):
            continue
        text = program.source(other)
        match part:
            case ast.Call(func=func, args=[ast.expr()], keywords=[]):
                new, weight = f"{program.source(func)}({text})", -0.4
            case ast.Call(func=ast.Attribute(attr=name), args=[], keywords=[]):
                new, weight = f"{text}.{name}()", -0.6
            case ast.Subscript(slice=index) if not isinstance(other, ast.Subscript):
                new, weight = f"{text}[{program.source(index)}]", -1.0
            case _:
                continue
        yield put(program, other, new, "as beside it", weight)


def _bound(program: Program, node: ast.BinOp) -> Iterator[Edit]:
    """A side that is one more or less, held together."""
    for side in (node.left, node.right):
        if isinstance(side, (*_PLACES, ast.Call)):
            text = program.source(side)
            for sign in "+-":
                yield put(program, side, f"({text} {sign} 1)", "off by one", -1.8)


def _arguments(program: Program, scope: Scope, node: ast.Call) -> Iterator[Edit]:
    """What is given to a call: with something before it, or of one row instead of all."""
    if isinstance(node.func, ast.Name) and node.func.id == "len" and len(node.args) == 1:
        yield put(program, node.args[0], f"{program.atom(node.args[0])}[0]", "missing index", -1.4)
    for argument in node.args:
        if isinstance(argument, (ast.Name, ast.Attribute)):
            text = program.source(argument)
            for name in scope.variables[:_MOST_VARIABLES]:
                if name != text:
                    yield put(program, argument, f"{name} + {text}", "missing operator", -2.4)


def _best(program: Program, scope: Scope, node: ast.Assign) -> Iterator[Edit]:
    """A value that must not get worse: the smaller or larger one of it and the new one."""
    value = node.value
    if len(node.targets) != 1 or not isinstance(node.targets[0], _PLACES):
        return
    target = program.source(node.targets[0])
    if not isinstance(value, (ast.Constant, ast.List, ast.Dict, ast.Set, ast.Tuple)):
        weight = -1.2 if in_loop(program, node) else -3.0
        for name in ("max", "min"):
            new = f"{name}({target}, {program.source(value)})"
            yield put(program, value, new, "missing best", weight)
    if isinstance(value, ast.Tuple):
        pieces = [text for text, _ in scope.pieces if text != target][:_MOST_PIECES]
        for part in value.elts:
            if isinstance(part, ast.Name):
                for piece, name in itertools.product(pieces, ("max", "min")):
                    new = f"{name}({piece}, {part.id})"
                    yield put(program, part, new, "missing best", -2.4)


def _first_value(program: Program, node: ast.Assign) -> Iterator[Edit]:
    """A table that is filled with one value gets another one in its first place."""
    match node:
        case (
            ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.BinOp(left=ast.List(elts=[ast.Constant(value=filling)]), op=ast.Mult()),
            )
            | ast.Assign(
                targets=[ast.Name(id=name)], value=ast.ListComp(elt=ast.Constant(value=filling))
            )
        ):
            place = lines_of(program, node)[1]
            firsts = (True, False) if isinstance(filling, bool) else (1, 0, True)
            for first in firsts:
                if first is not filling:
                    line = f"{indentation(program, node)}{name}[0] = {first}\n"
                    yield put_in(program, place, line, "first value", -1.2)
        case _:
            return


def _kept_result(program: Program, node: ast.Expr, call: ast.Call) -> Iterator[Edit]:
    """The result of a call is kept: in what the call was given, or was made on."""
    start = program.span(node)[0]
    targets = [a for a in call.args if isinstance(a, _PLACES)]
    if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, _PLACES):
        targets.insert(0, call.func.value)
    for target in targets:
        yield Edit(start, start, f"{program.source(target)} = ", "lost result", -1.0)
    names = {program.source(target) for target in targets}
    for other in dict.fromkeys(_written(program)):
        if other not in names:
            yield Edit(start, start, f"{other} = ", "lost result", -2.8)


def _written(program: Program) -> Iterator[str]:
    for node in program.expressions():
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
