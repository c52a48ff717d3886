"""Edits of what is listed: elements in another order, one less, one more, one alone.

Weights are logs of rough frequencies, on the scale of those in `expressions`.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator

from coe_lsp.mutations.program import Edit, Program, put
from coe_lsp.mutations.scope import Scope

_MOST_NAMES = 8
_SINGLE = (ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.BinOp, ast.IfExp, ast.JoinedStr)


def element_edits(program: Program, scope: Scope) -> Iterator[Edit]:
    """All edits of this kind."""
    for node in filter(program.wanted, program.expressions()):
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            yield from _elements(program, scope, node)
        if isinstance(node, _SINGLE) and isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
            yield from _alone(program, node)


def _alone(program: Program, node: ast.expr) -> Iterator[Edit]:
    """A value as the only element of a list, or of a tuple."""
    parent, text = program.parents.get(node), program.source(node)
    if isinstance(parent, ast.Call) and node is parent.func:
        return
    if isinstance(parent, (ast.Return, ast.Assign, ast.Call, ast.keyword)):
        yield put(program, node, f"[{text}]", "elements", -2.4)
        if isinstance(parent, (ast.Return, ast.Assign)):
            yield put(program, node, f"({text},)", "elements", -2.8)


def _elements(
    program: Program, scope: Scope, node: ast.List | ast.Tuple | ast.Set
) -> Iterator[Edit]:
    """Elements in another order, one less, one more."""
    if isinstance(program.parents.get(node), ast.Compare):  # see `conditions`
        return
    parts = node.elts
    spans = [program.span(part) for part in parts]
    for one, two in itertools.pairwise(range(len(parts))):
        middle = program.between(spans[one][1], spans[two][0])
        if middle.strip() == ",":
            new = program.source(parts[two]) + middle + program.source(parts[one])
            yield Edit(spans[one][0], spans[two][1], new, "elements", -1.6)
            yield Edit(spans[one][1], spans[two][1], "", "elements", -1.8)
            if one == 0:
                yield Edit(spans[one][0], spans[two][0], "", "elements", -2.0)
    if not parts or not isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
        return
    known = {program.source(part) for part in parts}
    end = spans[-1][1]
    for text in (*scope.literals, *scope.variables[:_MOST_NAMES]):
        if text not in known:
            yield Edit(end, end, f", {text}", "elements", -2.6)
