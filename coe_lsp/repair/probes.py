"""Inputs to try programs on: the calls that tests make, and calls that are a little different.

A function's calls are read from the text of its tests, where all arguments are spelt out. It runs
nothing.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

from coe_lsp.parsing import parse

_MOST_CALLS, _MOST_PROBES, _LONGEST = 24, 48, 400


def find_calls(texts: Iterable[str], name: str) -> list[ast.Call]:
    """Calls of a function in texts of tests, all of whose arguments are literals; each but once."""
    found: dict[str, ast.Call] = {}
    for text in texts:
        try:
            tree = parse(text)
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _called(node) == name and _is_spelt_out(node):
                found.setdefault(ast.unparse(node), node)
    return list(found.values())[:_MOST_CALLS]


def _called(node: ast.Call) -> str:
    """The name of what is called, by itself or in a module."""
    match node.func:
        case ast.Name(id=name) | ast.Attribute(value=ast.Name(), attr=name):
            return name
        case _:
            return ""


def _is_spelt_out(node: ast.Call) -> bool:
    values = [*node.args, *(keyword.value for keyword in node.keywords)]
    if not values or any(keyword.arg is None for keyword in node.keywords):
        return False
    return all(_value_of(value) is not _NONE for value in values)


_NONE = object()


def _value_of(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return _NONE


def probes(calls: Sequence[ast.Call], name: str) -> list[str]:
    """Calls of the function as text: those of the tests, then each with one argument changed.

    A call's changes come in turns, so that all calls have some.
    """
    as_they_are = [_text(name, call) for call in calls]
    changed = [_changed(name, call) for call in calls]
    turns = itertools.chain.from_iterable(itertools.zip_longest(*changed))
    texts = [*as_they_are, *(text for text in turns if text)]
    return [t for t in dict.fromkeys(texts) if len(t) <= _LONGEST][:_MOST_PROBES]


def _text(name: str, call: ast.Call) -> str:
    return ast.unparse(ast.Call(ast.Name(name), call.args, call.keywords))


def _changed(name: str, call: ast.Call) -> Iterator[str]:
    """The call with one of its arguments changed, the arguments in turns."""
    places = [
        (index, [*_variants(_value_of(node))])
        for index, node in enumerate([*call.args, *(k.value for k in call.keywords)])
    ]
    for nth in range(max((len(values) for _, values in places), default=0)):
        for index, values in places:
            if nth < len(values):
                new = ast.parse(repr(values[nth]), mode="eval").body
                args = [new if n == index else a for n, a in enumerate(call.args)]
                keywords = [
                    ast.keyword(k.arg, new if n == index else k.value)
                    for n, k in enumerate(call.keywords, len(call.args))
                ]
                yield ast.unparse(ast.Call(ast.Name(name), args, keywords))


def _variants(value: object) -> Iterator[object]:
    """Values of the same type that are a little different, the most usual ones first."""
    match value:
        case bool():
            yield not value
        case int():
            yield from (value + 1, value - 1, 0, 2 * value + 1, -value)
        case float():
            yield from (value + 1, value / 2, 0.0, -value)
        case str():
            yield from (value[1:], value[:-1], value + value, "", value[::-1], value.swapcase())
        case list():
            yield from _sequences(cast("list[object]", value))
        case tuple():
            yield from map(tuple, _sequences(list(cast("tuple[object, ...]", value))))
        case dict():
            pairs = list(cast("dict[object, object]", value).items())
            yield from (dict(pairs[1:]), dict(pairs[:-1]))
            for index, (key, item) in enumerate(pairs[:2]):
                for other in itertools.islice(_variants(item), 2):
                    yield dict([*pairs[:index], (key, other), *pairs[index + 1 :]])
        case _:
            return


def _sequences(items: list[object]) -> Iterator[list[object]]:
    yield from (items[1:], items[:-1], [], items[::-1], items + items[:1])
    for index, item in enumerate(items[:3]):
        for other in itertools.islice(_variants(item), 2):
            yield [*items[:index], other, *items[index + 1 :]]
