"""What proposes edits: a small protocol, and the policy that asks a language model.

A policy sees episodes and answers with the text of one command each. It never applies or tests
anything. It may keep what it computed for a chain from one turn to the next; nobody else relies on
that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from attrs import define, evolve, frozen

from coe_lsp.chain.commands import ReplaceLine, render
from coe_lsp.chain.episode import Episode
from coe_lsp.chain.grammar import grammar
from coe_lsp.chain.prompt import PromptBuilder, Segment
from coe_lsp.errors import CoeError
from coe_lsp.models.engine import Cancelled, Engine
from coe_lsp.models.sampling import Sampling
from coe_lsp.models.sequence import Job, Sequence

_COMMAND_TOKENS = 96
# A high temperature, since what is wanted is seldom what a model finds likeliest.
_SAMPLING = Sampling(temperature=1.0, top_k=60, top_p=0.98, max_tokens=_COMMAND_TOKENS)
# A token may also come merged with the end of the line.
_LINE_ENDS = ("\n", "\n\n")
# Room that must be left for at least one more turn.
_STATE_TOKENS = 512


class ContextError(CoeError):
    """The function does not fit the model's context."""


@frozen
class Proposal:
    """One command for one chain; `logprob` is the natural log of its probability, summed.

    `tokens` are those that the model wrote, and `ended` says whether it ended its turn itself or
    was cut off at a line's end or at the limit. Only training looks at these.
    """

    chain: int
    text: str
    logprob: float
    tokens: tuple[int, ...] = ()
    ended: bool = True


class Policy(Protocol):
    """State in, command out."""

    def propose(
        self, episodes: Mapping[int, Episode], focus: Mapping[int, int], stop: Callable[[], bool]
    ) -> Iterator[Proposal]:
        """Answer each chain's episode with its next command, in whatever order they get ready.

        `focus` names, for some chains, the line (1-based) that is to be replaced.
        Leaves chains out once `stop()` is true, and those that it cannot go on with.
        """
        ...

    def forget(self, chain: int) -> None:
        """The chain has ended."""
        ...

    def interrupt(self) -> None:
        """Have `propose` end at once, from any thread; nothing more is asked of the policy."""
        ...


@define
class _Slot:
    sequence: Sequence
    turns: int


@define
class _Place:
    """A place in a line at which to go on differently: the tokens before it, those not to use."""

    given: list[int]
    banned: tuple[int, ...]
    visits: int = 0


