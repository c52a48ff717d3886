"""Edits that put something in: a line, a condition around a statement, a base case.

Weights are logs of rough frequencies, on the scale of those in `expressions`.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator

from coe_lsp.mutations.blocks import (
    FUNCTION,
    SIMPLE,
    Block,
    FunctionNode,
    in_loop,
    indentation,
    lines_of,
    parameters_of,
    put_in,
    reindent,
    statements,
    text_of,
    top_of,
    whole,
)
from coe_lsp.mutations.program import Edit, Program
from coe_lsp.mutations.scope import Scope

_BASE_VALUES = ("0", "1", "[]", "''", "None", "False", "True", "-1", "{}")
_PAIRED = 10
_COMPARED = 8


def insertion_edits(program: Program, scope: Scope) -> Iterator[Edit]:
    """All edits that put in statements."""
    for _, block, index in statements(program):
        yield from _insert(program, scope, block, index)
        if isinstance(block[index], SIMPLE):
            yield from _guard(program, scope, block[index])
    for node in ast.walk(program.tree):
        if isinstance(node, FUNCTION):
            yield from _base_cases(program, node)


def _insert(program: Program, scope: Scope, block: Block, index: int) -> Iterator[Edit]:
    """A line put in before a statement, and after the last one of its block."""
    node = block[index]
    indent = indentation(program, node)
    if isinstance(node, ast.If) and program.source(node).startswith("elif"):
        return
    places = [lines_of(program, node)[0]]
    if index + 1 == len(block) and not isinstance(node, (ast.Return, ast.Break, ast.Continue)):
        places.append(lines_of(program, node)[1])
    looped = in_loop(program, node)
    stuck = _stuck(program.parents[node])
    for place in places:
        last = place == lines_of(program, node)[1]
        lines = itertools.chain(
            (("missing step", *line) for line in _steps(stuck)),
            (("missing twin", *line) for line in _siblings(program, node)),
            (("missing line", *line) for line in _new_lines(scope, looped, last)),
        )
        for kind, text, weight in lines:
            yield put_in(program, place, f"{indent}{text}\n", kind, weight)


def _guard(program: Program, scope: Scope, node: ast.stmt) -> Iterator[Edit]:
    """A statement under a condition."""
    outside = indentation(program, node)
    inside = outside + "    "
    body = reindent(text_of(program, node), outside, inside)
    for condition, weight in _conditions(scope):
        yield whole(program, node, f"{outside}if {condition}:\n{body}", "missing condition", weight)


def _conditions(scope: Scope) -> Iterator[tuple[str, float]]:
    for condition in scope.conditions:
        yield condition, -2.6
    names = scope.variables[:_COMPARED]
    for name in names:
        yield name, -3.0
        yield f"not {name}", -3.2
    for one, two in itertools.combinations(names, 2):
        for operator, weight in (("==", -3.2), ("!=", -3.3), ("<", -3.3), (">", -3.3)):
            yield f"{one} {operator} {two}", weight


def _stuck(loop: ast.AST) -> list[str]:
    """What the condition of a `while` loop looks at, if its body changes none of that."""
    if not isinstance(loop, ast.While):
        return []
    called = {id(n.func) for n in ast.walk(loop.test) if isinstance(n, ast.Call)}
    looked_at = {
        n.id: n for n in ast.walk(loop.test) if isinstance(n, ast.Name) and id(n) not in called
    }
    for node in itertools.chain.from_iterable(map(ast.walk, loop.body)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in looked_at:
            return []
        # A method, `queue.pop()` say, may well change it.
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            looked_at.pop(node.value.id, None)
    return list(looked_at)


def _steps(names: list[str]) -> Iterator[tuple[str, float]]:
    """What would bring a loop on."""
    for name in names:
        yield f"{name} += 1", 0.8
        yield f"{name} -= 1", 0.8
        for text in ("//= 2", "//= 10"):
            yield f"{name} {text}", -0.5


def _siblings(program: Program, node: ast.stmt) -> Iterator[tuple[str, float]]:
    """The same for another attribute of the same object: `a.x -= n` where there is `a.y -= n`."""
    target = node.target if isinstance(node, ast.AugAssign) else None
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target = node.targets[0]
    if not isinstance(target, ast.Attribute):
        return
    owner = program.source(target.value)
    others = {
        other.attr: None
        for other in program.expressions()
        if isinstance(other, ast.Attribute)
        and program.source(other.value) == owner
        and not isinstance(program.parents[other], ast.Call)
    }
    others.pop(target.attr, None)
    rest = program.source(node)[len(program.source(target)) :]
    for other in others:
        yield f"{owner}.{other}{rest}", -1.0
        for one, two in (("+=", "-="), ("-=", "+=")):
            if rest.lstrip().startswith(one):
                yield f"{owner}.{other}{rest.replace(one, two, 1)}", -1.6


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
        if "self" in scope.known:
            yield "return self", -2.8
    if looped:
        yield "break", -2.0
        yield "continue", -2.2


def _base_cases(program: Program, owner: FunctionNode) -> Iterator[Edit]:
    """An early return at the top of a function."""
    top, parameters = top_of(program, owner), parameters_of(owner)
    if top is None:
        return
    indent, place = top
    for name in parameters:
        for test, weight in ((f"not {name}", -2.4), (f"{name} == 0", -2.6), (f"{name} < 0", -2.8),
                             (f"{name} == 1", -2.8), (f"{name} <= 1", -2.8), (f"{name} < 2", -3.0),
                             (f"{name} is None", -3.0), (f"len({name}) <= 1", -3.0)):  # fmt: skip
            for value in (*_BASE_VALUES, *parameters):
                line = f"{indent}if {test}:\n{indent}    return {value}\n"
                yield Edit(place, place, line, "missing base case", weight)
