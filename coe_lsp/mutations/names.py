"""Names that nothing gives a value: all uses of one at once, put right or given another name.

Where such a name stands but once, `expressions` does the same. Weights are logs of rough
frequencies, on the scale of those there.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator

from coe_lsp.mutations.program import Edit, Program, together
from coe_lsp.mutations.scope import Scope

_SPECIAL = frozenset({"self", "cls", "_", "__class__", "__file__"})


def undefined_names(program: Program, scope: Scope) -> set[str]:
    """Names that are read, and that neither the program nor its module gives a value."""
    read = {
        node.id
        for node in program.expressions()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    set_here = {name for node in ast.walk(program.tree) for name in _set_by(node)}
    return read - scope.known - set_here - _SPECIAL - frozenset(dir(builtins))


def _set_by(node: ast.AST) -> list[str]:
    """The names that a node alone gives a value, or declares."""
    match node:
        case ast.Name(ctx=ast.Store() | ast.Del()):
            return [node.id]
        case ast.Global() | ast.Nonlocal():
            return node.names
        case ast.ExceptHandler(name=str(name)):
            return [name]
        case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            return [name]
        case ast.MatchMapping(rest=str(name)):
            return [name]
        case _:
            return []


def name_edits(program: Program, scope: Scope) -> Iterator[Edit]:
    """Another name in all places of one that is not defined, those first that nothing reads.

    Where no test says so, it may be defined in a way that is not seen here.
    """
    unknown = sorted(undefined_names(program, scope))
    if not unknown:
        return
    names = [node for node in program.expressions() if isinstance(node, ast.Name)]
    read = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    declared = {
        name
        for node in ast.walk(program.tree)
        if isinstance(node, (ast.Global, ast.Nonlocal))
        for name in node.names
    }
    for name in unknown:
        spans = sorted(program.span(node) for node in names if node.id == name)
        if len(spans) < 2:
            continue
        near = scope.close(name)
        less = 0.0 if name in scope.clues.undefined else -2.0
        others = dict.fromkeys((*near, *scope.variables, *scope.values))
        for other in (other for other in others if other not in declared):
            likely = other in near or (other in scope.variables and other not in read)
            weight = (0.5 if likely else -1.2) + less
            yield together(program, spans, [other] * len(spans), "misspelt name", weight)
