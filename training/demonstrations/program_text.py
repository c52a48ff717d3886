"""What of a program's text is code: the lines where a fault can be, and lines that can be lent.

Docstrings, examples in them and comments are not code: a fault there is none that a test could see.
Pure.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from coe_lsp.parsing import parse


def parses(lines: Sequence[str]) -> bool:
    """Whether a program is Python at all."""
    return _tree(lines) is not None


def code_lines(lines: Sequence[str]) -> list[int]:
    """The indices (0-based) of lines that are code; of a program that does not parse all full ones.

    Inside a text of several lines nothing is code.
    """
    tree = _tree(lines)
    texts = _lines_of_texts(tree) if tree is not None else set[int]()
    return [
        index
        for index, line in enumerate(lines)
        if line.strip() and not line.lstrip().startswith("#") and index + 1 not in texts
    ]


def _lines_of_texts(tree: ast.AST) -> set[int]:
    """The lines (1-based) of docstrings and of texts of several lines."""
    found = {number for docstring in docstrings(tree) for number in docstring}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Constant, ast.JoinedStr)):
            first, last = node.lineno, node.end_lineno or node.lineno
            if last > first:
                found.update(range(first, last + 1))
    return found


def docstrings(tree: ast.AST) -> Iterator[range]:
    """The lines (1-based) of docstrings that could be left out."""
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        first = node.body[0]
        if ast.get_docstring(node, clean=False) is not None and len(node.body) > 1:
            yield range(first.lineno, (first.end_lineno or first.lineno) + 1)


def without_docs(lines: Sequence[str]) -> tuple[str, ...]:
    """Docstrings and lines that are comments taken out, if the program stays one."""
    tree = _tree(lines)
    if tree is None:
        return tuple(lines)
    drop = {number for docstring in docstrings(tree) for number in docstring}
    texts = _lines_of_texts(tree)
    kept = [
        line
        for number, line in enumerate(lines, 1)
        if number not in drop and (number in texts or not line.lstrip().startswith("#"))
    ]
    while kept and not kept[0].strip():
        del kept[0]
    return tuple(kept) if parses(kept) else tuple(lines)


def _tree(lines: Sequence[str]) -> ast.Module | None:
    try:
        return parse("\n".join(lines))
    except (SyntaxError, RecursionError, ValueError):
        return None
