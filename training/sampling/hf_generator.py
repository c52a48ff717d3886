"""Commands from a transformers model: for a GPU, or for a base without a GGUF."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field

from coe_lsp.chain.commands import find_end
from coe_lsp.chain.episode import Episode
from coe_lsp.chain.prompt import PromptBuilder, Segment
from coe_lsp.repair.policy.protocol import COMMAND_TOKENS, REDRAW_TEMPERATURE
from training.model.base import Tokenizer
from training.model.encode import encode
from training.model.sampled import SampledCommand
from training.sampling.hf_generate import Continuation, sample_continuations
from training.sampling.rollouts import REDRAWS, count_together

_ANOTHER_SEED = 1_000_003
# A line end and the `>>>` after it, in the smallest tokens.
_MARK_TOKENS = 4


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
    command_tokens: int = COMMAND_TOKENS
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
            commands += [self._command(one, ends) for one in written]
        return {chain: commands[n * each : (n + 1) * each] for n, chain in enumerate(chains)}

    def _has_ended(self, row: list[int]) -> bool:
        """Whether the command in a row is complete; whole rows are only read near line ends."""
        if all("\n" not in self.tokenizer.decode([token]) for token in row[-_MARK_TOKENS:]):
            return False
        return find_end(self.tokenizer.decode(row).encode()) is not None

    def _command(self, continuation: Continuation, ends: Sequence[int]) -> SampledCommand:
        """The row up to the end of the turn or, like the serving engine, of the line or block."""
        row = continuation.tokens
        tokens = list(itertools.takewhile(lambda token: token not in ends, row))
        ended = len(tokens) < len(row) and bool(ends)
        sampled = len(tokens) + ended
        written = self.tokenizer.decode(tokens).encode()
        cut = find_end(written)
        if cut is None and written.endswith(b"\n"):  # a block, and then the end of the turn
            cut = len(written) - 1
        text = written[:cut].decode("utf-8", "replace")
        if cut is not None:
            end = self.builder.end_of(text).text
            ended = not ends and written[cut:].decode().startswith(end)
            while len(self.tokenizer.decode(tokens)) > len(text):
                tokens = tokens[:-1]
            # A merged token such as ")\n": what is before the line end counts.
            rest = text[len(self.tokenizer.decode(tokens)) :]
            end_alone = ended and not rest and self.tokenizer.decode([row[len(tokens)]]) == end
            sampled = len(tokens) + end_alone
            tokens += self.tokenizer.encode(Segment(rest))
        return SampledCommand(text, tuple(tokens), ended, continuation.logprobs[:sampled])

    def forget(self, chain: int) -> None:
        """See `Generator.forget`."""
        for kept in (self._drawn_again, self._offered, self._taken):
            kept.pop(chain, None)
