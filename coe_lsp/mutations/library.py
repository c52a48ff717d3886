"""Edits of calls into the standard library: an option left out, a lazy value where all are needed.

And parameters that are not yet what the function takes them for. Names that are taken for one
another are in `expressions`. Weights are logs of rough frequencies, on the scale of those there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from coe_lsp.mutations.blocks import FUNCTION, FunctionNode, parameters_of, top_of
from coe_lsp.mutations.program import Edit, Program, put, room_for_argument
from coe_lsp.mutations.scope import Scope

#: By the name that is called and how many arguments it has, what is left out, most usual first.
_OPTIONS: dict[tuple[str, int], tuple[str, ...]] = {
    ("split", 1): ("1",),
    ("rsplit", 1): ("1",),
    ("replace", 2): ("1",),
    ("pop", 1): ("None",),
    ("next", 1): ("None",),
    ("sum", 1): ("[]", "()", "0.0"),
    ("max", 1): ("default=0", "default=None", "key=len"),
    ("min", 1): ("default=0", "default=None", "key=len"),
    ("int", 1): ("16", "2", "0", "8"),
    ("round", 1): ("2", "1"),
    ("zip", 2): ("strict=True",),
    ("zip_longest", 2): ('fillvalue=""', "fillvalue=0"),
    ("open", 1): ('encoding="utf-8"',),
    ("open", 2): ('encoding="utf-8"', 'newline=""'),
    ("read_text", 0): ('encoding="utf-8"',),
    ("write_text", 1): ('encoding="utf-8"',),
    ("encode", 0): ('errors="replace"', 'errors="ignore"'),
    ("decode", 0): ('errors="replace"', 'errors="ignore"'),
    ("decode", 1): ('errors="replace"', 'errors="ignore"'),
    ("str", 1): ('"utf-8"',),
    ("splitlines", 0): ("keepends=True",),
    ("dumps", 1): ("sort_keys=True", "ensure_ascii=False", "default=str", "indent=2"),
    ("mkdir", 0): ("parents=True, exist_ok=True", "exist_ok=True"),
    ("makedirs", 1): ("exist_ok=True",),
    ("unlink", 0): ("missing_ok=True",),
    ("match", 2): ("re.IGNORECASE", "re.DOTALL", "re.MULTILINE"),
    ("search", 2): ("re.IGNORECASE", "re.DOTALL", "re.MULTILINE"),
    ("fullmatch", 2): ("re.IGNORECASE", "re.DOTALL"),
    ("findall", 2): ("re.IGNORECASE", "re.DOTALL", "re.MULTILINE"),
    ("finditer", 2): ("re.IGNORECASE", "re.DOTALL", "re.MULTILINE"),
    ("compile", 1): ("re.IGNORECASE", "re.DOTALL", "re.MULTILINE", "re.VERBOSE"),
    ("sub", 3): ("count=1", "flags=re.IGNORECASE", "flags=re.DOTALL", "flags=re.MULTILINE"),
}
_OF_PATTERNS = ("match", "search", "fullmatch", "findall", "finditer", "compile", "sub")
_STRIPPING = ("strip", "lstrip", "rstrip")
_LAZY = ("map", "filter", "zip", "reversed", "enumerate", "keys", "values", "items")
_COLLECTIONS = ("list", "tuple", "sorted", "set")
_CONVERSIONS = ("list", "str", "dict", "tuple", "set", "int", "sorted")
_METHODS = ("copy", "strip", "lower")
_MOST_PARAMETERS, _MOST_HELPERS, _MOST_STRIPPED = 5, 6, 6


def library_edits(program: Program, scope: Scope) -> Iterator[Edit]:
    """All edits of this kind."""
    for node in filter(program.wanted, program.expressions()):
        if isinstance(node, ast.Call):
            yield from _options(program, scope, node)
        yield from _collected(program, node)
    for node in ast.walk(program.tree):
        if isinstance(node, FUNCTION):
            yield from _converted(program, scope, node)


def _options(program: Program, scope: Scope, node: ast.Call) -> Iterator[Edit]:
    """One more argument for a call that works without."""
    name = _called(node)
    if node.keywords or any(isinstance(arg, (ast.Starred, ast.GeneratorExp)) for arg in node.args):
        return
    options = _OPTIONS.get((name, len(node.args)), ())
    if name in _OF_PATTERNS and not _is_of(node, "re"):
        options = ()
    if name in _STRIPPING and not node.args:
        short = [text for text in scope.literals if len(text) <= 5 and text.strip("'\" ")]
        options = tuple(short[:_MOST_STRIPPED])
    end, before = room_for_argument(program, node)
    for number, option in enumerate(options):
        yield Edit(end, end, f"{before}{option}", "missing option", -1.6 - 0.2 * number)


def _collected(program: Program, node: ast.expr) -> Iterator[Edit]:
    """All values of what gives them one by one; the items of what is alone in a list."""
    match node:
        case ast.GeneratorExp():
            text, parent = program.source(node), program.parents.get(node)
            if isinstance(parent, ast.Call) and program.span(node)[1] == program.span(parent)[1]:
                return  # its parentheses are the call's
            for kind in _COLLECTIONS:
                yield put(program, node, f"{kind}{text}", "lazy value", -1.2)
        case ast.Call() if _called(node) in _LAZY:
            parent = program.parents.get(node)
            if isinstance(parent, ast.Call) and _called(parent) in _COLLECTIONS:
                return
            for kind in _COLLECTIONS:
                yield put(program, node, f"{kind}({program.source(node)})", "lazy value", -1.6)
        case ast.List(elts=[ast.Name(id=name)], ctx=ast.Load()):
            for kind in ("list", "tuple"):
                yield put(program, node, f"{kind}({name})", "lazy value", -1.8)
        case _:
            pass


def _converted(program: Program, scope: Scope, owner: FunctionNode) -> Iterator[Edit]:
    """A parameter made into something else at the top of a function."""
    top = top_of(program, owner)
    if top is None:
        return
    indent, place = top
    helpers = [name for name in scope.helpers if len(scope.parameters.get(name, ())) == 1]
    for name in parameters_of(owner)[:_MOST_PARAMETERS]:
        values = [f"{kind}({name})" for kind in (*_CONVERSIONS, *helpers[:_MOST_HELPERS])]
        values += [f"{name}.{method}()" for method in _METHODS]
        for value in values:
            line = f"{indent}{name} = {value}\n"
            yield Edit(place, place, line, "missing conversion", -3.0)


def _called(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def _is_of(node: ast.Call, module: str) -> bool:
    match node.func:
        case ast.Attribute(value=ast.Name(id=name)):
            return name == module
        case _:
            return False
