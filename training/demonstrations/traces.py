"""Repair traces: a program that tests find faulty, and the commands that put it right.

Start, states and feedback are the true ones: every trace is replayed through the episode and the
tests of the task before it is handed out, and ends with all of them passing, hidden ones too. Which
faults there are is `faults`' business, in which order they are taken back `undo`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from random import Random

from attrs import evolve
from rapidfuzz.distance import Levenshtein

from coe_lsp.chain.commands import Command
from coe_lsp.execution.sandbox import Sandbox
from coe_lsp.repair.target.hints import read_clues
from coe_lsp.repair.target.source import SourceError
from training.demonstrations.faults import Faults
from training.demonstrations.line_noise import Donors
from training.demonstrations.recipe import Kind, Recipe
from training.demonstrations.replay import Replayer
from training.demonstrations.unaided import is_found_unaided
from training.demonstrations.undo import plan_undo, undo_commands
from training.demonstrations.variants import Variant, draw_variant, vary, without_docs
from training.tasks.environment import TaskEnvironment
from training.tasks.hidden import choose_hidden
from training.tasks.records import Record
from training.tasks.tasks import Task, TaskError

Lines = tuple[str, ...]
_TRIES = 4
# How often what mends a function is shown.
_ENOUGH = 2
_HARMLESS = ("pass", "# checked by the tests", "unused = None", "assert True")


def make_demonstrations(
    task: Task,
    donors: Donors,
    recipe: Recipe,
    random: Random,
    sandbox: Sandbox,
    written: Sequence[str] = (),
) -> Iterator[Record]:
    """Up to `recipe.per_task` different verified traces of one task.

    None at all if the reference fails its tests, or is no longer there. `written` are faulty
    programs of the task that a model wrote.
    """
    wanted = recipe.per_task if task.code is None else min(recipe.per_fix, recipe.per_task)
    drawn = Counter(
        draw_variant(task, random, without_docs=recipe.without_docs, as_pytest=recipe.pytest)
        for _ in range(wanted)
    )
    left = [tuple(program.split("\n")) for program in written]
    random.shuffle(left)
    made: Counter[Kind] = Counter()
    told: Counter[str] = Counter()
    with _Environments(task, sandbox) as environments:
        for variant, count in drawn.items():
            opened = environments.open(variant)
            if opened is None:
                return
            shown, environment = opened
            if recipe.hidden_tests:
                _hide(environment, shown, f"{task.task_id}/{variant}")
            faults = Faults(
                tuple(shown.reference.split("\n")),
                None if shown.code is None else tuple(shown.code.split("\n")),
                _fitting(left, shown) if variant.imports or task.place else [],
                donors,
                recipe,
                random,
                made,
            )
            maker = _Maker(shown, environment, faults, recipe, random, task.setup)
            yield from maker.traces(count, told)


class _Environments(ExitStack):
    """Where the tests of a task's forms run: one of each form, of a project's function one."""

    def __init__(self, task: Task, sandbox: Sandbox) -> None:
        super().__init__()
        self._task = task
        self._sandbox = sandbox
        self._shared: TaskEnvironment | None = None

    def open(self, variant: Variant) -> tuple[Task, TaskEnvironment] | None:
        """The task in a form that passes its tests, and where they run; None if there is none.

        As it came where it fails in the form that was drawn: as a pytest file lines are indented
        and names with an underscore are not imported, and a docstring may hold the tests.
        """
        for form in dict.fromkeys((variant, evolve(variant, documented=True, as_pytest=False))):
            shown = vary(self._task, form)
            try:
                environment = self._shared or self._begin(shown, as_pytest=form.as_pytest)
            except (TaskError, SourceError):  # the project was changed since it was harvested
                return None
            environment.hide(())
            if environment.calibrate(shown.reference):
                return shown, environment
        return None

    def _begin(self, shown: Task, *, as_pytest: bool) -> TaskEnvironment:
        if self._task.place is None:
            self.close()  # the one before
            return self.enter_context(TaskEnvironment(shown, self._sandbox, as_pytest=as_pytest))
        self._shared = self.enter_context(TaskEnvironment(self._task, self._sandbox))
        return self._shared


def _hide(environment: TaskEnvironment, shown: Task, seed: str) -> None:
    tests = environment.asserting
    passing = tests if shown.code is None else environment.evaluate(shown.code.split("\n")).passing
    environment.hide(choose_hidden(tests, passing, seed))


def _fitting(written: list[Lines], shown: Task) -> list[Lines]:
    """Written programs in the form of the task: without docstring where it has none."""
    if '"""' in shown.reference or "'''" in shown.reference:
        return written
    return [tuple(without_docs("\n".join(lines)).split("\n")) for lines in written]


