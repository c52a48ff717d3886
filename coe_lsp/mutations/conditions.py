"""Edits of what is asked: truth and `None` taken for one another, types, one condition more.

Weights are logs of rough frequencies, on the scale of those in `expressions`.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator

from coe_lsp.mutations.program import Edit, Program, put
from coe_lsp.mutations.scope import Scope

_PLAIN = (ast.Name, ast.Attribute, ast.Subscript, ast.Call)
#: What `isinstance` is often asked about.
_TYPES = ("str", "int", "list", "dict", "tuple", "bytes", "float", "bool", "set")
#: What is called to be told yes or no, besides names that begin with "is" or "has".
_ASKING = frozenset({"any", "all", "callable", "startswith", "endswith", "bool"})
_MOST_SUBJECTS, _MOST_LONGEST = 6, 40
_MOST_MEMBERS = 8
#: What it adds that something was seen to be empty, or None, where it failed.
SEEN = 1.5


def condition_edits(program: Program, scope: Scope) -> Iterator[Edit]:
    """All edits of conditions and their parts."""
    for node in filter(program.wanted, program.expressions()):
        if isinstance(node, ast.Call):
            yield from _types(program, scope, node)
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            yield from _membership(program, scope, node)
        if _is_asked(program, node):
            yield from _truth(program, node)
            yield from _more(program, scope, node)
        elif isinstance(program.parents.get(node), ast.Return) and _is_truth(node):
            yield from _more(program, scope, node)


def _is_asked(program: Program, node: ast.expr) -> bool:
    """Whether it counts only if an expression is true."""
    match program.parents.get(node):
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            return test is node
        case ast.Assert(test=test):
            return test is node
        case ast.BoolOp() | ast.UnaryOp(op=ast.Not()):
            return True
        case ast.comprehension(ifs=ifs):
            return node in ifs
        case _:
            return False


def _is_truth(node: ast.expr) -> bool:
    """Whether an expression is true or false, as far as can be seen."""
    match node:
        case ast.Compare() | ast.UnaryOp(op=ast.Not()):
            return True
        case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
            return name in _ASKING or name.startswith(("is", "has"))
        case _:
            return False


def _truth(program: Program, node: ast.expr) -> Iterator[Edit]:
    """`x`, `x is not None`, `len(x) > 0` for one another, and their opposites."""
    match node:
        case ast.Name() | ast.Attribute() | ast.Subscript() | ast.Call():
            parent = program.parents.get(node)
            if isinstance(parent, ast.UnaryOp):
                return
            text = program.source(node)
            yield put(program, node, f"{text} is not None", "truth", -0.6)
            yield put(program, node, f"{text} is None", "truth", -2.2)
        case ast.UnaryOp(op=ast.Not(), operand=inner) if isinstance(inner, _PLAIN):
            text = program.source(inner)
            yield put(program, node, f"{text} is None", "truth", -0.4)
            yield put(program, node, f"{text} is not None", "truth", -2.2)
        case ast.Compare(left=left, ops=[operator], comparators=[ast.Constant(value=None)]):
            text = program.atom(left)
            negated = isinstance(operator, (ast.Is, ast.Eq))
            yield put(program, node, f"not {text}" if negated else text, "truth", -0.6)
        case ast.Compare(left=left, ops=[operator], comparators=[ast.Constant(value=value)]) if (
            value in (0, "") and not isinstance(value, bool)
        ):
            text = program.atom(left)
            negated = isinstance(operator, (ast.Eq, ast.LtE))
            yield put(program, node, f"not {text}" if negated else text, "truth", -1.6)
        case _:
            pass


def _more(program: Program, scope: Scope, node: ast.expr) -> Iterator[Edit]:
    """A condition before or after one: about what it looks at, or a type."""
    parent = program.parents.get(node)
    if isinstance(parent, (ast.BoolOp, ast.UnaryOp)):
        return
    text = program.source(node)
    held = f"({text})" if isinstance(node, (ast.IfExp, ast.Lambda, ast.NamedExpr)) else text
    for_and = f"({text})" if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or) else held
    subjects = subjects_of(program, node)
    for subject in subjects[:_MOST_SUBJECTS]:
        seen = SEEN if subject in scope.clues.nothing | scope.clues.empty else 0.0
        for condition, weight in ((subject, -1.6), (f"{subject} is not None", -1.4)):
            new = f"{condition} and {for_and}"
            yield put(program, node, new, "missing condition", weight + seen)
        for condition, weight in ((f"not {subject}", -2.0), (f"{subject} is None", -1.8)):
            new = f"{condition} or {held}"
            yield put(program, node, new, "missing condition", weight + seen)
        owner, _, attribute = subject.rpartition(".")
        if owner and attribute.isidentifier():
            asked = f'hasattr({owner}, "{attribute}")'
            yield put(program, node, f"{asked} and {for_and}", "missing condition", -2.6)
        for kind in (*scope.types[:6], *_TYPES[:4]):
            asked = f"isinstance({subject}, {kind})"
            yield put(program, node, f"{asked} and {for_and}", "missing condition", -2.8)
            yield put(program, node, f"{for_and} and not {asked}", "missing condition", -3.0)
            yield put(program, node, f"{held} or {asked}", "missing condition", -3.0)
    for name in scope.variables[:_MOST_SUBJECTS]:
        if name not in subjects:
            for condition in (f"{name} is not None", f"not {name}"):
                new = f"{for_and} and {condition}"
                yield put(program, node, new, "missing condition", -2.6)
            yield put(program, node, f"{held} or {name}", "missing condition", -2.6)
            yield put(program, node, f"{held} or {name} is None", "missing condition", -3.0)
    for field in scope.fields[:12]:
        yield put(program, node, f"{for_and} and not self.{field}", "missing condition", -3.2)
        yield put(program, node, f"{for_and} and self.{field}", "missing condition", -3.2)
        yield put(program, node, f"{held} or self.{field}", "missing condition", -3.2)
        yield put(
            program, node, f"{for_and} and self.{field} is not None", "missing condition", -3.5
        )


def subjects_of(program: Program, node: ast.AST) -> list[str]:
    """The names, attributes and items that an expression or statement reads, outer ones first."""
    found: dict[str, None] = {}
    for part in ast.walk(node):
        if not isinstance(part, (ast.Name, ast.Attribute, ast.Subscript)):
            continue
        parent = program.parents.get(part)
        if isinstance(part.ctx, ast.Load) and not (
            isinstance(parent, ast.Call) and part is parent.func
        ):
            text = program.source(part)
            if text not in ("self", "cls") and len(text) <= _MOST_LONGEST and "\n" not in text:
                found[text] = None
    return list(found)


def _types(program: Program, scope: Scope, node: ast.Call) -> Iterator[Edit]:
    """`isinstance` asked about one more type, or another."""
    match node:
        case ast.Call(func=ast.Name(id="isinstance"), args=[_, known]):
            parts = known.elts if isinstance(known, ast.Tuple) else [known]
            texts = [program.source(part) for part in parts]
            for kind in dict.fromkeys((*scope.types, *_TYPES)):
                if kind not in texts:
                    both = ", ".join([*texts, kind])
                    yield put(program, known, f"({both})", "type", -1.2)
                    yield put(program, known, kind, "type", -1.6)
            if "int" in texts:  # which True and False are as well
                text, subject = program.source(node), program.source(node.args[0])
                new = f"{text} and not isinstance({subject}, bool)"
                held = new if program.roomy(node) else f"({new})"
                yield put(program, node, held, "type", -2.0)
            if len(texts) > 1:
                for text in texts:
                    rest = [other for other in texts if other != text]
                    new = rest[0] if len(rest) == 1 else f"({', '.join(rest)})"
                    yield put(program, known, new, "type", -1.6)
        case _:
            pass


def _membership(program: Program, scope: Scope, node: ast.Compare) -> Iterator[Edit]:
    """`x == a` as `x in (a, b)`, and one more member of those that are named."""
    (operator,), (right,) = node.ops, node.comparators
    others = [text for text in scope.literals if text != program.source(right)][:12]
    if isinstance(operator, (ast.Eq, ast.NotEq)) and isinstance(right, ast.Constant):
        word = "in" if isinstance(operator, ast.Eq) else "not in"
        left, text = program.atom(node.left), program.source(right)
        for other in others:
            yield put(program, node, f"{left} {word} ({text}, {other})", "membership", -1.8)
    if isinstance(operator, (ast.In, ast.NotIn)) and isinstance(
        right, (ast.Tuple, ast.List, ast.Set)
    ):
        known = [program.source(part) for part in right.elts]
        end = program.span(right)[1] - 1
        for other in others:
            if known and other not in known:
                yield Edit(end, end, f", {other}", "membership", -1.2)
        for one, two in itertools.pairwise(program.span(part) for part in right.elts):
            if 2 < len(known) <= _MOST_MEMBERS and program.between(one[1], two[0]).strip() == ",":
                yield Edit(one[0], two[0], "", "membership", -2.4)
                if two[1] == program.span(right.elts[-1])[1]:
                    yield Edit(one[1], two[1], "", "membership", -2.4)
