"""Edits inside expressions: operators, names, conditions (`calls` and `constants` have the rest).

Weights are logs of rough frequencies of such mistakes in people's code, set by hand.
"""

from __future__ import annotations

import ast
import builtins
import itertools
import re
from collections.abc import Iterator

from coe_lsp.mutations.calls import call, subscript
from coe_lsp.mutations.constants import constant_edits, equal_constant_edits, opposite_edits
from coe_lsp.mutations.program import Edit, Program, put, together
from coe_lsp.mutations.scope import Scope

_COMPARISONS: dict[type[ast.cmpop], tuple[str, tuple[tuple[str, float], ...]]] = {
    ast.Lt: ("<", (("<=", 0.0), (">", -0.3), (">=", -0.4), ("!=", -1.5), ("==", -1.5))),
    ast.LtE: ("<=", (("<", 0.0), (">=", -0.3), (">", -0.4), ("==", -1.5), ("!=", -2.0))),
    ast.Gt: (">", ((">=", 0.0), ("<", -0.3), ("<=", -0.4), ("!=", -1.5), ("==", -1.5))),
    ast.GtE: (">=", ((">", 0.0), ("<=", -0.3), ("<", -0.4), ("==", -1.5), ("!=", -2.0))),
    ast.Eq: ("==", (("!=", 0.0), ("<=", -1.0), (">=", -1.0), ("<", -1.5), (">", -1.5),
                    (" in ", -2.5))),
    ast.NotEq: ("!=", (("==", 0.0), ("<", -1.5), (">", -1.5), ("<=", -2.0), (">=", -2.0))),
    ast.In: (r"in\b", (("not in", 0.0), ("==", -1.5), ("!=", -2.5))),
    ast.NotIn: (r"not\s+in\b", (("in", 0.0),)),
    ast.Is: (r"is\b", (("is not", 0.0), ("==", -2.0))),
    ast.IsNot: (r"is\s+not\b", (("is", 0.0), ("!=", -2.0))),
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.LShift: "<<",
    ast.RShift: ">>",
}
_NEAR = {
    "+": {"-": 0.0, "*": -0.7, "//": -2.0, "%": -2.5, "/": -2.5, "|": -2.5},
    "-": {"+": 0.0, "*": -1.5, "//": -2.0, "%": -2.0, "/": -2.0, "&": -3.0},
    "*": {"**": -0.5, "+": 0.0, "/": -0.5, "//": -0.5, "-": -1.5, "%": -2.0},
    "/": {"//": 0.0, "*": 0.0, "%": -0.7, "-": -2.0, "+": -2.5},
    "//": {"/": 0.0, "%": 0.0, "*": -0.5, "-": -2.0, ">>": -3.0},
    "%": {"//": 0.0, "/": -0.7, "*": -1.5, "-": -2.0, "+": -2.5},
    "**": {"*": 0.0, "//": -2.0, "^": -3.0},
    "&": {"|": 0.0, "^": -0.7, "-": -2.0},
    "|": {"&": 0.0, "^": -0.7, "+": -2.0},
    "^": {"&": 0.0, "|": -0.5, "**": -0.5},
    "<<": {">>": 0.0, "*": -2.0},
    ">>": {"<<": 0.0, "//": -2.0},
}
# Names that are taken for one another; a name may be in several groups.
_MIXED_UP = (
    ("min", "max", "sum"),
    ("any", "all"),
    ("sum", "len", "max"),
    ("append", "extend", "insert", "add", "appendleft"),
    ("upper", "lower", "title", "capitalize", "swapcase"),
    ("isupper", "islower", "isalpha", "isdigit", "isalnum", "isspace", "isnumeric", "istitle"),
    ("strip", "lstrip", "rstrip"),
    ("startswith", "endswith"),
    ("keys", "values", "items"),
    ("floor", "ceil", "round", "trunc"),
    ("add", "discard", "remove", "pop"),
    ("find", "rfind", "index", "count"),
    ("split", "rsplit", "splitlines", "partition", "rpartition"),
    ("int", "float", "str", "bool", "abs", "round"),
    ("list", "set", "tuple", "sorted", "dict", "reversed", "frozenset"),
    ("union", "intersection", "difference", "symmetric_difference", "update"),
    ("pop", "popleft", "remove"),
    ("sort", "reverse"),
    ("sorted", "reversed"),
    ("ljust", "rjust", "center", "zfill"),
    ("ord", "chr"),
    ("bin", "hex", "oct", "str"),
    ("range", "enumerate", "len"),
    ("map", "filter"),
    ("issubset", "issuperset", "isdisjoint"),
    ("get", "pop", "setdefault"),
    ("heappush", "heappop", "heapify"),
    ("bisect_left", "bisect_right", "bisect"),
    ("permutations", "combinations", "product", "combinations_with_replacement"),
    ("days", "seconds", "total_seconds"),
    ("isinstance", "issubclass", "hasattr"),
    ("match", "fullmatch", "search"),
    ("findall", "finditer", "search"),
    ("copy", "deepcopy"),
    ("load", "loads"),
    ("dump", "dumps"),
    ("encode", "decode"),
    ("lower", "casefold"),
    ("isdigit", "isdecimal"),
    ("abspath", "realpath", "normpath"),
    ("exists", "isfile", "isdir", "lexists"),
    ("is_file", "is_dir", "exists"),
    ("basename", "dirname"),
    ("quote", "quote_plus"),
    ("unquote", "unquote_plus"),
    ("parse_qs", "parse_qsl"),
    ("urlparse", "urlsplit"),
    ("now", "utcnow", "today"),
    ("time", "monotonic", "perf_counter"),
    ("nlargest", "nsmallest"),
    ("takewhile", "dropwhile"),
    ("repr", "str", "ascii"),
    ("sin", "cos", "tan"),
    ("log", "log2", "log10", "exp", "sqrt"),
)
_WRAPPERS = ("abs", "len", "int", "str", "sorted", "list", "set", "sum", "max", "min", "reversed",
             "round", "float", "tuple", "bool")  # fmt: skip
