"""Edits of strings: characters, regular expressions, and how the tests spell them.

Weights are logs of rough frequencies, on the scale of those in `expressions`.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterator

from coe_lsp.mutations.program import Edit, Program
from coe_lsp.mutations.scope import Scope

_LONGEST, _LONGEST_PATTERN = 40, 120
_PUTTABLE = " -_.,:/\n"
_ALIKE = 0.5
#: Functions of `re` and of compiled patterns that take a pattern first.
_PATTERNS = frozenset(
    {"compile", "match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"}
)
_QUANTIFIED = re.compile(r"(?<!\\)(?:\\.|\]|\)|\w|\.)(?P<quantifier>[*+?]\??)?")
_CLASS = re.compile(r"(?<!\\)\[\^?(?P<inside>(?:\\.|[^\]\\])+)\]")
_ESCAPES = {
    r"\d": (r"\w", "[0-9]"),
    r"\w": (r"\S", r"[\w-]", r"[\w.]"),
    r"\s": (r"\W", " ", r"[ \t]"),
    r"\b": ("",),
    r"\S": (r"\w",),
}
_ADDED = ("-", "_", r"\.", r"\s", r"\w", "a-z", "A-Z", "0-9", "+", ":", "/", "'", " ", ",")


def string_edits(program: Program, scope: Scope) -> Iterator[Edit]:
    """All edits of this kind."""
    for node in filter(program.wanted, program.expressions()):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, (str, bytes)):
            continue
        literal = _literal(program.source(node))
        if literal is None:
            continue
        head, inside, quote = literal
        start = program.span(node)[0] + len(head.encode())
        end = program.span(node)[1] - len(quote)
        edits = _spelt(inside, scope) if isinstance(node.value, str) else iter(())
        if _is_pattern(program, node, head):
            edits = _chain(edits, _written(_pattern(inside), inside, raw="r" in head.lower()))
        elif len(inside) <= _LONGEST:
            edits = _chain(edits, _characters(inside))
        seen = {inside}
        for new, kind, weight in edits:
            if new not in seen and _is_whole(new, quote, head):
                seen.add(new)
                yield Edit(start, end, new, kind, weight)


def _chain(
    *parts: Iterator[tuple[str, str, float]],
) -> Iterator[tuple[str, str, float]]:
    for part in parts:
        yield from part


def _literal(text: str) -> tuple[str, str, str] | None:
    """A literal as its prefix with the quote, what is inside, and the quote; None for several."""
    found = re.fullmatch(r"([rRbBuU]{0,2})('''|\"\"\"|'|\")(.*)\2", text, re.DOTALL)
    if found is None:
        return None
    prefix, quote, inside = found.groups()
    if re.search(rf"(?<!\\){re.escape(quote)}", inside):  # implicitly joined
        return None
    return prefix + quote, inside, quote


def _is_whole(inside: str, quote: str, head: str) -> bool:
    try:
        return isinstance(ast.literal_eval(head + inside + quote), (str, bytes))
    except (SyntaxError, ValueError):
        return False


def _is_pattern(program: Program, node: ast.Constant, head: str) -> bool:
    parent = program.parents.get(node)
    if isinstance(parent, ast.Call) and parent.args[:1] == [node]:
        function = parent.func
        name = function.attr if isinstance(function, ast.Attribute) else ""
        owner = getattr(function, "value", None)
        if name in _PATTERNS and isinstance(owner, ast.Name) and owner.id in ("re", "regex"):
            return True
    return head.lower().startswith(("r", "br"))


def _spelt(inside: str, scope: Scope) -> Iterator[tuple[str, str, float]]:
    """As the tests spell it, and as what was compared differs."""
    for old, new in scope.clues.replaced:
        if old in inside:
            yield inside.replace(old, _escaped(new)), "string", -0.4
    words = [word for word in scope.test_words if word != inside]
    for word in difflib.get_close_matches(inside, words, n=3, cutoff=_ALIKE) if inside else ():
        yield _escaped(word), "string", -1.4


def _escaped(word: str) -> str:
    return repr(word)[1:-1]


def _written(
    edits: Iterator[tuple[str, str, float]], inside: str, *, raw: bool
) -> Iterator[tuple[str, str, float]]:
    """Patterns as they are written where a backslash has to be escaped."""
    if raw:
        yield from edits
    elif "\\" not in inside:
        for new, kind, weight in edits:
            yield new.replace("\\", "\\\\"), kind, weight


def _characters(inside: str) -> Iterator[tuple[str, str, float]]:
    """One character less, one more."""
    for place in range(len(inside)):
        yield inside[:place] + inside[place + 1 :], "string", -2.4
    for place in range(len(inside) + 1):
        at_the_end = place in (0, len(inside))
        for mark in _PUTTABLE:
            text = "\\n" if mark == "\n" else mark
            weight = -2.4 if at_the_end else -3.4
            yield inside[:place] + text + inside[place:], "string", weight


def _pattern(inside: str) -> Iterator[tuple[str, str, float]]:
    """An anchor, a quantifier, a class of a regular expression."""
    if len(inside) > _LONGEST_PATTERN:
        return
    for new, weight in (
        (inside + "$", -1.2),
        (inside + r"\Z", -1.6),
        ("^" + inside, -1.2),
        (rf"\b{inside}\b", -2.2),
        (rf"\b{inside}", -2.4),
        (inside + r"\b", -2.4),
        (rf"^{inside}$", -1.8),
        (inside.removeprefix("^"), -1.2),
        (inside.removesuffix("$"), -1.2),
        (rf"(?i){inside}", -2.4),
        (rf"(?s){inside}", -2.6),
        (rf"\s*{inside}", -2.4),
        (inside + r"\s*", -2.4),
    ):
        yield new, "pattern", weight
    for match in _QUANTIFIED.finditer(inside):
        start, end = match.span()
        if _in_class(inside, start) and inside[start] != "]":
            continue
        quantifier = match["quantifier"]
        unit = inside[start : end - len(quantifier or "")]
        options = {None: ("?", "+", "*"), "*": ("+", "?", "*?", ""), "+": ("*", "?", "+?", ""),
                   "?": ("*", "+", ""), "*?": ("*", "+?"), "+?": ("+", "*?"),
                   "??": ("?",)}.get(quantifier, ())  # fmt: skip
        for other in options:
            weight = -1.2 if quantifier else -2.0
            yield inside[:start] + unit + other + inside[end:], "pattern", weight
    for match in _CLASS.finditer(inside):
        at = match.end() - 1
        known = match["inside"]
        for added in _ADDED:
            if added not in known:
                where = match.start("inside") if added == "-" else at
                yield inside[:where] + added + inside[where:], "pattern", -1.8
        for part in re.finditer(r"\\.|.-.|.", known):
            start = match.start("inside")
            rest = inside[: start + part.start()] + inside[start + part.end() :]
            yield rest, "pattern", -2.2
    for escape, others in _ESCAPES.items():
        for found in re.finditer(re.escape(escape), inside):
            for other in others:
                if not (_in_class(inside, found.start()) and other.startswith("[")):
                    new = inside[: found.start()] + other + inside[found.end() :]
                    yield new, "pattern", -1.8
    for found in re.finditer(r"(?<!\\)\.(?![*+?])", inside):
        if not _in_class(inside, found.start()):
            yield inside[: found.start()] + r"\." + inside[found.end() :], "pattern", -1.6
    for found in re.finditer(r"\{(\d+)(,?)(\d*)\}", inside):
        low, comma, high = found.groups()
        for new in (f"{{{int(low) + 1}{comma}{high}}}", f"{{{max(0, int(low) - 1)}{comma}{high}}}",
                    f"{{{low},}}", f"{{1,{high or low}}}", f"{{0,{high or low}}}"):  # fmt: skip
            yield inside[: found.start()] + new + inside[found.end() :], "pattern", -1.4
        if high:
            for number in (int(high) + 1, int(high) - 1):
                new = f"{{{low},{number}}}"
                yield inside[: found.start()] + new + inside[found.end() :], "pattern", -1.4


def _in_class(pattern: str, place: int) -> bool:
    return any(m.start() < place < m.end() for m in _CLASS.finditer(pattern))
