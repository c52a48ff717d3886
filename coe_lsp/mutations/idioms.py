"""Edits that people write by habit: a type is checked first, a key is there before it is used.

Also both sides of a comparison made alike, and a value only where there is something to make it of.
Weights are logs of rough frequencies, on the scale of those in `expressions`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from coe_lsp.mutations.blocks import FUNCTION, FunctionNode, parameters_of, top_of
from coe_lsp.mutations.program import Edit, Program, put
from coe_lsp.mutations.scope import Scope

_TYPES = ("str", "int", "list", "dict", "tuple", "float")
_OPERATORS = frozenset(
    f"__{name}__"
    for name in ("eq", "ne", "lt", "le", "gt", "ge", "add", "radd", "sub", "rsub", "mul", "rmul",
                 "truediv", "floordiv", "mod", "pow", "and", "or", "xor", "matmul", "iadd")
)  # fmt: skip
_SIGNS: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.BitOr: "|"}
#: What a key stands for at first, by the method that is called on it.
_FIRST = {"append": "[]", "extend": "[]", "insert": "[]", "add": "set()", "update": "{}"}
_ALIKE = ("{}.lower()", "{}.strip()", "str({})", "sorted({})", "set({})", "list({})", "len({})")
_NOTHING = ("None", "[]", "''", "0", "{}")
_MOST_PARAMETERS, _MOST_TYPES, _LONGEST = 3, 8, 60


def idiom_edits(program: Program, scope: Scope) -> Iterator[Edit]:
    """All edits of this kind."""
    for node in ast.walk(program.tree):
        if isinstance(node, FUNCTION):
            yield from _checked_first(program, scope, node)
        if isinstance(node, ast.AugAssign) and program.wanted(node):
            yield from _counted(program, node)
    for node in filter(program.wanted, program.expressions()):
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            yield from _both_sides(program, node)
        if isinstance(node, ast.Call):
            yield from _key_made(program, node)
            yield from _if_any(program, node)


def _checked_first(program: Program, scope: Scope, owner: FunctionNode) -> Iterator[Edit]:
    """A way out at the top of a function for other types, and for two lengths that differ."""
    top, parameters = top_of(program, owner), parameters_of(owner)
    if top is None:
        return
    indent, place = top

    def leave(condition: str, way_out: str, kind: str, weight: float) -> Edit:
        text = f"{indent}if {condition}:\n{indent}    {way_out}\n"
        return Edit(place, place, text, kind, weight)

    if owner.name in _OPERATORS and parameters:
        classes = [name for name in sorted(scope.known) if name[:1].isupper()]
        for kind in dict.fromkeys(("type(self)", *scope.types, *classes, *_TYPES)):
            condition = f"not isinstance({parameters[0]}, {kind})"
            yield leave(condition, "return NotImplemented", "type guard", -1.4)
            yield leave(condition, "return False", "type guard", -2.2)
        return
    for name in parameters[:_MOST_PARAMETERS]:
        for kind in list(dict.fromkeys((*scope.types, *_TYPES)))[:_MOST_TYPES]:
            condition = f"not isinstance({name}, {kind})"
            for way_out in ("return", f"return {name}", "return False", "raise TypeError"):
                yield leave(condition, way_out, "type guard", -3.4)
    for node in program.expressions():
        match node:
            case ast.Call(func=ast.Name(id="zip"), args=[ast.Name(id=one), ast.Name(id=other)]) if (
                one in parameters and other in parameters
            ):
                for way_out in ("return False", "raise ValueError"):
                    condition = f"len({one}) != len({other})"
                    yield leave(condition, way_out, "missing guard", -1.6)
            case _:
                pass


def _counted(program: Program, node: ast.AugAssign) -> Iterator[Edit]:
    """`d[k] += 1` where there may be no such key yet."""
    target = node.target
    if not isinstance(target, ast.Subscript):
        return
    text, value = program.source(target), program.atom(node.value)
    held, key = program.atom(target.value), program.source(target.slice)
    operator = _SIGNS.get(type(node.op))
    if operator is None or not _is_plain_key(target.slice):
        return
    for first in ("0", "[]", "''"):
        new = f"{text} = {held}.get({key}, {first}) {operator} {value}"
        yield Edit(*program.span(node), new, "missing key", -1.4)


def _key_made(program: Program, node: ast.Call) -> Iterator[Edit]:
    """`d[k].append(x)` where there may be no such key yet."""
    match node.func:
        case ast.Attribute(value=ast.Subscript(slice=key) as item, attr=method) if (
            method in _FIRST and _is_plain_key(key)
        ):
            held, text = program.atom(item.value), program.source(key)
            new = f"{held}.setdefault({text}, {_FIRST[method]})"
            yield put(program, item, new, "missing key", -1.0)
        case _:
            pass


def _is_plain_key(key: ast.expr) -> bool:
    """Whether it can be given to a method as it stands, and may be the key of a mapping."""
    number = isinstance(key, ast.Constant) and isinstance(key.value, int)
    return not number and not isinstance(key, (ast.Slice, ast.Tuple, ast.Starred))


def _both_sides(program: Program, node: ast.Compare) -> Iterator[Edit]:
    """The same made of what stands on both sides of a comparison; numbers that are nearly equal."""
    (right,), (operator,) = node.comparators, node.ops
    if any(isinstance(side, ast.Constant) for side in (node.left, right)):
        return
    gap = f" {program.between(program.span(node.left)[1], program.span(right)[0]).strip('() ')} "
    left, other = program.atom(node.left), program.atom(right)
    if max(len(left), len(other)) > _LONGEST or not gap.isascii() or set(gap) & set("#\n\\"):
        return
    if not isinstance(operator, (ast.Is, ast.IsNot, ast.In, ast.NotIn)):
        for alike in _ALIKE:
            new = f"{alike.format(left)}{gap}{alike.format(other)}"
            yield put(program, node, new, "both sides", -2.2)
    if isinstance(operator, ast.Eq):
        yield put(program, node, f"abs({left} - {other}) < 1e-9", "both sides", -2.6)


def _if_any(program: Program, node: ast.Call) -> Iterator[Edit]:
    """A value only where what it is made of is there, nothing else."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name() | ast.Attribute() as made_of)):
            pass
        case ast.Call(args=[ast.Name() | ast.Attribute() as made_of, *_]):
            pass
        case _:
            return
    parent = program.parents.get(node)
    if not isinstance(parent, (ast.Assign, ast.Return, ast.Call, ast.keyword)):
        return
    subject, text = program.source(made_of), program.source(node)
    if subject in ("self", "cls") or len(text) > _LONGEST or not program.roomy(node):
        return
    for nothing in _NOTHING:
        yield put(program, node, f"{text} if {subject} else {nothing}", "value if any", -3.0)
    new = f"{text} if {subject} is not None else None"
    yield put(program, node, new, "value if any", -2.6)
