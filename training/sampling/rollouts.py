"""Rollouts: chains of edits by a model, each state tested by the task's tests.

One generator interface, two ways to generate: llama.cpp on the CPU (the serving engine, with the
adapter as it is now), and transformers on a GPU or without a GGUF (`hf_generator.py`: a copy of the
model under training with the adapter merged into it). Tests of different tasks run in parallel.
A third of a task's tests is hidden where there are enough: a chain ends when those that it sees
pass, and what the others say of its last program is `Rollout.overfits`.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import TYPE_CHECKING, Protocol, TypeVar

from attrs import define, field, frozen
from rapidfuzz.distance import Levenshtein

from coe_lsp.chain.episode import Attempt, Episode
from coe_lsp.chain.scratchpad import Scratchpad
from coe_lsp.repair.verify import Verdict
from training.model.sampled import SampledCommand
from training.tasks.environment import TaskEnvironment
from training.tasks.hidden import choose_hidden

if TYPE_CHECKING:  # a machine that only trains on a GPU needs no llama.cpp
    from coe_lsp.repair.policy.llama import LlamaPolicy

T = TypeVar("T")
# How often a command that leads back is drawn again; not tuned.
REDRAWS = 6
LLAMA_AT_ONCE = 4


class Generator(Protocol):
    """Writes the next command of each chain; leaves out chains that no longer fit its context.

    `at_once` is how many chains it does best together.
    """

    @property
    def at_once(self) -> int:
        """See the class."""
        ...

    def commands(
        self, episodes: Mapping[int, Episode], *, redraw: int = 0
    ) -> dict[int, SampledCommand]:
        """Commands by chain.

        `redraw`: for which time others are wanted in the same states, 1, 2 and so on, each time of
        the same chains or fewer.
        """
        ...

    def forget(self, chain: int) -> None:
        """The chain has ended."""
        ...


@frozen
class LlamaGenerator:
    """The serving policy. Chains of one task should have neighbouring numbers.

    Few at once: with a unified cache each token's attention goes over the contexts of all.
    """

    policy: LlamaPolicy
    at_once: int = LLAMA_AT_ONCE

    def commands(
        self, episodes: Mapping[int, Episode], *, redraw: int = 0
    ) -> dict[int, SampledCommand]:
        """See `Generator.commands`."""
        proposals = self.policy.propose(episodes, redraw=redraw)
        return {p.id: SampledCommand(p.text, p.tokens, p.ended, p.logprobs) for p in proposals}

    def forget(self, chain: int) -> None:
        """See `Generator.forget`."""
        self.policy.forget(chain)


def count_together(texts: int, each: int) -> int:
    """How many programs with `each` texts for every one make so many texts; at least one."""
    return max(1, texts // each)


@define
class Start:
    """A program to repair: its task's environment and its text."""

    environment: TaskEnvironment
    program: str
    instructions: str = ""

    def episode(self, max_turns: int) -> Episode:
        """The episode before its first turn."""
        lines = tuple(self.program.split("\n"))
        before = self.environment.evaluate(lines)
        task = self.environment.describe(before, lines, instructions=self.instructions)
        feedback = self.environment.feedback(before, lines)
        pad = Scratchpad(lines, feedback, self.environment.hidden_lines(lines))
        return Episode(task, pad, max_turns=max_turns)


def make_start(environment: TaskEnvironment, with_instructions: float) -> Start | None:
    """The faulty program of an environment's task, with limits from its reference.

    None if a reference that is known fails its tests here: nothing could mend the program. Some of
    the environment's tests are hidden, but not all that this program fails.
    `with_instructions`: the share of tasks that are given in words as well, always the same ones.
    """
    task = environment.task
    if not environment.calibrate() and task.reference:
        return None
    program = task.start.strip("\n")
    passing = environment.evaluate(program.split("\n")).passing
    environment.hide(choose_hidden(environment.asserting, passing, task.task_id))
    words = task.prompt if Random(task.task_id).random() < with_instructions else ""
    return Start(environment, program, words)


def make_starts(
    environments: Sequence[TaskEnvironment], with_instructions: float, threads: int
) -> list[Start]:
    """`make_start` for several, side by side; without those that give none."""
    with ThreadPoolExecutor(threads) as pool:
        made = pool.map(
            lambda environment: make_start(environment, with_instructions), environments
        )
        return [start for start in made if start is not None]


@frozen
class Rollout:
    """An episode that a model made, with its commands as they were sampled.

    `overfits`: its last program passes the tests that it was shown, but not all hidden ones.
    """

    episode: Episode
    commands: tuple[SampledCommand, ...] = ()
    overfits: bool = False

    @property
    def right(self) -> bool:
        """Whether all tests pass, the hidden ones too."""
        return self.episode.solved and not self.overfits

    @property
    def edit_cost(self) -> int:
        """How many characters its last program is away from the first (Levenshtein)."""
        return Levenshtein.distance(self.episode.start.text, self.episode.pad.text)


