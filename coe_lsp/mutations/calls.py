"""Edits of calls, subscripts and slices."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from coe_lsp.mutations.program import Edit, Program, put


def call(program: Program, node: ast.Call) -> Iterator[Edit]:
    """Arguments swapped, left out; the call itself left out; bounds of a range; order."""
    args = node.args
    plain = not any(isinstance(arg, ast.Starred) for arg in args)
    spans = [program.span(arg) for arg in args]
    if plain:
        for i in range(len(args)):
            for j in range(i + 1, len(args)):
                middle = program.between(spans[i][1], spans[j][0])
                new = program.source(args[j]) + middle + program.source(args[i])
                weight = 0.0 if j == i + 1 else -0.7
                yield Edit(spans[i][0], spans[j][1], new, "swapped arguments", weight)
        for i in range(len(args)):
            if len(args) > 1:
                start, end = (spans[i - 1][1], spans[i][1]) if i else (spans[0][0], spans[1][0])
                gap = program.between(spans[i - 1][1], spans[i][0]) if i else (
                    program.between(spans[0][1], end))  # fmt: skip
                if gap.strip() == ",":  # and no parentheses of the arguments
                    yield Edit(start, end, "", "missing argument", -1.0)
    if isinstance(node.func, ast.Name):
        for arg in args:
            if not isinstance(arg, ast.Starred):
                new = program.fitting(arg, node)
                yield put(program, node, new, "missing call", -0.8 if len(args) == 1 else -1.8)
        if node.func.id == "range" and plain and not node.keywords:
            yield from _range(program, node)
        if node.func.id == "enumerate" and len(args) == 1 and not node.keywords:
            end = spans[0][1]
            yield Edit(end, end, ", 1", "range", -0.8)
        if node.func.id == "sorted":
            yield from _reverse(program, node)
    elif isinstance(node.func, ast.Attribute):
        yield put(program, node, program.source(node.func.value), "missing call", -0.8)
        if node.func.attr == "sort":
            yield from _reverse(program, node)
    for keyword in node.keywords:
        if keyword.arg is not None:
            start, end = program.span(keyword)
            before = program.data[:start].rstrip()
            start = len(before) - 1 if before.endswith(b",") else start
            yield Edit(start, end, "", "missing argument", -0.6)


def _range(program: Program, node: ast.Call) -> Iterator[Edit]:
    args = [program.source(arg) for arg in node.args]
    head = "range("
    changes: list[tuple[str, float]] = []
    match args:
        case [stop]:
            changes = [(f"1, {stop}", -0.5), (f"1, {stop} + 1", -0.3), (f"2, {stop}", -1.5),
                       (f"{stop} - 1, -1, -1", -2.0), (f"0, {stop}, 2", -2.0)]  # fmt: skip
        case [start, stop]:
            changes = [(stop, -0.8), (f"{start}, {stop}, 2", -2.0), (f"{start}, {stop}, -1", -1.0)]
        case [start, stop, step]:
            changes = [(f"{start}, {stop}", -0.8), (f"{start}, {stop}, -{step}", -1.5)]
        case _:
            pass
    for new, weight in changes:
        yield put(program, node, f"{head}{new})", "range", weight)


def _reverse(program: Program, node: ast.Call) -> Iterator[Edit]:
    if any(keyword.arg == "reverse" for keyword in node.keywords):
        return
    if [type(arg) for arg in node.args] == [ast.GeneratorExp]:  # needs brackets of its own then
        new = f"{program.source(node.func)}({program.source(node.args[0])}, reverse=True)"
        yield put(program, node, new, "order", -0.6)
        return
    end = program.span(node)[1] - 1
    inside = ", reverse=True" if node.args or node.keywords else "reverse=True"
    yield Edit(end, end, inside, "order", -0.6)


def subscript(program: Program, node: ast.Subscript) -> Iterator[Edit]:
    """Another index, other bounds, a slice in place of an item, no index at all."""
    index = node.slice
    whole, value = program.span(node), program.source(node.value)
    if isinstance(index, ast.Slice):
        yield from _slice(program, index)
        if isinstance(node.ctx, ast.Load):
            yield Edit(*whole, value, "slice", -0.8)
        return
    if isinstance(index, ast.Tuple):
        parts = [program.source(part) for part in index.elts]
        yield put(program, index, ", ".join(reversed(parts)), "swapped arguments", -0.5)
        return
    if isinstance(index, ast.Constant) and isinstance(index.value, str):
        return
    text = program.source(index)
    for new, weight in ((f"{program.atom(index)} + 1", -0.5), (f"{program.atom(index)} - 1", -0.5),
                        (f"-{program.atom(index)}", -1.5), ("0", -1.2), ("-1", -1.2)):  # fmt: skip
        if new != text:
            yield put(program, index, new, "off by one", weight)
    if isinstance(node.ctx, ast.Load):
        for new, weight in ((f":{text}", -1.5), (f"{text}:", -1.5)):
            yield put(program, index, new, "slice", weight)
        yield Edit(*whole, value, "missing index", -1.5)


def _slice(program: Program, node: ast.Slice) -> Iterator[Edit]:
    start, end = _slice_span(program, node)
    lower = program.source(node.lower) if node.lower else ""
    upper = program.source(node.upper) if node.upper else ""
    step = program.source(node.step) if node.step else ""
    low = program.atom(node.lower) if node.lower else ""
    up = program.atom(node.upper) if node.upper else ""
    changes = [
        ("", upper, step, -0.7), (lower, "", step, -0.7), (lower, upper, "", -0.7),
        (upper, lower, step, -1.0), (lower, upper, "-1", -0.6), (lower, upper, "2", -2.0),
        (f"{low} + 1" if low else "1", upper, step, -0.5), (f"{low} - 1", upper, step, -1.0),
        (lower, f"{up} + 1", step, -0.4), (lower, f"{up} - 1" if up else "-1", step, -0.5),
        (lower, f"-{up}", step, -1.2), (f"-{low}", upper, step, -1.2),
        (f"-{up}" if up else lower, "", step, -1.2), ("", f"-{low}" if low else upper, step, -1.4),
        (f"{low} + 1" if low else "1", f"{up} + 1", step, -1.5),
    ]  # fmt: skip
    old = (lower, upper, step)
    for a, b, c, weight in changes:
        if (a, b, c) == old or "- 1" in (a.strip(), b.strip()) or a.strip() in ("- 1", "-"):
            continue
        if b.strip() in ("+ 1", "-"):
            continue
        yield Edit(start, end, f"{a}:{b}" + (f":{c}" if c else ""), "slice", weight)


def _slice_span(program: Program, node: ast.Slice) -> tuple[int, int]:
    owner = program.parents[node]
    assert isinstance(owner, ast.Subscript)
    end = program.span(owner)[1] - 1
    start = program.span(owner.value)[1]
    gap = program.between(start, end)
    return start + len(gap[: gap.index("[") + 1].encode()), end
