"""Edits that keep what fails from running: early exits, `try`, `.get` and the like.

Where tests say what was raised, what would answer that comes first. Weights are logs of rough
frequencies, on the scale of those in `expressions`.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator

from coe_lsp.mutations.blocks import (
    FUNCTION,
    SIMPLE,
    Block,
    indentation,
    lines_of,
    reindent,
    statements,
    text_of,
    whole,
)
from coe_lsp.mutations.conditions import SEEN, subjects_of
from coe_lsp.mutations.program import Edit, Program, put
from coe_lsp.mutations.scope import Scope

_DEFAULTS = ("None", "''", "0", "[]", "{}", "False")
_RESULTS = ("None", "False", "True", "0", "''", "[]", "{}")
_MOST_SUBJECTS, _MOST_EXITS, _MOST_CAUGHT = 6, 6, 3
_SEVERAL = (ast.Slice, ast.Tuple)
# Less likely ones are too many to be of use.
_LEAST = -4.6
# What an exception that was raised adds to what would answer it.
_RAISED = 1.5
# And what one adds that tests wait for.
_AWAITED = 2.5


def guard_edits(program: Program, scope: Scope) -> Iterator[Edit]:
    """All edits of this kind."""
    for _, block, index in statements(program):
        node = block[index]
        if _is_elif(program, node) or isinstance(node, (*FUNCTION, ast.ClassDef)):
            continue
        yield from _early_exit(program, scope, node)
        yield from _made_up_for(program, scope, node)
        if isinstance(node, SIMPLE):
            yield from _try(program, scope, block, index)
    for node in filter(program.wanted, program.expressions()):
        if isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
            yield from _default(program, scope, node)
    for node in ast.walk(program.tree):
        if isinstance(node, ast.ExceptHandler):
            yield from _handler(program, scope, node)


def _is_elif(program: Program, node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and program.source(node).startswith("elif")


# -- leaving early


def _early_exit(program: Program, scope: Scope, node: ast.stmt) -> Iterator[Edit]:
    """A condition before a statement under which it is not reached."""
    indent = indentation(program, node)
    place = lines_of(program, node)[0]
    exits = list(_exits(program, scope, node))
    for condition, weight in _reasons(program, scope, node):
        for text, less in exits:
            if weight + less >= _LEAST:
                new = f"{indent}if {condition}:\n{indent}    {text}\n"
                yield Edit(place, place, new, "missing guard", weight + less)
        for text in _expected(scope, condition):
            new = f"{indent}if {condition}:\n{indent}    {text}\n"
            yield Edit(place, place, new, "awaited exception", weight + _AWAITED)


def _expected(scope: Scope, condition: str) -> Iterator[str]:
    """The exceptions that the tests wait for."""
    for name in sorted(scope.clues.expected):
        told = condition.replace('"', "'").replace("{", "{{").replace("}", "}}")
        yield f'raise {name}("{told}")'


def _made_up_for(program: Program, scope: Scope, node: ast.stmt) -> Iterator[Edit]:
    """Something put in the place of what is missing, before a statement that needs it."""
    indent = indentation(program, node)
    place = lines_of(program, node)[0]
    asked = node.test if isinstance(node, (ast.If, ast.While)) else node
    asked = node.iter if isinstance(node, (ast.For, ast.AsyncFor)) else asked
    for name in subjects_of(program, asked)[:_MOST_SUBJECTS]:
        seen = SEEN if name in scope.clues.nothing else 0.0
        for value in (*_DEFAULTS[1:5], *scope.variables[:4]):
            if value != name:
                new = f"{indent}if {name} is None:\n{indent}    {name} = {value}\n"
                yield Edit(place, place, new, "made up for", -3.2 + seen)
        for kind in (*scope.types[:4], "str", "list"):
            asked_for = f"if not isinstance({name}, {kind})"
            new = f"{indent}{asked_for}:\n{indent}    {name} = {kind}({name})\n"
            yield Edit(place, place, new, "made up for", -3.4)


def _reasons(program: Program, scope: Scope, node: ast.stmt) -> Iterator[tuple[str, float]]:
    asked = node.test if isinstance(node, (ast.If, ast.While)) else node
    asked = node.iter if isinstance(node, (ast.For, ast.AsyncFor)) else asked
    subjects = subjects_of(program, asked)[:_MOST_SUBJECTS]
    none = _RAISED if {"TypeError", "AttributeError"} & scope.raised else 0.0
    empty = _RAISED if {"IndexError", "ZeroDivisionError", "ValueError"} & scope.raised else 0.0
    others = [name for name in scope.variables[:_MOST_SUBJECTS] if name not in subjects]
    for names, less in ((subjects, 0.0), (others, -1.0)):
        for name in names:
            is_none = SEEN if name in scope.clues.nothing else 0.0
            is_empty = SEEN if name in scope.clues.empty else 0.0
            yield f"not {name}", -2.2 + less + max(empty + is_empty, is_none)
            yield f"{name} is None", -2.2 + less + none + is_none
            yield name, -2.8 + less
            if name.isidentifier():
                for text in (f"{name} == 0", f"{name} < 0", f"{name} <= 0"):
                    yield text, -3.4 + less
                for kind in scope.types[:4]:
                    yield f"isinstance({name}, {kind})", -3.4 + less
                    yield f"not isinstance({name}, {kind})", -3.4 + less
    for one, two in itertools.combinations(subjects[:4], 2):
        for operator in ("==", "is", "not in", "in"):
            yield f"{one} {operator} {two}", -3.4
    for condition in scope.conditions[:8]:
        yield condition, -3.0


def _exits(program: Program, scope: Scope, node: ast.stmt) -> Iterator[tuple[str, float]]:
    """How the function may be left, or the round of a loop, as it is left elsewhere first."""
    function = _around(program, node, FUNCTION)
    seen: dict[str, float] = {}
    if _around(program, node, (ast.For, ast.AsyncFor, ast.While)) is not None:
        seen |= {"continue": 0.0, "break": -1.0}
    generator = False
    for other in ast.walk(function) if function else ():
        generator = generator or isinstance(other, (ast.Yield, ast.YieldFrom))
        if isinstance(other, (ast.Return, ast.Raise)):
            text = program.source(other)
            if "\n" not in text and len(seen) < _MOST_EXITS:
                seen.setdefault(text, -0.2)
    if function is not None:
        seen.setdefault("return", -1.0 if not generator else 0.0)
    if function is not None and not generator:
        for value in _RESULTS:
            seen.setdefault(f"return {value}", -1.2)
        for name in scope.variables[:4]:
            seen.setdefault(f"return {name}", -1.2)
        if isinstance(function, FUNCTION) and function.name.startswith("__"):
            seen.setdefault("return NotImplemented", -1.0)
    yield from seen.items()


def _around(program: Program, node: ast.AST, kinds: tuple[type[ast.AST], ...]) -> ast.AST | None:
    """The nearest statement of some kinds around another, within the same function."""
    parent = program.parents.get(node)
    while parent is not None and not isinstance(parent, kinds):
        if isinstance(parent, FUNCTION):
            return None
        parent = program.parents.get(parent)
    return parent


# -- try


def _try(program: Program, scope: Scope, block: Block, index: int) -> Iterator[Edit]:
    """A statement, or it and those below, in `try`, with what is to be done if that fails."""
    node = block[index]
    if isinstance(node, (ast.Pass, ast.Break, ast.Continue, ast.Raise)):
        return
    outside = indentation(program, node)
    inside = outside + "    "
    body = reindent(text_of(program, node), outside, inside)
    looped = _around(program, node, (ast.For, ast.AsyncFor, ast.While)) is not None
    for caught, weight in _caught(scope, node):
        for handled, less in _handled(program, scope, node, looped):
            new = f"{outside}try:\n{body}{outside}except {caught}:\n{inside}{handled}\n"
            yield whole(program, node, new, "missing try", weight + less)


def _caught(scope: Scope, node: ast.stmt) -> Iterator[tuple[str, float]]:
    """Exceptions that a statement may raise."""
    likely = dict.fromkeys(sorted(scope.raised))
    for part in ast.walk(node):
        match part:
            case ast.Subscript():
                likely |= dict.fromkeys(("KeyError", "IndexError"))
            case ast.Call(func=ast.Name(id="int" | "float")):
                likely |= dict.fromkeys(("ValueError", "TypeError"))
            case ast.Attribute():
                likely |= {"AttributeError": None}
            case ast.BinOp(op=ast.Div() | ast.FloorDiv() | ast.Mod()):
                likely |= {"ZeroDivisionError": None}
            case _:
                pass
    for name in list(likely)[:_MOST_CAUGHT]:
        yield name, (-2.6 + _RAISED) if name in scope.raised else -3.6


def _handled(
    program: Program, scope: Scope, node: ast.stmt, looped: bool
) -> Iterator[tuple[str, float]]:
    yield "pass", -0.8
    if looped:
        yield "continue", -0.6
    match node:
        case ast.Assign(targets=[target]) | ast.AnnAssign(target=target):
            names = [*_DEFAULTS, *scope.variables[:6]]
            for value in names:
                yield f"{program.source(target)} = {value}", -0.6
        case ast.Return():
            for value in (*_RESULTS, *scope.variables[:6]):
                yield f"return {value}", -0.4
            yield "return NotImplemented", -1.5
        case _:
            for value in _RESULTS[:4]:
                yield f"return {value}", -1.2


# -- what is asked for in a way that cannot fail


def _default(program: Program, scope: Scope, node: ast.expr) -> Iterator[Edit]:
    values = [*_DEFAULTS, *scope.variables[:8]]
    match node:
        case ast.Subscript(value=value, slice=index) if not isinstance(
            index, (ast.Slice, ast.Tuple)
        ):
            more = _RAISED if "KeyError" in scope.raised else 0.0
            head = f"{program.atom(value)}.get({program.source(index)}"
            yield put(program, node, f"{head})", "default", -1.8 + more)
            for default in values:
                yield put(program, node, f"{head}, {default})", "default", -2.4 + more)
        case ast.Call(func=ast.Attribute(value=owner, attr="get"), args=[key], keywords=[]):
            yield put(program, node, f"{program.source(owner)}[{program.source(key)}]",
                      "default", -2.0)  # fmt: skip
            end = program.span(key)[1]
            for default in values:
                yield Edit(end, end, f", {default}", "default", -1.4)
        case ast.Attribute(value=owner, attr=name):
            parent = program.parents.get(node)
            if isinstance(parent, ast.Call) and node is parent.func:
                return
            more = _RAISED if "AttributeError" in scope.raised else 0.0
            owned = program.source(owner)
            for default in values[:3]:
                new = f'getattr({owned}, "{name}", {default})'
                yield put(program, node, new, "default", -3.2 + more)
        case _:
            pass
    if isinstance(node, (ast.Name, ast.Attribute, ast.Call, ast.Subscript)) and program.roomy(node):
        parent = program.parents.get(node)
        if isinstance(parent, (ast.Expr, ast.If, ast.While)):
            return
        seen = SEEN if program.source(node) in scope.clues.nothing else 0.0
        for default in values:
            if default not in ("None", "False", program.source(node)):
                new = f"{program.source(node)} or {default}"
                yield put(program, node, new, "default", -3.0 + seen)
        for name in scope.variables[:8]:
            if name != program.source(node):
                new = f"{name} or {program.source(node)}"
                yield put(program, node, new, "default", -3.0)


def _handler(program: Program, scope: Scope, node: ast.ExceptHandler) -> Iterator[Edit]:
    """Another exception caught, or one more."""
    known = node.type
    if known is None or not program.wanted(known):
        return
    parts = known.elts if isinstance(known, ast.Tuple) else [known]
    texts = [program.source(part) for part in parts]
    usual = ("ValueError", "TypeError", "KeyError", "IndexError", "AttributeError", "OSError",
             "Exception", "OverflowError", "ImportError")  # fmt: skip
    for name in dict.fromkeys((*sorted(scope.raised), *scope.exceptions, *usual)):
        if name not in texts:
            more = _RAISED if name in scope.raised else 0.0
            yield put(program, known, f"({', '.join([*texts, name])})", "exception", -1.4 + more)
            yield put(program, known, name, "exception", -1.8 + more)
