"""Synthetic repair traces: a correct program with faults put in, and the edits that mend it.

Start, states and feedback are the true ones: every program of a trace is run against the task's
tests, and at its end all of them pass, also those that the trace does not show. What the paper
leaves open (how likely which fault is) is set by a `Recipe`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random

from attrs import evolve, field, frozen
from rapidfuzz.distance import Levenshtein

from coe_lsp.chain.commands import Command, render
from coe_lsp.chain.edits import hunks_between, shortest_commands
from coe_lsp.chain.episode import Episode
from coe_lsp.chain.scratchpad import Scratchpad
from coe_lsp.execution.sandbox import Sandbox
from coe_lsp.repair.folding import hidden_lines
from coe_lsp.repair.verify import Verdict
from training.demonstrations.faults import Fault, FaultMaker, Kind, Mix, choose_kind
from training.demonstrations.line_noise import Donors
from training.demonstrations.mistakes import make_mistakes
from training.demonstrations.program_text import parses
from training.demonstrations.search_reach import is_within_reach
from training.demonstrations.undo import Lines, Said, drop_unseen, order_edits
from training.demonstrations.variants import Variant, Variants
from training.tasks.records import Record
from training.tasks.tasks import Task

_PER_START = 4
_TRIES = 6
_IN_VAIN = 4
_WRONG_EDITS = 12
_HIDDEN_SHARE = 3
_HARMLESS = ("pass", "# checked by the tests", "unused = None", "assert True")


@frozen
class Recipe:
    """How demonstrations are made; shares are probabilities of a trace.

    `mix`: weights of the kinds of faults (see `training.demonstrations.faults`). `depths`: weights
    of 1, 2, ... faults. `blocks`: edits of several lines are one command; the paper has none.
    `words`: share whose commands change words where that is shorter. `pytest`: share tested by
    pytest instead of plain statements, where a task has those. `wrong_first_edit`: share that begin
    with a bad edit, which is shown but not learned. `idle_line`: share with a harmless extra line.
    `without_docs`: share without docstring and comments; `with_instructions`: share that get the
    task in words. `hidden_tests`: share that shows only two thirds of the tests.
    """

    per_task: int = 10
    mix: Mix = field(factory=Mix)
    depths: tuple[float, ...] = (0.75, 0.2, 0.05)
    blocks: bool = True
    words: float = 0.2
    pytest: float = 0.3
    wrong_first_edit: float = 0.1
    idle_line: float = 0.05
    without_docs: float = 0.5
    with_instructions: float = 0.25
    hidden_tests: float = 0.5
    max_turns: int = 8


def make_demonstrations(
    task: Task,
    donors: Donors,
    recipe: Recipe,
    random: Random,
    sandbox: Sandbox,
    written: Sequence[str] = (),
) -> Iterator[Record]:
    """Up to `recipe.per_task` different verified traces of one task.

    None if the reference does not pass its tests, or is no longer there. `written` are programs
    that a model wrote with a fault.
    """
    with Variants(
        task, sandbox, pytest=recipe.pytest, without_docs=recipe.without_docs
    ) as variants:
        seen: set[tuple[str, ...]] = set()
        made: Counter[Kind] = Counter()
        failed: Counter[Kind] = Counter()
        wanted = recipe.mix.weights
        if task.code is None:
            wanted.pop("human", None)
        if not written:
            wanted.pop("written", None)
        known: dict[tuple[object, Lines], Verdict] = {}
        for _ in range(_PER_START * recipe.per_task):
            if len(seen) >= recipe.per_task or not wanted:
                break
            variant = variants.draw(random)
            if variant is None:
                return
            kind = "human" if "human" in wanted else choose_kind(wanted, made, random)
            assert kind is not None
            trace = _Trace(task, variant, donors, recipe, random, written, known).make(kind)
            if trace is None or trace.episode.start.lines in seen:
                failed[kind] += 1
                if failed[kind] > _IN_VAIN * (made[kind] + 1):
                    del wanted[kind]
                continue
            seen.add(trace.episode.start.lines)
            made[kind] += 1
            if kind == "human":
                del wanted[kind]
            yield trace


class _Trace:
    """One trace in the making."""

    def __init__(
        self,
        task: Task,
        variant: Variant,
        donors: Donors,
        recipe: Recipe,
        random: Random,
        written: Sequence[str],
        known: dict[tuple[object, Lines], Verdict],
    ) -> None:
        """`known` are verdicts by environment and program."""
        self._task = task
        self._variant = variant
        self._environment = variant.environment
        self._recipe = recipe
        self._random = random
        self._known = known
        programs: dict[Kind, list[Lines]] = {"written": [variant.dress(text) for text in written]}
        if task.code is not None:
            programs["human"] = [variant.dress(task.code)]
        self._maker = FaultMaker(donors, random, programs)

    def make(self, kind: Kind) -> Record | None:
        """A trace that begins with a fault of this kind, or None if it came to nothing."""
        random, recipe = self._random, self._recipe
        goal = self._variant.goal
        if random.random() < recipe.idle_line:
            goal = self._with_idle_line(goal)
        faults = self._break(goal, kind)
        if faults is None:
            return None
        start = drop_unseen(faults[-1].lines, goal, self._judge)
        if len(faults) > 1 and start != faults[-1].lines:
            return None  # which of the faults was unseen is not known
        words = random.random() < recipe.words
        first = order_edits(start, goal, self._judge, blocks=recipe.blocks, words=words)
        if not first:
            return None
        kinds = [str(fault) for fault in faults]
        commands: list[Command] = list(first)
        masked = 0
        if random.random() < recipe.wrong_first_edit:
            astray = self._wrong_edit(start, first[0], words)
            if astray is not None:
                wrong, what, lines = astray
                rest = order_edits(lines, goal, self._judge, blocks=recipe.blocks, words=words)
                if rest:
                    commands, masked = [wrong, *rest], 1
                    kinds.append(f"detour: {what}")
        if len(commands) > recipe.max_turns:
            return None
        episode = self._replay(start, commands)
        if episode is None:
            return None
        distance = Levenshtein.distance("\n".join(start), episode.pad.text)
        return Record(
            self._task.task_id, episode, range(masked), kinds, distance, self._variant.setup
        )

    # -- the start

    def _break(self, goal: Lines, kind: Kind) -> list[Fault] | None:
        """Faults one on top of the other, each of which changes what the tests say."""
        recipe, random = self._recipe, self._random
        depth = random.choices(range(1, len(recipe.depths) + 1), recipe.depths)[0]
        if kind == "human":
            depth = 1
        others = recipe.mix.weights
        faults: list[Fault] = []
        lines = goal
        for number in range(depth):
            if number:
                kind = random.choices(list(others), list(others.values()))[0]
            fault = self._seen_fault(lines, kind, first=not number, alone=depth == 1)
            if fault is None:
                if not faults:
                    return None
                continue
            faults.append(fault)
            lines = fault.lines
        return faults

    def _seen_fault(self, lines: Lines, kind: Kind, *, first: bool, alone: bool) -> Fault | None:
        before = self._judge(lines)
        for _ in range(_TRIES):
            fault = self._maker.make(lines, kind, first=first)
            if fault is None:
                return None
            if kind != "paper" and not parses(fault.lines):
                continue
            after = self._judge(fault.lines)
            if not after.failed or after.feedback == before.feedback:
                continue
            if kind == "token" and alone and self._is_within_reach(fault.lines, lines):
                continue
            return fault
        return None

    def _is_within_reach(self, start: Lines, goal: Lines) -> bool:
        scores = self._environment.suspiciousness(start)
        return is_within_reach(start, goal, scores)

    def _with_idle_line(self, lines: Lines) -> Lines:
        """The program with a line that does no harm."""
        place = self._random.randrange(1, len(lines) + 1)
        near = lines[place - 1]
        indent = near[: len(near) - len(near.lstrip())] or "    "
        new = (*lines[:place], indent + self._random.choice(_HARMLESS), *lines[place:])
        return lines if self._judge(new).failed else new

    # -- a bad edit before the good ones

    def _wrong_edit(
        self, start: Lines, right: Command, words: bool
    ) -> tuple[Command, str, Lines] | None:
        """The first edit made with a slip in it: the command, the slip, and the program after it."""
        mended = Scratchpad(start).apply(right).lines
        slips = make_mistakes("\n".join(mended), self._random, _WRONG_EDITS)
        for slip in slips:
            lines = tuple(slip.text.split("\n"))
            if len(hunks_between(start, lines)) != 1 or not parses(lines):
                continue
            commands = shortest_commands(
                start, lines, blocks=self._recipe.blocks, words=words
            )
            if len(commands) == 1 and lines != start and self._judge(lines).failed:
                return commands[0], slip.kind, lines
        return None

    # -- what is shown

    def _replay(self, start: Lines, commands: Sequence[Command]) -> Episode | None:
        """The episode of these commands; None if it does not end with all tests passing."""
        pads = [Scratchpad(start)]
        for command in commands:
            pads.append(pads[-1].apply(command))
        verdicts = [self._verdict(pad.lines) for pad in pads]
        if not verdicts[-1].solved or any(found.solved for found in verdicts[:-1]):
            return None
        hidden = self._hide(verdicts[:-1])
        shown = [_without(found, hidden) for found in verdicts]
        told = self._random.random() < self._recipe.with_instructions
        description = self._environment.describe(
            evolve(shown[0], passing=shown[0].passing | hidden),
            start,
            instructions=self._task.prompt if told else "",
        )
        scores = self._environment.suspiciousness(start) if hidden_lines(start, {}) else {}
        feedback = self._environment.feedback(shown[0], start)
        episode = Episode(
            description, Scratchpad(start, feedback, hidden_lines(start, scores))
        )
        for command, found in zip(commands, shown[1:], strict=True):
            attempt = episode.attempt(render(command))
            feedback = self._environment.feedback(found, attempt.pad.lines)
            episode = episode.extend(attempt, feedback, found.solved)
        return episode

    def _hide(self, failing: Sequence[Verdict]) -> frozenset[str]:
        """A third of the tests, if there are three; none where a state would seem right then."""
        tests = self._environment.tests
        if len(tests) < _HIDDEN_SHARE or self._random.random() >= self._recipe.hidden_tests:
            return frozenset()
        hidden = frozenset(self._random.sample(tests, len(tests) // _HIDDEN_SHARE))
        for found in failing:
            left = _without(found, hidden)
            if left.solved or not left.failures:
                return frozenset()
        return hidden

    # -- what the tests say

    def _judge(self, lines: Lines) -> Said:
        found = self._verdict(lines)
        return Said(found.failed, self._environment.feedback(found, lines))

    def _verdict(self, lines: Lines) -> Verdict:
        key = self._environment, lines
        if key not in self._known:
            self._known[key] = self._environment.evaluate(lines)
        return self._known[key]


def _without(found: Verdict, hidden: frozenset[str]) -> Verdict:
    """A verdict that says nothing of some tests."""
    if not hidden:
        return found
    return evolve(
        found,
        results=tuple(result for result in found.results if result.id not in hidden),
        passing=found.passing - hidden,
        total=found.total - len(hidden),
        failures=tuple(failure for failure in found.failures if failure.id not in hidden),
    )
