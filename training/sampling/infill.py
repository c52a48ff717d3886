"""Faults that a model makes: it writes a masked statement or expression of a correct program anew.

The base fills the gap in at temperature 1, seeing what is before and behind. What parses, means
something else and fails the tests is kept: several tokens that are plausible and wrong together, as
no list of operators makes them. Needs a base that was trained to fill in (Qwen2.5-Coder was); which
of the faults become demonstrations is not decided here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from random import Random

from attrs import frozen

from coe_lsp.chain.prompt import Segment
from coe_lsp.engine.sampling import Sampling
from coe_lsp.execution.sandbox import Sandbox
from coe_lsp.parsing import parse
from training.meaning import meaning
from training.sampling.faulty_programs import keep_faulty
from training.sampling.whole_programs import Question, Writer
from training.tasks.tasks import Task

PREFIX, SUFFIX, MIDDLE = "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"
_MOST_LINES = 6
_MORE_LINES = 4
_MOST_TOKENS = 64
# Lines that belong to the statement before them.
_GOES_ON = ("elif ", "else:", "except", "finally:", ")", "]", "}", "#")


@frozen
class Infilling:
    """How many gaps a task gets, how many answers each gap, and how they are drawn."""

    gaps: int = 4
    each: int = 2
    temperature: float = 1.0
    seed: int = 0


@frozen
class Gap:
    """A program with a piece taken out: what is before it, what it was, what is behind.

    The piece has so many `statements`; an expression on one line has none.
    """

    before: str
    masked: str
    after: str
    statements: int

    @property
    def prompt(self) -> tuple[Segment, ...]:
        """The question, in the words that Qwen2.5-Coder was trained with."""
        return (
            Segment(PREFIX, special=True),
            Segment(self.before, special=False),
            Segment(SUFFIX, special=True),
            Segment(self.after, special=False),
            Segment(MIDDLE, special=True),
        )

    def fill(self, text: str) -> str:
        """The program with something else in the gap."""
        return self.before + text.rstrip() + self.after

    def cut(self, text: str) -> str:
        """What of an answer is for the gap: a small model goes on to write the rest of the file.

        As many statements as there were, up to the line that comes next; of an expression what
        comes before the rest of its line.
        """
        rest = self.after.partition("\n")[0]
        lines = text.split("\n")
        if not self.statements:
            return lines[0].partition(rest)[0] if rest.strip() else lines[0]
        following = next((line for line in self.after.split("\n") if line.strip()), None)
        indent = _indent(self.masked)
        begun = 0
        for number, line in enumerate(lines):
            begins = not line.lstrip().startswith(_GOES_ON) and _indent(line) <= indent
            begun += bool(line.strip()) and begins
            left = bool(line.strip()) and _indent(line) < indent
            if begun > self.statements or left or (number and line == following):
                return "\n".join(lines[:number])
        return text


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip(" "))


def fills_gaps(writer: Writer) -> bool:
    """Whether a writer's model knows the marks of a gap."""
    return all(writer.count_tokens(Segment(m, special=True)) == 1 for m in (PREFIX, SUFFIX, MIDDLE))


def find_gaps(program: str) -> list[Gap]:
    """Statements of at most six lines, runs of two of them, and expressions on one line.

    None of docstrings, signatures and imports; empty for what does not parse.
    """
    try:
        tree = parse(program)
    except (SyntaxError, RecursionError):
        return []
    lines = program.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)

    def gap(first: int, last: int, statements: int) -> Gap:
        return Gap(program[:first], program[first:last], program[last:], statements)

    found: list[Gap] = []
    for node in ast.walk(tree):
        for body in _bodies(node):
            for place, statement in enumerate(body):
                for more, last in enumerate(body[place : place + 2], 1):
                    first_line, last_line = statement.lineno, last.end_lineno or last.lineno
                    if last_line - first_line < _MOST_LINES and _is_masked(lines, statement):
                        end = starts[last_line] - 1
                        found.append(gap(starts[first_line - 1], end, more))
        for value in _values(node):
            if value.lineno == value.end_lineno and value.end_col_offset is not None:
                line = lines[value.lineno - 1].encode()
                first = len(line[: value.col_offset].decode())
                last = len(line[: value.end_col_offset].decode())
                at = starts[value.lineno - 1]
                found.append(gap(at + first, at + last, 0))
    return list(dict.fromkeys(found))


def _bodies(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """The blocks of a statement within a function, docstrings left out."""
    if isinstance(node, (ast.Module, ast.ClassDef)):
        return
    for name in ("body", "orelse", "finalbody"):
        body = getattr(node, name, None)
        if isinstance(body, list):
            yield [s for s in body if isinstance(s, ast.stmt) and not _is_passed_over(s)]


def _is_passed_over(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return True
    definitions = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return isinstance(statement, definitions | ast.Import | ast.ImportFrom | ast.Pass)


def _is_masked(lines: Sequence[str], statement: ast.stmt) -> bool:
    """Whether a statement begins its line."""
    return not lines[statement.lineno - 1].encode()[: statement.col_offset].strip()


def _values(node: ast.AST) -> Iterator[ast.expr]:
    """The expressions that decide something."""
    match node:
        case ast.If(test=value) | ast.While(test=value) | ast.For(iter=value):
            yield value
        case ast.Return(value=ast.expr() as value) | ast.Assign(value=value):
            yield value
        case ast.AugAssign(value=value):
            yield value
        case _:
            pass


def write_faults(
    tasks: Sequence[Task],
    writer: Writer,
    infilling: Infilling,
    sandbox: Sandbox,
    *,
    threads: int,
) -> Iterator[Task]:
    """Tasks with what the model wrote as `code`, named by task and number."""
    asked: list[tuple[Task, Gap]] = []
    questions: list[Question] = []
    for task in tasks:
        random = Random(f"{infilling.seed}/{task.task_id}")
        gaps = find_gaps(task.reference)
        for gap in random.sample(gaps, min(infilling.gaps, len(gaps))):
            asked.append((task, gap))
            questions.append(Question(gap.prompt, random.getrandbits(31)))
    drawing = Sampling(
        temperature=infilling.temperature, top_k=0, top_p=1.0, max_tokens=_MOST_TOKENS
    )
    answers = writer.answers(questions, infilling.each, drawing) if questions else []
    programs: dict[str, list[str]] = {task.task_id: [] for task in tasks}
    for (task, gap), some in zip(asked, answers, strict=True):
        for answer in some:
            text = gap.cut(answer.text)
            unfinished = text == answer.text and answer.tokens >= _MOST_TOKENS
            if not unfinished and is_plausible(gap, text):
                programs[task.task_id].append(gap.fill(text))
    written = [programs[task.task_id] for task in tasks]
    yield from keep_faulty(tasks, written, sandbox, threads)


def is_plausible(gap: Gap, text: str) -> bool:
    """Whether what was filled in is code that means something else, and not far longer."""
    if text.count("\n") > gap.masked.count("\n") + _MORE_LINES:
        return False
    if text.strip() in ("", "pass", "...") or "TODO" in text:
        return False
    program = meaning(gap.fill(text))
    return program is not None and program != meaning(gap.fill(gap.masked))
