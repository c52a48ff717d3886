"""Rollouts: chains of edits by a model, each state tested by the task's tests.

One generator interface, two ways to generate: llama.cpp on the CPU (the serving engine, with the
adapter as it is now), and transformers on a GPU or without a GGUF (a copy of the model under
training with the adapter merged into it). Tests of different tasks run in parallel.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from attrs import define, field, frozen

from coe_lsp.chain.commands import find_end
from coe_lsp.chain.episode import Attempt, Episode, episode_segments
from coe_lsp.chain.prompt import PromptBuilder, Segment
from coe_lsp.chain.scratchpad import Scratchpad
from coe_lsp.repair.policy.protocol import COMMAND_TOKENS, REDRAW_TEMPERATURE
from coe_lsp.repair.verify import Verdict
from training.model.base import Tokenizer
from training.model.encode import SampledCommand
from training.sampling.hf_generate import sample_continuations
from training.tasks.environment import TaskEnvironment

if TYPE_CHECKING:  # a machine that only trains on a GPU needs no llama.cpp
    from coe_lsp.repair.policy.llama import LlamaPolicy


# How often a command that leads back is drawn again; not tuned.
_REDRAWS = 6
_ANOTHER_SEED = 1_000_003
# A line end and the `>>>` after it, in the smallest tokens.
_MARK_TOKENS = 4
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
        return {p.id: SampledCommand(p.text, p.tokens, p.ended) for p in proposals}

    def forget(self, chain: int) -> None:
        """See `Generator.forget`."""
        self.policy.forget(chain)


@define
class TransformersGenerator:
    """Batched generation by a transformers model; contexts are evaluated anew at each turn.

    On a GPU a batch takes as long as its longest row, so all redraws of a state are drawn at the
    first of them. No batch has more than `at_once` rows.
    """

    model: Any
    tokenizer: Tokenizer
    builder: PromptBuilder
    temperature: float
    seed: int = 0
    max_tokens: int = 2048
    command_tokens: int = COMMAND_TOKENS
    at_once: int = 8
    _drawn_again: dict[int, list[SampledCommand]] = field(factory=dict, init=False)  # type: ignore[type-arg]

    def commands(
        self, episodes: Mapping[int, Episode], *, redraw: int = 0
    ) -> dict[int, SampledCommand]:
        """See `Generator.commands`."""
        if redraw == 1:
            self._drawn_again = self._draw(episodes, _REDRAWS, again=True)
        if redraw:
            found = self._drawn_again
            return {chain: found[chain][redraw - 1] for chain in episodes if chain in found}
        return {chain: one for chain, (one,) in self._draw(episodes, 1, again=False).items()}

    def _draw(
        self, episodes: Mapping[int, Episode], each: int, *, again: bool
    ) -> dict[int, list[SampledCommand]]:
        """`each` commands for every chain that fits."""
        contexts: dict[int, list[int]] = {}
        for chain, episode in episodes.items():
            segments = [segment for segment, _ in episode_segments(self.builder, episode)]
            if not episode.turns:
                segments = list(self.builder.opening(episode.task, episode.start))
            tokens = self.tokenizer.tokenize(segments, add_bos=True)
            if len(tokens) + self.command_tokens <= self.max_tokens:
                contexts[chain] = tokens
        if not contexts:
            return {}
        end = self.builder.command_end
        ends = self.tokenizer.encode(end)[:1] if end.special else []
        hot = max(self.temperature, REDRAW_TEMPERATURE)
        chains, together = list(contexts), count_together(self.at_once, each)
        commands: list[SampledCommand] = []
        for first in range(0, len(chains), together):
            some = chains[first : first + together]
            written = sample_continuations(
                self.model,
                [contexts[chain] for chain in some for _ in range(each)],
                ends=ends,
                most=self.command_tokens,
                temperature=hot if again else self.temperature,
                seed=self.seed + again * _ANOTHER_SEED,
                has_ended=self._has_ended,
            )
            commands += [self._command(row, ends) for row in written]
        return {chain: commands[n * each : (n + 1) * each] for n, chain in enumerate(chains)}

    def _has_ended(self, row: list[int]) -> bool:
        """Whether the command in a row is complete; whole rows are only read near line ends."""
        if all("\n" not in self.tokenizer.decode([token]) for token in row[-_MARK_TOKENS:]):
            return False
        return find_end(self.tokenizer.decode(row).encode()) is not None

    def _command(self, row: list[int], ends: Sequence[int]) -> SampledCommand:
        """The row up to the end of the turn or, like the serving engine, of the line or block."""
        tokens = list(itertools.takewhile(lambda token: token not in ends, row))
        ended = len(tokens) < len(row) and bool(ends)
        written = self.tokenizer.decode(tokens).encode()
        cut = find_end(written)
        if cut is None and written.endswith(b"\n"):  # a block, and then the end of the turn
            cut = len(written) - 1
        text = written[:cut].decode("utf-8", "replace")
        if cut is not None:
            ended = not ends and written[cut:].decode().startswith(self.builder.end_of(text).text)
            while len(self.tokenizer.decode(tokens)) > len(text):
                tokens = tokens[:-1]
            # A merged token such as ")\n": what is before the line end counts.
            rest = text[len(self.tokenizer.decode(tokens)) :]
            tokens = [*tokens, *self.tokenizer.encode(Segment(rest))]
        return SampledCommand(text, tuple(tokens), ended)

    def forget(self, chain: int) -> None:
        """See `Generator.forget`."""
        self._drawn_again.pop(chain, None)


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
        pad = Scratchpad(lines, self.environment.feedback(before, lines))
        return Episode(task, pad, max_turns=max_turns)


def make_start(environment: TaskEnvironment, with_instructions: float) -> Start:
    """The faulty program of an environment's task, with limits from its reference.
    `with_instructions`: the share of tasks that are given in words as well, always the same ones.
    `with_instructions`: the share of tasks that are given in words as well, always the same ones.
    """
    environment.calibrate()
    task = environment.task
    words = task.prompt if Random(task.task_id).random() < with_instructions else ""
    return Start(environment, task.start.strip("\n"), words)


def make_starts(
    environments: Sequence[TaskEnvironment], with_instructions: float, threads: int
) -> list[Start]:
    """`make_start` for several, side by side."""
    with ThreadPoolExecutor(threads) as pool:
        return list(
            pool.map(lambda environment: make_start(environment, with_instructions), environments)
        )


@frozen
class Rollout:
    """An episode that a model made, with its commands as they were sampled."""

    episode: Episode
    commands: tuple[SampledCommand, ...] = ()


@define
class AttemptTester:
    """Tests attempts in parallel, each state of a task once; `seconds` says how long it took."""

    threads: int
    seconds: float = 0.0
    _known: dict[tuple[int, tuple[str, ...]], Verdict] = field(factory=dict)  # type: ignore[type-arg]

    def extend(self, attempts: Sequence[tuple[TaskEnvironment, Episode, Attempt]]) -> list[Episode]:
        """The episodes one turn on. Attempts of one environment run one after the other."""
        by_environment: dict[int, list[int]] = {}
        for index, (environment, _, _) in enumerate(attempts):
            by_environment.setdefault(id(environment), []).append(index)
        extended: dict[int, Episode] = {}

        def work(indices: list[int]) -> None:
            for index in indices:
                environment, episode, attempt = attempts[index]
                lines = attempt.pad.lines
                key = id(environment), lines
                if key not in self._known:
                    self._known[key] = environment.evaluate(lines)
                found = self._known[key]
                feedback = environment.feedback(found, lines)
                extended[index] = episode.extend(attempt, feedback, found.solved)

        began = time.monotonic()
        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(work, by_environment.values()))
        self.seconds += time.monotonic() - began
        return [extended[index] for index in range(len(attempts))]


def roll_out(
    generator: Generator,
    starts: Sequence[Start],
    *,
    each: int,
    max_turns: int,
    tester: AttemptTester,
) -> list[list[Rollout]]:
    """`each` chains of every start, ended or out of context.

    Those of as many starts advance together as the generator does best at once. An edit that leads
    back to where its chain was, or changes nothing, is drawn again, a few times, until one does not
    and is well-formed: else chains that are likelier to say the same once more than anything else
    spend their turns on that.
    """
    with ThreadPoolExecutor(tester.threads) as pool:
        openings = list(pool.map(lambda start: start.episode(max_turns), starts))
    together = count_together(generator.at_once, each)
    chains: dict[int, Rollout] = {}
    for first in range(0, len(starts), together):
        numbers = range(first, min(first + together, len(starts)))
        episodes = {n * each + copy: openings[n] for n in numbers for copy in range(each)}
        chains |= _advance(
            generator, episodes, lambda chain: starts[chain // each].environment, tester
        )
    return [[chains[n * each + copy] for copy in range(each)] for n in range(len(starts))]


def _advance(
    generator: Generator,
    episodes: dict[int, Episode],
    environment_of: Callable[[int], TaskEnvironment],
    tester: AttemptTester,
) -> dict[int, Rollout]:
    """All chains to their ends."""
    living = dict(episodes)
    written: dict[int, list[SampledCommand]] = {chain: [] for chain in episodes}
    while living:
        commands = generator.commands(living)
        attempts = {n: living[n].attempt(command.text) for n, command in commands.items()}
        back = {n: living[n] for n, attempt in attempts.items() if living[n].goes_back(attempt)}
        for redraw in range(1, _REDRAWS + 1):
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
    return {chain: Rollout(episode, tuple(written[chain])) for chain, episode in episodes.items()}
