"""Small things that a person leaves out: an operand, an element, a line, a wrapper, a variable.

Part of the structural faults (`structural` has the larger things). Whatever is left parses. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import libcst as cst

from training.demonstrations.code_visitor import CodeVisitor, is_text, names_in

# A variable with more lines than that is not forgotten but unknown.
_MOST_LINES = 4


class LeftOut(CodeVisitor):
    """Finds them; a base of the visitor of all structural faults."""

    # -- values

    def visit_BooleanOperation(self, node: cst.BooleanOperation) -> None:
        self.add("operand", node, node.left)
        self.add("operand", node, node.right)

    def visit_UnaryOperation(self, node: cst.UnaryOperation) -> None:
        if isinstance(node.operator, (cst.Not, cst.Minus)):
            inner = node.expression
            left, right = [*node.lpar, *inner.lpar], [*inner.rpar, *node.rpar]
            self.add("operator", node, inner.with_changes(lpar=left, rpar=right))

    def visit_Await(self, node: cst.Await) -> None:
        self.add("await", node, node.expression)

    def visit_Tuple(self, node: cst.Tuple) -> None:
        if node.lpar and len(node.elements) > 2:
            self._without_one(node, node.elements)

    def visit_List(self, node: cst.List) -> None:
        self._without_one(node, node.elements)

    def visit_Set(self, node: cst.Set) -> None:
        self._without_one(node, node.elements)

    def visit_Dict(self, node: cst.Dict) -> None:
        self._without_one(node, node.elements)

    def _without_one(
        self,
        node: cst.Tuple | cst.List | cst.Set | cst.Dict,
        elements: Sequence[cst.BaseElement | cst.BaseDictElement],
    ) -> None:
        if len(elements) < 2:
            return
        for place in range(len(elements)):
            rest = [*elements[:place], *elements[place + 1 :]]
            rest[-1] = rest[-1].with_changes(comma=elements[-1].comma)
            self.add("element", node, node.with_changes(elements=rest))

    # -- statements

    def visit_FunctionDef(self, node: cst.FunctionDef) -> bool:
        lines = _lines_by_name(node)
        for name in sorted(_given_names(node)):
            if not 2 <= lines[name] <= _MOST_LINES:
                continue
            left = _without_variable(node, name)
            if left is not None:
                self.add("coupled lines", node, left)
        return super().visit_FunctionDef(node)

    def visit_IndentedBlock(self, node: cst.IndentedBlock) -> None:
        body = list(node.body)
        for place, statement in enumerate(body):
            before, after = body[:place], body[place + 1 :]
            if isinstance(statement, cst.With) and isinstance(statement.body, cst.IndentedBlock):
                inner = [*before, *statement.body.body, *after]
                self.add("with", node, node.with_changes(body=inner))
            rest = [*before, *after]
            if not _is_line(statement) or all(map(is_text, rest)):
                continue
            # What a name stands for is not forgotten, its first value is.
            name = _worked_out(statement)
            if name is None or not any(name in set(names_in(other)) for other in after):
                self.add("line", node, node.with_changes(body=rest))


def _worked_out(statement: cst.BaseStatement) -> str | None:
    """The name that a line gives a value that it works out; of an update or a plain value none."""
    assert isinstance(statement, cst.SimpleStatementLine)
    assign = statement.body[0]
    if not isinstance(assign, cst.Assign) or not isinstance(assign.targets[0].target, cst.Name):
        return None
    name = assign.targets[0].target.value
    value = assign.value
    works = (cst.Attribute, cst.Subscript, cst.BinaryOperation, cst.IfExp)
    worked_out = isinstance(value, works) or (isinstance(value, cst.Call) and bool(value.args))
    return name if worked_out and name not in set(names_in(value)) else None


def _is_line(statement: cst.BaseStatement) -> bool:
    """Whether a statement is a line that does something, and returns nothing."""
    return (
        isinstance(statement, cst.SimpleStatementLine)
        and not is_text(statement)
        and not isinstance(
            statement.body[0], (cst.Return, cst.Raise, cst.Pass, cst.Import, cst.ImportFrom)
        )
    )


# -- all lines of a variable


def _given_names(function: cst.FunctionDef) -> set[str]:
    names: set[str] = set()

    class Collect(cst.CSTVisitor):
        def visit_AssignTarget(self, node: cst.AssignTarget) -> None:
            if isinstance(node.target, cst.Name):
                names.add(node.target.value)

    function.body.visit(Collect())
    return names


def _lines_by_name(function: cst.FunctionDef) -> Counter[str]:
    """How many lines and conditions have a name."""
    counts: Counter[str] = Counter()

    class Count(cst.CSTVisitor):
        def visit_SimpleStatementLine(self, node: cst.SimpleStatementLine) -> bool:
            counts.update(set(names_in(node)))
            return False

        def visit_If(self, node: cst.If) -> None:
            counts.update(set(names_in(node.test)))

    function.body.visit(Count())
    return counts


def _without_variable(function: cst.FunctionDef, name: str) -> cst.FunctionDef | None:
    """The function without a variable: its first value, its updates, the guards that ask for it.

    None if that is one line, more than four, or not all.
    """
    remover = _Remover(name)
    body = function.body.visit(remover)
    if not isinstance(body, cst.IndentedBlock) or not 2 <= remover.removed <= _MOST_LINES:
        return None
    if name in set(names_in(body)) or not any(not is_text(statement) for statement in body.body):
        return None
    return function.with_changes(body=body)


class _Remover(cst.CSTTransformer):
    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self.removed = 0

    def leave_SimpleStatementLine(
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> cst.BaseStatement | cst.RemovalSentinel:
        if isinstance(original_node.body[0], (cst.Return, cst.Raise)):
            return updated_node
        if self._name not in set(names_in(original_node)):
            return updated_node
        self.removed += 1
        return cst.RemoveFromParent()

    def visit_If(self, node: cst.If) -> bool:
        return not self._is_guard(node)

    def leave_If(
        self, original_node: cst.If, updated_node: cst.If
    ) -> cst.BaseStatement | cst.RemovalSentinel:
        if not self._is_guard(original_node):
            return updated_node
        self.removed += 1
        return cst.RemoveFromParent()

    def leave_IndentedBlock(
        self, original_node: cst.IndentedBlock, updated_node: cst.IndentedBlock
    ) -> cst.BaseSuite:
        if updated_node.body:
            return updated_node
        self.removed = _MOST_LINES + 1  # a block without lines is none
        return original_node

    def _is_guard(self, node: cst.If) -> bool:
        one = node.orelse is None and len(node.body.body) == 1
        return one and self._name in set(names_in(node.test))
