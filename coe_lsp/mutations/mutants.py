"""All programs that are one edit away, most promising first, and the commands that lead to them."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence

from attrs import frozen

from coe_lsp.chain.commands import AddLine, Command, DeleteLine, ReplaceLine
from coe_lsp.mutations.expressions import expression_edits
from coe_lsp.mutations.program import Edit, Program
from coe_lsp.mutations.scope import Scope
from coe_lsp.mutations.statements import statement_edits
from coe_lsp.mutations.syntax import syntax_edits

# How much the suspicion of a line counts against the likelihood of a mistake.
_SUSPICION = 1.5


@frozen
class Mutant:
    """A changed program; `line` (1-based, of the program before) is where it begins to differ.

    `weight` is the natural log of how promising it is, comparable within one program only.
    """

    lines: tuple[str, ...]
    line: int
    kind: str
    weight: float


def mutants(
    lines: Sequence[str],
    suspicion: Mapping[int, float] | None = None,
    outside: tuple[str, ...] = (),
) -> Iterator[Mutant]:
    """Different mutants in order of weight; texts are only made when they are asked for.

    `suspicion` has a score between 0 and 1 for lines that failing tests ran; other lines count as
    not run, and come last. A program that does not parse has mutants that do.
    """
    try:
        program = Program("\n".join(lines))
    except (SyntaxError, ValueError, RecursionError):
        for number, (changed, line) in enumerate(syntax_edits(lines)):
            yield Mutant(changed, line, "syntax", -0.01 * number)
        return
    scope = Scope(program, outside)
    scored: list[tuple[float, int, Edit, int]] = []
    for edits in (expression_edits(program, scope), statement_edits(program, scope)):
        for edit in edits:
            line = program.line_of(edit.start)
            last = max(line, program.line_of(max(edit.end - 1, edit.start)))
            weight = edit.weight + _suspicion(suspicion, line, last)
            scored.append((-weight, len(scored), edit, line))
    scored.sort()
    seen = {program.text}
    for weight, _, edit, line in scored:
        text = program.apply(edit)
        if text not in seen:
            seen.add(text)
            yield Mutant(tuple(text.split("\n")), line, edit.kind, -weight)


def _suspicion(scores: Mapping[int, float] | None, first: int, last: int) -> float:
    if not scores:
        return 0.0
    best = max(scores.get(line, 0.0) for line in range(first, last + 1))
    return _SUSPICION * math.log(max(best, 0.1))


def commands_between(old: Sequence[str], new: Sequence[str]) -> tuple[Command, ...]:
    """Commands that turn one program into another, one after the other, top to bottom."""
    commands: list[Command] = []
    shift = 0  # how many lines the commands so far have added
    matcher = difflib.SequenceMatcher(None, list(old), list(new), autojunk=False)
    for tag, first, last, start, end in matcher.get_opcodes():
        if tag == "equal":
            continue
        both = min(last - first, end - start)
        for n in range(both):
            commands.append(ReplaceLine(first + n + 1 + shift, new[start + n]))
        for n in range(both, end - start):
            commands.append(AddLine(first + n + 1 + shift, new[start + n]))
        for _ in range(both, last - first):
            commands.append(DeleteLine(first + both + 1 + shift))
        shift += (end - start) - (last - first)
    return tuple(commands)
