"""Faults of human size: what a person forgets to write, taken away from a correct program.

A guard or its condition, a branch, a `try` or one of its handlers, an argument, a call around a
value, one side of a conditional, two lines that belong together, and the small things of
`left_out`. Each is taken from the syntax tree (libcst keeps every other byte), so what is left
parses. Pure; random numbers come from the caller.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from random import Random

import libcst as cst

from training.demonstrations.code_visitor import is_basic, is_text, may_be_forgotten, names_in
from training.demonstrations.left_out import LeftOut
from training.demonstrations.mistakes import Mistake, draw_changes

_LONGEST = 6
_ITSELF = re.compile(r"^\s*(\S+) = \1$", re.MULTILINE)
_NUMBERS = {"0": "1", "1": "0"}
_UPDATES: tuple[tuple[type[cst.BaseAugOp], type[cst.BaseAugOp]], ...] = (
    (cst.AddAssign, cst.MultiplyAssign),
    (cst.MultiplyAssign, cst.AddAssign),
    (cst.SubtractAssign, cst.AddAssign),
)


def take_away(program: str, random: Random, most: int) -> list[Mistake]:
    """Up to `most` different programs with one thing taken away each, kinds evenly mixed.

    Empty for a program that libcst cannot parse.
    """
    found = draw_changes(program, lambda module: _Finder(module, random), random, most)
    return [one for one in found if not _assigns_itself(one.text, program)]


class _Finder(LeftOut):
    def __init__(self, module: cst.Module, random: Random) -> None:
        super().__init__(random)
        self._module = module
        self._statements: set[cst.CSTNode] = set()

    def visit_Expr(self, node: cst.Expr) -> bool:
        self._statements.add(node.value)
        return super().visit_Expr(node)

    # -- calls and values

    def visit_Call(self, node: cst.Call) -> None:
        for place, arg in enumerate(() if is_basic(node) else node.args):
            rest = [*node.args[:place], *node.args[place + 1 :]]
            # What comes after another one that is left out would move into its place; and nobody
            # forgets what a call is for.
            if arg.keyword is None and (
                not place or arg.star or any(a.keyword is None for a in rest[place:])
            ):
                continue
            if rest:
                rest[-1] = rest[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
            self.add("argument", node, node.with_changes(args=rest))
        if node in self._statements:
            return
        if may_be_forgotten(node):
            left = node.func.value if isinstance(node.func, cst.Attribute) else node.args[0].value
            self.add("call", node, left)

    def visit_IfExp(self, node: cst.IfExp) -> None:
        self.add("conditional", node, node.body, node.orelse)

    def visit_CompFor(self, node: cst.CompFor) -> None:
        if node.ifs:
            self.add("filter", node, node.with_changes(ifs=node.ifs[1:]))

    # -- branches

    def visit_If(self, node: cst.If) -> None:
        orelse = node.orelse
        if orelse is not None and self._short(orelse):
            self.add("branch", node, node.with_changes(orelse=None))
        if isinstance(orelse, cst.If) and self._short(orelse.body):
            self.add("branch", node, node.with_changes(orelse=orelse.orelse))

    def visit_IndentedBlock(self, node: cst.IndentedBlock) -> None:
        super().visit_IndentedBlock(node)
        body = list(node.body)
        for place, statement in enumerate(body):
            before, after = body[:place], body[place + 1 :]
            if isinstance(statement, cst.If) and statement.orelse is None:
                if (before or after) and self._short(statement):
                    self.add("guard", node, node.with_changes(body=[*before, *after]))
                if self._short(statement.body) and not _ends(statement.body):
                    self._unwrap("condition", node, before, statement, after)
            if isinstance(statement, cst.Try):
                self._handlers(node, before, statement, after)
            loop = isinstance(statement, (cst.With, cst.For)) and len(body) > 1
            if loop and self._short(statement):
                self.add("block", node, node.with_changes(body=[*before, *after]))
        self._coupled(node, body)

    def _handlers(
        self,
        node: cst.IndentedBlock,
        before: Sequence[cst.BaseStatement],
        statement: cst.Try,
        after: Sequence[cst.BaseStatement],
    ) -> None:
        if statement.orelse is None and statement.finalbody is None:
            self._unwrap("try", node, before, statement, after)
        if len(statement.handlers) > 1:
            for place in range(len(statement.handlers)):
                rest = [*statement.handlers[:place], *statement.handlers[place + 1 :]]
                fewer = statement.with_changes(handlers=rest)
                self.add("handler", node, node.with_changes(body=[*before, fewer, *after]))

    def _unwrap(
        self,
        kind: str,
        node: cst.IndentedBlock,
        before: Sequence[cst.BaseStatement],
        statement: cst.If | cst.Try,
        after: Sequence[cst.BaseStatement],
    ) -> None:
        """Leave only what stands in it."""
        if isinstance(statement.body, cst.IndentedBlock):
            new = [*before, *statement.body.body, *after]
            self.add(kind, node, node.with_changes(body=new))

    # -- two lines that belong together

    def _coupled(self, node: cst.IndentedBlock, body: list[cst.BaseStatement]) -> None:
        counts = Counter(name for statement in body for name in names_in(statement))
        for place, statement in enumerate(body):
            name = _assigned(statement)
            if name is None:
                continue
            self._initial_and_update(node, body, place, name)
            if counts[name] - names_in(statement).count(name) == 1:
                self._value_and_use(node, body, place, name)

    def _initial_and_update(
        self, node: cst.IndentedBlock, body: list[cst.BaseStatement], place: int, name: str
    ) -> None:
        """A wrong first value with a wrong update: a product for a sum, a count from one."""
        value = _assignment(body[place]).value
        if not isinstance(value, cst.Integer) or value.value not in _NUMBERS:
            return
        other = cst.Integer(_NUMBERS[value.value])
        first = body[place].deep_replace(value, other)
        for later in range(place + 1, len(body)):
            finder = _Updates(name)
            body[later].visit(finder)
            for update in finder.found:
                for old, new in _UPDATES:
                    if isinstance(update.operator, old) and not isinstance(
                        update.value, cst.Integer
                    ):
                        changed = body[later].deep_replace(
                            update, update.with_changes(operator=new())
                        )
                        both = [*body[:place], first, *body[place + 1 :]]
                        both[later] = changed
                        self.add("initial value and update", node, node.with_changes(body=both))

    def _value_and_use(
        self, node: cst.IndentedBlock, body: list[cst.BaseStatement], place: int, name: str
    ) -> None:
        """A value that is worked out in one line and passed on in another: neither is there."""
        rest = [*body[:place], *body[place + 1 :]]
        for number, statement in enumerate(rest):
            if name not in names_in(statement):
                continue
            finder = _Passing(name)
            statement.visit(finder)
            for call, fewer in finder.found:
                changed = statement.deep_replace(call, fewer)
                new = [*rest[:number], changed, *rest[number + 1 :]]
                self.add("value and use", node, node.with_changes(body=new))

    def _short(self, node: cst.CSTNode) -> bool:
        text = self._module.code_for_node(node).strip("\n")
        return text.count("\n") < _LONGEST and not is_text(node)


def _assigns_itself(text: str, program: str) -> bool:
    """Whether a line of the form `x = x` is new."""
    return len(_ITSELF.findall(text)) > len(_ITSELF.findall(program))


def _ends(block: cst.BaseSuite) -> bool:
    """Whether what follows a block is not reached from it."""
    last = block.body[-1]
    if isinstance(last, cst.SimpleStatementLine):
        last = last.body[-1]
    return isinstance(last, (cst.Return, cst.Raise, cst.Continue, cst.Break))


class _Updates(cst.CSTVisitor):
    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self.found: list[cst.AugAssign] = []

    def visit_AugAssign(self, node: cst.AugAssign) -> None:
        if isinstance(node.target, cst.Name) and node.target.value == self._name:
            self.found.append(node)


class _Passing(cst.CSTVisitor):
    """Calls that pass a name on, without it."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self.found: list[tuple[cst.Call, cst.Call]] = []

    def visit_Call(self, node: cst.Call) -> None:
        for place, arg in enumerate(node.args):
            rest = [*node.args[:place], *node.args[place + 1 :]]
            last = arg.keyword is not None or place == len(node.args) - 1
            passed = isinstance(arg.value, cst.Name) and arg.value.value == self._name
            if passed and last and rest:
                rest[-1] = rest[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
                self.found.append((node, node.with_changes(args=rest)))


def _assignment(statement: cst.BaseStatement) -> cst.Assign:
    assert isinstance(statement, cst.SimpleStatementLine)
    assign = statement.body[0]
    assert isinstance(assign, cst.Assign)
    return assign


def _assigned(statement: cst.BaseStatement) -> str | None:
    """The one name that a line assigns."""
    if not isinstance(statement, cst.SimpleStatementLine) or len(statement.body) != 1:
        return None
    assign = statement.body[0]
    if isinstance(assign, cst.Assign) and len(assign.targets) == 1:
        target = assign.targets[0].target
        return target.value if isinstance(target, cst.Name) else None
    return None