def _contents(record: Record) -> list[str]:
    """The start with what is said of it, and what each command that is learned writes."""
    episode = record.episode
    opening = "\n".join([episode.task.instructions, episode.start.text])
    turns = enumerate(episode.turns)
    return [
        opening if not record.masked else f"{opening}\n{episode.turns[0].command_text}",
        *(t.command_text.partition(">>>")[2] for n, t in turns if n not in record.masked),
    ]


def _is_told(record: Record, told: Counter[str], *, again: bool) -> bool:
    """`again`: there is but one thing to be told of the task."""
    start, *written = _contents(record)
    enough = not again and all(told[text] >= _ENOUGH for text in written if text)
    return bool(told[start]) or enough


class _Maker:
    def __init__(
        self,
        task: Task,
        environment: TaskEnvironment,
        faults: Faults,
        recipe: Recipe,
        random: Random,
        setup: str,
    ) -> None:
        """`setup` is the task's as it came."""
        self._task = task
        self._setup = setup
        self._environment = environment
        self._faults = faults
        self._recipe = recipe
        self._random = random
        self._replayer = Replayer(environment)

    def traces(self, count: int, told: Counter[str]) -> Iterator[Record]:
        """Up to `count` traces with something in them that was not `told` twice before.

        Told are starts and the lines that were written to mend them.
        """
        for _ in range(_TRIES * count + _TRIES):
            kind = self._faults.next_kind()
            if kind is None or not count:
                return
            record = self._trace(kind)
            new = record is not None and not _is_told(record, told, again=kind == "human")
            self._faults.count(kind, made=new)
            if record is not None and new:
                told.update(_contents(record))
                count -= 1
                yield record

    def _trace(self, kind: Kind) -> Record | None:
        """One trace, or None if this one came to nothing."""
        random, recipe = self._random, self._recipe
        reference = self._faults.reference
        wanted = reference
        if kind not in ("human", "written") and random.random() < recipe.idle_line:
            wanted = self._with_idle_line()
        made = self._faults.make(kind, wanted)
        if made is None or self._replayer.verdict(made[0]).solved:
            return None
        start, kinds = made
        astray: list[Command] = []
        begin = start
        if random.random() < recipe.wrong_first_edit:
            misled = self._faults.mislead(start)
            if misled is None or misled[0] == wanted:
                return None
            begin = misled[0]
            kinds = [*kinds, f"detour: {misled[1][0].rpartition(': ')[2]}"]
            astray = undo_commands([start, begin], words=False, blocks=recipe.blocks)
            if self._replayer.verdict(begin).solved:
                return None
        way = plan_undo(
            begin,
            wanted,
            self._replayer.judge,
            whole=kind == "human",
            blocks=recipe.blocks,
            most=recipe.max_turns - len(astray),
        )
        if way is None:
            return None
        if kind == "token" and self._is_found_unaided(start, wanted):
            return None
        words = random.random() < recipe.words
        commands = [*astray, *undo_commands(way, words=words, blocks=recipe.blocks)]
        told = random.random() < recipe.with_instructions
        instructions = self._task.prompt if told else ""
        episode = self._replayer.replay(start, commands, instructions=instructions)
        if episode is None:
            return None
        distance = Levenshtein.distance("\n".join(start), "\n".join(episode.pad.lines))
        setup = None if self._task.setup == self._setup else self._task.setup
        masked = range(len(astray))
        return Record(self._task.task_id, episode, masked, kinds, distance, setup)

    def _is_found_unaided(self, start: Lines, goal: Lines) -> bool:
        details = [failure.detail for failure in self._replayer.verdict(start).failures]
        return is_found_unaided(
            start,
            goal,
            self._environment.suspiciousness(start),
            self._environment.surroundings(),
            read_clues(details),
        )

    def _with_idle_line(self) -> Lines:
        """The reference with a line that does no harm."""
        lines = self._faults.reference
        place = self._random.randrange(1, len(lines) + 1)
        near = lines[place - 1]
        indent = near[: len(near) - len(near.lstrip())] or "    "
        new = (*lines[:place], indent + self._random.choice(_HARMLESS), *lines[place:])
        return new if self._replayer.judge(new).right else lines
