"""All programs that are one edit away, most promising first."""

from __future__ import annotations

import ast
import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from attrs import frozen

from coe_lsp.mutations.clues import NO_CLUES, Clues
from coe_lsp.mutations.completions import completion_edits
from coe_lsp.mutations.conditions import condition_edits
from coe_lsp.mutations.donors import donor_edits
from coe_lsp.mutations.elements import element_edits
from coe_lsp.mutations.expressions import expression_edits
from coe_lsp.mutations.guards import guard_edits
from coe_lsp.mutations.idioms import idiom_edits
from coe_lsp.mutations.imports import import_edits
from coe_lsp.mutations.insertions import insertion_edits
from coe_lsp.mutations.layout import layout_edits
from coe_lsp.mutations.library import library_edits
from coe_lsp.mutations.names import name_edits
from coe_lsp.mutations.pitfalls import pitfall_edits
from coe_lsp.mutations.program import Edit, Program
from coe_lsp.mutations.scope import Scope
from coe_lsp.mutations.signatures import signature_edits
from coe_lsp.mutations.sorting import sorting_edits
from coe_lsp.mutations.statements import statement_edits
from coe_lsp.mutations.strings import string_edits
from coe_lsp.mutations.surroundings import NOTHING, Surroundings
from coe_lsp.mutations.syntax import syntax_edits
from coe_lsp.mutations.weights import LEARNED

# How much the suspiciousness of a line counts against the likelihood of a mistake.
_SUSPICION = 1.5
# How suspect a signature is, as a share of the most suspect line.
_SIGNATURE = 0.5
# In longer programs only so many of the lines that failing tests ran are changed.
_LONG = 60
# How much less promising it is to leave an undefined name alone.
_BESIDE = 6.0
_WORD, _ASSIGNED = re.compile(r"\w+"), re.compile(r"(\w+)\s*=(?!=)")


@frozen(eq=False)
class Mutant:
    """A changed program; `line` (1-based, of the program before) is where it begins to differ.

    `weight` is the natural log of how promising it is, comparable within one program only; `guess`
    is what its kind of edit was thought to weigh, see `weights`, and `plausibility` the same with
    the suspiciousness of the line: of several that pass all tests it tells the right one better.
    """

    line: int
    kind: str
    weight: float
    guess: float
    plausibility: float
    _make: Callable[[], Sequence[str]]

    @property
    def lines(self) -> tuple[str, ...]:
        """The program's lines, made anew each time: there can be very many mutants."""
        return tuple(self._make())


def mutants(
    lines: Sequence[str],
    suspiciousness: Mapping[int, float] | None = None,
    enclosing: Surroundings = NOTHING,
    clues: Clues = NO_CLUES,
) -> Iterator[Mutant]:
    """Mutants in order of weight, no edit twice; different edits may give the same text.

    `suspiciousness` has a score between 0 and 1 for lines that failing tests ran; other lines
    count as not run, and come last. `enclosing` is what the program can see beyond itself, `clues`
    are what its tests say: edits that leave undefined names in place are down-weighted. A program
    that does not parse has mutants that do.
    """
    try:
        program = Program("\n".join(lines), _only(len(lines), suspiciousness or {}))
    except SyntaxError:
        for number, (changed, line) in enumerate(syntax_edits(lines)):
            weight = -0.01 * number
            make = partial(tuple[str, ...], changed)
            yield Mutant(line, "syntax", weight, weight, weight, make)
        return
    scope = Scope(program, enclosing, clues)
    scored: list[tuple[float, int, Edit, int, float]] = []
    edits = itertools.chain(
        expression_edits(program, scope),
        name_edits(program, scope),
        statement_edits(program, scope),
        insertion_edits(program, scope),
        condition_edits(program, scope),
        guard_edits(program, scope),
        donor_edits(program, scope),
        completion_edits(program, scope),
        element_edits(program, scope),
        library_edits(program, scope),
        idiom_edits(program, scope),
        signature_edits(program, scope),
        pitfall_edits(program, scope),
        sorting_edits(program, scope),
        import_edits(program, scope),
        string_edits(program, scope),
        layout_edits(program),
    )
    places = _places(program, clues.undefined)
    suspect = dict(suspiciousness or {})
    if suspect:  # a signature runs with no test, but what it says matters to each
        signature = range(1, _first_of_body(program.tree))
        suspect |= dict.fromkeys(signature, _SIGNATURE * max(suspect.values()))
    for edit in edits:
        line = program.line_of(edit.start)
        last = max(line, program.line_of(max(edit.end - 1, edit.start)))
        here = _line_weight(suspect, line, last)
        if places and not _touches(edit, places, clues.undefined):
            here -= _BESIDE
        weight = LEARNED.of(edit.kind, edit.guess) + here
        scored.append((-weight, len(scored), edit, line, here))
    scored.sort()
    seen: set[tuple[int, int, str]] = set()
    for weight, _, edit, line, here in scored:
        key = (edit.start, edit.end, edit.new)
        if key in seen or program.between(edit.start, edit.end) == edit.new:
            continue
        seen.add(key)
        if program.fits(edit):
            make = partial(_lines, program, edit)
            yield Mutant(line, edit.kind, -weight, edit.guess, edit.guess + here, make)


def _first_of_body(tree: ast.Module) -> int:
    """Where the body of the one function begins (1-based), 0 if it is something else."""
    match tree.body:
        case [ast.FunctionDef(body=body) | ast.AsyncFunctionDef(body=body)]:
            return body[0].lineno
        case _:
            return 0


def _places(program: Program, names: frozenset[str]) -> list[tuple[int, int]]:
    """Where a program uses these names."""
    if not names:
        return []
    return [
        program.span(node)
        for node in program.expressions()
        if isinstance(node, ast.Name) and node.id in names
    ]


def _touches(edit: Edit, places: Sequence[tuple[int, int]], names: frozenset[str]) -> bool:
    """Whether an edit does away with one of the names in one of these places, or assigns one."""
    if edit.kind == "misspelt name":  # in all places, whatever stands between them
        return True
    if any(edit.start <= start and end <= edit.end for start, end in places):
        return names.isdisjoint(_WORD.findall(edit.new))
    return not names.isdisjoint(_ASSIGNED.findall(edit.new))


def _lines(program: Program, edit: Edit) -> list[str]:
    return program.apply(edit).split("\n")


def _only(count: int, suspiciousness: Mapping[int, float]) -> frozenset[int] | None:
    """The lines to change in a long program: the most suspect, the last ones of equals."""
    if count <= _LONG:
        return None
    ranked = sorted(
        suspiciousness or range(1, count + 1), key=lambda n: (-suspiciousness.get(n, 0.0), -n)
    )
    return frozenset(ranked[:_LONG])


def _line_weight(scores: Mapping[int, float] | None, first: int, last: int) -> float:
    if not scores:
        return 0.0
    best = max(scores.get(line, 0.0) for line in range(first, last + 1))
    return _SUSPICION * math.log(max(best, 0.1))
