"""What makes a repair doubtful that passes all tests: it may have bent the program to the tests.

Such a patch may be right. It is ranked after others, and told with the word. Only shapes of the
change count: that a test's literal is spelt out, a statement or a check is gone or never reached
any more, a condition is turned round, a result does not depend on anything any more, a condition
asks a sum, or a value itself instead of what was asked about it, and that an exception is caught
and nothing said.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from coe_lsp.parsing import parse

#: What says the opposite. Not those of order: for sets and "not a number" these are no opposites,
NEGATED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
# though people take them for that.
_OPPOSITES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    **NEGATED,
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
}
_BLOCKS = frozenset({"body", "orelse", "finalbody", "handlers", "cases"})
_LAST = (ast.Return, ast.Raise, ast.Break, ast.Continue)
_EMPTY = (ast.List, ast.Tuple, ast.Dict)


def find_doubts(
    before: Sequence[str], after: Sequence[str], spelt: Iterable[str] = ()
) -> tuple[str, ...]:
    """The doubts about a change, each as what it does; `spelt` are literals taken from tests.

    None about a program that did not parse before.
    """
    doubts = [f"spells out {', '.join(spelt)} of the tests"] if (spelt := tuple(spelt)) else []
    try:
        old, new = (parse("\n".join(lines)) for lines in (before, after))
    except SyntaxError:
        return tuple(doubts)
    gone, come = _differences(old, new)
    if gone and all(isinstance(node, ast.Pass) for node in come):
        doubts.append("takes something away" if len(gone) > 1 else f"takes {_named(gone[0])} away")
    elif _ends_early(new) > _ends_early(old):
        doubts.append("leaves code that never runs")
    results = [node for node in gone if isinstance(node, (ast.Return, ast.Pass))]
    returned = [node for node in come if isinstance(node, ast.Return)]
    if (
        results
        and returned
        and all(map(_is_constant_return, returned))
        and not any(map(_is_constant_return, results))
    ):
        doubts.append("returns the same whatever it is given")
    conditions = [ast.dump(_opposite(test)) for node in gone if (test := _test_of(node))]
    asked = [test for node in come if (test := _test_of(node))]
    if any(ast.dump(test) in conditions for test in asked):
        doubts.append("turns a condition round")
    if any(isinstance(test, ast.BinOp) for test in asked):
        doubts.append("asks a sum for its truth")
    if _asks_less(old, new):
        doubts.append("asks a value for its truth where it was checked")
    tried = [node for node in come if isinstance(node, ast.Try)]
    doubts += [f"hides {kind}" for node in tried for kind in _hidden(node)]
    return tuple(doubts)


def _ends_early(tree: ast.AST) -> int:
    """How many blocks of a program go on after a statement that nothing can come after."""
    fields = (field for node in ast.walk(tree) for field in ast.iter_fields(node))
    blocks: list[list[ast.AST]] = [value for name, value in fields if _is_block(name, value)]
    return sum(any(map(_ends, block[:-1], block[1:])) for block in blocks)


def _ends(node: ast.AST, after: ast.AST) -> bool:
    """Whether nothing can come after; the `yield` that makes a generator of a function may."""
    is_yield = isinstance(after, ast.Expr) and isinstance(after.value, ast.Yield)
    return isinstance(node, _LAST) and not is_yield


def _is_block(name: str, value: object) -> bool:
    return name in _BLOCKS and isinstance(value, list)


def _asks_less(old: ast.AST, new: ast.AST) -> bool:
    """Whether a call that was asked for its truth is gone, and what it was given is asked.

    Or what it is a method of.
    """
    before = {ast.dump(node): node for node in _asked(old)}
    after = {ast.dump(node) for node in _asked(new)}
    gone = [node for text, node in before.items() if text not in after]
    calls = [call for call in gone if isinstance(call, ast.Call)]
    given = {ast.dump(argument) for call in calls for argument in call.args}
    given |= {ast.dump(c.func.value) for c in calls if isinstance(c.func, ast.Attribute)}
    return not given.isdisjoint(after - before.keys())


def _asked(tree: ast.AST) -> Iterator[ast.expr]:
    """What counts only by being true: conditions, and the parts of `and`, `or` and `not`."""
    for node in ast.walk(tree):
        match node:
            case ast.BoolOp(values=values):
                yield from values
            case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
                yield test
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                yield operand
            case _:
                pass


def _hidden(node: ast.Try) -> Iterator[str]:
    """The exceptions that are caught and forgotten: nothing is done, or nothing returned."""
    for handler in node.handlers:
        match handler.body:
            case [ast.Pass() | ast.Continue() | ast.Return(value=None | ast.Constant(value=None))]:
                yield ast.unparse(handler.type) if handler.type is not None else "all exceptions"
            case _:
                pass


def _differences(old: ast.AST, new: ast.AST) -> tuple[list[ast.stmt], list[ast.stmt]]:
    """The statements that only the old program has, and those that only the new one has.

    Of a compound statement only its head counts.
    """
    mine, theirs = ([(_key(node), node) for node in _statements(tree)] for tree in (old, new))
    had, has = (Counter(key for key, _ in some) for some in (mine, theirs))
    gone, come = had - has, has - had
    return _some(mine, gone), _some(theirs, come)


def _some(statements: Sequence[tuple[str, ast.stmt]], wanted: Counter[str]) -> list[ast.stmt]:
    left = Counter(wanted)
    found: list[ast.stmt] = []
    for key, node in statements:
        if left[key] > 0:
            left[key] -= 1
            found.append(node)
    return found


def _statements(tree: ast.AST) -> Iterator[ast.stmt]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.stmt))


def _key(node: ast.stmt) -> str:
    """What a statement says, without the blocks in it."""
    bare = copy.copy(node)
    for name in _BLOCKS & {name for name, _ in ast.iter_fields(node)}:
        setattr(bare, name, [])
    return ast.dump(bare)


def _named(node: ast.stmt) -> str:
    match node:
        case ast.If() | ast.Assert() | ast.Raise():
            return "a check"
        case ast.For() | ast.While() | ast.AsyncFor():
            return "a loop"
        case _:
            return "a statement"


def _is_constant_return(node: ast.stmt) -> bool:
    if not isinstance(node, ast.Return):
        return False
    value = node.value
    if isinstance(value, _EMPTY):
        return not (value.keys if isinstance(value, ast.Dict) else value.elts)
    return value is None or isinstance(value, ast.Constant)


def _test_of(node: ast.stmt) -> ast.expr | None:
    return node.test if isinstance(node, (ast.If, ast.While, ast.Assert)) else None


def _opposite(test: ast.expr) -> ast.expr:
    match test:
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            return inner
        case ast.Compare(left=left, ops=[operator], comparators=others) if (
            opposite := _OPPOSITES.get(type(operator))
        ):
            return ast.Compare(left, [opposite()], others)
        case _:
            return ast.UnaryOp(ast.Not(), test)
