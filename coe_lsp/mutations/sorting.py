"""Edits of what things are sorted by, and of what the smallest and largest are chosen by.

Weights are logs of rough frequencies, on the scale of those in `expressions`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from coe_lsp.mutations.program import Edit, Program
from coe_lsp.mutations.scope import Scope

_ORDERING = ("sorted", "min", "max")
_KEYS = (
    ("len", -1.6), ("str.lower", -1.8), ("int", -1.8), ("abs", -2.2), ("str", -2.2),
    ("lambda item: item[0]", -2.2), ("lambda item: item[1]", -1.6), ("lambda item: -item", -2.4),
    ("lambda item: (-item[1], item[0])", -2.2), ("lambda item: (len(item), item)", -2.2),
)  # fmt: skip
_SEPARATORS = ".-_:, /"
_MOST_FUNCTIONS = 8


def sorting_edits(program: Program, scope: Scope) -> Iterator[Edit]:
    """All edits that give an order a key, or several keys for one."""
    for node in filter(program.wanted, program.expressions()):
        if not isinstance(node, ast.Call) or not _orders(node):
            continue
        key = next((k for k in node.keywords if k.arg == "key"), None)
        if key is None:
            end = program.span(node)[1] - 1
            comma = ", " if node.args or node.keywords else ""
            for text, weight in _keys(scope):
                yield Edit(end, end, f"{comma}key={text}", "sort key", weight)
        else:
            start, end = program.span(key.value)
            for text, weight in _keys(scope):
                yield Edit(start, end, text, "sort key", weight - 0.6)
            if isinstance(key.value, ast.Lambda):
                yield from _more_keys(program, key.value)


def _orders(node: ast.Call) -> bool:
    """Whether it may take a key; a bare generator has no room beside it."""
    if any(isinstance(argument, (ast.GeneratorExp, ast.Starred)) for argument in node.args):
        return False
    match node.func:
        case ast.Name(id=name):
            return name in _ORDERING and len(node.args) == 1
        case ast.Attribute(attr="sort"):
            return not node.args
        case _:
            return False


def _keys(scope: Scope) -> Iterator[tuple[str, float]]:
    yield from _KEYS
    for separator in _SEPARATORS:
        if any(separator in word and any(map(str.isdigit, word)) for word in scope.test_words):
            parts = f"[int(part) for part in item.split({separator!r})]"
            yield f"lambda item: {parts}", -1.4
    for name in scope.helpers[:_MOST_FUNCTIONS]:
        if len(scope.parameters.get(name, ())) == 1:
            yield name, -2.0


def _more_keys(program: Program, key: ast.Lambda) -> Iterator[Edit]:
    """One key as the first or the last of two, or turned round."""
    if len(key.args.args) != 1:
        return
    name, body = key.args.args[0].arg, program.source(key.body)
    start, end = program.span(key.body)
    yield Edit(start, end, f"({body}, {name})", "sort key", -1.4)
    for item in ("[0]", "[1]"):
        yield Edit(start, end, f"({body}, {name}{item})", "sort key", -1.6)
        yield Edit(start, end, f"({name}{item}, {body})", "sort key", -2.4)
    yield Edit(start, end, f"-{program.atom(key.body)}", "sort key", -1.6)
