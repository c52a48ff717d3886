"""Synthetic repair traces: corrupt a correct program, then take the corruptions back, turn by turn.

Start, states and feedback are the true ones: every trace is replayed through the episode and the
tests of the task before it is handed out, and ends with all of them passing. What the paper leaves
open (how likely which corruption is) is set by a `Recipe`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from random import Random

from attrs import evolve, frozen
from rapidfuzz.distance import Levenshtein

from coe_lsp.chain.commands import Command, render
from coe_lsp.chain.episode import Episode
from coe_lsp.chain.scratchpad import Scratchpad
from coe_lsp.execution.sandbox import Sandbox
from coe_lsp.parsing import parse
from coe_lsp.repair.target.source import SourceError
from coe_lsp.repair.verify import Verdict
from training.demonstrations.line_noise import Donors, corrupt, undo_edits
from training.demonstrations.mistakes import make_mistakes
from training.tasks.environment import TaskEnvironment
from training.tasks.records import Record
from training.tasks.tasks import Task, TaskError

_PER_START = 4
_HARMLESS = ("pass", "# checked by the tests", "unused = None", "assert True")


@frozen
class Recipe:
    """How demonstrations are made; shares are probabilities.

    `depths`: weights of 1, 2, ... corruptions. `human_mistakes`: share of corruptions that are
    mistakes as people make them, the others are the paper's. `words`: share of changed lines undone
    by REPW. `pytest`: share of tasks tested by pytest instead of plain statements.
    `wrong_first_edit`: share of traces that begin with a bad edit, which is shown but not learned.
    `idle_line`: share with a harmless extra line. `without_docs`: share of tasks without docstring
    and comments; `with_instructions`: share that get the task in words.
    """

    per_task: int = 100
    depths: tuple[float, ...] = (0.4, 0.25, 0.15, 0.1, 0.1)
    human_mistakes: float = 0.5
    words: float = 0.2
    pytest: float = 0.3
    wrong_first_edit: float = 0.1
    idle_line: float = 0.05
    without_docs: float = 0.6
    with_instructions: float = 0.5
    max_turns: int = 8


def make_demonstrations(
    task: Task, donors: Donors, recipe: Recipe, random: Random, sandbox: Sandbox
) -> Iterator[Record]:
    """Up to `recipe.per_task` different verified traces of one task.

    None if the reference does not pass its tests, or is no longer there.
    """
    setup = task.setup
    if task.place is None:
        task = vary(task, recipe, random)
    environment = _calibrated(task, sandbox, as_pytest=random.random() < recipe.pytest)
    if environment is None:
        return
    with environment:
        maker = _Maker(task, environment, donors, recipe, random, setup)
        seen: set[tuple[str, ...]] = set()
        for _ in range(_PER_START * recipe.per_task):
            if len(seen) >= recipe.per_task:
                break
            record = maker.trace()
            if record is not None and record.episode.start.lines not in seen:
                seen.add(record.episode.start.lines)
                yield record


def _calibrated(task: Task, sandbox: Sandbox, *, as_pytest: bool) -> TaskEnvironment | None:
    """An environment whose tests the reference passes; None if it passes none.

    With plain statements if it fails as a pytest file, where lines are indented and names with an
    underscore are not imported.
    """
    for variant in (True, False) if as_pytest else (False,):
        try:
            environment = TaskEnvironment(task, sandbox, as_pytest=variant)
        except (TaskError, SourceError):  # the project was changed since it was harvested
            return None
        if environment.calibrate():
            return environment
        environment.close()
    return None


class _Maker:
    def __init__(
        self,
        task: Task,
        environment: TaskEnvironment,
        donors: Donors,
        recipe: Recipe,
        random: Random,
        setup: str,
    ) -> None:
        """`setup` is the task's as it came."""
        self._task = task
        self._setup = setup
        self._environment = environment
        self._donors = donors
        self._recipe = recipe
        self._random = random
        self._reference = tuple(task.reference.split("\n"))
        self._known: dict[tuple[str, ...], Verdict] = {}

    def trace(self) -> Record | None:
        """One trace, or None if this one came to nothing."""
        random, recipe = self._random, self._recipe
        lines = self._with_idle_line() if random.random() < recipe.idle_line else self._reference
        wanted = lines
        depth = random.choices(range(1, len(recipe.depths) + 1), recipe.depths)[0]
        commands: list[Command] = []
        kinds: list[str] = []
        for _ in range(depth):
            made = self._corrupted(lines)
            if made is None:
                return None
            lines, kind, undo = made
            commands[:0] = undo
            kinds.append(kind)
        masked: list[int] = []
        start = lines
        if random.random() < recipe.wrong_first_edit:
            made = self._corrupted(lines)
            if made is None:
                return None
            lines, kind, undo = made
            astray = undo_edits(start, lines, 0.0, random)
            commands[:0] = [*astray, *undo]
            masked = list(range(len(astray)))
            kinds.append(f"detour: {kind}")
        if len(commands) > recipe.max_turns or self._verdict(start).solved:
            return None
        episode = self._replay(start, commands)
        if episode is None or len(episode.turns) <= len(masked):
            return None
        distance = Levenshtein.distance("\n".join(start), "\n".join(wanted))
        setup = None if self._task.setup == self._setup else self._task.setup
        return Record(self._task.task_id, episode, masked, kinds, distance, setup)

    def _replay(self, start: tuple[str, ...], commands: Sequence[Command]) -> Episode | None:
        """The episode of these commands, if it ends with all tests passing."""
        before = self._verdict(start)
        told = self._random.random() < self._recipe.with_instructions
        description = self._environment.describe(
            before, start, instructions=self._task.prompt if told else ""
        )
        pad = Scratchpad(start, self._environment.feedback(before, start))
        episode = Episode(description, pad)
        for command in commands:
            attempt = episode.attempt(render(command))
            after = self._verdict(attempt.pad.lines)
            feedback = self._environment.feedback(after, attempt.pad.lines)
            episode = episode.extend(attempt, feedback, after.solved)
            if episode.done:
                break
        return episode if episode.solved else None

    def _verdict(self, lines: tuple[str, ...]) -> Verdict:
        if lines not in self._known:
            self._known[lines] = self._environment.evaluate(lines)
        return self._known[lines]

    def _corrupted(
        self, lines: tuple[str, ...]
    ) -> tuple[tuple[str, ...], str, list[Command]] | None:
        recipe, random = self._recipe, self._random
        if random.random() < recipe.human_mistakes:
            found = make_mistakes("\n".join(lines), random, 1)
            if found:
                new = tuple(found[0].text.split("\n"))
                return new, found[0].kind, undo_edits(new, lines, recipe.words, random)
        made = corrupt(lines, self._donors, recipe.words, random)
        return (made.lines, made.kind, [made.undo]) if made.lines != lines else None

    def _with_idle_line(self) -> tuple[str, ...]:
        """The reference with a line that does no harm."""
        lines = self._reference
        place = self._random.randrange(1, len(lines) + 1)
        near = lines[place - 1]
        indent = near[: len(near) - len(near.lstrip())] or "    "
        new = (*lines[:place], indent + self._random.choice(_HARMLESS), *lines[place:])
        return new if self._verdict(new).solved else lines


