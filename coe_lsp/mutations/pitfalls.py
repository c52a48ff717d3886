"""Edits for what Python does otherwise than people expect: mutable defaults, `await`, generators.

And exceptions taken for one another. Weights are logs of rough frequencies, on the scale of those
in `expressions`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from coe_lsp.mutations.blocks import FUNCTION, FunctionNode, statements, top_of
from coe_lsp.mutations.program import Edit, Program, put
from coe_lsp.mutations.scope import Scope


def pitfall_edits(program: Program, scope: Scope) -> Iterator[Edit]:
    """All edits of this kind."""
    for node in ast.walk(program.tree):
        if isinstance(node, FUNCTION):
            yield from _mutable_defaults(program, node)
            yield from _base_not_made(program, node)
    for node in filter(program.wanted, program.expressions()):
        if isinstance(node, ast.Call):
            yield from _waited_for(program, node)
        if isinstance(node, ast.Lambda):
            yield from _bound_late(program, node)
    for _, block, index in statements(program):
        node = block[index]
        if isinstance(node, ast.Raise) and node.exc is not None:
            yield from _raised(program, scope, node, node.exc)


def _mutable_defaults(program: Program, function: FunctionNode) -> Iterator[Edit]:
    """`def f(a=[])` with `None` in place of the list, which is made in the body then."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    pairs = list(zip(positional[len(positional) - len(arguments.defaults) :], arguments.defaults,
                     strict=True))  # fmt: skip
    pairs += [(a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d]
    top = top_of(program, function)
    if top is None:
        return
    indent, place = top
    for argument, default in pairs:
        made = isinstance(default, (ast.List, ast.Dict, ast.Set, ast.Call))
        if not made:
            continue
        start, end = program.span(default)
        if end > place:
            continue
        name, text = argument.arg, program.source(default)
        guard = f"{indent}if {name} is None:\n{indent}    {name} = {text}\n"
        new = f"None{program.between(end, place)}{guard}"
        yield Edit(start, place, new, "mutable default", 0.0)


def _base_not_made(program: Program, function: FunctionNode) -> Iterator[Edit]:
    """A constructor that does not call that of the class it inherits from."""
    arguments = function.args
    called = any(isinstance(n, ast.Name) and n.id == "super" for n in ast.walk(function))
    top = top_of(program, function)
    if function.name != "__init__" or called or top is None:
        return
    indent, place = top
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)][1:]
    for given in dict.fromkeys(("", ", ".join(names))):
        line = f"{indent}super().__init__({given})\n"
        yield Edit(place, place, line, "base not made", -1.2)


def _bound_late(program: Program, node: ast.Lambda) -> Iterator[Edit]:
    """A function made in a loop that sees the loop's variable as it is in the end."""
    arguments = node.args
    if any((arguments.vararg, arguments.kwonlyargs, arguments.kwarg)):
        return
    used = {n.id for n in ast.walk(node.body) if isinstance(n, ast.Name)}
    own = {argument.arg for argument in (*arguments.posonlyargs, *arguments.args)}
    for name in sorted((used - own) & _loop_names(program, node)):
        start = program.span(node)[0]
        head = program.between(start, program.span(node.body)[0]).rpartition(":")[0]
        given = head[len("lambda") :].strip().removesuffix(",")
        new = f"lambda {given}, {name}={name}" if given else f"lambda {name}={name}"
        yield Edit(start, start + len(head.encode()), new, "bound late", 0.0)


def _loop_names(program: Program, node: ast.AST) -> set[str]:
    """The variables of the loops and comprehensions around."""
    targets: list[ast.expr] = []
    around = program.parents.get(node)
    while around is not None and not isinstance(around, FUNCTION):
        match around:
            case ast.For(target=target) | ast.AsyncFor(target=target):
                targets.append(target)
            case ast.ListComp(generators=loops) | ast.DictComp(generators=loops):
                targets += [loop.target for loop in loops]
            case ast.GeneratorExp(generators=loops) | ast.SetComp(generators=loops):
                targets += [loop.target for loop in loops]
            case _:
                pass
        around = program.parents.get(around)
    return {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}


def _waited_for(program: Program, node: ast.Call) -> Iterator[Edit]:
    """`await` and `yield from` before a call, where there is room for them."""
    parent = program.parents.get(node)
    if isinstance(parent, (ast.Await, ast.YieldFrom)):
        if isinstance(parent, ast.Await):
            yield put(program, parent, program.source(node), "await", -1.5)
        return
    function = parent
    while function is not None and not isinstance(function, (*FUNCTION, ast.Lambda)):
        function = program.parents.get(function)
    text = program.source(node)
    if isinstance(function, ast.AsyncFunctionDef):
        held = f"await {text}" if program.roomy(node) else f"(await {text})"
        yield put(program, node, held, "await", -0.6)
    if isinstance(parent, (ast.Expr, ast.Return)) and isinstance(function, FUNCTION):
        yields = any(isinstance(n, (ast.Yield, ast.YieldFrom)) for n in ast.walk(function))
        owner: ast.stmt = parent
        if yields:
            yield Edit(*program.span(owner), f"yield from {text}", "generator", 0.0)
            yield Edit(*program.span(owner), f"yield {text}", "generator", -0.8)


def _raised(program: Program, scope: Scope, node: ast.Raise, raised: ast.expr) -> Iterator[Edit]:
    """Another exception, or the value that asks the other operand."""
    start, end = program.span(node)
    if "NotImplementedError" in program.source(raised):
        yield Edit(start, end, "return NotImplemented", "exception", 0.0)
    name = raised.func if isinstance(raised, ast.Call) else raised
    if not isinstance(name, (ast.Name, ast.Attribute)):
        return
    for other in dict.fromkeys((*scope.exceptions, "ValueError", "TypeError", "KeyError")):
        if other != program.source(name):
            yield put(program, name, other, "exception", -1.4)