class LlamaPolicy:
    """Samples commands from a model in llama.cpp, all chains in one batch.

    For a chain with a focus the line itself is given up to some token, the token that follows in it
    is forbidden, and the model writes the rest: so nothing is spent on copies, and each place of
    the line gets its turn, those that surprise the model first.
    """

    def __init__(
        self,
        engine: Engine,
        builder: PromptBuilder,
        *,
        seed: int = 0,
        sampling: Sampling = _SAMPLING,
        constrained: bool = True,
    ) -> None:
        """`sampling` says how to draw; its seed and grammar are set here for each command.

        Unless `constrained`, the model may write what it likes, malformed commands included.
        """
        self._engine = engine
        self._builder = builder
        self._seed = seed
        self._sampling = sampling
        self._constrained = constrained
        self._opening: Sequence | None = None
        self._opened: object = None
        self._slots: dict[int, _Slot] = {}
        self._places: dict[int, list[_Place]] = {}

    def propose(
        self, episodes: Mapping[int, Episode], focus: Mapping[int, int], stop: Callable[[], bool]
    ) -> Iterator[Proposal]:
        """See `Policy.propose`."""
        jobs: dict[Job, tuple[int, str]] = {}
        try:
            yield from self._propose(episodes, focus, stop, jobs)
        except Cancelled:
            pass
        finally:
            for chain, _ in jobs.values():
                self.forget(chain)

    def _propose(
        self,
        episodes: Mapping[int, Episode],
        focus: Mapping[int, int],
        stop: Callable[[], bool],
        jobs: dict[Job, tuple[int, str]],
    ) -> Iterator[Proposal]:
        for chain, episode in episodes.items():
            slot = self._slot(chain, episode)
            if slot is None:
                continue
            given = ""
            sampling = evolve(
                self._sampling,
                seed=hash((self._seed, chain, len(episode.turns))) & 0xFFFFFFFF,
                grammar=grammar(len(episode.pad.lines)) if self._constrained else None,
            )
            if chain in focus and (place := self._next_place(episode, focus[chain])):
                slot.sequence.append(place.given)
                given = self._engine.detokenize(place.given)
                temperature = self._sampling.temperature if place.visits else 0.0
                sampling = evolve(
                    sampling, grammar=None, not_first=place.banned, temperature=temperature
                )
                place.visits += 1
            jobs[self._engine.submit(slot.sequence, sampling)] = chain, given
        while jobs and not stop():
            for completion in self._engine.step():
                chain, given = jobs.pop(completion.job)
                yield Proposal(
                    chain,
                    given + completion.text,
                    sum(completion.logprobs),
                    completion.tokens,
                    completion.finished == "eog",
                )

    def forget(self, chain: int) -> None:
        """See `Policy.forget`."""
        slot = self._slots.pop(chain, None)
        if slot is not None:
            slot.sequence.release()

    def interrupt(self) -> None:
        """See `Policy.interrupt`."""
        self._engine.cancel()

    def close(self) -> None:
        """Give back all that this policy holds of the engine, which others may go on using."""
        for chain in list(self._slots):
            self.forget(chain)
        if self._opening is not None:
            self._opening.release()
            self._opening = None

    def _slot(self, chain: int, episode: Episode) -> _Slot | None:
        """The chain's sequence with everything appended that the model has not seen.

        None if the chain has outgrown the context.
        """
        slot = self._slots.get(chain)
        if slot is None:
            slot = _Slot(self._root(episode).fork(), 0)
            self._slots[chain] = slot
        if slot.turns < len(episode.turns):
            turn = episode.turns[-1]
            segments = [self._builder.command_end, *self._builder.next_turn(turn.pad)]
            tokens = self._engine.tokenize(segments, add_bos=False)
            if not self._fits(slot.sequence, tokens):
                self.forget(chain)
                return None
            slot.sequence.append(tokens)
            slot.turns += 1
        return slot

    def _next_place(self, episode: Episode, line: int) -> _Place | None:
        """The place of the line that was visited least, the most surprising of those first."""
        places = self._places.get(line)
        if places is None:
            places = self._places[line] = self._find_places(episode, line)
        return min(places, key=lambda place: place.visits, default=None)

    def _find_places(self, episode: Episode, line: int) -> list[_Place]:
        engine, text = self._engine, episode.pad.lines[line - 1]
        head = len(render(ReplaceLine(line, "")))
        command = render(ReplaceLine(line, text))
        tokens = engine.tokenize([Segment(command)], add_bos=False)
        (surprise,) = engine.score(self._root(episode), [tokens])
        places: list[tuple[float, _Place]] = []
        for index, token in enumerate(tokens):
            if len(engine.detokenize(tokens[:index])) < head:
                continue
            piece = engine.detokenize([token])
            same = [engine.tokenize([Segment(piece + end)], add_bos=False) for end in _LINE_ENDS]
            banned = {token, *(ids[0] for ids in same if len(ids) == 1)}
            # The last token surprises only because the model would merge it with the line end.
            score = surprise[index] if index + 1 < len(tokens) else 0.0
            places.append((score, _Place(tokens[:index], tuple(sorted(banned)))))
        places.sort(key=lambda entry: entry[0])
        return [place for _, place in places]

    def _fits(self, sequence: Sequence, tokens: list[int]) -> bool:
        length = len(sequence.tokens) + len(tokens) + _COMMAND_TOKENS
        # Every other chain may still write its command in this round.
        room = self._engine.free_tokens - len(self._slots) * _COMMAND_TOKENS
        return length <= self._engine.max_tokens and len(tokens) <= room

    def _root(self, episode: Episode) -> Sequence:
        """The opening that all chains of a task share, evaluated once."""
        key = (episode.task, episode.start)
        if self._opening is None or self._opened != key:
            segments = self._builder.opening(episode.task, episode.start)
            tokens = self._engine.tokenize(segments, add_bos=True)
            if self._opening is None:
                self._opening = self._engine.sequence()
            if len(tokens) + 2 * _STATE_TOKENS > self._engine.max_tokens:
                raise ContextError(
                    f"The function and its tests take {len(tokens)} tokens; the model's context "
                    f"holds {self._engine.max_tokens}. Name fewer or shorter tests with --tests, "
                    "or use a model with a longer context."
                )
            shared = _common(self._opening.tokens, tokens)
            self._opening.truncate(shared)
            self._opening.append(tokens[shared:])
            self._opened = key
            self._places.clear()
        return self._opening


def _common(one: list[int], two: list[int]) -> int:
    count = 0
    for a, b in zip(one, two, strict=False):
        if a != b:
            break
        count += 1
    return count