def vary(task: Task, recipe: Recipe, random: Random) -> Task:
    """The task as a served model may meet it: with or without docstring, imports elsewhere."""
    task = evolve(task, reference=_tidy(task.reference))
    if random.random() < recipe.without_docs:
        task = evolve(task, reference=_without_docs(task.reference))
    if random.random() < 0.5:
        task = _without_imports(task)
    return task


def _tidy(program: str) -> str:
    lines = [line.rstrip() for line in program.replace("\r\n", "\n").strip("\n").split("\n")]
    return "\n".join(lines)


def _without_docs(program: str) -> str:
    """Docstrings and lines that are comments taken out, if the program stays one."""
    drop: set[int] = set()
    for node in ast.walk(parse(program)):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        first = node.body[0]
        if ast.get_docstring(node) is not None and len(node.body) > 1:
            drop.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    lines = program.split("\n")
    kept = [
        line
        for number, line in enumerate(lines, 1)
        if number not in drop and not line.lstrip().startswith("#")
    ]
    text = "\n".join(kept).strip("\n")
    try:
        parse(text)
    except SyntaxError:
        return program
    return text


def _without_imports(task: Task) -> Task:
    """Imports at the top moved into the setup, as they are outside the function when serving."""
    body = parse(task.reference).body
    count = 0
    while count < len(body) and isinstance(body[count], (ast.Import, ast.ImportFrom)):
        count += 1
    if not count or count == len(body):
        return task
    lines = task.reference.split("\n")
    cut = body[count].lineno - 1
    decorators = getattr(body[count], "decorator_list", [])
    cut = min([cut, *(d.lineno - 1 for d in decorators)])
    head = "\n".join(line for line in lines[:cut] if line.strip())
    setup = f"{task.setup}\n{head}".strip("\n")
    return evolve(task, setup=setup, reference="\n".join(lines[cut:]))