_METHODS = ("lower()", "upper()", "strip()", "copy()", "split()", "items()", "keys()", "values()")
_COMBINED = 12
# What has room for a call or an item in place of a part, but for no operator.
_TIGHT = (ast.Compare, ast.BinOp, ast.Tuple, ast.comprehension)
_INDEXED = (ast.Name, ast.Attribute, ast.Call, ast.ListComp)
_BUILTINS = frozenset(dir(builtins))
# What methods call themselves: seldom mistaken for something else.
_OWN = frozenset({"self", "cls"})


def expression_edits(program: Program, scope: Scope) -> Iterator[Edit]:
    """All edits of expressions."""
    yield from equal_constant_edits(program, scope)
    yield from opposite_edits(program)
    for node in filter(program.wanted, program.expressions()):
        match node:
            case ast.Compare():
                yield from _comparison(program, node)
            case ast.BinOp():
                yield from _arithmetic(program, node)
            case ast.BoolOp():
                yield from _boolean(program, node)
            case ast.UnaryOp():
                yield from _unary(program, node)
            case ast.Constant():
                yield from constant_edits(program, node, scope)
            case ast.Name():
                yield from _name(program, node, scope)
            case ast.Attribute():
                yield from _attribute(program, node, scope)
            case ast.Call():
                yield from call(program, node)
            case ast.Subscript():
                yield from subscript(program, node)
            case ast.IfExp():
                yield from _conditional(program, node)
            case _:
                pass
        if not isinstance(getattr(node, "ctx", None), (ast.Store, ast.Del)):
            yield from _around(program, node, scope)


def _operator(program: Program, before: int, after: int, pattern: str) -> tuple[int, int] | None:
    """Where an operator stands between two operands; comments there are not looked through."""
    gap = program.between(before, after)
    found = re.search(pattern, gap)
    if found is None or "#" in gap:
        return None
    start = before + len(gap[: found.start()].encode())
    return start, start + len(found[0].encode())


def _comparison(program: Program, node: ast.Compare) -> Iterator[Edit]:
    left = node.left
    for operator, right in zip(node.ops, node.comparators, strict=True):
        text, others = _COMPARISONS[type(operator)]
        place = _operator(program, program.span(left)[1], program.span(right)[0], text)
        if place is not None:
            if text in ("==", "!=") and (_has_no_order(left) or _has_no_order(right)):
                others = [one for one in others if one[0][0] not in "<>"]
            for other, weight in others:
                yield Edit(*place, other.strip() if text[0] != "=" else other, "comparison", weight)
        left = right
    first = node.comparators[0]
    if len(node.ops) == 1:
        for side in (node.left, first):
            if not _is_number(side):
                yield put(program, side, program.atom(side) + " + 1", "off by one", -1.8)
                yield put(program, side, program.atom(side) + " - 1", "off by one", -1.8)


def _has_no_order(node: ast.expr) -> bool:
    """Whether it is a text, a truth or None, which people compare to see if it is that."""
    if not isinstance(node, ast.Constant):
        return False
    return isinstance(node.value, bool) or not isinstance(node.value, (int, float))


def _is_plain_comparison(node: ast.expr) -> bool:
    return isinstance(node, ast.Compare) and len(node.ops) == 1


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, (int, float))


