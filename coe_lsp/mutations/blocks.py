"""Statements as the whole lines that they take up, and edits of such lines."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import cast

from coe_lsp.mutations.program import Edit, Program

Block = list[ast.stmt]
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
SIMPLE = (
    ast.Return, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr, ast.Break, ast.Continue,
    ast.Pass, ast.Raise, ast.Delete, ast.Assert,
)  # fmt: skip


def statements_of(owner: ast.AST | None, name: str) -> Block:
    """A block of a compound statement; empty for what is none, like the body of a lambda."""
    block: object = getattr(owner, name, None)
    return cast(Block, block) if isinstance(block, list) else []


def statements(program: Program) -> Iterator[tuple[ast.AST, Block, int]]:
    """All statements inside of others that may be changed: owner, block, and place in the block.

    Left out: docstrings, what shares a line with something else, what is not to be changed.
    """
    for owner in ast.walk(program.tree):
        if isinstance(owner, ast.Module):
            continue
        for name in ("body", "orelse", "finalbody"):
            block = statements_of(owner, name)
            for index, node in enumerate(block):
                own = not is_docstring(owner, node, index) and alone(program, node)
                if own and program.wanted(node):
                    yield owner, block, index


def is_docstring(owner: ast.AST, node: ast.stmt, index: int) -> bool:
    """Whether this statement, at this place of the owner's block, is its docstring."""
    return index == 0 and isinstance(owner, FUNCTION) and isinstance(node, ast.Expr) and (
        isinstance(node.value, ast.Constant)
    )  # fmt: skip


def alone(program: Program, node: ast.stmt) -> bool:
    """Whether the statement has its lines to itself."""
    start, end = program.span(node)
    before = program.between(program.line_start(node.lineno), start)
    after = program.between(end, program.line_start((node.end_lineno or node.lineno) + 1))
    return not before.strip() and (not after.strip() or after.lstrip().startswith("#"))


def top_of(program: Program, function: FunctionNode) -> tuple[str, int] | None:
    """The indentation of a function's body and where it begins, after a docstring.

    None if nothing can be put in there: no statement follows, or it shares its line.
    """
    body = [n for i, n in enumerate(function.body) if not is_docstring(function, n, i)]
    if not body or not alone(program, body[0]):
        return None
    return indentation(program, body[0]), lines_of(program, body[0])[0]


def parameters_of(function: FunctionNode) -> list[str]:
    """The names of its parameters that are given by place or name, without `self` and `cls`."""
    return [a.arg for a in function.args.args if a.arg not in ("self", "cls")]


def in_loop(program: Program, node: ast.AST) -> bool:
    """Whether a statement is in a loop of its function."""
    parent = program.parents.get(node)
    while parent is not None and not isinstance(parent, FUNCTION):
        if isinstance(parent, (ast.For, ast.While)):
            return True
        parent = program.parents.get(parent)
    return False


def lines_of(program: Program, node: ast.stmt) -> tuple[int, int]:
    """The statement's whole lines, its last line end included."""
    return program.line_start(_first_line(node)), program.line_start((node.end_lineno or 0) + 1)


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(d.lineno for d in decorators)])


def text_of(program: Program, node: ast.stmt) -> str:
    """The statement's whole lines, ended by a line end even at the program's end."""
    text = program.between(*lines_of(program, node))
    return text if text.endswith("\n") else text + "\n"


def indentation(program: Program, node: ast.stmt) -> str:
    """What stands before the statement in its line."""
    return program.between(program.line_start(node.lineno), program.span(node)[0])


def whole(program: Program, node: ast.stmt, new: str, kind: str, weight: float) -> Edit:
    """The edit that puts `new`, whole lines or nothing, in place of the statement's lines."""
    start, end = lines_of(program, node)
    return cut(program, start, end, new, kind, weight)


def cut(program: Program, start: int, end: int, new: str, kind: str, weight: float) -> Edit:
    """An edit of whole lines that leaves the program's last line end as it was.

    What goes takes the blank line below along, if there is one above or a block begins there.
    """
    if not new and _opens_or_is_blank(program.data[:start]) and end < len(program.data):
        line = program.data[end:].split(b"\n", 1)[0]
        if not line.strip():
            end = min(end + len(line) + 1, len(program.data))
    if end == len(program.data) and not program.data.endswith(b"\n"):
        if new:
            new = new.removesuffix("\n")
        elif start:
            start -= 1
    return Edit(start, end, new, kind, weight)


def _opens_or_is_blank(before: bytes) -> bool:
    last = before.rstrip(b"\n").rpartition(b"\n")[2].rstrip()
    return before.endswith(b"\n\n") or last.endswith(b":")


def put_in(program: Program, place: int, lines: str, kind: str, weight: float) -> Edit:
    """An edit that puts whole lines in where a line starts, or after the program's last line."""
    if place and program.data[place - 1 : place] != b"\n":
        lines = "\n" + lines.removesuffix("\n")
    return Edit(place, place, lines, kind, weight)


def reindent(text: str, old: str, new: str) -> str:
    """Lines that begin with the old indentation, with the new one."""
    return "".join(
        new + line.removeprefix(old) if line.startswith(old) and line.strip() else line
        for line in text.splitlines(keepends=True)
    )
