"""Small slips, as changes of a syntax tree (libcst keeps every other byte).

Comparison and arithmetic operators, `and` for `or`, off by one, swapped arguments, a wrong variable
or method, a wrong constant, a missing `return`, a negated condition, a wrong slice, a line in the
wrong block. What was forgotten altogether is in `omissions`. Names of parameters, annotations and
docstrings are left alone: nobody errs there in a way that a test would see. Pure; random numbers
come from the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import libcst as cst
from attrs import frozen

_COMPARISONS: tuple[type[cst.BaseCompOp], ...] = (
    cst.LessThan,
    cst.LessThanEqual,
    cst.GreaterThan,
    cst.GreaterThanEqual,
    cst.Equal,
    cst.NotEqual,
)
_ARITHMETIC: tuple[type[cst.BaseBinaryOp], ...] = (
    cst.Add,
    cst.Subtract,
    cst.Multiply,
    cst.FloorDivide,
    cst.Divide,
    cst.Modulo,
)
_PAIRED_NAMES = (
    {"min", "max"},
    {"any", "all"},
    {"sum", "len"},
    {"append", "extend"},
    {"upper", "lower"},
    {"lstrip", "rstrip", "strip"},
    {"startswith", "endswith"},
    {"keys", "values", "items"},
    {"floor", "ceil"},
    {"add", "discard", "remove"},
    {"isalpha", "isdigit", "isalnum", "isupper", "islower"},
    {"find", "rfind", "index"},
    {"str", "int", "float"},
    {"list", "set", "tuple"},
    {"union", "intersection", "difference"},
    {"pop", "popleft"},
    {"True", "False"},
    {"sorted", "list"},
)

Change = tuple[str, cst.CSTNode, cst.CSTNode]


@frozen
class Mistake:
    """A program with one mistake in it."""

    text: str
    kind: str


def make_mistakes(program: str, random: Random, most: int) -> list[Mistake]:
    """Up to `most` different programs with one mistake each, kinds evenly mixed.

    Empty for a program that libcst cannot parse.
    """
    try:
        module = cst.parse_module(program)
    except (cst.ParserSyntaxError, RecursionError):
        return []
    names = sorted(_local_names(module))
    visitor = _Finder(names, random)
    module.visit(visitor)
    return apply_changes(module, visitor.changes, random, most)


def apply_changes(
    module: cst.Module, changes: Sequence[Change], random: Random, most: int
) -> list[Mistake]:
    """Up to `most` different programs with one of the changes each, kinds evenly mixed."""
    program = module.code
    by_kind: dict[str, list[Change]] = {}
    for change in changes:
        by_kind.setdefault(change[0], []).append(change)
    for some in by_kind.values():
        random.shuffle(some)
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


class _Finder(cst.CSTVisitor):
    """Collects changes: kind, node, replacement."""

    def __init__(self, names: Sequence[str], random: Random) -> None:
        super().__init__()
        self.changes: list[Change] = []
        self._names = names
        self._random = random
        self._kept: set[cst.CSTNode] = set()  # names that are given, not used
        self._attributes: set[cst.CSTNode] = set()

    def _add(self, kind: str, old: cst.CSTNode, *new: cst.CSTNode) -> None:
        if new:
            self.changes.append((kind, old, self._random.choice(new)))

    # -- operators

    def visit_ComparisonTarget(self, node: cst.ComparisonTarget) -> None:
        operator = node.operator
        if isinstance(operator, _COMPARISONS):
            others = [kind() for kind in _COMPARISONS if not isinstance(operator, kind)]
            self._add("comparison", operator, *others)
        elif isinstance(operator, cst.In):
            self._add("comparison", operator, cst.NotIn())
        elif isinstance(operator, cst.NotIn):
            self._add("comparison", operator, cst.In())
        elif isinstance(operator, cst.Is):
            self._add("comparison", operator, cst.IsNot())
        elif isinstance(operator, cst.IsNot):
            self._add("comparison", operator, cst.Is())

    def visit_BinaryOperation(self, node: cst.BinaryOperation) -> None:
        operator = node.operator
        if isinstance(operator, _ARITHMETIC):
            others = [kind() for kind in _ARITHMETIC if not isinstance(operator, kind)]
            self._add("arithmetic", operator, *others)
        if isinstance(operator, (cst.Subtract, cst.Divide, cst.FloorDivide, cst.Modulo)):
            self._add("swapped operands", node, node.with_changes(left=node.right, right=node.left))
        if isinstance(operator, (cst.Add, cst.Subtract)) and isinstance(node.right, cst.Integer):
            self._add("off by one", node, node.left)

    def visit_BooleanOperation(self, node: cst.BooleanOperation) -> None:
        other = cst.Or() if isinstance(node.operator, cst.And) else cst.And()
        self._add("boolean", node.operator, other)

    def visit_AugAssign(self, node: cst.AugAssign) -> None:
        swaps: dict[type[cst.BaseAugOp], Callable[[], cst.BaseAugOp]] = {
            cst.AddAssign: cst.SubtractAssign,
            cst.SubtractAssign: cst.AddAssign,
            cst.MultiplyAssign: cst.AddAssign,
            cst.FloorDivideAssign: cst.ModuloAssign,
        }
        swap = swaps.get(type(node.operator))
        if swap is not None:
            self._add("arithmetic", node.operator, swap())
        plain = cst.Assign([cst.AssignTarget(node.target)], node.value)
        self._add("assignment", node, plain)

    # -- where nobody errs

    def visit_Annotation(self, node: cst.Annotation) -> bool:
        return False

    def visit_Decorator(self, node: cst.Decorator) -> bool:
        return False

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        self._kept.add(node.name)

    def visit_Param(self, node: cst.Param) -> None:
        self._kept.add(node.name)

    def visit_Arg(self, node: cst.Arg) -> None:
        if node.keyword is not None:
            self._kept.add(node.keyword)

    def visit_Attribute(self, node: cst.Attribute) -> None:
        self._attributes.add(node.attr)

    def visit_Raise(self, node: cst.Raise) -> bool:
        return False

    def visit_Expr(self, node: cst.Expr) -> bool:
        return not isinstance(node.value, (cst.SimpleString, cst.ConcatenatedString))

    def visit_ImportFrom(self, node: cst.ImportFrom) -> bool:
        return False

    def visit_Import(self, node: cst.Import) -> bool:
        return False

    # -- values

    def visit_Integer(self, node: cst.Integer) -> None:
        value = int(node.value, 0)
        others = {value + 1, value - 1, 0, 1, 2} - {value}
        self._add("constant", node, *(cst.Integer(str(n)) for n in sorted(others) if n >= 0))

    def visit_SimpleString(self, node: cst.SimpleString) -> None:
        if node.raw_value and len(node.raw_value) < 12:
            quote = node.quote
            self._add("constant", node, node.with_changes(value=f"{node.prefix}{quote}{quote}"))

    def visit_Name(self, node: cst.Name) -> None:
        if node in self._kept:
            return
        own = node.value in self._names and node not in self._attributes
        for pair in _PAIRED_NAMES:
            if node.value in pair and not own:
                others = sorted(pair - {node.value})
                self._add("name", node, *(cst.Name(name) for name in others))
        if own:
            others = [cst.Name(name) for name in self._names if name != node.value]
            self._add("variable", node, *others)

    def visit_Call(self, node: cst.Call) -> None:
        plain = all(arg.star == "" and arg.keyword is None for arg in node.args)
        if len(node.args) >= 2 and plain:
            first, second = node.args[0], node.args[1]
            swapped = [
                first.with_changes(value=second.value),
                second.with_changes(value=first.value),
                *node.args[2:],
            ]
            self._add("swapped arguments", node, node.with_changes(args=swapped))

    def visit_Subscript(self, node: cst.Subscript) -> None:
        if len(node.slice) == 1 and isinstance(node.slice[0].slice, cst.Index):
            index = node.slice[0].slice
            plus = cst.BinaryOperation(index.value, cst.Add(), cst.Integer("1"))
            minus = cst.BinaryOperation(index.value, cst.Subtract(), cst.Integer("1"))
            self._add("off by one", index, *(index.with_changes(value=v) for v in (plus, minus)))

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
        self._add("slice", node, *new)

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
        self._add("negated condition", node.test, cst.UnaryOperation(cst.Not(), test))

    def visit_Return(self, node: cst.Return) -> None:
        if isinstance(node.value, cst.Call):
            self._add("missing return", node, cst.Expr(node.value))

    def visit_IndentedBlock(self, node: cst.IndentedBlock) -> None:
        body = list(node.body)
        if len(body) < 2:
            return
        for place in range(len(body) - 1):
            both = body[place], body[place + 1]
            if all(is_plain_line(statement) for statement in both):
                swapped = [*body[:place], both[1], both[0], *body[place + 2 :]]
                self._add("order", node, node.with_changes(body=swapped))
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
            self._add("indentation", node, node.with_changes(body=moved))


def is_plain_line(statement: cst.CSTNode) -> bool:
    """Whether a statement is a line of code: no block, and no docstring."""
    if not isinstance(statement, cst.SimpleStatementLine):
        return False
    first = statement.body[0]
    return not (
        isinstance(first, cst.Expr)
        and isinstance(first.value, (cst.SimpleString, cst.ConcatenatedString))
    )