def _arithmetic(program: Program, node: ast.BinOp) -> Iterator[Edit]:
    text = _ARITHMETIC.get(type(node.op))
    if text is None:
        return
    left, right = program.span(node.left), program.span(node.right)
    place = _operator(program, left[1], right[0], re.escape(text))
    if place is not None:
        for other, weight in _NEAR[text].items():
            yield Edit(*place, other, "arithmetic", weight - 0.2)
    # One operand too many.
    yield put(program, node, program.fitting(node.left, node), "missing operator", -1.0)
    yield put(program, node, program.fitting(node.right, node), "missing operator", -1.5)
    if text in ("-", "/", "//", "%", "**", "<<", ">>") or isinstance(node.left, ast.Constant):
        swapped = f"{program.atom(node.right)} {text} {program.atom(node.left)}"
        yield put(program, node, swapped, "swapped operands", -0.8)
    # a + b * c as (a + b) * c, and without its middle.
    for inner, first in ((node.left, True), (node.right, False)):
        if isinstance(inner, ast.BinOp) and (symbol := _ARITHMETIC.get(type(inner.op))):
            a, b = program.atom(inner.left), program.atom(inner.right)
            other = program.atom(node.right if first else node.left)
            regrouped = f"{a} {symbol} ({b} {text} {other})" if first else (
                f"({other} {text} {a}) {symbol} {b}")  # fmt: skip
            outer = f"{a} {symbol} {other}" if first else f"{other} {symbol} {b}"
            for new, kind, weight in (
                (regrouped, "precedence", -1.6),
                (outer, "missing operator", -1.8),
            ):
                yield put(program, node, new if program.roomy(node) else f"({new})", kind, weight)


def _boolean(program: Program, node: ast.BoolOp) -> Iterator[Edit]:
    text = "and" if isinstance(node.op, ast.And) else "or"
    other = "or" if text == "and" else "and"
    values = node.values
    places: list[tuple[int, int]] = []
    for left, right in itertools.pairwise(values):
        place = _operator(program, program.span(left)[1], program.span(right)[0], rf"\b{text}\b")
        if place is not None:
            places.append(place)
            yield Edit(*place, other, "boolean", 0.0)
    if len(places) > 1:
        yield together(program, places, [other] * len(places), "boolean", -0.4)
    for index in range(len(values)):
        kept = [program.atom(value) for n, value in enumerate(values) if n != index]
        new = f" {text} ".join(kept)
        whole = new if len(kept) == 1 or program.roomy(node) else f"({new})"
        yield put(program, node, whole, "missing condition", -0.9)


def _unary(program: Program, node: ast.UnaryOp) -> Iterator[Edit]:
    weight = 0.2 if isinstance(node.op, ast.Not) else -0.5
    yield put(program, node, program.fitting(node.operand, node), "negation", weight)


def _name(program: Program, node: ast.Name, scope: Scope) -> Iterator[Edit]:
    parent = program.parents.get(node)
    called = isinstance(parent, ast.Call) and node is parent.func
    if node.id not in scope.variables:
        for other in alike(node.id):
            yield put(program, node, other, "name", 0.0)
    if called:
        for other in scope.functions:
            if other != node.id:
                yield put(program, node, other, "name", -1.0)
        if node.id not in scope.known and node.id not in _BUILTINS:
            for other in scope.close(node.id):
                yield put(program, node, other, "name", 1.0)
        return
    unknown = node.id not in scope.known and node.id not in _BUILTINS
    stored = isinstance(node.ctx, ast.Store)
    if node.id in _OWN and isinstance(parent, ast.Attribute):
        return
    twins = _twins(parent, node)
    for other in scope.close(node.id) if unknown else ():
        yield put(program, node, other, "variable", 1.5)
    for other in scope.variables:
        if other != node.id:
            weight = -1.6 if stored else (0.5 if unknown else -0.4)
            weight -= 2.0 if other in twins else 0.0
            yield put(program, node, other, "variable", weight)
    if stored:
        return
    for other in scope.values:
        if other != node.id:
            yield put(program, node, other, "variable", -1.0 if node.id in scope.values else -2.6)
    if unknown and node.id in scope.fields:
        yield put(program, node, f"self.{node.id}", "attribute", 1.5)
    if not isinstance(parent, ast.Attribute):
        for text in ("0", "1", "None", "True", "False"):
            yield put(program, node, text, "variable", -0.8 if unknown else -3.2)


def _twins(parent: ast.AST | None, node: ast.Name) -> set[str]:
    """Names that would make both sides of an operator the same."""
    match parent:
        case ast.Compare():
            sides = [parent.left, *parent.comparators]
        case ast.BinOp():
            sides = [parent.left, parent.right]
        case ast.Assign():
            sides = [*parent.targets, parent.value]
        case _:
            sides = []
    return {side.id for side in sides if isinstance(side, ast.Name) and side is not node}


def alike(name: str) -> list[str]:
    """Names of the standard vocabulary that are taken for this one."""
    found: list[str] = []
    for group in _MIXED_UP:
        if name in group:
            found += [other for other in group if other != name and other not in found]
    return found


