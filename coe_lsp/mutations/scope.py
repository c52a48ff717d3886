"""The names, constants and expressions that a program has at hand to be used elsewhere in it."""

from __future__ import annotations

import ast
import builtins
import difflib
from collections import Counter

from coe_lsp.mutations.clues import Clues
from coe_lsp.mutations.program import Program
from coe_lsp.mutations.surroundings import Surroundings, defined

_PIECES = 25
_VARIABLES = 24
_LONGEST = 60
_VALUES, _FIELDS, _LITERALS = 16, 24, 12


class Scope:
    """What a program mentions, the most used of it where there is very much.

    All lists are in order of first appearance, without repetition.

    `values` are the module's own that the program does not mention as variables, `fields` the
    attributes of its class, `clues` what its tests say. `pieces` are expressions, and whether they
    need no parentheses. `helpers` are functions of the module that it might call, `literals` what
    tests and program spell, `new_literals` what only the tests do.
    """

    def __init__(self, program: Program, enclosing: Surroundings, clues: Clues) -> None:
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
        self.clues = clues
        self.raised = clues.raised
        self.test_words = clues.strings
        spelt = {value_of(text) for text in (*strings, *numbers)}
        in_tests = sorted(clues.constants, key=lambda text: (len(text), text))
        self.new_literals = [
            text for text in in_tests if len(text) <= _LONGEST and value_of(text) not in spelt
        ][:_LITERALS]
        self.literals = [*self.new_literals, *strings]
        self.pieces = list(pieces.items())[:_PIECES]
        self.conditions = [text for text in conditions if "\n" not in text][:_PIECES]
        self.known = frozenset([*variables, *brought, *enclosing.names])
        self.types = list(enclosing.types)
        self.exceptions = list(enclosing.exceptions)
        self.methods = list(enclosing.methods)
        self.statements = list(enclosing.statements)
        self.keywords = enclosing.keywords
        self.parameters = enclosing.parameters
        self.imports = enclosing.imports
        called_here = [name for name in functions if name in enclosing.parameters]
        self.helpers = list(dict.fromkeys([*called_here, *enclosing.parameters]))

    def close(self, name: str) -> list[str]:
        """Names that look like a misspelt one."""
        words = [*self.known, *dir(builtins)]
        return difflib.get_close_matches(name, sorted(set(words) - {name}), n=4, cutoff=0.6)


def value_of(literal: str) -> object:
    """What a literal stands for; its text if it cannot be told."""
    try:
        return ast.literal_eval(literal)
    except (SyntaxError, ValueError):
        return literal
