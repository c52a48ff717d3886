"""The policy that asks a language model in llama.cpp, all that is asked for in one batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from attrs import define, evolve

from coe_lsp.chain.commands import ReplaceLine, render
from coe_lsp.chain.episode import Episode
from coe_lsp.chain.grammar import grammar
from coe_lsp.chain.prompt import PromptBuilder, Segment
from coe_lsp.engine.engine import Cancelled, Engine
from coe_lsp.engine.sampling import Sampling
from coe_lsp.engine.sequence import Job, common_start
from coe_lsp.engine.sequence import Sequence as EngineSequence
from coe_lsp.repair.policy.protocol import REDRAW_TEMPERATURE, Ask, ContextError, Proposal

_COMMAND_TOKENS = 96
# A high temperature, since what is wanted is seldom what a model finds likeliest.
_SAMPLING = Sampling(temperature=1.0, top_k=60, top_p=0.98, max_tokens=_COMMAND_TOKENS)
# A token may also come merged with the end of the line.
_LINE_ENDS = ("\n", "\n\n")
# Room that must be left for at least one more turn.
_STATE_TOKENS = 512


@define
class _Slot:
    """What a proposal's sequence holds: the start, and `turns` turns with the states after them.

    `asked` is its length before the command of one more turn, None where none was asked for, and
    `said` that command.
    """

    sequence: EngineSequence
    turns: int
    asked: int | None = None
    said: str | None = None


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
        opening: EngineSequence | None = None,
    ) -> None:
        """`opening` may hold what was read for another task; what is common is not read again.

        `sampling` says how to draw; its seed and grammar are set here for each command.

        Unless `constrained`, the model may write what it likes, malformed commands included.
        """
        self._engine = engine
        self._builder = builder
        self._seed = seed
        self._sampling = sampling
        self._constrained = constrained
        self._own_opening = opening is None
        self._opening = engine.sequence() if opening is None else opening
        self._opened: object = None
        self._reading: Job | None = None
        self._jobs: dict[Job, tuple[int, str]] = {}
        self._slots: dict[int, _Slot] = {}
        self._places: dict[int, list[_Place]] = {}

    def read(self, start: Episode) -> bool:
        """See `Policy.read`."""
        try:
            if self._reading is not None and self._opened != (start.task, start.start):
                self._stop_reading()
            if self._reading is None:
                opening = self._root(start)
                if opening.pending <= 1:
                    return True
                self._reading = self._engine.submit(opening, Sampling(max_tokens=0))
            self._engine.step()
        except Cancelled:
            self._reading = None
            return False
        if self._reading.completion is None:
            return False
        self._reading = None
        return True

    def ask(self, ask: Ask, *, redraw: int = 0) -> bool:
        """See `Policy.ask`. `redraw`: for which time another answer is wanted to the same state."""
        if ask.parent != ask.number:
            self.forget(ask.number)
        try:
            return self._ask(ask, redraw)
        except Cancelled:
            self.forget(ask.number)
            return False

    def _ask(self, ask: Ask, redraw: int) -> bool:
        episode = ask.episode
        slot = self._slot(ask)
        if slot is None:
            return False
        if slot.asked is not None:
            slot.sequence.truncate(slot.asked)
        given = ""
        drawn = (redraw,) if redraw else ()
        hot = max(self._sampling.temperature, REDRAW_TEMPERATURE)
        sampling = evolve(
            self._sampling,
            temperature=hot if redraw else self._sampling.temperature,
            seed=hash((self._seed, ask.number, len(episode.turns), *drawn)) & 0xFFFFFFFF,
            grammar=grammar(len(episode.pad.lines)) if self._constrained else None,
        )
        asked = len(slot.sequence.tokens)
        if ask.focus is not None and (place := self._next_place(episode, ask.focus)):
            slot.sequence.append(place.given)
            given = self._engine.detokenize(place.given)
            temperature = self._sampling.temperature if place.visits else 0.0
            sampling = evolve(
                sampling, grammar=None, not_first=place.banned, temperature=temperature
            )
            place.visits += 1
        slot.asked = asked
        self._jobs[self._engine.submit(slot.sequence, sampling)] = ask.number, given
        return True

    def step(self) -> list[Proposal]:
        """See `Policy.step`."""
        if not self._jobs:
            return []
        try:
            completions = self._engine.step()
        except Cancelled:
            for number, _ in list(self._jobs.values()):
                self.forget(number)
            return []
        found: list[Proposal] = []
        for completion in completions:
            number, given = self._jobs.pop(completion.job)
            self._slots[number].said = given + completion.text
            found.append(
                Proposal(
                    number,
                    given + completion.text,
                    sum(completion.logprobs),
                    completion.tokens,
                    completion.finished == "eog",
                )
            )
        return found

    def propose(self, episodes: Mapping[int, Episode], *, redraw: int = 0) -> Iterator[Proposal]:
        """One command for each of several chains, known by number, in whatever order they come.

        Leaves out chains that have outgrown the context. `redraw`: see `ask`.
        """
        for number, episode in episodes.items():
            self.ask(Ask(number, episode, number if episode.turns else None), redraw=redraw)
        while self._jobs:
            yield from self.step()

    def forget(self, number: int) -> None:
        """See `Policy.forget`."""
        for job in [job for job, (asked, _) in self._jobs.items() if asked == number]:
            del self._jobs[job]
        slot = self._slots.pop(number, None)
        if slot is not None:
            slot.sequence.release()

    def prefer(self, start: Episode, line: int, variants: Sequence[str]) -> list[float]:
        """See `Policy.prefer`."""
        end = self._engine.tokenize([self._builder.command_end], add_bos=False)[:1]
        texts = [start.pad.lines[line - 1], *variants]
        tokens, *others = (
            [
                *self._engine.tokenize([Segment(render(ReplaceLine(line, text)))], add_bos=False),
                *end,
            ]
            for text in texts
        )
        parts = [
            min(common_start(tokens, other), len(other) - 1, len(tokens) - 1) for other in others
        ]
        rows: dict[int, list[int]] = {}
        for place, other in zip(parts, others, strict=True):
            rows.setdefault(place, []).append(other[place])
        places = [tuple(rows.get(place, ())) for place in range(len(tokens))]
        try:
            found = self._engine.score_against(self._root(start), tokens, places)
        except Cancelled:
            return [0.0] * len(variants)
        return [
            found[place][1 + rows[place].index(other[place])] - found[place][0]
            for place, other in zip(parts, others, strict=True)
        ]

    def likelihoods(self, start: Episode, texts: Sequence[str]) -> list[float]:
        """See `Policy.likelihoods`."""
        tokens = [self._engine.tokenize([Segment(text)], add_bos=False) for text in texts]
        try:
            return [sum(scores) for scores in self._engine.score(self._root(start), tokens)]
        except Cancelled:
            return [0.0] * len(texts)

    def interrupt(self) -> None:
        """See `Policy.interrupt`."""
        self._engine.cancel()

    def close(self) -> None:
        """Give back all that this policy holds of the engine, but an opening that it was given.

        What was read of that stays.
        """
        self._stop_reading()
        for number in list(self._slots):
            self.forget(number)
        if self._own_opening:
            self._opening.release()

    def _stop_reading(self) -> None:
        if self._reading is not None and self._reading.completion is None:
            self._engine.drop(self._reading)
        self._reading = None

    def _slot(self, ask: Ask) -> _Slot | None:
        """A sequence with everything appended that the model has to see before it answers.

        None if the episode has outgrown the context.
        """
        episode, parent = ask.episode, None
        if ask.parent is not None:
            parent = self._slots.get(ask.parent)
        if parent is None:
            parent = _Slot(self._root(episode).fork(), 0)
            if ask.parent is not None and ask.parent != ask.number:
                self._slots[ask.parent] = parent
        if not self._append_turns(parent, episode):
            if parent not in self._slots.values():
                parent.sequence.release()
            return None
        slot = parent
        if ask.parent is not None and ask.parent != ask.number:
            slot = _Slot(parent.sequence.fork(), parent.turns)
        self._slots[ask.number] = slot
        return slot

    def _append_turns(self, slot: _Slot, episode: Episode) -> bool:
        """Bring a sequence up to the episode's newest state; False if there is no room."""
        for turn in episode.turns[slot.turns :]:
            said = slot.asked is not None and slot.said == turn.command_text
            if slot.asked is not None and not said:  # another answer was taken
                slot.sequence.truncate(slot.asked)
            segments = [] if said else [Segment(turn.command_text)]
            segments += [self._builder.command_end, *self._builder.next_turn(turn.pad)]
            tokens = self._engine.tokenize(segments, add_bos=False)
            if not self._fits(slot.sequence, tokens):
                return False
            slot.sequence.append(tokens)
            slot.turns += 1
            slot.asked = None
        return True

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

    def _fits(self, sequence: EngineSequence, tokens: list[int]) -> bool:
        length = len(sequence.tokens) + len(tokens) + _COMMAND_TOKENS
        # Every other chain may still have to be read, and write its command, in this round.
        others = (s.sequence for s in self._slots.values() if s.sequence is not sequence)
        room = self._engine.free_tokens - sum(s.pending + _COMMAND_TOKENS for s in others)
        wanted = sequence.pending + len(tokens) + _COMMAND_TOKENS
        return length <= self._engine.max_tokens and wanted <= room

    def _root(self, episode: Episode) -> EngineSequence:
        """The opening that all episodes of a task share, evaluated once."""
        key = (episode.task, episode.start)
        if self._opened != key:
            segments = self._builder.opening(episode.task, episode.start)
            tokens = self._engine.tokenize(segments, add_bos=True)
            if len(tokens) + 2 * _STATE_TOKENS > self._engine.max_tokens:
                raise ContextError(
                    f"The function and its tests take {len(tokens)} tokens; the model's context "
                    f"holds {self._engine.max_tokens}. Name fewer or shorter tests with --tests, "
                    "or use a model with a longer context."
                )
            self._opening.hold(tokens)
            self._opened = key
            self._places.clear()
        return self._opening
