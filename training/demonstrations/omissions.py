"""What people forget, as changes of a syntax tree: faults of the size of their fixes.

Taken away are guards, branches, arguments, `try` and `with` around statements, calls around
expressions, operands of conditions, elements of lists, lines, and the coupled lines that keep a
variable. All but the last are one place. Nothing is put in that was not there. Pure; random numbers
come from the caller.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

import libcst as cst

from training.demonstrations.mistakes import Change, Mistake, apply_changes, is_plain_line

_MOST_LINES = 6
_MOST_COUPLED = 4


def make_omissions(program: str, random: Random, most: int) -> list[Mistake]:
    """Up to `most` different programs with something taken away, kinds evenly mixed.

    Empty for a program that libcst cannot parse.
    """
    try:
        module = cst.parse_module(program)
    except (cst.ParserSyntaxError, RecursionError):
        return []
    finder = _Finder()
    module.visit(finder)
    return apply_changes(module, finder.changes, random, most)


class _Finder(cst.CSTVisitor):
    """Collects changes: kind, node, replacement."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[Change] = []
        self._statements: set[cst.CSTNode] = set()

    def _add(self, kind: str, old: cst.CSTNode, new: cst.CSTNode) -> None:
        self.changes.append((kind, old, new))

    # -- where nothing is forgotten that a test would see

    def visit_Annotation(self, node: cst.Annotation) -> bool:
        return False

    def visit_Decorator(self, node: cst.Decorator) -> bool:
        return False

    def visit_Raise(self, node: cst.Raise) -> bool:
        return False

    # -- statements

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        for change in _coupled(node):
            self._add("coupled lines", *change)

    def visit_IndentedBlock(self, node: cst.IndentedBlock) -> None:
        body = list(node.body)
        for place, statement in enumerate(body):
            before, after = body[:place], body[place + 1 :]

            def put(
                kind: str,
                inner: Sequence[cst.BaseStatement],
                before: Sequence[cst.BaseStatement] = before,
                after: Sequence[cst.BaseStatement] = after,
            ) -> None:
                left = [*before, *inner, *after]
                if any(is_plain_line(s) or isinstance(s, cst.BaseCompoundStatement) for s in left):
                    self._add(kind, node, node.with_changes(body=left))

            match statement:
                case cst.If(orelse=None):
                    if _count(statement) <= _MOST_LINES:
                        put("guard", [])
                    if not _leaves(statement.body):
                        put("condition around", _inside(statement.body))
                case cst.Try():
                    rest = statement.orelse
                    put("try", [*_inside(statement.body), *(_inside(rest.body) if rest else [])])
                case cst.With():
                    put("with", _inside(statement.body))
                case cst.For() | cst.While():
                    if _count(statement) <= _MOST_LINES:
                        put("loop", [])
                case cst.SimpleStatementLine() if is_plain_line(statement):
                    put("line", [])
                    if after and is_plain_line(after[0]) and len(after) > 1:
                        put("lines", [], after=after[1:])
                case _:
                    pass

    def visit_If(self, node: cst.If) -> None:
        """One of several branches."""
        match node.orelse:
            case cst.If() as other:
                self._add("branch", node, node.with_changes(orelse=other.orelse))
                self._add("branch", node, other)
            case cst.Else():
                if _count(node.orelse) <= _MOST_LINES:
                    self._add("else", node, node.with_changes(orelse=None))
            case None:
                pass

    def visit_Try(self, node: cst.Try) -> None:
        for place in range(len(node.handlers)) if len(node.handlers) > 1 else ():
            rest = [*node.handlers[:place], *node.handlers[place + 1 :]]
            self._add("handler", node, node.with_changes(handlers=rest))

    # -- expressions

    def visit_Expr(self, node: cst.Expr) -> bool:
        if isinstance(node.value, cst.Call):  # a statement: what it does is the call
            self._statements.add(node.value)
        return not isinstance(node.value, (cst.SimpleString, cst.ConcatenatedString))

    def visit_Call(self, node: cst.Call) -> None:
        args = list(node.args)
        for place, arg in enumerate(args):
            last_plain = place + 1 == len(args) or args[place + 1].keyword is not None
            if arg.star or (arg.keyword is None and not (last_plain and place)):
                continue
            rest = [*args[:place], *args[place + 1 :]]
            if rest:
                rest[-1] = rest[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
            self._add("argument", node, node.with_changes(args=rest))
        if node in self._statements:
            return
        inner = node.func.value if isinstance(node.func, cst.Attribute) else None
        if len(args) == 1 and not args[0].star and args[0].keyword is None:
            self._add("call", node, _in_brackets(args[0].value))
        elif not args and inner is not None and not isinstance(inner, cst.Name):
            self._add("call", node, inner)
        elif not args and isinstance(inner, cst.Name) and inner.value not in ("self", "cls"):
            self._add("call", node, inner)

    def visit_BooleanOperation(self, node: cst.BooleanOperation) -> None:
        self._add("operand", node, node.left)
        self._add("operand", node, node.right)

    def visit_UnaryOperation(self, node: cst.UnaryOperation) -> None:
        self._add("operator", node, _in_brackets(node.expression))

    def visit_IfExp(self, node: cst.IfExp) -> None:
        self._add("condition", node, node.body)

    def visit_CompFor(self, node: cst.CompFor) -> None:
        if node.ifs:
            self._add("condition", node, node.with_changes(ifs=node.ifs[:-1]))

    def visit_Await(self, node: cst.Await) -> None:
        self._add("await", node, node.expression)

    def visit_Tuple(self, node: cst.Tuple) -> None:
        if node.lpar and len(node.elements) > 2:
            self._without_one(node, node.elements)

    def visit_List(self, node: cst.List) -> None:
        if len(node.elements) > 1:
            self._without_one(node, node.elements)

    def visit_Set(self, node: cst.Set) -> None:
        if len(node.elements) > 1:
            self._without_one(node, node.elements)

    def visit_Dict(self, node: cst.Dict) -> None:
        if len(node.elements) > 1:
            self._without_one(node, node.elements)

    def _without_one(
        self,
        node: cst.Tuple | cst.List | cst.Set | cst.Dict,
        elements: Sequence[cst.BaseElement | cst.BaseDictElement],
    ) -> None:
        for place in range(len(elements)):
            rest = [*elements[:place], *elements[place + 1 :]]
            self._add("element", node, node.with_changes(elements=rest))


def _inside(body: cst.BaseSuite) -> list[cst.BaseStatement]:
    """The statements of a block; none of one that stands behind the colon."""
    return list(body.body) if isinstance(body, cst.IndentedBlock) else []


def _leaves(body: cst.BaseSuite) -> bool:
    """Whether nothing behind a block would run if it always did."""
    last = body.body[-1]
    if isinstance(last, cst.SimpleStatementLine):
        last = last.body[-1]
    return isinstance(last, (cst.Return, cst.Raise, cst.Continue, cst.Break))


def _count(node: cst.CSTNode) -> int:
    """How many lines a statement has."""
    return cst.Module([]).code_for_node(node).strip("\n").count("\n") + 1


def _in_brackets(node: cst.BaseExpression) -> cst.BaseExpression:
    """An expression that may stand anywhere."""
    if node.lpar or isinstance(
        node, (cst.Name, cst.Attribute, cst.Call, cst.Subscript, cst.BaseNumber, cst.BaseString)
    ):
        return node
    if isinstance(node, (cst.List, cst.Set, cst.Dict, cst.ListComp)):
        return node
    return node.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])


