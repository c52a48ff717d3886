"""What of a program may be broken: its code, and not what no person would get wrong or miss.

Signatures (but for default values), annotations, decorators, docstrings, imports and what is raised
are passed over. Which faults there are is the subclasses' business.
"""

from __future__ import annotations

from functools import lru_cache
from random import Random

import libcst as cst

# Without one of these nothing is left of what was meant, so nobody forgets it.
_BASIC = frozenset(
    {
        "enumerate", "filter", "getattr", "hasattr", "id", "isinstance", "issubclass", "iter",
        "len", "map", "next", "open", "range", "setattr", "super", "type", "vars", "zip",
    }
)  # fmt: skip
# What is called on a value and gives the like of it.
_CONVERTING = frozenset(
    {
        "absolute", "casefold", "copy", "decode", "encode", "expanduser", "items", "keys",
        "lower", "lstrip", "resolve", "rstrip", "split", "splitlines", "strip", "title", "upper",
        "values",
    }
)  # fmt: skip
Change = tuple[str, cst.CSTNode, cst.CSTNode]


class CodeVisitor(cst.CSTVisitor):
    """Collects changes: kind, node, replacement."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self.changes: list[Change] = []
        self.random = random

    def add(self, kind: str, old: cst.CSTNode, *new: cst.CSTNode) -> None:
        """One of the replacements, drawn, as a change."""
        if new:
            self.changes.append((kind, old, self.random.choice(new)))

    def visit_FunctionDef(self, node: cst.FunctionDef) -> bool:
        """Default values and the body."""
        node.params.visit(self)
        node.body.visit(self)
        return False

    def visit_ClassDef(self, node: cst.ClassDef) -> bool:
        """The body."""
        node.body.visit(self)
        return False

    def visit_Param(self, node: cst.Param) -> bool:
        """The default value."""
        if node.default is not None:
            node.default.visit(self)
        return False

    def visit_Arg(self, node: cst.Arg) -> bool:
        """The value, not the name of a keyword."""
        node.value.visit(self)
        return False

    def visit_Annotation(self, node: cst.Annotation) -> bool:
        """Nothing."""
        return False

    def visit_Import(self, node: cst.Import) -> bool:
        """Nothing."""
        return False

    def visit_ImportFrom(self, node: cst.ImportFrom) -> bool:
        """Nothing."""
        return False

    def visit_Raise(self, node: cst.Raise) -> bool:
        """Nothing."""
        return False

    def visit_Expr(self, node: cst.Expr) -> bool:
        """What is no docstring."""
        return not is_text(node)


def is_text(node: cst.CSTNode) -> bool:
    """Whether a statement is a docstring."""
    if isinstance(node, cst.SimpleStatementLine):
        node = node.body[0]
    kinds = (cst.SimpleString, cst.ConcatenatedString)
    return isinstance(node, cst.Expr) and isinstance(node.value, kinds)


def is_basic(call: cst.Call) -> bool:
    """Whether a call is of a function that nobody calls with too few arguments."""
    return isinstance(call.func, cst.Name) and call.func.value in _BASIC


def may_be_forgotten(call: cst.Call) -> bool:
    """Whether people may write what is called, or what it is called with, alone: `x` for `f(x)`."""
    if isinstance(call.func, cst.Attribute) and not call.args:
        return call.func.attr.value in _CONVERTING
    if len(call.args) != 1 or call.args[0].keyword is not None or call.args[0].star:
        return False
    if isinstance(call.args[0].value, cst.GeneratorExp):  # which has no parentheses of its own
        return False
    return isinstance(call.func, cst.Name) and not is_basic(call)


@lru_cache(maxsize=2048)
def names_in(node: cst.CSTNode) -> tuple[str, ...]:
    """All names in a piece of code, each as often as it stands there."""
    names: list[str] = []

    class Collect(cst.CSTVisitor):
        def visit_Name(self, node: cst.Name) -> None:
            names.append(node.value)

    node.visit(Collect())
    return tuple(names)
