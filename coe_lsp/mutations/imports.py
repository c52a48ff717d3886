"""Edits that import what a program names and nothing defines.

A name is imported as other files of the project do it, else as the standard library has it. It goes
below the last import of a block of a module, above a function, or into it.
"""

from __future__ import annotations

import ast
import builtins
import functools
import importlib
import sys
from collections.abc import Iterator

from coe_lsp.mutations.blocks import FUNCTION, alone, indentation, is_docstring, lines_of, put_in
from coe_lsp.mutations.names import undefined_names
from coe_lsp.mutations.program import Edit, Program
from coe_lsp.mutations.scope import Scope

# Where names are looked for that people import by themselves, the most usual modules first.
_MODULES = (
    "collections", "typing", "functools", "datetime", "itertools", "pathlib", "dataclasses", "math",
    "copy", "contextlib", "decimal", "enum", "abc", "collections.abc", "io", "string", "operator",
    "fractions", "random", "time", "os", "types", "textwrap", "urllib.parse", "json", "re",
)  # fmt: skip
_IN_A_MODULE, _ABOVE_A_FUNCTION, _IN_A_FUNCTION = 2.0, 1.0, -1.0
_LESS_EACH = 0.5


def import_edits(program: Program, scope: Scope) -> Iterator[Edit]:
    """All edits that import a name that is not there."""
    body = program.tree.body
    if len(body) != 1:
        return
    if isinstance(body[0], FUNCTION):
        for name in sorted(undefined_names(program, scope)):
            yield from _in_function(program, scope, body[0], name)
        return
    for name in sorted(scope.clues.undefined):
        for number, statement in enumerate(import_statements(name, scope)):
            place = lines_of(program, body[0])[is_above_imports(body[0])]
            weight = _IN_A_MODULE - _LESS_EACH * number
            yield put_in(program, place, statement + "\n", "missing import", weight)


def is_above_imports(node: ast.stmt) -> bool:
    """Whether imports go below a statement: another one, or the module's docstring."""
    docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return docstring or isinstance(node, ast.Import | ast.ImportFrom)


def import_statements(name: str, scope: Scope | None = None) -> list[str]:
    """The statements that could bring in a name, the most usual one first; none if unknown."""
    known = list(scope.imports.get(name, ())) if scope is not None else []
    if name in sys.stdlib_module_names and not name.startswith("_"):
        known.append(f"import {name}")
    known += [f"from {module} import {name}" for module in _MODULES if name in _public(module)]
    return list(dict.fromkeys(known))[:4]


@functools.cache
def _public(module: str) -> frozenset[str]:
    """What a module of the standard library offers."""
    found = importlib.import_module(module)
    return frozenset(getattr(found, "__all__", None) or vars(found)) - frozenset(dir(builtins))


def _in_function(
    program: Program, scope: Scope, function: ast.FunctionDef | ast.AsyncFunctionDef, name: str
) -> Iterator[Edit]:
    index = int(is_docstring(function, function.body[0], 0))
    for number, statement in enumerate(import_statements(name, scope)):
        less = _LESS_EACH * number
        if name in scope.clues.undefined:
            weight = _ABOVE_A_FUNCTION - less
            yield put_in(program, 0, f"{statement}\n\n\n", "missing import", weight)
        if index < len(function.body) and alone(program, function.body[index]):
            first = function.body[index]
            line = f"{indentation(program, first)}{statement}\n"
            weight = _IN_A_FUNCTION - less
            yield put_in(program, lines_of(program, first)[0], line, "missing import", weight)
