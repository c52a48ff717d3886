"""What of a program runs: its syntax tree without docstrings and annotations.

Two programs of the same meaning here differ in layout, comments and words alone. Nothing is run.
"""

from __future__ import annotations

import ast
import functools

from coe_lsp.parsing import parse


def does_parse(program: str) -> bool:
    """Whether a program is one as far as syntax goes."""
    return meaning(program) is not None


@functools.lru_cache(maxsize=256)
def meaning(program: str) -> str | None:
    """The tree as text; None for what does not parse."""
    try:
        return ast.dump(_Bare().visit(parse(program)))
    except (SyntaxError, RecursionError, ValueError):
        return None


class _Bare(ast.NodeTransformer):
    """Takes docstrings and annotations out."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        if node.value is None:
            return ast.Pass()
        return ast.Assign(targets=[node.target], value=node.value)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            documented = ast.get_docstring(node, clean=False) is not None
            node.body = (node.body[1:] or [ast.Pass()]) if documented else node.body
        return super().generic_visit(node)
