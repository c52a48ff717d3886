"""The names, constants and expressions that a program has at hand to be used elsewhere in it."""

from __future__ import annotations

import ast
import builtins
import difflib
from collections import Counter

from coe_lsp.mutations.program import Program
from coe_lsp.mutations.surroundings import Surroundings

_PIECES = 25
_VARIABLES = 24
_LONGEST = 60
_VALUES, _FIELDS = 16, 24


class Scope:
    """What a program mentions, the most used of it where there is very much.

    All lists are in order of first appearance, without repetition.

    `values` are the module's own that the program does not mention as variables, `fields` the
    attributes of its class; `spelt` strings that its tests contain. `pieces` are expressions, and
    whether they need no parentheses.
    """

    def __init__(self, program: Program, outside: Surroundings, spelt: tuple[str, ...]) -> None:
        variables: dict[str, None] = {}
        functions: dict[str, None] = {}
        attributes: dict[str, None] = {}
        numbers: dict[str, None] = {}
        strings: dict[str, None] = {}
        pieces: dict[str, bool] = {}
        conditions: dict[str, None] = {}
        for node in ast.walk(program.tree):
            match node:
                case ast.arg():
                    variables[node.arg] = None
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    functions[node.name] = None
                case ast.Import() | ast.ImportFrom():
                    for alias in node.names:
                        functions[(alias.asname or alias.name).partition(".")[0]] = None
                case _:
                    pass
        for node in program.expressions():
            text = program.source(node)
            match node:
                case ast.Name(ctx=ast.Store()):
                    variables[node.id] = None
                case ast.Attribute():
                    attributes[node.attr] = None
                case ast.Constant(value=bool() | None):
                    pass
                case ast.Constant(value=int() | float()):
                    numbers[text] = None
                case ast.Constant(value=str()):
                    strings[text] = None
                case ast.Compare():
                    conditions[text] = None
                case ast.Call(func=ast.Name(id=name)):
                    functions[name] = None
                case _:
                    pass
            loads = isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
            piece = (ast.BinOp, ast.Call, ast.Subscript, ast.Attribute)
            short = len(text) <= _LONGEST and "\n" not in text
            if isinstance(node, piece) and loads and short:
                pieces[text] = not isinstance(node, ast.BinOp)
        called = {name for name in functions if name not in variables}
        uses = Counter(n.id for n in ast.walk(program.tree) if isinstance(n, ast.Name))
        names = [name for name in variables if name not in ("self", "cls", "_")]
        often = set(sorted(names, key=lambda name: -uses[name])[:_VARIABLES])
        self.variables = [name for name in names if name in often]
        self.functions = list(called | {n for n in outside.names if n not in variables})
        self.functions.sort()
        self.values = [name for name in outside.values if name not in variables][:_VALUES]
        self.fields = list(outside.attributes[:_FIELDS])
        self.attributes = list(attributes)
        self.numbers = list(numbers)
        self.strings = list(strings)
        self.spelt = spelt
        self.pieces = list(pieces.items())[:_PIECES]
        self.conditions = [text for text in conditions if "\n" not in text][:_PIECES]
        self.known = frozenset([*variables, *_defined(program), *outside.names])

    def close(self, name: str) -> list[str]:
        """Names that look like a misspelt one."""
        words = [*self.known, *dir(builtins)]
        return difflib.get_close_matches(name, sorted(set(words) - {name}), n=4, cutoff=0.6)


def _defined(program: Program) -> set[str]:
    """Functions, classes and imports that the program itself brings."""
    found: set[str] = set()
    for node in ast.walk(program.tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {(a.asname or a.name).partition(".")[0] for a in node.names}
    return found