@define
class AttemptTester:
    """Tests attempts in parallel, each state of a task once; `seconds` says how long it took."""

    threads: int
    seconds: float = 0.0
    _known: dict[tuple[int, tuple[str, ...]], Verdict] = field(factory=dict)  # type: ignore[type-arg]
    _right: dict[tuple[int, tuple[str, ...]], bool] = field(factory=dict)  # type: ignore[type-arg]

    def extend(self, attempts: Sequence[tuple[TaskEnvironment, Episode, Attempt]]) -> list[Episode]:
        """The episodes one turn on. Attempts of one environment run one after the other."""

        def extended(index: int) -> Episode:
            environment, episode, attempt = attempts[index]
            lines = attempt.pad.lines
            key = id(environment), lines
            if key not in self._known:
                self._known[key] = environment.evaluate(lines)
            found = self._known[key]
            feedback = environment.feedback(found, lines)
            return episode.extend(attempt, feedback, found.solved)

        return self._side_by_side([environment for environment, *_ in attempts], extended)

    def find_overfits(self, ended: Sequence[tuple[TaskEnvironment, Episode]]) -> list[bool]:
        """Which of these episodes are solved by the tests that were shown alone."""

        def overfits(index: int) -> bool:
            environment, episode = ended[index]
            if not episode.solved:
                return False
            key = id(environment), episode.pad.lines
            if key not in self._right:
                self._right[key] = environment.passes_hidden(episode.pad.lines)
            return not self._right[key]

        return self._side_by_side([environment for environment, _ in ended], overfits)

    def _side_by_side(
        self, environments: Sequence[TaskEnvironment], work: Callable[[int], T]
    ) -> list[T]:
        """`work` for each index; one environment does one thing at a time."""
        by_environment: dict[int, list[int]] = {}
        for index, environment in enumerate(environments):
            by_environment.setdefault(id(environment), []).append(index)
        began = time.monotonic()
        with ThreadPoolExecutor(self.threads) as pool:
            several = pool.map(lambda some: [(n, work(n)) for n in some], by_environment.values())
            found = dict(itertools.chain.from_iterable(several))
        self.seconds += time.monotonic() - began
        return [found[index] for index in range(len(environments))]


def roll_out(
    generator: Generator,
    starts: Sequence[Start],
    *,
    each: int,
    max_turns: int,
    tester: AttemptTester,
    redraws: bool = True,
) -> list[list[Rollout]]:
    """`each` chains of every start, ended or out of context.

    Those of as many starts advance together as the generator does best at once. With `redraws`, as
    in serving, an edit that leads back to where its chain was, or changes nothing, is drawn again,
    a few times, until one does not and is well-formed: else chains that are likelier to say the
    same once more than anything else spend their turns on that. What learns from its own draws
    (`training.rlvr`) has to see the first ones.
    """
    with ThreadPoolExecutor(tester.threads) as pool:
        openings = list(pool.map(lambda start: start.episode(max_turns), starts))
    together = count_together(generator.at_once, each)
    chains: dict[int, Rollout] = {}
    for first in range(0, len(starts), together):
        numbers = range(first, min(first + together, len(starts)))
        episodes = {n * each + copy: openings[n] for n in numbers for copy in range(each)}
        chains |= _advance(
            generator,
            episodes,
            lambda chain: starts[chain // each].environment,
            tester,
            REDRAWS if redraws else 0,
        )
    return [[chains[n * each + copy] for copy in range(each)] for n in range(len(starts))]


def _advance(
    generator: Generator,
    episodes: dict[int, Episode],
    environment_of: Callable[[int], TaskEnvironment],
    tester: AttemptTester,
    redraws: int,
) -> dict[int, Rollout]:
    """All chains to their ends."""
    living = dict(episodes)
    written: dict[int, list[SampledCommand]] = {chain: [] for chain in episodes}
    while living:
        commands = generator.commands(living)
        attempts = {n: living[n].attempt(command.text) for n, command in commands.items()}
        back = {n: living[n] for n, attempt in attempts.items() if living[n].goes_back(attempt)}
        for redraw in range(1, redraws + 1):
            if not back:
                break
            for n, command in generator.commands(back, redraw=redraw).items():
                attempt = back[n].attempt(command.text)
                if attempt.error is None and not back[n].goes_back(attempt):
                    commands[n], attempts[n] = command, attempt
                    del back[n]
        given = [(environment_of(n), living[n], attempts[n]) for n in commands]
        for chain, episode in zip(commands, tester.extend(given), strict=True):
            episodes[chain] = episode
            written[chain].append(commands[chain])
        for chain in list(living):
            if chain not in commands or episodes[chain].done:
                generator.forget(chain)
                del living[chain]
            else:
                living[chain] = episodes[chain]
    ended = [(environment_of(chain), episode) for chain, episode in episodes.items()]
    return {
        chain: Rollout(episodes[chain], tuple(written[chain]), overfits)
        for chain, overfits in zip(episodes, tester.find_overfits(ended), strict=True)
    }
