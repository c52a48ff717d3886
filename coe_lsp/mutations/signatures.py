"""Edits of a signature that the tests do not call as it is: what they said when a call failed.

A parameter that they name is taken (and kept, handed on, or is another one's new name), one that
they leave out gets a default, one that is too many is `self`. Without such clues there are none.
Weights are logs of rough frequencies, on the scale of those in `expressions`.
"""

from __future__ import annotations

import ast
import itertools
import keyword
from collections.abc import Iterator, Sequence

from coe_lsp.mutations.blocks import FUNCTION, FunctionNode, alone, indentation
from coe_lsp.mutations.clues import BadCall
from coe_lsp.mutations.program import Edit, Program, room_for_argument, together
from coe_lsp.mutations.scope import Scope
from coe_lsp.parsing import parse

_DEFAULTS = ("None", "0", "False", '""', "True", "1")
_MOST_CALLS, _MOST_RENAMED = 8, 6


def signature_edits(program: Program, scope: Scope) -> Iterator[Edit]:
    """All edits of this kind."""
    for node in ast.walk(program.tree):
        if not isinstance(node, FUNCTION):
            continue
        for call in scope.clues.bad_calls:
            if call.function == node.name:
                edits = itertools.chain(
                    _named_by_tests(program, node, call),
                    _left_out(program, node, call.missing),
                    _one_too_many(program, node, call),
                )
                # Signatures are laid out in more ways than are told apart here.
                yield from (edit for edit in edits if _parses(program.apply(edit)))


def _parses(text: str) -> bool:
    try:
        parse(text)
    except SyntaxError:
        return False
    return True


def _named_by_tests(program: Program, node: FunctionNode, call: BadCall) -> Iterator[Edit]:
    """A parameter that the function does not have."""
    name, arguments = call.unexpected, node.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    taken = {argument.arg for argument in (*named, arguments.vararg) if argument is not None}
    if not name or keyword.iskeyword(name) or name in taken or arguments.kwarg is not None:
        return
    yield from _added(program, node, name)
    for old in [*arguments.args, *arguments.kwonlyargs][:_MOST_RENAMED]:
        if old.arg not in ("self", "cls") and not _is_bound_inside(node, {old.arg, name}):
            yield _renamed(program, node, old, name)


def _added(program: Program, node: FunctionNode, name: str) -> Iterator[Edit]:
    """One more parameter: alone, kept in `self`, or handed on to a call."""
    arguments = node.args
    if arguments.posonlyargs and not (arguments.args or arguments.vararg or arguments.kwonlyargs):
        return  # after them it could not be given by name
    place, before = _room(program, node)
    for number, default in enumerate(_DEFAULTS):
        text = f"{before}{name}={default}"
        spot, weight = (place, place), 1.5 - 0.3 * number
        yield Edit(*spot, text, "missing parameter", weight)
        if node.name == "__init__" and alone(program, node.body[-1]):
            start, line = _at_the_end(program, node, f"self.{name} = {name}")
            both = together(program, [spot, (start, start)], [text, line], "", 0.0)
            yield Edit(both.start, both.end, both.new, "missing parameter", weight + 0.5)
        for end, more in _handing_on(program, node, name):
            both = together(program, [spot, (end, end)], [text, more], "", 0.0)
            yield Edit(both.start, both.end, both.new, "missing parameter", weight - 0.2)


def _is_bound_inside(node: FunctionNode, names: set[str]) -> bool:
    """Whether a function in this one has a parameter of one of these names."""
    inner = (n for n in ast.walk(node) if isinstance(n, (*FUNCTION, ast.Lambda)) and n is not node)
    return any(n.arg in names for i in inner for n in ast.walk(i.args) if isinstance(n, ast.arg))


def _room(program: Program, node: FunctionNode) -> tuple[int, str]:
    """Where one more parameter with a default goes, and what stands before it then."""
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    if arguments.kwonlyargs or arguments.vararg:
        last = arguments.kwonlyargs[-1] if arguments.kwonlyargs else arguments.vararg
        assert last is not None
        default = arguments.kw_defaults[-1] if arguments.kwonlyargs else None
        return program.span(default or last)[1], ", "
    if positional:
        default = arguments.defaults[-1] if arguments.defaults else None
        return program.span(default or positional[-1])[1], ", "
    return _opening(program, node), ""


def _opening(program: Program, node: FunctionNode) -> int:
    """Where the first parameter goes."""
    start = program.span(node)[0]
    head = program.between(start, program.span(node.body[0])[0])
    return start + len(head[: head.index("(") + 1].encode())


def _at_the_end(program: Program, node: FunctionNode, line: str) -> tuple[int, str]:
    """Where a line goes after the last statement of the body, with its layout."""
    last = node.body[-1]
    return program.span(last)[1], f"\n{indentation(program, last)}{line}"


def _handing_on(program: Program, node: FunctionNode, name: str) -> Iterator[tuple[int, str]]:
    """Calls of the body that may take the parameter as well: where, and the argument."""
    calls = [n for statement in node.body for n in ast.walk(statement) if isinstance(n, ast.Call)]
    for call in calls[:_MOST_CALLS]:
        if any(isinstance(arg, ast.GeneratorExp) for arg in call.args):  # stands alone there
            continue
        place, before = room_for_argument(program, call)
        yield place, f"{before}{name}={name}"


def _renamed(program: Program, node: FunctionNode, old: ast.arg, new: str) -> Edit:
    """The parameter with another name, in the whole function."""
    start = program.span(old)[0]
    spans = [(start, start + len(old.arg.encode()))]
    spans += [
        program.span(n)
        for statement in node.body
        for n in ast.walk(statement)
        if isinstance(n, ast.Name) and n.id == old.arg
    ]
    return together(program, sorted(spans), [new] * len(spans), "renamed parameter", 0.6)


def _left_out(program: Program, node: FunctionNode, names: Sequence[str]) -> Iterator[Edit]:
    """Parameters that the tests do not give."""
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    required = positional[: len(positional) - len(arguments.defaults)]
    first = next((n for n, one in enumerate(required) if one.arg in names), len(required))
    late = required[first:]  # none without a default may come after one that has one
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    late += [one for one, default in pairs if default is None and one.arg in names]
    if not late:
        return
    spans = [(end, end) for _, end in map(program.span, late)]
    for number, default in enumerate((*_DEFAULTS, "()", "[]")):
        text = f" = {default}" if late[0].annotation else f"={default}"
        weight = 1.2 - 0.3 * number
        yield together(program, spans, [text] * len(spans), "missing default", weight)


def _one_too_many(program: Program, node: FunctionNode, call: BadCall) -> Iterator[Edit]:
    """A method without `self`, or a parameter that has no name yet."""
    if not call.given:
        return
    arguments = node.args
    static = any(isinstance(n, ast.Name) and n.id == "staticmethod" for n in node.decorator_list)
    named = {a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    has_self = static or not named.isdisjoint(("self", "cls"))
    if call.given == call.taken + 1 and not has_self:
        place = _opening(program, node)
        others = (arguments.posonlyargs, arguments.args, arguments.kwonlyargs)
        comma = ", " if any(others) or arguments.vararg or arguments.kwarg else ""
        yield Edit(place, place, f"self{comma}", "missing parameter", 1.5)
    if arguments.vararg is None and not arguments.kwonlyargs and "args" not in named:
        place, before = _room(program, node)
        after = ", " if arguments.kwarg and not before else ""
        yield Edit(place, place, f"{before}*args{after}", "missing parameter", -0.5)
