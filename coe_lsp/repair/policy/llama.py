"""The policy that asks a language model in llama.cpp; all requests share one batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from attrs import define, evolve

from coe_lsp.chain.commands import ReplaceLine, find_end, render
from coe_lsp.chain.episode import Episode
from coe_lsp.chain.grammar import grammar
from coe_lsp.chain.prompt import PromptBuilder, Segment
from coe_lsp.engine.engine import Cancelled, Engine
from coe_lsp.engine.sampling import Sampling
from coe_lsp.engine.sequence import Job, common_start
from coe_lsp.engine.sequence import Sequence as EngineSequence
from coe_lsp.repair.policy.protocol import (
    COMMAND_TOKENS,
    REDRAW_TEMPERATURE,
    CommandRequest,
    ContextError,
    Proposal,
)
from coe_lsp.repair.policy.reading import Reading

# A high temperature, since what is wanted is seldom what a model finds likeliest.
_SAMPLING = Sampling(temperature=1.0, top_k=60, top_p=0.98, max_tokens=COMMAND_TOKENS)
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
class _BranchPoint:
    """A token of a line at which to go on differently: the tokens before it, those not to use."""

    given: list[int]
    banned: tuple[int, ...]
    uses: int = 0


class LlamaPolicy:
    """Samples commands from a model in llama.cpp, all chains in one batch.

    For a request with a target line, the line is given up to a branch point, the token that follows
    there is forbidden, and the model writes the rest. So no time is spent on copying, and every
    token of the line is a branch point in turn, those that surprise the model most first.
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

        `sampling` says how to draw; its seed, grammar and end are set here for each command.

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
        self._reading = Reading(engine)
        self._jobs: dict[Job, tuple[int, str]] = {}
        self._slots: dict[int, _Slot] = {}
        self._branch_points: dict[int, list[_BranchPoint]] = {}

    def read(self, start: Episode) -> bool:
        """See `Policy.read`."""
        if self._opened != (start.task, start.start):
            self._reading.stop()
        return self._reading.advance(self._root(start))

    def ask(self, request: CommandRequest, *, redraw: int = 0) -> bool:
        """See `Policy.ask`. `redraw`: how many answers to the same request were drawn before."""
        if request.parent != request.id:
            self.forget(request.id)
        try:
            return self._ask(request, redraw)
        except Cancelled:
            self.forget(request.id)
            return False

    def _ask(self, request: CommandRequest, redraw: int) -> bool:
        episode = request.episode
        slot = self._slot(request)
        if slot is None:
            return False
        if slot.asked is not None:
            slot.sequence.truncate(slot.asked)
        given = ""
        drawn = (redraw,) if redraw else ()
        hot = max(self._sampling.temperature, REDRAW_TEMPERATURE)
        rules = None
        if self._constrained:
            blank_line = self._builder.blank_line_ends_block
            rules = grammar(len(episode.pad.lines), blank_line_ends_block=blank_line)
        sampling = evolve(
            self._sampling,
            temperature=hot if redraw else self._sampling.temperature,
            seed=hash((self._seed, request.seed, len(episode.turns), *drawn)) & 0xFFFFFFFF,
            grammar=rules,
            find_end=find_end,
        )
        asked = len(slot.sequence.tokens)
        if request.target_line is not None and (
            point := self._next_branch_point(episode, request.target_line)
        ):
            slot.sequence.append(point.given)
            given = self._engine.detokenize(point.given)
            temperature = self._sampling.temperature if point.uses else 0.0
            sampling = evolve(
                sampling, grammar=None, not_first=point.banned, temperature=temperature
            )
            point.uses += 1
        slot.asked = asked
        self._jobs[self._engine.submit(slot.sequence, sampling)] = request.id, given
        return True

    def step(self) -> list[Proposal]:
        """See `Policy.step`."""
        if not self._jobs:
            return []
        try:
            completions = self._engine.step()
        except Cancelled:
            for id, _ in list(self._jobs.values()):
                self.forget(id)
            return []
        found: list[Proposal] = []
        for completion in completions:
            id, given = self._jobs.pop(completion.job)
            self._slots[id].said = given + completion.text
            # What ended a line is not in `tokens`, or only a part of it that was not sampled.
            ended_line = completion.finished == "line"
            found.append(
                Proposal(
                    id,
                    given + completion.text,
                    sum(completion.logprobs),
                    completion.tokens,
                    completion.finished == "eog",
                    completion.logprobs[:-1] if ended_line else completion.logprobs,
                )
            )
        return found

    def propose(self, episodes: Mapping[int, Episode], *, redraw: int = 0) -> Iterator[Proposal]:
        """One command for each of several chains, known by number, in whatever order they come.

        Leaves out chains that have outgrown the context. `redraw`: see `ask`.
        """
        for number, episode in episodes.items():
            parent = number if episode.turns else None
            self.ask(CommandRequest(number, episode, parent, seed=number), redraw=redraw)
        while self._jobs:
            yield from self.step()

    def forget(self, id: int) -> None:
        """See `Policy.forget`."""
        for job in [job for job, (asked, _) in self._jobs.items() if asked == id]:
            del self._jobs[job]
        slot = self._slots.pop(id, None)
        if slot is not None:
            slot.sequence.release()

    def logprob_ratios(self, start: Episode, line: int, variants: Sequence[str]) -> list[float]:
        """See `Judge.logprob_ratios`."""
        end = self._engine.tokenize([self._builder.command_end], add_bos=False)[:1]
        texts = [start.pad.lines[line - 1], *variants]
        tokens, *others = (
            [
                *self._engine.tokenize([Segment(render(ReplaceLine(line, text)))], add_bos=False),
                *end,
            ]
            for text in texts
        )
        firsts = [
            min(common_start(tokens, other), len(other) - 1, len(tokens) - 1) for other in others
        ]
        rivals: dict[int, list[int]] = {}  # by index the tokens that variants have there
        for index, other in zip(firsts, others, strict=True):
            rivals.setdefault(index, []).append(other[index])
        scored = [tuple(rivals.get(index, ())) for index in range(len(tokens))]
        try:
            logprobs = self._engine.score_against(self._root(start), tokens, scored)
        except Cancelled:
            return [0.0] * len(variants)
        return [
            logprobs[index][1 + rivals[index].index(other[index])] - logprobs[index][0]
            for index, other in zip(firsts, others, strict=True)
        ]

    def likelihoods(self, start: Episode, texts: Sequence[str]) -> list[float]:
        """See `Judge.likelihoods`."""
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
        self._reading.stop()
        for id in list(self._slots):
            self.forget(id)
        if self._own_opening:
            self._opening.release()

    def _slot(self, request: CommandRequest) -> _Slot | None:
        """A sequence with everything appended that the model has to see before it answers.

        None if the episode has outgrown the context.
        """
        episode, parent = request.episode, None
        if request.parent is not None:
            parent = self._slots.get(request.parent)
        if parent is None:
            parent = _Slot(self._root(episode).fork(), 0)
            if request.parent is not None and request.parent != request.id:
                self._slots[request.parent] = parent
        if not self._append_turns(parent, episode):
            if parent not in self._slots.values():
                parent.sequence.release()
            return None
        slot = parent
        if request.parent is not None and request.parent != request.id:
            slot = _Slot(parent.sequence.fork(), parent.turns)
        self._slots[request.id] = slot
        return slot

    def _append_turns(self, slot: _Slot, episode: Episode) -> bool:
        """Bring a sequence up to the episode's newest state; False if there is no room."""
        for turn in episode.turns[slot.turns :]:
            said = slot.asked is not None and slot.said == turn.command_text
            if slot.asked is not None and not said:  # another answer was taken
                slot.sequence.truncate(slot.asked)
            segments = [] if said else [Segment(turn.command_text)]
            end = self._builder.end_of(turn.command_text)
            segments += [end, *self._builder.next_turn(turn.pad)]
            tokens = self._engine.tokenize(segments, add_bos=False)
            if not self._fits(slot.sequence, tokens):
                return False
            slot.sequence.append(tokens)
            slot.turns += 1
            slot.asked = None
        return True

    def _next_branch_point(self, episode: Episode, line: int) -> _BranchPoint | None:
        """The least used branch point of the line, of several the most surprising."""
        points = self._branch_points.get(line)
        if points is None:
            points = self._branch_points[line] = self._find_branch_points(episode, line)
        return min(points, key=lambda point: point.uses, default=None)

    def _find_branch_points(self, episode: Episode, line: int) -> list[_BranchPoint]:
        engine, text = self._engine, episode.pad.lines[line - 1]
        head = len(render(ReplaceLine(line, "")))
        command = render(ReplaceLine(line, text))
        tokens = engine.tokenize([Segment(command)], add_bos=False)
        (surprise,) = engine.score(self._root(episode), [tokens])
        points: list[tuple[float, _BranchPoint]] = []
        for index, token in enumerate(tokens):
            if len(engine.detokenize(tokens[:index])) < head:
                continue
            piece = engine.detokenize([token])
            same = [engine.tokenize([Segment(piece + end)], add_bos=False) for end in _LINE_ENDS]
            banned = {token, *(ids[0] for ids in same if len(ids) == 1)}
            # The last token surprises only because the model would merge it with the line end.
            score = surprise[index] if index + 1 < len(tokens) else 0.0
            points.append((score, _BranchPoint(tokens[:index], tuple(sorted(banned)))))
        points.sort(key=lambda entry: entry[0])
        return [point for _, point in points]

    def _fits(self, sequence: EngineSequence, tokens: list[int]) -> bool:
        longest = self._sampling.max_tokens
        length = len(sequence.tokens) + len(tokens) + longest
        # Every other chain may still have to be read, and write its command, in this round.
        others = (s.sequence for s in self._slots.values() if s.sequence is not sequence)
        room = self._engine.free_tokens - sum(s.pending + longest for s in others)
        wanted = sequence.pending + len(tokens) + longest
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
            self._opening.set_tokens(tokens)
            self._opened = key
            self._branch_points.clear()
        return self._opening
