"""Tests candidates one after the other: the model's first, mutants whenever none of those waits.

With a thread of its own (`threaded`) the model never waits for tests nor tests for the model. What
is then tested by a given time depends on the machine; without the thread the caller says how many
mutants to test, and the same calls give the same results.

Mutants get little time at first, since so many of them hang. Those that were given up for that have
a second chance, with all the time: in turns with new ones once half of the time is over, or when
there are no new ones.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from attrs import frozen

from coe_lsp.chain.commands import Command
from coe_lsp.repair.search.ranking import MODEL_WEIGHT
from coe_lsp.repair.search.states import Origin, State, state_key
from coe_lsp.repair.verify import Verdict, Verifier


@frozen
class Candidate:
    """A program to test, and how it came about: by `commands` from the state `parent`.

    `number` is its place among all candidates of the search: given to the model's when they are
    asked for, to mutants when they were tested. `logprob` is the natural log of the probability of
    the whole chain under the policy, 0 for mutants; `weight` says how common such a mistake is.
    """

    lines: tuple[str, ...]
    origin: Origin
    commands: tuple[Command, ...]
    parent: State
    number: int | None = None
    kind: str = ""
    weight: float = MODEL_WEIGHT
    logprob: float = 0.0


@frozen
class Tested:
    """A candidate with its verdict. `known`: an equal program was tested before.

    `breaks` are tests of the file that passed before and no longer do; looked for only where all
    tests of the function pass.
    """

    candidate: Candidate
    verdict: Verdict
    known: bool
    breaks: tuple[str, ...] = ()

    @property
    def solved(self) -> bool:
        """Whether this is a repair."""
        return self.verdict.solved and not self.breaks


@frozen
class Traced:
    """The suspiciousness of a state's lines: scores between 0 and 1 by line (1-based).

    The verdict is in full, whatever the state came with.
    """

    state: State
    verdict: Verdict
    suspiciousness: dict[int, float]


@frozen
class _ToTrace:
    state: State


class Tester:
    """Owns the verifier while a search runs.

    With a thread, that calls `mutant` and `solved` too; all other methods are the caller's.
    """

    def __init__(
        self,
        verifier: Verifier,
        known: dict[str, Verdict],
        mutant: Callable[[], Candidate | None],
        solved: Callable[[], None],
        *,
        threaded: bool,
        deduplicate: bool = True,
    ) -> None:
        """`known` has verdicts by state key; `mutant` gives the next mutant, None for no more.

        `solved` is called for each repair, on the thread that tests.
        """
        self._verifier = verifier
        self._known = known
        self._broken: dict[str, tuple[str, ...]] = {}
        self._mutant = mutant
        self._solved = solved
        self._deduplicate = deduplicate
        self._waiting: deque[Candidate | _ToTrace] = deque()
        self._hasty: deque[Candidate] = deque()
        self._half_time = time.monotonic() + verifier.seconds_left / 2
        self._second_chance = False  # the last mutant was one
        self._tested: deque[Tested | Traced] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._stopped = False
        self._paused = False
        self._testing = False
        self._error: BaseException | None = None
        self._idle = False
        self._over = False  # the time is up, or the user cancelled: every verdict would say so
        #: How many different programs were tested.
        self.attempts = 0
        self._thread: threading.Thread | None = None
        if threaded:
            self._thread = threading.Thread(target=self._work, name="coe-tests", daemon=True)

    def start(self) -> None:
        """Begin testing mutants, if there is a thread for it."""
        if self._thread is not None:
            self._thread.start()

    def pause(self) -> None:
        """Test nothing until `resume`; returns once the run in progress has ended."""
        with self._wake:
            self._paused = True
            self._wake.wait_for(lambda: not self._testing)

    def resume(self) -> None:
        """Go on testing."""
        with self._wake:
            self._paused = False
            self._wake.notify_all()

    def submit(self, candidate: Candidate) -> None:
        """Have a candidate tested before any further mutant."""
        with self._wake:
            self._waiting.append(candidate)
            self._wake.notify()

    def trace(self, state: State) -> None:
        """Have a state traced, before anything else."""
        with self._wake:
            self._waiting.appendleft(_ToTrace(state))
            self._wake.notify()

    def results(self, mutants: int = 0) -> list[Tested | Traced]:
        """What has been tested since the last call.

        Without a thread this is where it happens: all that was submitted, then up to `mutants`
        mutants. Raises what went wrong on the thread.
        """
        if self._thread is None:
            while self._waiting:
                self._tested.append(self._test(self._waiting.popleft()))
            for _ in range(mutants):
                candidate = self._next_mutant()
                self._idle = candidate is None
                if candidate is None:
                    break
                self._tested.append(self._test(candidate))
        with self._lock:
            if self._error is not None:
                raise self._error
            results = list(self._tested)
            self._tested.clear()
        return results

    def more(self) -> None:
        """There may be new mutants, though there was none a moment ago."""
        with self._wake:
            self._idle = False
            self._wake.notify_all()

    @property
    def idle(self) -> bool:
        """Whether nothing is left to test, and all results were fetched."""
        with self._lock:
            return self._idle and not (self._waiting or self._tested)

    def wait(self, seconds: float) -> None:
        """Until there is a result, all is tested, or the time is up."""
        if self._thread is None:
            return
        with self._wake:
            self._wake.wait_for(lambda: self._tested or self._stopped or self._error, seconds)

    def stop(self) -> None:
        """Test nothing more; the run in progress is not waited for."""
        with self._wake:
            self._stopped = True
            self._waiting.clear()
            self._wake.notify_all()

    def join(self) -> None:
        """Wait for the run in progress, after `stop`."""
        if self._thread is not None and self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        try:
            while True:
                with self._wake:
                    self._testing = False
                    self._wake.notify_all()
                    self._wake.wait_for(lambda: not self._paused or self._stopped)
                    if self._stopped or self._over:
                        return
                    self._testing = True
                    candidate = self._waiting.popleft() if self._waiting else None
                candidate = candidate or self._next_mutant()
                if candidate is None:
                    with self._wake:
                        self._idle = not self._waiting
                        self._testing = False
                        self._wake.notify_all()
                        if self._idle and not self._stopped:
                            self._wake.wait(0.1)
                        self._idle = self._idle and not self._waiting
                    continue
                tested = self._test(candidate)
                with self._wake:
                    self._tested.append(tested)  # after `stop` too: it may be a repair
                    self._wake.notify_all()
        except BaseException as error:  # handed to whoever asks for results
            with self._wake:
                self._error, self._testing = error, False
                self._wake.notify_all()

    def _next_mutant(self) -> Candidate | None:
        """A new one, or one that was given up too early."""
        late = time.monotonic() > self._half_time and not self._second_chance
        candidate = None if self._hasty and late else self._mutant()
        self._second_chance = candidate is None and bool(self._hasty)
        return self._hasty.popleft() if self._second_chance else candidate

    def _test(self, candidate: Candidate | _ToTrace) -> Tested | Traced:
        if isinstance(candidate, _ToTrace):
            verdict = self._verifier.judge(candidate.state.lines)
            scores = self._verifier.suspiciousness(candidate.state.lines)
            return Traced(candidate.state, verdict, scores)
        key = state_key(candidate.lines) if self._deduplicate else "\n".join(candidate.lines)
        verdict = self._known.get(key) if self._deduplicate else None
        again = verdict is not None and verdict.hasty and self._second_chance
        if verdict is not None and not again:
            return Tested(candidate, verdict, True, self._broken.get(key, ()))
        # Most mutants win nothing. What the model is to read must be true in every line.
        hot = candidate.origin == "mutation"
        verdict = self._verifier.judge(candidate.lines, hot=hot, hasty=hot and not again)
        if verdict.cancelled:
            self._over = True
            return Tested(candidate, verdict, False)
        self.attempts += not again
        self._known[key] = verdict
        if verdict.hasty:
            self._hasty.append(candidate)
        if verdict.solved:
            self._broken[key] = self._verifier.breaks(candidate.lines)
            if not self._broken[key]:
                self._solved()
        return Tested(candidate, verdict, False, self._broken.get(key, ()))
