"""Which of several programs that pass all tests to show first, and why.

A program that spells out what a test expects is put last, other doubtful ones before it. Then
decide how common such a mistake is, likelihood under the model, and smallness. Of programs with the
same canonical form one is kept.
Tests cannot tell them apart, so this is judgement, not proof; hidden tests measure it
(`tests/benchmarks/bench_repair.py`).
"""

from __future__ import annotations

import ast
import difflib
import itertools
from collections.abc import Iterable, Sequence

from attrs import evolve, frozen

from coe_lsp.chain.commands import Command
from coe_lsp.parsing import parse
from coe_lsp.repair.search.doubts import NEGATED, find_doubts
from coe_lsp.repair.search.states import Origin

MOST_SHOWN = 3
#: The weight of a change that the model wrote, on the scale of the mutants' weights.
MODEL_WEIGHT = -3.0
_SPECIAL_CASE_PENALTY = 12.0
_DOUBT_PENALTY = 4.0
_LINE_PENALTY = 2.0
_CHARACTER_PENALTY = 0.04
# A model's likelihood counts less than it says: it is surprised by much that is right.
_LIKELIHOOD_FACTOR = 0.3
_FLIPPED: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.Gt: ast.Lt, ast.GtE: ast.LtE}


@frozen
class PassingProgram:
    """A program that passes everything.

    `likelihood` is the natural log of how much likelier the model finds the change than no change,
    None where it was not asked; `weight` says how common such a mistake is, as a natural log.
    `commands` lead to it from the start, `number` is the place of its candidate in the search,
    `special` are constants of the tests that the change spells out, and `doubts` say what else
    makes it doubtful, these among them. `differs` says on which input it does something else than
    the best one, if that is known.
    """

    lines: tuple[str, ...]
    commands: tuple[Command, ...]
    origin: Origin
    number: int
    kind: str = ""
    weight: float = MODEL_WEIGHT
    likelihood: float | None = None
    changed_lines: int = 0
    changed_characters: int = 0
    special: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    differs: str = ""

    @property
    def score(self) -> float:
        """Higher is better."""
        size = _LINE_PENALTY * self.changed_lines + _CHARACTER_PENALTY * self.changed_characters
        likelihood = _LIKELIHOOD_FACTOR * (self.likelihood or 0.0)
        doubt = _SPECIAL_CASE_PENALTY if self.special else _DOUBT_PENALTY * bool(self.doubts)
        return self.weight + likelihood - size - doubt

    @property
    def kind_in_words(self) -> str:
        """What kind of change it is."""
        return self.kind or "written by the model"

    @property
    def reason(self) -> str:
        """Why it stands where it does, in a few words."""
        lines = f"{self.changed_lines} line{'' if self.changed_lines == 1 else 's'} changed"
        parts = [f"doubtful: {' and '.join(self.doubts)}"] if self.doubts else []
        parts += [self.kind_in_words, lines]
        if self.likelihood is not None:
            parts.append(f"log-likelihood {self.likelihood:+.1f}")
        if self.differs:
            parts.append(self.differs)
        return "; ".join(parts)


def with_size(
    program: PassingProgram, before: Sequence[str], test_constants: Iterable[str]
) -> PassingProgram:
    """The same with the size of the change from `before`, and what it takes from the tests."""
    lines = characters = 0
    matcher = difflib.SequenceMatcher(None, list(before), list(program.lines), autojunk=False)
    for tag, first, last, start, end in matcher.get_opcodes():
        if tag == "equal":
            continue
        lines += max(_written(before[first:last]), _written(program.lines[start:end]))
        # Line by line: the matcher's time grows with the square of the length.
        pairs = itertools.zip_longest(before[first:last], program.lines[start:end], fillvalue="")
        for old, new in pairs:
            inner = difflib.SequenceMatcher(None, old, new, autojunk=False)
            characters += sum(
                max(b - a, d - c) for kind, a, b, c, d in inner.get_opcodes() if kind != "equal"
            )
    taken = constants("\n".join(program.lines)) - constants("\n".join(before))
    special = tuple(sorted(taken & set(test_constants)))
    return evolve(
        program,
        changed_lines=lines,
        changed_characters=characters,
        special=special,
        doubts=find_doubts(before, program.lines, special),
    )


def _written(lines: Iterable[str]) -> int:
    """How many lines are not blank."""
    return sum(bool(line.strip()) for line in lines)


def constants(text: str) -> set[str]:
    """The telling constants of a piece of code: not the ones that stand in any program."""
    try:
        tree = parse(text)
    except SyntaxError:
        return set()
    telling: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and not isinstance(node.value, bool | None):
            value = node.value
            plain = isinstance(value, (int, float)) and abs(value) <= 2
            short = isinstance(value, (str, bytes)) and len(value) <= 1
            if not (plain or short or value is Ellipsis):
                telling.add(repr(value))
    return telling


def canonical_form(lines: Sequence[str]) -> str:
    """Equal for programs that differ only by trivial rewrites."""
    try:
        return ast.dump(_Normal().visit(parse("\n".join(lines))))
    except (SyntaxError, RecursionError):
        return "\n".join(lines)


class _Normal(ast.NodeTransformer):
    """`b > a` as `a < b`, `not a == b` as `a != b`, `x = x + y` as `x += y`, sides in order."""

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if len(node.ops) != 1:
            return node
        flipped = _FLIPPED.get(type(node.ops[0]))
        if flipped is not None:
            return ast.Compare(node.comparators[0], [flipped()], [node.left])
        if isinstance(node.ops[0], (ast.Eq, ast.NotEq)):
            left, right = sorted((node.left, node.comparators[0]), key=ast.dump)
            return ast.Compare(left, node.ops, [right])
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        inner = node.operand
        if isinstance(node.op, ast.Not) and isinstance(inner, ast.Compare) and len(inner.ops) == 1:
            negated = NEGATED.get(type(inner.ops[0]))
            if negated is not None:
                return self.visit(ast.Compare(inner.left, [negated()], inner.comparators))
        return self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.Assign(
                targets=[ast.Name(id=name) as target],
                value=ast.BinOp(left=ast.Name(id=same), op=op, right=right),
            ) if same == name:
                return ast.AugAssign(target, op, right)
            case _:
                return node


def rank(programs: Iterable[PassingProgram]) -> list[PassingProgram]:
    """Best first; of those with the same canonical form only the best."""
    kept: dict[str, PassingProgram] = {}
    for program in programs:
        key = canonical_form(program.lines)
        if key not in kept or program.score > kept[key].score:
            kept[key] = program
    return sorted(kept.values(), key=lambda program: (-program.score, program.number))
