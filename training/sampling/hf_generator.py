"""Commands from a transformers model: for a GPU, or for a base without a GGUF."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import define, field

from coe_lsp.chain.episode import Episode
from coe_lsp.chain.prompt import PromptBuilder, Segment
from coe_lsp.repair.policy.protocol import REDRAW_TEMPERATURE
from training.model.base import Tokenizer
from training.model.encode import encode
from training.model.sampled import SampledCommand
from training.sampling.hf_generate import Continuation, sample_continuations
from training.sampling.rollouts import REDRAWS, count_together

_ANOTHER_SEED = 1_000_003


@define
class TransformersGenerator:
    """Batched generation by a transformers model; contexts are evaluated anew at each turn.

    A context has the very tokens of the chain's earlier commands, as the learner will see them.
    On a GPU a batch takes as long as its longest row, so all redraws of a state are drawn at the
    first of them. No batch has more than `at_once` rows.
    """

    model: Any
    tokenizer: Tokenizer
    builder: PromptBuilder
    temperature: float
    seed: int = 0
    max_tokens: int = 2048
    command_tokens: int = 96
    at_once: int = 8
    _drawn_again: dict[int, list[SampledCommand]] = field(factory=dict, init=False)  # type: ignore[type-arg]
    _offered: dict[int, list[SampledCommand]] = field(factory=dict, init=False)  # type: ignore[type-arg]
    _taken: dict[int, list[SampledCommand]] = field(factory=dict, init=False)  # type: ignore[type-arg]

    def commands(
        self, episodes: Mapping[int, Episode], *, redraw: int = 0
    ) -> dict[int, SampledCommand]:
        """See `Generator.commands`."""
        if redraw == 1:
            self._drawn_again = self._draw(episodes, REDRAWS, again=True)
        if redraw:
            found = self._drawn_again
            drawn = {chain: found[chain][redraw - 1] for chain in episodes if chain in found}
        else:
            for chain, episode in episodes.items():
                self._remember(chain, episode)
            drawn = {chain: one for chain, (one,) in self._draw(episodes, 1, again=False).items()}
        for chain, command in drawn.items():
            self._offered.setdefault(chain, []).append(command)
        return drawn

    def _remember(self, chain: int, episode: Episode) -> None:
        """Which of the commands that were drawn for the last state became the chain's turn."""
        taken, offered = self._taken.setdefault(chain, []), self._offered.pop(chain, [])
        if len(taken) == len(episode.turns):
            return
        said = episode.turns[-1].command_text
        taken.append(next(c for c in offered if c.text.removesuffix("\n") == said))

    def _draw(
        self, episodes: Mapping[int, Episode], each: int, *, again: bool
    ) -> dict[int, list[SampledCommand]]:
        """`each` commands for every chain that fits."""
        contexts: dict[int, tuple[int, ...]] = {}
        for chain, episode in episodes.items():
            context = encode(episode, self.tokenizer, self.builder, sampled=self._taken[chain])
            if len(context.ids) + self.command_tokens <= self.max_tokens:
                contexts[chain] = context.ids
        if not contexts:
            return {}
        (end,) = self.tokenizer.encode(self.builder.command_end)[:1]
        hot = max(self.temperature, REDRAW_TEMPERATURE)
        chains, together = list(contexts), count_together(self.at_once, each)
        commands: list[SampledCommand] = []
        for first in range(0, len(chains), together):
            some = chains[first : first + together]
            written = sample_continuations(
                self.model,
                [contexts[chain] for chain in some for _ in range(each)],
                ends=[end],
                most=self.command_tokens,
                temperature=hot if again else self.temperature,
                seed=self.seed + again * _ANOTHER_SEED,
            )
            commands += [self._command(row, end) for row in written]
        return {chain: commands[n * each : (n + 1) * each] for n, chain in enumerate(chains)}

    def _command(self, written: Continuation, end: int) -> SampledCommand:
        """The row up to the end of the turn or, like the serving engine, of the line."""
        row = written.tokens
        ended = end in row
        tokens = list(row[: row.index(end)] if ended else row)
        text, newline, _ = self.tokenizer.decode(tokens).partition("\n")
        sampled = len(tokens) + ended
        if newline:
            ended = False
            while len(self.tokenizer.decode(tokens)) > len(text):
                tokens = tokens[:-1]
            sampled = len(tokens)
            # A merged token such as ")\n": what is before the line end counts.
            rest = text[len(self.tokenizer.decode(tokens)) :]
            tokens += self.tokenizer.encode(Segment(rest))
        return SampledCommand(text, tuple(tokens), ended, written.logprobs[:sampled])

    def forget(self, chain: int) -> None:
        """See `Generator.forget`."""
        for kept in (self._drawn_again, self._offered, self._taken):
            kept.pop(chain, None)
