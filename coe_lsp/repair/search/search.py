"""Looks for programs that pass all tests: many chains of edits, the most promising first.

    search = Search(verifier, task, lines, hints, settings, deadline, watch, cancelled)
    with search:                       # from here on mutations are tested
        search.run(until=0.5)
        search.run(loaded)             # and from here on the model is asked
    found = search.found()

With a budget in candidates instead of seconds the same seed gives the same result.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Self

from attrs import frozen

from coe_lsp.chain.commands import render
from coe_lsp.chain.edits import commands_between
from coe_lsp.chain.episode import Episode
from coe_lsp.chain.prompt import TaskDescription
from coe_lsp.cores import available_cores
from coe_lsp.repair.deadline import Deadline
from coe_lsp.repair.policy.protocol import LoadedPolicy
from coe_lsp.repair.search.frontier import Frontier, Scorer
from coe_lsp.repair.search.model_work import ModelWork
from coe_lsp.repair.search.mutant_source import MutantSource
from coe_lsp.repair.search.ranking import PassingProgram, rank, with_size
from coe_lsp.repair.search.settings import SearchSettings
from coe_lsp.repair.search.smaller import smaller_programs
from coe_lsp.repair.search.states import State, StateTree, lines_touched, state_key
from coe_lsp.repair.search.step import Step
from coe_lsp.repair.search.stopping import StoppingRule
from coe_lsp.repair.search.tester import Candidate, Tested, Tester, Traced
from coe_lsp.repair.target.hints import RepairHints
from coe_lsp.repair.task import scratchpad
from coe_lsp.repair.verify import Verifier

_POLL_SECONDS = 0.02
_FRONTIER_SIZE = 8
# More processes that test at once would take much memory.
_MOST_TESTERS = 4
# Mutants tested between two steps of the model, where one thread does both.
_MUTANTS_A_STEP = 3


@frozen
class Found:
    """What came of it: the repairs, best first, and the state that came closest.

    `kinds` counts different programs that were tested, by the kind of edit, `model_seconds` the
    time the model was at work, `first_at` is when the first repair was there (on the clock of
    `time.monotonic`). A search is `exhausted` if it ended because nothing was left to try.
    """

    patches: tuple[PassingProgram, ...]
    closest: State
    kinds: Mapping[str, int]
    model_seconds: float
    first_at: float | None
    exhausted: bool

    @property
    def tested(self) -> int:
        """How many different programs were tested."""
        return sum(self.kinds.values())


class Search:
    """One search for one function. Use it as a context: it ends its threads.

    **Parts.** Two sources of programs feed one tester. `MutantSource` has mutants from the first
    moment. `ModelWork`, once a model is there, asks it to expand the states of the `Frontier`. The
    `Tester` runs the model's programs first, and mutants whenever none of those waits. Each
    verdict makes a `State` of the `StateTree`; what passes all tests is a `PassingProgram`. The
    `StoppingRule` says when to end.

    **States of the model.** It is absent until `run` is given one; then it reads the task, scores
    the mutants of the most suspect lines if it judges at all, and writes commands until the end, or
    until there is another one (`ModelWork`).

    **What becomes of a verdict.** A cancelled one is no verdict. A program that passes all tests is
    a repair and is not expanded. One that was tested before teaches nothing. All others stay in the
    tree, and in the frontier if they are good enough. A state that won a test against its parent is
    traced: then its feedback is true in every line, so that the model can expand it as well, and it
    has mutants of its own. Without the condition any two changes that do not matter would make a
    third worth trying.

    **Invariants.** A candidate has a number, given once: to the model's programs when they are
    asked for, to mutants when their verdict is learned. All states of the frontier have an episode
    with true feedback that is not done. The policy keeps only what can still be needed.
    With a budget in candidates nothing depends on a clock or on a second thread.

    **What ends it.** The stopping rule: cancelled, the deadline, the number of candidates, the
    grace after the first repair. Or that nothing is left: no mutant, no test under way, no model.

    **Threads.** The caller's thread runs `run` and `found`, owns tree, frontier and chains, and is
    the only one that asks the policy. The tester's threads run tests; they take mutants from
    `MutantSource`, which has a lock, and call `_repair_found`, one at a time. Results come back
    through `Tester.results`. A timer's thread may interrupt the policy while that reads. Without
    threads (a budget in candidates) the tests run within `Tester.results`.
    """

    def __init__(
        self,
        verifier: Verifier,
        task: TaskDescription,
        lines: Sequence[str],
        hints: RepairHints,
        settings: SearchSettings,
        deadline: Deadline,
        watch: Callable[[Step], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._watch = watch
        self._cancelled = cancelled
        self._test_constants = hints.clues.constants
        self._first_line = verifier.function.first
        verdict = verifier.first()
        suspiciousness: Mapping[int, float] = (
            hints.suspiciousness if settings.suspiciousness else {}
        )
        pad = scratchpad(lines, verdict, self._first_line, suspiciousness)
        episode = Episode(task, pad, max_turns=settings.max_turns)
        start = State(0, pad.lines, verdict, "start", episode)
        self._tree = StateTree(start)
        self._scorer = Scorer(verdict, suspiciousness, settings.best_first)
        self._frontier = Frontier(self._scorer, start, _FRONTIER_SIZE)
        self._mutants = MutantSource(start, suspiciousness, hints, empty=not settings.mutations)
        self._stopping = StoppingRule(
            settings.grace, len(verifier.tests), deadline, cancelled, candidates=settings.candidates
        )
        testers = settings.testers or min(available_cores(), _MOST_TESTERS)
        self._testers = 0 if self._stopping.counted else testers
        self._tester = Tester(
            verifier,
            {state_key(pad.lines): verdict},
            self._mutants.next,
            self._repair_found,
            threads=self._testers,
            deduplicate=settings.deduplicate,
        )
        self._numbers: Iterator[int] = itertools.count(1)
        #: The model's part.
        self.model = ModelWork(
            start,
            self._frontier,
            self._numbers,
            self._mutants,
            self._tester,
            self._stopping,
            _suspect_lines(pad.lines, pad.hidden, suspiciousness),
            settings,
            watch,
        )
        self._timer: threading.Timer | None = None
        self._passing: list[PassingProgram] = []
        self._exhausted = False

    def __enter__(self) -> Self:
        self._tester.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def run(
        self,
        loaded: LoadedPolicy | None = None,
        *,
        until: float = float("inf"),
        meanwhile: Callable[[], bool] = lambda: False,
    ) -> None:
        """Search until the stopping rule ends it or all ideas are used up.

        Without a model mutations alone are tested. `until` (on the clock of `time.monotonic`) ends
        this call, after which there can be another. `meanwhile` is called again and again where
        this thread has nothing to do, and says whether it did anything.
        """
        self._exhausted = False
        self._tester.resume()
        self._learn_results(0)  # what came meanwhile may be a repair whose grace is over
        while not self._over() and time.monotonic() < until:
            asking = loaded is not None and self.model.ask(loaded)
            if not asking and not meanwhile():
                self._tester.wait(_POLL_SECONDS)
            self._learn_results(_MUTANTS_A_STEP)
            if not asking and self._tester.idle:
                self._exhausted = True
                break

    def pause(self) -> None:
        """Test nothing until the next `run`."""
        self._tester.pause()
        self._learn_results(0)  # what was under way may be a repair

    def narrow(self, *, beside_model: bool) -> None:
        """Test on fewer cores while a model works, here or elsewhere."""
        self._tester.widen(max(1, self._testers // 2) if beside_model else self._testers)

    @property
    def solved(self) -> bool:
        """Whether there is a repair."""
        return bool(self._passing)

    @property
    def best(self) -> PassingProgram:
        """The repair that would be offered first by now, without the model's opinion."""
        return rank(self._passing)[0]

    @property
    def exhausted(self) -> bool:
        """Whether nothing was left to try when the last `run` ended, and nothing came since."""
        return self._exhausted and self._tester.idle

    def halfway(self) -> State | None:
        """The state that wins most tests and loses none, if not all are won."""
        return self._tree.halfway()

    def found(self) -> Found:
        """What came of it; the search is over then."""
        self._end()
        self._learn_results(0)  # what was under way may be a repair
        ranked = rank(self._passing)
        if not self._cancelled():
            ranked = self.model.rerank(ranked)
        self.model.release()
        return Found(
            tuple(ranked),
            self._tree.closest,
            dict(self._tester.kinds),
            self.model.seconds,
            self._stopping.repaired_at,
            self._exhausted,
        )

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._tester.stop()
        self._tester.join()

    def _over(self) -> bool:
        return self._stopping.over(self._tester.attempts, model=self.model.present)

    def _repair_found(self) -> None:
        """The first repair begins the grace. The tester calls it, perhaps on another thread.

        A long prompt is not read to its end for the sake of a choice between repairs.
        """
        if self._stopping.repair_found(self._tester.attempts) and not self._stopping.counted:
            longest = self._stopping.longest_grace(model=self.model.present)
            self._timer = threading.Timer(longest, self.model.stop_reading)
            self._timer.daemon = True
            self._timer.start()

    # -- results

    def _learn_results(self, mutants: int) -> None:
        for result in self._tester.results(mutants):
            if isinstance(result, Tested):
                self._learn(result)
            else:
                self._learn_trace(result)

    def _learn(self, tested: Tested) -> None:
        """Make a state of what was tested, and keep it if there is something to learn from it."""
        candidate, verdict = tested.candidate, tested.verdict
        parent = candidate.parent
        state = State(
            next(self._numbers) if candidate.number is None else candidate.number,
            candidate.lines,
            verdict,
            candidate.origin,
            None,
            parent,
            candidate.commands,
            candidate.logprob,
            parent.touched | lines_touched(parent.lines, candidate.lines),
            parent.depth + 1,
        )
        state.complete(verdict, self._first_line, solved=tested.solved)
        if candidate.origin == "model":
            self.model.tested(state.number, state)
        if verdict.cancelled:
            return
        self._tell(state, solved=tested.solved)
        if tested.solved and not tested.known:
            program = PassingProgram(
                state.lines,
                state.commands,
                state.origin,
                state.number,
                candidate.kind,
                candidate.weight,
            )
            self._passing.append(with_size(program, self._tree.start.lines, self._test_constants))
            self._try_less(candidate)
        elif not tested.known or not self._settings.deduplicate:
            self._keep(state, parent)

    def _try_less(self, repair: Candidate) -> None:
        """Have a repair tested without each of its changes, before the grace ends."""
        start = self._tree.start
        for lines in smaller_programs(start.lines, repair.lines):
            self._tester.submit(
                Candidate(
                    lines,
                    "mutation",
                    commands_between(start.lines, lines),
                    start,
                    kind=repair.kind,
                    weight=repair.weight,
                )
            )

    def _keep(self, state: State, parent: State) -> None:
        self._tree.add(state)
        progress = self._scorer.progress(state.verdict)
        won = progress > max(0.0, self._scorer.progress(parent.verdict))
        if won and self._settings.best_first and self._settings.mutations:
            self._tester.trace(state)
        self._frontier.add(state)

    def _learn_trace(self, traced: Traced) -> None:
        """Have a state's mutants tested as well; now the model can expand it, too."""
        state = traced.state
        if state.verdict.hot and not traced.verdict.cancelled:
            state.complete(traced.verdict, self._first_line, solved=False)
            self._frontier.add(state)
        progress = self._scorer.progress(state.verdict)
        self._mutants.add(state, progress, traced.suspiciousness)
        self._tester.more()

    def _tell(self, state: State, *, solved: bool) -> None:
        verdict, text = state.verdict, " ".join(map(render, state.edit))
        # A program that breaks other tests of the file has not passed them all.
        passed = verdict.passed if solved or not verdict.solved else verdict.total - 1
        self._watch(
            Step(
                state.number,
                state.depth,
                text,
                passed,
                verdict.total,
                None,
                state.edit,
                self._first_line,
            )
        )


def _suspect_lines(
    lines: Sequence[str], hidden: frozenset[int], suspiciousness: Mapping[int, float]
) -> list[int]:
    """The numbers (1-based) of suspect lines that the model sees, most suspect first.

    All lines with text if none of those is suspect.
    """
    shown = [n for n, line in enumerate(lines, 1) if n not in hidden and line.strip()]
    shown.sort(key=lambda number: -suspiciousness.get(number, 0.0))
    return [number for number in shown if number in suspiciousness] or shown
