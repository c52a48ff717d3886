"""Which earlier statements a statement needs, so that it can be run without all the others.

It needs those that give it a name (imports, assignments), and those that may change what such a
name stands for: of `s = Stack()`, `s.push(1)`, `assert s.pop() == 1` the last needs both others.
What the program itself keeps between calls is not seen.
"""

from __future__ import annotations

import ast

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class _Statement:
    """The names of one statement: those it `uses`, `binds` for good, or may `change`."""

    def __init__(self, text: str) -> None:
        self.uses: set[str] = set()
        self.binds: set[str] = set()
        self.changes: set[str] = set()
        self.imports: set[str] = set()
        self.bare = False  # nothing but a call, made for what it does
        try:
            body = ast.parse(text).body
        except (SyntaxError, ValueError):
            return
        self.bare = all(isinstance(node, ast.Expr) for node in body)
        for node in body:
            self._add(node)

    def _add(self, node: ast.stmt) -> None:
        loaded, stored = _names(node)
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
            self.imports |= names
            self.binds |= names
        elif isinstance(node, _DEFINITIONS):
            self.uses |= loaded - self.binds
            self.binds.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            if isinstance(node, ast.AugAssign):
                loaded |= stored
            self.uses |= loaded - self.binds
            self.binds |= stored
            self.changes |= stored
        else:
            # What a loop's body gives names is, as a rule, used there only after that.
            self.uses |= loaded - stored - self.binds
            self.changes |= stored


def needed(statements: list[str]) -> list[list[int]]:
    """For each statement the places (0-based) of those before it that it needs, in order."""
    known = [_Statement(text) for text in statements]
    variables = {name for statement in known for name in statement.changes}
    imported = {name for statement in known for name in statement.imports}
    found: list[list[int]] = []
    for place, statement in enumerate(known):
        wanted = set(statement.uses)
        places: list[int] = []
        for earlier in range(place - 1, -1, -1):
            if not wanted:
                break
            other = known[earlier]
            shared = wanted & (variables | imported if other.bare else variables)
            if wanted & (other.binds | other.changes) or shared & other.uses:
                places.append(earlier)
                wanted = (wanted - other.binds) | other.uses
        found.append(places[::-1])
    return found


def _names(node: ast.AST) -> tuple[set[str], set[str]]:
    """Names that are loaded and names that are stored, without those local to comprehensions."""
    inner = {
        name.id
        for part in ast.walk(node)
        if isinstance(part, _COMPREHENSIONS)
        for generator in part.generators
        for name in ast.walk(generator.target)
        if isinstance(name, ast.Name)
    }
    names = [name for name in ast.walk(node) if isinstance(name, ast.Name)]
    loaded = {name.id for name in names if isinstance(name.ctx, ast.Load)}
    stored = {name.id for name in names if not isinstance(name.ctx, ast.Load)}
    return loaded - inner, stored - inner
