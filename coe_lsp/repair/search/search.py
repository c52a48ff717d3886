"""Looks for programs that pass all tests: many chains of edits, the most promising first.

Two policies feed one tester. Mutations are tested from the first moment and whenever the model has
nothing to test; the model, once it is there, reads the task, says which mutations it finds likely,
and writes commands, its batch always full, from the start or from whichever state looks best. When
a repair is found the search goes on for a short grace period, so that there is a choice.

    search = Search(verifier, task, lines, clues, settings, watch, cancelled)
    with search:                       # from here on mutations are tested
        search.run(until=0.5)
        search.run(loaded)             # and from here on the model is asked
    found = search.found()

With a budget in candidates instead of seconds the same seed gives the same result.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Self

from attrs import evolve, field, frozen

from coe_lsp.chain.commands import render
from coe_lsp.chain.episode import Episode
from coe_lsp.chain.prompt import TaskDescription
from coe_lsp.mutations.mutants import commands_between
from coe_lsp.repair.deadline import Deadline
from coe_lsp.repair.policy.protocol import Ask, ContextError, LoadedPolicy, Policy, Proposal
from coe_lsp.repair.search.frontier import Frontier, Scorer, State, lines_touched, state_key
from coe_lsp.repair.search.mutation_queue import MutationQueue
from coe_lsp.repair.search.ranking import Patch, best, measured
from coe_lsp.repair.search.rescoring import ranked, weighed
from coe_lsp.repair.search.stopping import Grace
from coe_lsp.repair.search.tester import Candidate, Tested, Tester
from coe_lsp.repair.target.hints import Clues
from coe_lsp.repair.task import feedback_text, scratchpad
from coe_lsp.repair.verify import Verdict, Verifier

_POLL = 0.02
_ROOM = 8
# Candidates of the model that may wait for the tests: each keeps a sequence of the engine.
_WAITING = 16
_MUTANTS_A_STEP = 3
_LINES_WEIGHED = 24
# Every how many commands the model chooses the line by itself.
_FREE_TRAINED, _FREE_UNTRAINED = 2, 4
# What is left of a line's suspiciousness once it was changed.
_AGAIN = 0.3


@frozen
class SearchSettings:
    """How far to look. Times in seconds.

    `samples` commands are written at a time, `max_turns` is the longest chain. The search goes on
    for `grace` after the first repair, longer if there are few tests. `candidates` bounds the
    programs tested instead of the time: then everything happens in a fixed order.

    The switches are for measuring what each piece earns: `mutations` are tested, the model gives
    `opinions` on them and on repairs, the `best_first` state is gone on from, equal programs are
    tested once (`deduplicate`), the model is given lines and `places` to change, and suspect lines
    come first (`suspiciousness`).
    """

    samples: int = 16
    max_turns: int = 10
    deadline: Deadline = field(factory=Deadline)
    grace: float = 0.75
    candidates: int | None = None
    mutations: bool = True
    opinions: bool = True
    best_first: bool = True
    deduplicate: bool = True
    places: bool = True
    suspiciousness: bool = True


@frozen
class Step:
    """One program tested, as it is told to whoever watches."""

    candidate: int
    turn: int
    command: str
    passed: int
    total: int
    error: str | None


@frozen
class Found:
    """What came of it: the repairs, best first, and the chain that came closest.

    `tested` counts different programs, `model_seconds` the time the model was at work. A search is
    `exhausted` if it ended because nothing was left to try.
    """

    patches: tuple[Patch, ...]
    closest: State
    tested: int
    model_seconds: float
    first_at: float | None
    exhausted: bool


class Search:
    """One search for one function. Use it as a context: it ends its thread."""

    def __init__(
        self,
        verifier: Verifier,
        task: TaskDescription,
        lines: Sequence[str],
        clues: Clues,
        settings: SearchSettings,
        watch: Callable[[Step], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._watch = watch
        self._cancelled = cancelled
        self._clues = clues
        self._line_one = verifier.function.first
        before = verifier.first()
        suspiciousness: Mapping[int, float] = (
            clues.suspiciousness if settings.suspiciousness else {}
        )
        pad = scratchpad(lines, before, self._line_one, suspiciousness)
        self._episode = Episode(task, pad, max_turns=settings.max_turns)
        start = State(0, pad.lines, before, "start", self._episode)
        self._states = {0: start}
        self._scorer = Scorer(before, suspiciousness, settings.best_first)
        self._frontier = Frontier(self._scorer, start, _ROOM)
        self._closest = start
        self._lock = threading.Lock()  # the queue is the tester's as well
        mutable = pad.lines if settings.mutations else ()
        self._queue = MutationQueue(
            mutable, suspiciousness, clues.outside, clues.spelt, clues.undefined
        )
        counted = settings.candidates is not None
        self._grace = Grace(settings.grace, len(verifier.tests), counted=counted)
        self._tester = Tester(
            verifier,
            {state_key(pad.lines): before},
            self._next_mutant,
            self._on_solved,
            threaded=not counted,
            deduplicate=settings.deduplicate,
        )
        self._numbers = 0
        self._pending: dict[int, State] = {}
        self._untested: set[int] = set()  # what the model wrote and nobody has judged yet
        self._timer: threading.Timer | None = None
        self._made: dict[int, tuple[Candidate, State]] = {}  # how states that won came about
        self._patches: list[Patch] = []
        self._model_seconds = 0.0
        self._loaded: LoadedPolicy | None = None
        self._read = False
        #: Why the model could not be asked, if so.
        self.problem: ContextError | None = None
        self._stuck = False
        self._exhausted = False
        shown = [number for number in range(1, len(pad.lines) + 1) if number not in pad.hidden]
        code = [number for number in shown if pad.lines[number - 1].strip()]
        code.sort(key=lambda number: -suspiciousness.get(number, 0.0))
        self._focus = [number for number in code if number in suspiciousness] or code
        self._unweighed = self._focus[:_LINES_WEIGHED] if settings.opinions else []
        self._asked = 0

    def __enter__(self) -> Self:
        self._tester.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def run(self, loaded: LoadedPolicy | None = None, *, until: float = float("inf")) -> None:
        """Search until a repair is found and the grace is over, or time or all ideas are up.

        Without a model mutations alone are tested. `until` (on the clock of `time.monotonic`) ends
        this call, after which there can be another.
        """
        if loaded is not None:
            self._loaded = loaded
            self._frontier.stay = loaded.trained
            self._exhausted = False
        while not self._over() and time.monotonic() < until:
            if self._loaded is None or self._stuck:
                self._tester.wait(_POLL)
            else:
                started = time.monotonic()
                self._ask_model(self._loaded)
                self._model_seconds += time.monotonic() - started
            self._collect(_MUTANTS_A_STEP)
            if (self._loaded is None or self._stuck) and not self._pending and self._tester.idle:
                self._exhausted = True
                break

    @property
    def solved(self) -> bool:
        """Whether there is a repair."""
        return bool(self._patches)

    def halfway(self) -> State | None:
        """The state that wins most tests and loses none, if not all are won."""
        start = self._states[0].verdict
        better = [s for s in self._states.values() if s.verdict.passing > start.passing]
        return max(better, key=lambda s: (s.verdict.passed, -s.number), default=None)

    def found(self) -> Found:
        """What came of it; the search is over then."""
        self._end()
        self._collect(0)  # what was under way may be a repair
        for number in range(1, self._numbers + 1):
            self._forget(number)
        patches = self._ranked()
        return Found(
            patches,
            self._closest,
            self._tester.attempts,
            self._model_seconds,
            self._grace.began,
            self._exhausted,
        )

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._tester.stop()
        self._tester.join()

    def _over(self) -> bool:
        settings, tested = self._settings, self._tester.attempts
        if self._cancelled() or settings.deadline.left() <= 0:
            return True
        if settings.candidates is not None and tested >= settings.candidates:
            return True
        return self._grace.over(tested, model=self._loaded is not None)

    # -- the model

    def _ask_model(self, loaded: LoadedPolicy) -> None:
        """One piece of the model's work."""
        policy = loaded.policy
        if not self._read:
            try:
                self._read = policy.read(self._episode)
            except ContextError as error:  # mutations do not mind
                self.problem, self._loaded = error, None
            return
        if self._unweighed:
            self._weigh(policy, self._unweighed.pop(0))
            return
        self._grace.heard()
        # Once there is a repair, the grace is too short for another command to be written in.
        choosing = self._grace.began is not None and self._settings.candidates is None
        while self._wants_more() and not choosing and not self._over():
            state, focus = self._choose(loaded.trained)
            number = self._number()
            assert state.episode is not None  # others do not get into the frontier
            if policy.ask(Ask(number, state.episode, state.number or None, focus)):
                self._pending[number] = state
                continue
            self._forget(number)
            if not state.number:
                self._stuck = not self._pending
                break
            self._frontier.remove(state)
            self._forget(state.number)
        if not self._pending:  # the tests have fallen behind
            self._tester.wait(_POLL)
            return
        for proposal in policy.step():
            self._take(proposal)

    def _wants_more(self) -> bool:
        return len(self._pending) < self._settings.samples and len(self._untested) < _WAITING

    def _choose(self, trained: bool) -> tuple[State, int | None]:
        """What to ask for next: the state to go on from, and the line to be replaced.

        Lines of the start are given, most suspect first, three times out of four to an untrained
        model, and every other time to a trained one, which is better at choosing by itself.
        """
        self._asked += 1
        every = _FREE_TRAINED if trained else _FREE_UNTRAINED
        if not self._settings.places or self._asked % every == 0 or not self._focus:
            return self._frontier.next(), None
        nth = self._asked - self._asked // every - 1
        return self._states[0], self._focus[nth % len(self._focus)]

    def _take(self, proposal: Proposal) -> None:
        """Have what the model wrote tested, if it changes anything."""
        state = self._pending.pop(proposal.number)
        assert state.episode is not None
        attempt = state.episode.attempt(proposal.text)
        if attempt.error is not None or attempt.pad.lines == state.lines:
            self._forget(proposal.number)
            error = attempt.error or "nothing changed"
            self._tell(proposal.number, state.depth + 1, proposal.text, state.verdict, error)
            return
        self._untested.add(proposal.number)
        self._tester.submit(
            Candidate(
                attempt.pad.lines,
                "model",
                (proposal.text,),
                state.number,
                proposal.number,
                weight=state.logprob + proposal.logprob,
            )
        )

    def _forget(self, number: int) -> None:
        if self._loaded is not None:
            self._loaded.policy.forget(number)

    def _weigh(self, policy: Policy, line: int) -> None:
        """Let the model say which of the mutants of a line it finds likely."""
        opinions = weighed(policy, self._episode, line, self._queue.first)
        with self._lock:
            self._queue.reweigh(lambda mutant: opinions.get(id(mutant), 0.0))

    # -- mutations

    def _next_mutant(self) -> Candidate | None:
        """Called by the tester, perhaps on its thread."""
        with self._lock:
            found = self._queue.pop()
        if found is None:
            return None
        mutant, parent = found
        commands = commands_between(self._states[parent].lines, mutant.lines)
        text = tuple(render(command) for command in commands)
        return Candidate(
            mutant.lines, "mutation", text, parent, kind=mutant.kind, weight=mutant.weight
        )

    # -- results

    def _collect(self, mutants: int) -> None:
        for result in self._tester.results(mutants):
            if isinstance(result, Tested):
                self._learn(result)
            else:
                state = self._states[result.state]
                if state.verdict.hot and not result.verdict.cancelled:
                    self._complete(state, result.verdict)
                self._mutate(state, result.suspiciousness)

    def _learn(self, tested: Tested) -> None:
        candidate, verdict = tested.candidate, tested.verdict
        parent = self._states[candidate.parent]
        number = candidate.number or self._number()
        self._untested.discard(number)
        state = State(
            number,
            candidate.lines,
            verdict,
            candidate.source,
            self._extended(parent, candidate, verdict, solved=tested.solved),
            (*parent.commands, *candidate.commands),
            candidate.weight if candidate.source == "model" else 0.0,
            parent.touched | lines_touched(parent.lines, candidate.lines),
            parent.depth + 1,
        )
        kept = False
        if not verdict.cancelled:
            text = " ".join(candidate.commands)
            self._tell(number, state.depth, text, verdict, None, tested.solved)
            if tested.solved and not tested.known:
                self._solved(state, candidate)
            elif not tested.known or not self._settings.deduplicate:
                kept = self._keep(state, candidate, parent)
        if not kept:
            self._forget(number)

    def _extended(
        self, parent: State, candidate: Candidate, verdict: Verdict, *, solved: bool
    ) -> Episode | None:
        """The parent's episode with the candidate's command.

        None if it takes several, or if the feedback is not known in full.
        """
        if parent.episode is None or parent.episode.done:
            return None
        if len(candidate.commands) != 1 or verdict.hot:
            return None
        feedback = feedback_text(verdict, self._line_one, len(candidate.lines))
        attempt = parent.episode.attempt(candidate.commands[0])
        return parent.episode.extend(attempt, feedback, solved)

    def _complete(self, state: State, verdict: Verdict) -> None:
        """Now that all is known of a state, the model may go on from it as well."""
        candidate, parent = self._made.pop(state.number)
        state.verdict = verdict
        state.episode = self._extended(parent, candidate, verdict, solved=False)
        self._frontier.add(state)
        self._drop()

    def _keep(self, state: State, candidate: Candidate, parent: State) -> bool:
        """Take a state in among those to go on from, if it is good enough.

        It is mutated further only if it won a test against the one before: else any two changes
        that do not matter would make a third worth trying.
        """
        if state.verdict.passed > self._closest.verdict.passed:
            self._closest = state
        self._states[state.number] = state
        progress = self._scorer.progress(state.verdict)
        won = progress > max(0.0, self._scorer.progress(parent.verdict))
        if won and self._settings.best_first and self._settings.mutations:
            self._tester.trace(state.number, state.lines)
            self._made[state.number] = candidate, parent
        kept = self._frontier.add(state)
        self._drop()
        return kept

    def _drop(self) -> None:
        for dropped in self._frontier.dropped():
            self._forget(dropped.number)

    def _on_solved(self) -> None:
        """The first repair begins the grace period. Called by the tester, perhaps on its thread."""
        if self._grace.begin(self._tester.attempts) and self._settings.candidates is None:
            longest = self._grace.longest(model=self._loaded is not None)
            self._timer = threading.Timer(longest, self._stop_reading)
            self._timer.daemon = True
            self._timer.start()

    def _stop_reading(self) -> None:
        """A long prompt is not read to its end for the sake of a choice between repairs."""
        loaded = self._loaded
        if loaded is not None and not self._read:
            loaded.policy.interrupt()

    def _mutate(self, state: State, suspiciousness: Mapping[int, float]) -> None:
        """Have a state's mutants tested as well; what was changed already is left, mostly."""
        rest = {
            line: s * (_AGAIN if line in state.touched else 1.0)
            for line, s in suspiciousness.items()
        }
        with self._lock:
            progress = self._scorer.progress(state.verdict)
            self._queue.add(state.number, state.lines, progress, rest)
        self._tester.more()

    def _solved(self, state: State, candidate: Candidate) -> None:
        patch = Patch(state.lines, state.commands, state.source, state.number, candidate.kind)
        if candidate.source == "mutation":
            patch = evolve(patch, weight=candidate.weight)
        start = self._states[0].lines
        self._patches.append(measured(patch, start, self._clues.test_constants))

    def _ranked(self) -> tuple[Patch, ...]:
        """The repairs, best first; by the model's likelihood if there is a choice."""
        patches = best(self._patches)
        asks = self._read and len(patches) > 1 and self._settings.opinions
        if self._loaded is None or not asks or self._cancelled():
            return tuple(patches)
        return ranked(self._loaded.policy, self._episode, patches)

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _tell(
        self,
        number: int,
        turn: int,
        command: str,
        verdict: Verdict,
        error: str | None,
        solved: bool = False,
    ) -> None:
        passed = verdict.passed if solved or not verdict.solved else verdict.total - 1
        self._watch(Step(number, turn, command, passed, verdict.total, error))
