"""Edits of how lines hang together around functions: a `def` in a comment, a body left outside.

They matter where what is repaired is a class or the like, not a single function.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from coe_lsp.mutations.blocks import FUNCTION, Block, alone, cut, indentation, lines_of, reindent
from coe_lsp.mutations.program import Edit, Program
from coe_lsp.mutations.syntax import HIDDEN, first_fault


def layout_edits(program: Program) -> Iterator[Edit]:
    """All edits of this kind."""
    for number, line in enumerate(program.text.split("\n"), 1):
        if HIDDEN.match(line):
            start = program.line_start(number)
            new = HIDDEN.sub(r"\1", line)
            edit = Edit(start, start + len(line.encode()), new, "hidden line", 0.0)
            if first_fault(program.apply(edit).split("\n")) is None:
                yield edit
    for node in ast.walk(program.tree):
        if isinstance(node, (ast.ClassDef, ast.Module)):
            yield from _left_outside(program, node.body)


def _left_outside(program: Program, block: Block) -> Iterator[Edit]:
    """The statements below a function, or a class that ends with one, become its last ones."""
    for index, node in enumerate(block):
        function = node
        while isinstance(function, ast.ClassDef):
            function = function.body[-1]
        if not isinstance(function, FUNCTION) or not alone(program, function.body[-1]):
            continue
        below = list(_until_definition(block[index + 1 :]))
        if not below or not all(alone(program, node) for node in below):
            continue
        start, end = lines_of(program, below[0])[0], lines_of(program, below[-1])[1]
        outside, inside = indentation(program, below[0]), indentation(program, function.body[-1])
        new = reindent(program.between(start, end), outside, inside)
        yield cut(program, start, end, new, "indentation", -0.2)


def _until_definition(block: Block) -> Iterator[ast.stmt]:
    for node in block:
        if isinstance(node, (*FUNCTION, ast.ClassDef, ast.Import, ast.ImportFrom)):
            return
        yield node
