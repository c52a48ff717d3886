"""The mistakes that people make, as changes of a syntax tree (libcst keeps every other byte).

Comparison and arithmetic operators, `and` for `or`, off by one, swapped arguments, a wrong variable
or method, a wrong constant, a missing `return`, a negated condition, a wrong slice, a missing base
case, a missing call, a line in the wrong block. Each is one token or one line; larger faults are in
`structural`. Pure; random numbers come from the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

import libcst as cst
from attrs import frozen

from training.demonstrations.code_visitor import (
    Change,
    CodeVisitor,
    is_basic,
    is_text,
    may_be_forgotten,
)

_COMPARISONS: tuple[type[cst.BaseCompOp], ...] = (
    cst.LessThan,
    cst.LessThanEqual,
    cst.GreaterThan,
    cst.GreaterThanEqual,
    cst.Equal,
    cst.NotEqual,
)
_ARITHMETIC: dict[type[cst.BaseBinaryOp], tuple[type[cst.BaseBinaryOp], ...]] = {
    cst.Add: (cst.Subtract, cst.Multiply),
    cst.Subtract: (cst.Add,),
    cst.Multiply: (cst.Add, cst.Divide),
    cst.Divide: (cst.FloorDivide, cst.Multiply),
    cst.FloorDivide: (cst.Divide, cst.Modulo),
    cst.Modulo: (cst.FloorDivide,),
}
_PAIRED_NAMES = (
    {"min", "max"},
    {"any", "all"},
    {"sum", "len"},
    {"append", "extend", "insert"},
    {"upper", "lower"},
    {"lstrip", "rstrip", "strip"},
    {"startswith", "endswith"},
    {"keys", "values", "items"},
    {"floor", "ceil"},
    {"add", "discard", "remove"},
    {"isalpha", "isdigit", "isalnum", "isupper", "islower"},
    {"find", "rfind", "index"},
    {"str", "int", "list", "set", "tuple"},
    {"union", "intersection", "difference"},
    {"append", "appendleft"},
    {"pop", "popleft"},
    {"True", "False"},
    {"sorted", "list", "reversed"},
)


@frozen
class Mistake:
    """A program with one mistake in it."""

    text: str
    kind: str


def make_mistakes(program: str, random: Random, most: int) -> list[Mistake]:
    """Up to `most` different programs with one mistake each, kinds evenly mixed.

    Empty for a program that libcst cannot parse.
    """
    return draw_changes(program, lambda module: _Finder(module, random), random, most)


def draw_changes(
    program: str, find: Callable[[cst.Module], CodeVisitor], random: Random, most: int
) -> list[Mistake]:
    """Up to `most` different programs with one change each that a visitor finds, kinds mixed."""
    try:
        module = cst.parse_module(program)
    except (cst.ParserSyntaxError, RecursionError):
        return []
    visitor = find(module)
    module.visit(visitor)
    by_kind: dict[str, list[Change]] = {}
    for change in visitor.changes:
        by_kind.setdefault(change[0], []).append(change)
    for changes in by_kind.values():
        random.shuffle(changes)
    found: dict[str, Mistake] = {}
    while by_kind and len(found) < most:
        kind = random.choice(sorted(by_kind))
        _, old, new = by_kind[kind].pop()
        if not by_kind[kind]:
            del by_kind[kind]
        try:
            changed = module.deep_replace(old, new)
            text = changed.code if isinstance(changed, cst.Module) else program
        except Exception:  # libcst refuses some combinations of nodes, each in its own way
            continue
        if text != program:
            found.setdefault(text, Mistake(text, kind))
    return list(found.values())


def _local_names(module: cst.Module) -> set[str]:
    names: set[str] = set()

    class Collect(cst.CSTVisitor):
        def visit_Param(self, node: cst.Param) -> None:
            names.add(node.name.value)

        def visit_AssignTarget(self, node: cst.AssignTarget) -> None:
            if isinstance(node.target, cst.Name):
                names.add(node.target.value)

        def visit_For(self, node: cst.For) -> None:
            if isinstance(node.target, cst.Name):
                names.add(node.target.value)

    module.visit(Collect())
    return names


class _Finder(CodeVisitor):
    def __init__(self, module: cst.Module, random: Random) -> None:
        super().__init__(random)
        self._names = sorted(_local_names(module))
        self._statements: set[cst.CSTNode] = set()

    def visit_Expr(self, node: cst.Expr) -> bool:
        self._statements.add(node.value)
        return super().visit_Expr(node)

    # -- operators

    def visit_ComparisonTarget(self, node: cst.ComparisonTarget) -> None:
        operator = node.operator
        if isinstance(operator, _COMPARISONS):
            others = [kind() for kind in _COMPARISONS if not isinstance(operator, kind)]
            self.add("comparison", operator, *others)
        elif isinstance(operator, cst.In):
            self.add("comparison", operator, cst.NotIn())
        elif isinstance(operator, cst.NotIn):
            self.add("comparison", operator, cst.In())
        elif isinstance(operator, cst.Is):
            self.add("comparison", operator, cst.IsNot())
        elif isinstance(operator, cst.IsNot):
            self.add("comparison", operator, cst.Is())

    def visit_BinaryOperation(self, node: cst.BinaryOperation) -> None:
        operator = node.operator
        others = _ARITHMETIC.get(type(operator), ())
        self.add("arithmetic", operator, *(kind() for kind in others))
        if isinstance(operator, (cst.Subtract, cst.Divide, cst.FloorDivide, cst.Modulo)):
            self.add("swapped operands", node, node.with_changes(left=node.right, right=node.left))
        if isinstance(operator, (cst.Add, cst.Subtract)) and isinstance(node.right, cst.Integer):
            self.add("off by one", node, node.left)

    def visit_BooleanOperation(self, node: cst.BooleanOperation) -> None:
        other = cst.Or() if isinstance(node.operator, cst.And) else cst.And()
        self.add("boolean", node.operator, other)
        self.add("missing condition", node, node.left, node.right)

    def visit_UnaryOperation(self, node: cst.UnaryOperation) -> None:
        self.add("missing operator", node, node.expression)

    def visit_AugAssign(self, node: cst.AugAssign) -> None:
        swaps: dict[type[cst.BaseAugOp], Callable[[], cst.BaseAugOp]] = {
            cst.AddAssign: cst.SubtractAssign,
            cst.SubtractAssign: cst.AddAssign,
            cst.MultiplyAssign: cst.AddAssign,
            cst.FloorDivideAssign: cst.ModuloAssign,
        }
        swap = swaps.get(type(node.operator))
        if swap is not None:
            self.add("arithmetic", node.operator, swap())
        plain = cst.Assign([cst.AssignTarget(node.target)], node.value)
        self.add("assignment", node, plain)

    # -- values

    def visit_Integer(self, node: cst.Integer) -> None:
        value = int(node.value, 0)
        others = {value + 1, value - 1, 0, 1, 2} - {value}
        self.add("constant", node, *(cst.Integer(str(n)) for n in sorted(others) if n >= 0))

    def visit_SimpleString(self, node: cst.SimpleString) -> None:
        if node.raw_value and len(node.raw_value) < 12:
            quote = node.quote
            self.add("constant", node, node.with_changes(value=f"{node.prefix}{quote}{quote}"))

    def visit_Attribute(self, node: cst.Attribute) -> bool:
        self._other_of_pair(node.attr)
        node.value.visit(self)
        return False

    def _other_of_pair(self, node: cst.Name) -> None:
        for pair in _PAIRED_NAMES:
            if node.value in pair:
                others = sorted(pair - {node.value})
                self.add("name", node, *(cst.Name(name) for name in others))

    def visit_Name(self, node: cst.Name) -> None:
        self._other_of_pair(node)
        if node.value in self._names:
            others = [cst.Name(name) for name in self._names if name != node.value]
            self.add("variable", node, *others)

    def visit_Call(self, node: cst.Call) -> None:
        plain = all(arg.star == "" and arg.keyword is None for arg in node.args)
        if len(node.args) >= 2 and plain and not is_basic(node):
            first, second = node.args[0], node.args[1]
            swapped = [
                first.with_changes(value=second.value),
                second.with_changes(value=first.value),
                *node.args[2:],
            ]
            self.add("swapped arguments", node, node.with_changes(args=swapped))
            fewer = [*node.args[:-2], node.args[-2].with_changes(comma=cst.MaybeSentinel.DEFAULT)]
            self.add("missing argument", node, node.with_changes(args=fewer))
        if node in self._statements:  # what is left of it would do nothing
            return
        if may_be_forgotten(node):
            left = node.func.value if isinstance(node.func, cst.Attribute) else node.args[0].value
            self.add("missing call", node, left)

    def visit_Subscript(self, node: cst.Subscript) -> None:
        if len(node.slice) == 1 and isinstance(node.slice[0].slice, cst.Index):
            index = node.slice[0].slice
            plus = cst.BinaryOperation(index.value, cst.Add(), cst.Integer("1"))
            minus = cst.BinaryOperation(index.value, cst.Subtract(), cst.Integer("1"))
            self.add("off by one", index, *(index.with_changes(value=v) for v in (plus, minus)))

    def visit_Slice(self, node: cst.Slice) -> None:
        new: list[cst.CSTNode] = []
        if node.lower is not None:
            new.append(node.with_changes(lower=None))
        if node.upper is not None:
            new.append(node.with_changes(upper=None))
            one = cst.Integer("1")
            new.append(
                node.with_changes(upper=cst.BinaryOperation(node.upper, cst.Subtract(), one))
            )
        if node.step is not None:
            new.append(node.with_changes(step=None, second_colon=cst.MaybeSentinel.DEFAULT))
        self.add("slice", node, *new)

    # -- statements

    def visit_If(self, node: cst.If) -> None:
        self._negate(node)

    def visit_While(self, node: cst.While) -> None:
        self._negate(node)

    def _negate(self, node: cst.If | cst.While) -> None:
        test = node.test
        if isinstance(test, cst.UnaryOperation) and isinstance(test.operator, cst.Not):
            return  # dropping the `not` is another kind
        if not test.lpar:
            test = test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        if isinstance(node.test, (cst.Name, cst.Call, cst.Attribute)):
            test = node.test
        self.add("negated condition", node.test, cst.UnaryOperation(cst.Not(), test))

    def visit_Return(self, node: cst.Return) -> None:
        if node.value is not None:
            self.add("missing return", node, cst.Expr(node.value))

    def visit_IndentedBlock(self, node: cst.IndentedBlock) -> None:
        body = list(node.body)
        if len(body) < 2:
            return
        for place, statement in enumerate(body):
            if is_text(statement):
                continue
            rest = [*body[:place], *body[place + 1 :]]
            if _is_base_case(statement):
                self.add("missing base case", node, node.with_changes(body=rest))
            elif isinstance(statement, cst.SimpleStatementLine):
                self.add("missing line", node, node.with_changes(body=rest))
        for place in range(len(body) - 1):
            both = body[place], body[place + 1]
            plain = all(isinstance(statement, cst.SimpleStatementLine) for statement in both)
            if plain and not is_text(body[place]):
                swapped = [*body[:place], both[1], both[0], *body[place + 2 :]]
                self.add("order", node, node.with_changes(body=swapped))
        for place in range(len(body) - 1):
            self._move(node, body, place)

    def _move(self, node: cst.IndentedBlock, body: Sequence[cst.BaseStatement], place: int) -> None:
        """Indent the line after a loop or condition into it: the classic early return."""
        block, line = body[place], body[place + 1]
        if not isinstance(block, (cst.For, cst.While, cst.If)):
            return
        if not isinstance(line, cst.SimpleStatementLine) or not isinstance(
            block.body, cst.IndentedBlock
        ):
            return
        inner = block.body.with_changes(
            body=[*block.body.body, line.with_changes(leading_lines=[])]
        )
        if getattr(block, "orelse", None) is None:
            moved = [*body[:place], block.with_changes(body=inner), *body[place + 2 :]]
            self.add("indentation", node, node.with_changes(body=moved))


def _is_base_case(statement: cst.BaseStatement) -> bool:
    if not isinstance(statement, cst.If) or statement.orelse is not None:
        return False
    body: Iterator[cst.CSTNode] = iter(statement.body.body)
    first = next(body, None)
    if isinstance(first, cst.SimpleStatementLine):
        first = first.body[0]
    return isinstance(first, (cst.Return, cst.Raise, cst.Continue)) and next(body, None) is None