def _coupled(function: cst.FunctionDef) -> Iterator[tuple[cst.CSTNode, cst.CSTNode]]:
    """The function without a variable: its first value, its updates, and the guards that ask it."""
    for name in sorted(_given_names(function)):
        remover = _WithoutVariable(name)
        left = function.visit(remover)
        if not isinstance(left, cst.FunctionDef) or not 2 <= remover.removed <= _MOST_COUPLED:
            continue
        if not _Uses.of(left, name):
            yield function, left


def _given_names(function: cst.FunctionDef) -> set[str]:
    names: set[str] = set()

    class Collect(cst.CSTVisitor):
        def visit_AssignTarget(self, node: cst.AssignTarget) -> None:
            if isinstance(node.target, cst.Name):
                names.add(node.target.value)

    function.visit(Collect())
    return names


class _Uses(cst.CSTVisitor):
    """Whether a name is used."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self.found = False

    def visit_Name(self, node: cst.Name) -> None:
        self.found = self.found or node.value == self._name

    @classmethod
    def of(cls, node: cst.CSTNode, name: str) -> bool:
        """Whether that node uses it."""
        visitor = cls(name)
        node.visit(visitor)
        return visitor.found


class _WithoutVariable(cst.CSTTransformer):
    """Takes out the lines that use a variable, and guards of at most six lines that ask for it."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self.removed = 0

    def leave_SimpleStatementLine(
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> cst.BaseStatement | cst.RemovalSentinel:
        if not _Uses.of(original_node, self._name):
            return updated_node
        if isinstance(original_node.body[0], (cst.Return, cst.Raise)):
            return updated_node  # what the function is for
        self.removed += 1
        return cst.RemoveFromParent()

    def visit_If(self, node: cst.If) -> bool:
        return not self._asks(node)

    def leave_If(
        self, original_node: cst.If, updated_node: cst.If
    ) -> cst.BaseStatement | cst.RemovalSentinel:
        if not self._asks(original_node):
            return updated_node
        self.removed += 1
        return cst.RemoveFromParent()

    def _asks(self, node: cst.If) -> bool:
        return (
            node.orelse is None
            and _count(node) <= _MOST_LINES
            and _Uses.of(node.test, self._name)
        )
