"""The names, constants and expressions that a program has at hand to be used elsewhere in it."""

from __future__ import annotations

import ast
import builtins
import difflib
from collections import Counter

from coe_lsp.mutations.program import Program
from coe_lsp.mutations.surroundings import Surroundings, defined

_PIECES = 25
_VARIABLES = 24
_LONGEST = 60
_VALUES, _FIELDS = 16, 24


class Scope:
    """What a program mentions, the most used of it where there is very much.

    All lists are in order of first appearance, without repetition.

    `values` are the module's own that the program does not mention as variables, `fields` the
    attributes of its class, and `test_strings` are strings that its tests contain. `pieces` are
    expressions, and whether they need no parentheses.
    """

    def __init__(
        self, program: Program, enclosing: Surroundings, test_strings: tuple[str, ...]
    ) -> None:
        attributes: dict[str, None] = {}
        numbers: dict[str, None] = {}
        strings: dict[str, None] = {}
        pieces: dict[str, bool] = {}
        conditions: dict[str, None] = {}
        nodes = list(ast.walk(program.tree))
        variables = dict.fromkeys(node.arg for node in nodes if isinstance(node, ast.arg))
        brought = [name for node in nodes for name in defined(node)]
        functions = dict.fromkeys(brought)
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
        uses = Counter(node.id for node in nodes if isinstance(node, ast.Name))
        names = [name for name in variables if name not in ("self", "cls", "_")]
        often = set(sorted(names, key=lambda name: -uses[name])[:_VARIABLES])
        self.variables = [name for name in names if name in often]
        self.functions = list(called | {n for n in enclosing.names if n not in variables})
        self.functions.sort()
        self.values = [name for name in enclosing.values if name not in variables][:_VALUES]
        self.fields = list(enclosing.attributes[:_FIELDS])
        self.attributes = list(attributes)
        self.numbers = list(numbers)
        self.strings = list(strings)
        self.test_strings = test_strings
        self.pieces = list(pieces.items())[:_PIECES]
        self.conditions = [text for text in conditions if "\n" not in text][:_PIECES]
        self.known = frozenset([*variables, *brought, *enclosing.names])

    def close(self, name: str) -> list[str]:
        """Names that look like a misspelt one."""
        words = [*self.known, *dir(builtins)]
        return difflib.get_close_matches(name, sorted(set(words) - {name}), n=4, cutoff=0.6)
