"""Edits that take something from elsewhere: statements, calls, methods and arguments in use nearby.

Weights are logs of rough frequencies, on the scale of those in `expressions`.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator

from coe_lsp.mutations.blocks import (
    indentation,
    lines_of,
    put_in,
    statements,
    text_of,
)
from coe_lsp.mutations.program import Edit, Program, put, room_for_argument
from coe_lsp.mutations.scope import Scope

_LONGEST = 80
_MOST_COPIED, _MOST_METHODS, _MOST_FUNCTIONS, _MOST_ARGUMENTS = 12, 16, 16, 8
_STRIPPING = frozenset({"strip", "lstrip", "rstrip", "removeprefix", "removesuffix"})
_OPERATORS = ("+", "-", "*", "/", "//", "%", "**", "&", "|", "^")
_OPERATOR = re.compile(r"(?<=\s)(\*\*|//|[-+*/%&|^])(?=\s)")
_USABLE = (ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.BinOp, ast.IfExp, ast.JoinedStr)


def donor_edits(program: Program, scope: Scope) -> Iterator[Edit]:
    """All edits of this kind."""
    yield from _copied(program, scope)
    for node in ast.walk(program.tree):
        if isinstance(node, ast.If) and program.wanted(node):
            yield from _branch(program, scope, node)
    for node in filter(program.wanted, program.expressions()):
        if isinstance(node, ast.Call):
            yield from _argument(program, scope, node)
        if isinstance(node, _USABLE) and isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
            yield from _called(program, scope, node)


# -- statements


def _copied(program: Program, scope: Scope) -> Iterator[Edit]:
    """A statement of the function, or of its class, once more elsewhere."""
    own = [block[index] for _, block, index in statements(program)]
    simple = [node for node in own if isinstance(node, (ast.Expr, ast.Assign, ast.AugAssign))]
    texts = {program.source(node): -2.4 for node in simple[:_MOST_COPIED]}
    for text in scope.statements:
        texts.setdefault(text, -3.0)
    texts = {text: weight for text, weight in texts.items() if len(text) <= _LONGEST}
    for _, block, index in statements(program):
        node = block[index]
        indent = indentation(program, node)
        start, end = lines_of(program, node)
        first = program.source(node)
        for text, weight in texts.items():
            if "\n" in text:
                continue
            if text != first and not first.startswith("elif"):
                yield put_in(program, start, f"{indent}{text}\n", "copied line", weight)
            if index + 1 == len(block) and not isinstance(node, (ast.Return, ast.Raise)):
                yield put_in(program, end, f"{indent}{text}\n", "copied line", weight)
        if isinstance(node, (ast.For, ast.AsyncFor, ast.While)):
            yield from _after_loop(program, node)


def _after_loop(program: Program, loop: ast.For | ast.AsyncFor | ast.While) -> Iterator[Edit]:
    """What a loop does under a condition done once more after it, for what is left then."""
    indent = indentation(program, loop)
    end = lines_of(program, loop)[1]
    for node in itertools.islice(
        (n for n in ast.walk(loop) if isinstance(n, ast.Expr)), _MOST_COPIED
    ):
        text = program.source(node)
        if "\n" in text:
            continue
        names = [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]
        for name in dict.fromkeys(names[::-1]):
            new = f"{indent}if {name}:\n{indent}    {text}\n"
            yield put_in(program, end, new, "copied line", -2.0)


def _branch(program: Program, scope: Scope, node: ast.If) -> Iterator[Edit]:
    """One more branch like the last, for another constant that the tests spell."""
    test = node.test
    if node.orelse or not (
        isinstance(test, ast.Compare)
        and isinstance(test.ops[0], (ast.Eq, ast.In, ast.Is))
        and isinstance(test.comparators[0], ast.Constant)
    ):
        return
    old = program.source(test.comparators[0])
    indent = indentation(program, node)
    if program.between(program.line_start(node.lineno), program.span(node)[0]).strip():
        return
    inside = indentation(program, node.body[0])
    body = "".join(text_of(program, part) for part in node.body)
    if body.count("\n") > 4 or len(inside) <= len(indent):
        return
    end = lines_of(program, node)[1]
    asked = program.source(test)
    at = asked.rindex(old)
    for text in scope.new_literals:
        condition = asked[:at] + text + asked[at + len(old) :]
        for changed, weight in _alike(body):
            new = f"{indent}elif {condition}:\n{changed}"
            yield put_in(program, end, new, "missing branch", weight)


def _alike(body: str) -> Iterator[tuple[str, float]]:
    yield body, -2.4
    found = _OPERATOR.search(body)
    if found is not None:
        for operator in _OPERATORS:
            if operator != found[0]:
                yield body[: found.start()] + operator + body[found.end() :], -1.6


# -- calls


def _argument(program: Program, scope: Scope, node: ast.Call) -> Iterator[Edit]:
    """One more argument: as it is given elsewhere, as the function that is called names it."""
    if any(isinstance(arg, ast.GeneratorExp) for arg in node.args):
        return
    end, comma = room_for_argument(program, node)
    given = {keyword.arg for keyword in node.keywords}
    called = node.func.attr if isinstance(node.func, ast.Attribute) else program.source(node.func)
    seen: set[str] = set()
    for keyword, weight in _keywords(scope, called):
        if keyword.partition("=")[0] not in given and keyword not in seen:
            seen.add(keyword)
            yield Edit(end, end, f"{comma}{keyword}", "missing argument", weight)
    if not node.keywords:
        texts = {program.source(arg) for arg in node.args}
        for name in [*scope.variables[:_MOST_ARGUMENTS], "None", "True", "False"]:
            if name not in texts:
                weight = -2.2 if name in scope.variables else -3.2
                yield Edit(end, end, f"{comma}{name}", "missing argument", weight)
                if node.args:
                    start = program.span(node.args[0])[0]
                    yield Edit(start, start, f"{name}, ", "missing argument", weight - 0.6)


def _keywords(scope: Scope, called: str) -> Iterator[tuple[str, float]]:
    for keyword in scope.keywords.get(called, ()):
        yield keyword, -0.8
    for name in scope.parameters.get(called, ()):
        if name in scope.variables:
            yield f"{name}={name}", -0.8
        if name in scope.fields:
            yield f"{name}=self.{name}", -1.4
        for value in ("True", "False", "None"):
            yield f"{name}={value}", -2.0
    others = itertools.chain.from_iterable(scope.keywords.values())
    for keyword in itertools.islice(others, _MOST_ARGUMENTS):
        yield keyword, -3.2


def _called(program: Program, scope: Scope, node: ast.expr) -> Iterator[Edit]:
    """A method of what there is, or a function of it, as the code around calls them."""
    parent = program.parents.get(node)
    if isinstance(parent, ast.Attribute) or (isinstance(parent, ast.Call) and node is parent.func):
        return
    if isinstance(parent, ast.Expr):
        return
    atom, text = program.atom(node), program.source(node)
    extra = 0.0 if isinstance(parent, (ast.Return, ast.Assign)) else -0.6
    for method in scope.methods[:_MOST_METHODS]:
        yield put(program, node, f"{atom}.{method}", "missing call", extra - 2.2)
    if around := scope.clues.around:
        for method in ("strip", "rstrip", "lstrip"):
            new = f"{atom}.{method}({around!r})"
            yield put(program, node, new, "missing call", extra - 0.6)
    if isinstance(node, (ast.Call, ast.Name)):
        for word in scope.strings[:6]:
            for method in ("strip", "rstrip", "lstrip"):
                new = f"{atom}.{method}({word})"
                yield put(program, node, new, "missing call", extra - 3.0)
    if not isinstance(node, ast.Call) or isinstance(parent, (ast.Return, ast.Assign, ast.Call)):
        for function in scope.helpers[:_MOST_FUNCTIONS]:
            if not text.startswith(f"{function}("):
                yield put(program, node, f"{function}({text})", "missing call", extra - 2.4)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        yield from _other_call(program, scope, node, node.func)


def _other_call(
    program: Program, scope: Scope, node: ast.Call, function: ast.Attribute
) -> Iterator[Edit]:
    """A prefix taken off instead of characters; arguments of another call of that name."""
    owner = program.source(function.value)
    arguments = program.between(program.span(function)[1], program.span(node)[1])
    for old, new in (("lstrip", "removeprefix"), ("rstrip", "removesuffix"),
                     ("strip", "removeprefix"), ("strip", "removesuffix")):  # fmt: skip
        if function.attr == old and node.args:
            yield put(program, node, f"{owner}.{new}{arguments}", "name", -0.4)
    if function.attr in _STRIPPING and not node.args:
        for word in scope.strings[:6]:
            yield put(program, node, f"{owner}.{function.attr}({word})", "missing argument", -1.4)
