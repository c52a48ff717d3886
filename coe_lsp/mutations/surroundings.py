"""What a function can see beyond itself, to be used in it: names of its module and of its class."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from attrs import frozen

from coe_lsp.parsing import parse


@frozen
class Surroundings:
    """Names in order of appearance, without repetition.

    `names` are all that the module defines or imports at its top level, `values` those of them that
    are assigned there (but `__version__` and the like), `attributes` what the class around the
    function gives its instances.
    """

    names: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()


NOTHING = Surroundings()


def surroundings(text: str, owner: str) -> Surroundings:
    """Read them from a module's text; `owner` is the qualified name of the class, or ''.

    A module that does not parse has none. Classes that it inherits from are not looked at, nor
    what stands under an `if` or `try`.
    """
    try:
        body: list[ast.stmt] = parse(text).body
    except SyntaxError:
        return NOTHING
    names = [name for node in body for name in (*defined(node), *_assigned(node))]
    values = [name for node in body for name in _assigned(node) if not name.startswith("__")]
    around = find_class(body, owner)
    attributes = _of_class(around) if around else ()
    return Surroundings(*(tuple(dict.fromkeys(some)) for some in (names, values, attributes)))


def defined(node: ast.AST) -> list[str]:
    """The names that a definition or an import gives something."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.Import() | ast.ImportFrom():
            return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
        case _:
            return []


def find_class(body: list[ast.stmt], name: str) -> ast.ClassDef | None:
    """The class of that qualified name in a module's body; None if there is none, or no name."""
    found: ast.ClassDef | None = None
    for part in name.split(".") if name else []:
        found = next((n for n in body if isinstance(n, ast.ClassDef) and n.name == part), None)
        if found is None:
            return None
        body = found.body
    return found


def _assigned(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.Assign():
            targets = node.targets
        case ast.AnnAssign():
            targets = [node.target]
        case _:
            return
    for target in targets:
        parts = target.elts if isinstance(target, ast.Tuple) else [target]
        for part in parts:
            if isinstance(part, ast.Name):
                yield part.id


def _of_class(around: ast.ClassDef) -> Iterator[str]:
    for node in around.body:
        yield from _assigned(node)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if not node.name.startswith("__"):
                yield node.name
            yield from _set_on_itself(node)


def _set_on_itself(method: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """The attributes that a method gives its first argument, whatever that is."""
    first = [*method.args.posonlyargs, *method.args.args][:1]
    itself = first[0].arg if first else ""
    for node in ast.walk(method):
        match node:
            case ast.Attribute(value=ast.Name(id=name), ctx=ast.Store()) if name == itself:
                yield node.attr
            case _:
                pass
