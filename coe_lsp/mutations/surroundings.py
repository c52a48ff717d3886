"""What a function can see beyond itself, to be used in it: names of its module and of its class."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from attrs import frozen

from coe_lsp.parsing import parse

#: Of what a module's code uses, so many are kept, the most used.
_METHODS, _TYPES, _EXCEPTIONS, _KEYWORDS, _STATEMENTS = 16, 12, 12, 8, 16
_LONGEST = 60


@frozen
class Surroundings:
    """Names in order of appearance, without repetition.

    `names` are all that the module defines or imports at its top level, `values` those of them that
    are assigned there (but `__version__` and the like), `attributes` what the class around the
    function gives its instances. What the code of the module does, the most frequent first: `types`
    that it asks about, `exceptions` that it raises or catches, `methods` that it calls without
    arguments (`strip()`), `keywords` by the name of what is called (`sort: reverse=True`), and
    `statements` of the class around that are one line. `parameters` are those of the module's own
    functions and classes, by name. `imports` are statements with which other modules bring in names
    that this one lacks.
    """

    names: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    exceptions: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()
    keywords: Mapping[str, tuple[str, ...]] = {}
    parameters: Mapping[str, tuple[str, ...]] = {}
    imports: Mapping[str, Sequence[str]] = {}


NOTHING = Surroundings()


def surroundings(text: str, owner: str) -> Surroundings:
    """Read them from a module's text; `owner` is the qualified name of the class, or ''.

    A module that does not parse has none. Classes that it inherits from are not looked at, nor
    are names that are defined under an `if` or `try`.
    """
    try:
        tree = parse(text)
    except SyntaxError:
        return NOTHING
    body: list[ast.stmt] = tree.body
    names = [name for node in body for name in (*defined(node), *_assigned(node))]
    values = [name for node in body for name in _assigned(node) if not name.startswith("__")]
    around = find_class(body, owner)
    attributes = _of_class(around) if around else ()
    usage = _Usage(tree)
    return Surroundings(
        names=tuple(dict.fromkeys(names)),
        values=tuple(dict.fromkeys(values)),
        attributes=tuple(dict.fromkeys(attributes)),
        types=_most(usage.types, _TYPES),
        exceptions=_most(usage.exceptions, _EXCEPTIONS),
        methods=_most(usage.methods, _METHODS),
        statements=_most(Counter(_one_line(around)), _STATEMENTS) if around else (),
        keywords={name: _most(found, _KEYWORDS) for name, found in usage.keywords.items()},
        parameters={name: found for node in body for name, found in _parameters(node)},
    )


def _most(found: Counter[str], count: int) -> tuple[str, ...]:
    return tuple(text for text, _ in found.most_common(count))


class _Usage:
    """What the code of a module does, counted."""

    def __init__(self, tree: ast.AST) -> None:
        self.types: Counter[str] = Counter()
        self.exceptions: Counter[str] = Counter()
        self.methods: Counter[str] = Counter()
        self.keywords: dict[str, Counter[str]] = {}
        for node in ast.walk(tree):
            match node:
                case ast.Call():
                    self._call(node)
                case ast.Raise(exc=ast.expr() as raised):
                    name = raised.func if isinstance(raised, ast.Call) else raised
                    self.exceptions.update(_dotted(name))
                case ast.ExceptHandler(type=ast.expr() as caught):
                    parts = caught.elts if isinstance(caught, ast.Tuple) else [caught]
                    self.exceptions.update(name for part in parts for name in _dotted(part))
                case _:
                    pass

    def _call(self, node: ast.Call) -> None:
        match node.func:
            case ast.Name(id="isinstance") if len(node.args) == 2:
                known = node.args[1]
                parts = known.elts if isinstance(known, ast.Tuple) else [known]
                self.types.update(name for part in parts for name in _dotted(part))
            case ast.Attribute(attr=name):
                if not node.args and not node.keywords:
                    self.methods[f"{name}()"] += 1
            case _:
                pass
        called = next(_dotted(node.func), "").rpartition(".")[2]
        for keyword in node.keywords:
            if called and keyword.arg:
                text = f"{keyword.arg}={ast.unparse(keyword.value)}"
                if len(text) <= _LONGEST:
                    self.keywords.setdefault(called, Counter())[text] += 1


def _dotted(node: ast.expr) -> Iterator[str]:
    """The name, with dots, if it is one."""
    match node:
        case ast.Name(id=name):
            yield name
        case ast.Attribute(value=value, attr=attribute):
            for owner in _dotted(value):
                yield f"{owner}.{attribute}"
            if not isinstance(value, (ast.Name, ast.Attribute)):
                yield attribute
        case _:
            pass


def _one_line(around: ast.ClassDef) -> Iterator[str]:
    """The statements of a class's methods that could stand elsewhere."""
    for node in ast.walk(around):
        if isinstance(node, (ast.Assign, ast.AugAssign)) or (
            isinstance(node, ast.Expr) and isinstance(node.value, (ast.Call, ast.Yield))
        ):
            text = ast.unparse(node)
            if "\n" not in text and len(text) <= _LONGEST and "self" in text:
                yield text


def _parameters(node: ast.stmt) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The parameters of a function, or of a class's constructor."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            arguments = node.args
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            yield node.name, tuple(one.arg for one in every if one.arg not in ("self", "cls"))
        case ast.ClassDef():
            for part in node.body:
                for name, found in _parameters(part):
                    yield (node.name if name == "__init__" else name), found
        case _:
            pass


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
