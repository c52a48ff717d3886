"""Edits of constants: one of them, or all that are equal."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator

from coe_lsp.mutations.program import Edit, Program, put, together
from coe_lsp.mutations.scope import Scope

# Characters that are taken for one another.
_MIXED_UP = ("([{<", ")]}>", "()", "[]", "{}", "<>", ",;:. ", "-_", "/\\|", "+-*/", "\n\t ")


def equal_constant_edits(program: Program, scope: Scope) -> Iterator[Edit]:
    """The same other value for all constants that are equal."""
    places: dict[str, list[ast.Constant]] = {}
    for node in program.expressions():
        if not isinstance(node, ast.Constant) or isinstance(node.value, bool):
            continue
        if isinstance(node.value, (str, int, float)) and program.wanted(node):
            places.setdefault(program.source(node), []).append(node)
    for nodes in places.values():
        if len(nodes) > 1:
            spans = sorted(program.span(node) for node in nodes)
            for edit in constant_edits(program, nodes[0], scope):
                yield together(program, spans, [edit.new] * len(spans), edit.kind, edit.guess - 1)


def opposite_edits(program: Program) -> Iterator[Edit]:
    """All `return True` of a function as `return False` and the other way round."""
    places: dict[ast.AST, list[ast.Constant]] = {}
    for node in program.expressions():
        if isinstance(node, ast.Constant) and isinstance(node.value, bool) and program.wanted(node):
            owner = program.parents[node]
            if isinstance(owner, ast.Return):
                while not isinstance(owner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Module)):
                    owner = program.parents[owner]
                places.setdefault(owner, []).append(node)
    for nodes in places.values():
        if len(nodes) > 1:
            nodes.sort(key=program.span)
            news = [str(not node.value) for node in nodes]
            yield together(program, [program.span(n) for n in nodes], news, "negation", -0.3)


def constant_edits(program: Program, node: ast.Constant, scope: Scope) -> Iterator[Edit]:
    """Another value in the place of one."""
    value = node.value
    seen: set[str] = {program.source(node)}

    def to(new: str, weight: float) -> Iterator[Edit]:
        if new not in seen:
            seen.add(new)
            yield put(program, node, new, "constant", weight)

    if isinstance(value, bool):
        yield from to(str(not value), 0.2)
        yield from to("None", -2.0)
    elif isinstance(value, (int, float)):
        for old, new in scope.clues.replaced:
            if old == str(value) and new.isdigit():
                yield from to(new, -0.4)
        one = 1 if isinstance(value, int) else 1.0
        for number, weight in ((value + one, 0.0), (value - one, 0.0)):
            yield from to(_literal(number, program.roomy(node)), weight)
        for text, weight in (("0", -0.5), ("1", -0.5), ("2", -1.0), ("-1", -1.5)):
            yield from to(text if text != "-1" or program.roomy(node) else "(-1)", weight)
        for other in scope.numbers:  # of the function itself
            yield from to(other, -0.7)
        for number in (value * 10, value * 2, value // 2, value // 10, value - 2, value + 2):
            yield from to(_literal(number, program.roomy(node)), -1.8)
        for text in ("10", "3", "100", "float('inf')", "float('-inf')", "None"):
            yield from to(text, -3.0)
        for name in scope.variables:
            yield from to(name, -2.0)
        for name in scope.values:
            yield from to(name, -2.6)
    elif isinstance(value, str):
        for other in scope.strings:
            yield from to(other, -0.8)
        for other in _misread(value):
            yield from to(_quoted(other, program.source(node)), -1.2)
        for other in difflib.get_close_matches(value, scope.clues.words, n=2, cutoff=0.7):
            yield from to(_quoted(other, program.source(node)), -0.8)
        for changed, weight in (
            ("", -1.0), (" ", -1.0), (value.strip(), -1.0), (value.lower(), -1.5),
            (value.upper(), -1.5), (value[::-1], -1.5), (value + " ", -2.0), (" " + value, -2.0),
            (value[:-1], -1.8), (value[1:], -1.8), (", ", -3.0), (",", -3.0), ("\n", -3.0),
            ("0", -3.0), ("1", -3.0), ("-", -3.5),
        ):  # fmt: skip
            yield from to(_quoted(changed, program.source(node)), weight)
        for name in scope.variables:
            yield from to(name, -2.0 if value else -1.5)
        for name in scope.values:
            yield from to(name, -2.6)
    elif value is None:
        for text, weight in (("False", -0.5), ("True", -1.0), ("0", -0.7), ("[]", -0.7),
                             ("''", -1.0), ("{}", -1.5), ("-1", -1.5), ("1", -2.0)):  # fmt: skip
            yield from to(text, weight)
        for name in scope.variables:
            yield from to(name, -1.5)


def _literal(number: float, roomy: bool) -> str:
    return repr(number) if number >= 0 or roomy else f"({number!r})"


def _quoted(value: str, like: str) -> str:
    """A literal of `value`, with the quotes of the literal `like` where both do."""
    text = repr(value)
    if like.lstrip("rRuU")[:1] == '"' and '"' not in text:
        return f'"{text[1:-1]}"'
    return text


def _misread(value: str) -> Iterator[str]:
    """What may have been meant by one character."""
    if len(value) == 1:
        for group in _MIXED_UP:
            if value in group:
                yield from (other for other in group if other != value)