def _attribute(program: Program, node: ast.Attribute, scope: Scope) -> Iterator[Edit]:
    start = program.span(node)[1] - len(node.attr.encode())
    end = program.span(node)[1]
    if program.between(start, end) != node.attr:
        return
    seen = {node.attr}
    parent = program.parents.get(node)
    if isinstance(parent, ast.Call) and node is parent.func:
        for other in alike(node.attr):
            seen.add(other)
            yield Edit(start, end, other, "name", 0.0)
    own = isinstance(node.value, ast.Name) and node.value.id in _OWN
    for other in dict.fromkeys([*scope.attributes, *(scope.fields if own else ())]):
        if other not in seen:
            yield Edit(start, end, other, "attribute", -1.0)


def _conditional(program: Program, node: ast.IfExp) -> Iterator[Edit]:
    body, test, other = (program.atom(part) for part in (node.body, node.test, node.orelse))
    swapped = f"{other} if {test} else {body}"
    yield put(program, node, swapped if program.roomy(node) else f"({swapped})", "boolean", -0.2)
    for part in (node.body, node.orelse):
        yield put(program, node, program.fitting(part, node), "missing condition", -1.5)


def _around(program: Program, node: ast.expr, scope: Scope) -> Iterator[Edit]:
    """Something put around or after an expression that has room for it."""
    parent = program.parents.get(node)
    if isinstance(parent, (ast.If, ast.While, ast.IfExp)) and node is parent.test:
        yield from _condition(program, node, scope)
        return
    if isinstance(parent, ast.comprehension) and node in parent.ifs:
        yield from _condition(program, node, scope)
        return
    if isinstance(node, (ast.Constant, ast.Slice, ast.Starred, ast.GeneratorExp, ast.Lambda)):
        return
    if isinstance(node, ast.Tuple) and any(isinstance(n, ast.Slice) for n in node.elts):
        return
    if not (program.roomy(node) or isinstance(parent, _TIGHT)):
        return
    if isinstance(parent, ast.Expr):
        return
    text, atom = program.source(node), program.atom(node)
    loose = program.roomy(node)
    extra = -0.8 if isinstance(parent, ast.Return) else -1.4
    if loose:
        for new in (f"{atom} + 1", f"{atom} - 1"):
            yield put(program, node, new, "off by one", extra)
        for new in (f"{atom} * 2", f"{atom} // 2", f"-{atom}", f"not {atom}", f"{atom} % 10"):
            yield put(program, node, new, "missing operator", extra - 1.2)
        for name in scope.variables[:_COMBINED]:
            if name != text:
                for operator in ("+", "-", "*"):
                    new = f"{atom} {operator} {name}"
                    yield put(program, node, new, "missing operator", extra - 1.8)
    for name in _WRAPPERS:
        yield put(program, node, f"{name}({text})", "missing call", extra - 1.0)
    for method in _METHODS:
        yield put(program, node, f"{atom}.{method}", "missing call", extra - 2.0)
    yield put(program, node, f"{atom}[::-1]", "slice", extra - 1.2)
    if isinstance(node, _INDEXED):
        for index in ("[0]", "[-1]", "[1]", "[1:]", "[:-1]"):
            yield put(program, node, atom + index, "missing index", extra - 1.6)
        for name in scope.variables[:_COMBINED]:
            if name != text:
                for index in (f"[:{name}]", f"[{name}:]", f"[{name}]"):
                    yield put(program, node, atom + index, "missing index", extra - 2.2)
    for other, whole in scope.pieces:
        if other != text and (loose or whole):
            yield put(program, node, other, "other expression", extra - 1.2)


def _condition(program: Program, node: ast.expr, scope: Scope) -> Iterator[Edit]:
    text, atom = program.source(node), program.atom(node)
    # A plain comparison has an operator that says the opposite.
    if not isinstance(node, ast.UnaryOp) and not _is_plain_comparison(node):
        yield put(program, node, f"not {atom}", "negation", -0.5)
    if isinstance(node, ast.BoolOp):
        text = f"({text})"
    for other in scope.conditions:
        if other != program.source(node):
            yield put(program, node, other, "other expression", -1.5)
            yield put(program, node, f"{text} and {other}", "missing condition", -1.8)
            yield put(program, node, f"{text} or {other}", "missing condition", -1.8)
    for name in scope.variables:
        if name != text:
            yield put(program, node, f"{text} and {name}", "missing condition", -2.6)
            yield put(program, node, f"{text} or not {name}", "missing condition", -2.8)
    if isinstance(program.parents.get(node), (ast.IfExp, ast.comprehension)):
        return
    for constant in ("True", "False"):
        yield put(program, node, constant, "missing condition", -3.0)
