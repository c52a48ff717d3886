"""Tests candidates: the model's first, mutants whenever none of those waits.

With threads of its own the model never waits for tests nor tests for the model, and several
programs are tested at once. What is then tested by a given time depends on the machine; without
threads the caller says how many mutants to test, and the same calls give the same results.

Mutants get little time at first, since so many of them hang. Those that were given up for that have
a second chance, with all the time: in turns with new ones once half of the time is over, or when
there are no new ones.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
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

    With threads, these call `mutant` and `solved` too, `solved` one at a time; all other methods
    are the caller's.
    """

    def __init__(
        self,
        verifier: Verifier,
        known: dict[str, Verdict],
        mutant: Callable[[], Candidate | None],
        solved: Callable[[], None],
        *,
        threads: int,
        deduplicate: bool = True,
    ) -> None:
        """`known` has verdicts by state key; `mutant` gives the next mutant, None for no more.

        `solved` is called for each repair, on the thread that tests. Up to so many `threads` test
        at once; with none the caller does.
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
        self._width = threads
        self._testing = 0  # how many threads are at it
        self._solving = threading.Lock()
        self._error: BaseException | None = None
        self._idle = False
        self._news = 0  # how often there may have been new mutants
        self._over = False  # the time is up, or the user cancelled: every verdict would say so
        #: How many different programs were tested, by their kind.
        self.kinds: Counter[str] = Counter()
        self._threads = [
            threading.Thread(
                target=self._work, args=(number,), name=f"coe-tests-{number}", daemon=True
            )
            for number in range(threads)
        ]

    def start(self) -> None:
        """Begin testing mutants, if there are threads for it."""
        for thread in self._threads:
            thread.start()

    def widen(self, width: int) -> None:
        """Let so many threads test from now on, of those that there are."""
        with self._wake:
            self._width = width
            self._wake.notify_all()

    def pause(self) -> None:
        """Test nothing until `resume`; returns once the runs in progress have ended."""
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

        Without threads this is where it happens: all that was submitted, then up to `mutants`
        mutants. Raises what went wrong on a thread.
        """
        if not self._threads:
            while self._waiting:
                self._tested.append(self._test(self._waiting.popleft()))
            for _ in range(mutants):
                candidate, again = self._next_mutant()
                self._idle = candidate is None
                if candidate is None:
                    break
                self._tested.append(self._test(candidate, again=again))
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
            self._news += 1
            self._wake.notify_all()

    @property
    def attempts(self) -> int:
        """How many different programs were tested."""
        return self.kinds.total()

    @property
    def idle(self) -> bool:
        """Whether nothing is left to test nor under way, and all results were fetched."""
        with self._lock:
            rest = self._waiting or self._tested or self._hasty or self._testing
            return self._idle and not rest

    def wait(self, seconds: float) -> None:
        """Until there is a result, all is tested, or the time is up."""
        if not self._threads:
            return
        with self._wake:
            self._wake.wait_for(lambda: self._tested or self._stopped or self._error, seconds)

    def stop(self) -> None:
        """Test nothing more; runs in progress are not waited for."""
        with self._wake:
            self._stopped = True
            self._waiting.clear()
            self._wake.notify_all()

    def join(self) -> None:
        """Wait for the runs in progress, after `stop`."""
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def _work(self, number: int) -> None:
        try:
            while True:
                with self._wake:
                    self._wake.wait_for(
                        lambda: self._stopped or not (self._paused or number >= self._width)
                    )
                    if self._stopped or self._over:
                        return
                    self._testing += 1
                    news = self._news
                    candidate = self._waiting.popleft() if self._waiting else None
                tested = self._one(candidate)
                with self._wake:
                    self._testing -= 1
                    if tested is not None:
                        self._tested.append(tested)  # after `stop` too: it may be a repair
                    self._idle = tested is None and self._news == news
                    self._wake.notify_all()
                    if tested is None and not self._stopped:
                        self._wake.wait(0.1)
        except BaseException as error:  # handed to whoever asks for results
            with self._wake:
                self._error = self._error or error
                self._testing -= 1
                self._wake.notify_all()

    def _one(self, candidate: Candidate | _ToTrace | None) -> Tested | Traced | None:
        """What was asked for, or the next mutant, tested; None if there is neither."""
        if candidate is not None:
            return self._test(candidate)
        mutant, again = self._next_mutant()
        return None if mutant is None else self._test(mutant, again=again)

    def _next_mutant(self) -> tuple[Candidate | None, bool]:
        """A new one, or one that was given up too early and is tested again."""
        late = time.monotonic() > self._half_time
        with self._lock:
            turn = bool(self._hasty) and late and not self._second_chance
        candidate = None if turn else self._mutant()
        with self._lock:
            self._second_chance = candidate is None and bool(self._hasty)
            if self._second_chance:
                return self._hasty.popleft(), True
        return candidate, False

    def _test(self, candidate: Candidate | _ToTrace, *, again: bool = False) -> Tested | Traced:
        if isinstance(candidate, _ToTrace):
            verdict = self._verifier.judge(candidate.state.lines)
            scores = self._verifier.suspiciousness(candidate.state.lines)
            return Traced(candidate.state, verdict, scores)
        key = state_key(candidate.lines) if self._deduplicate else "\n".join(candidate.lines)
        if not again and (known := self._verdict_of(key)) is not None:
            return Tested(candidate, known, True, self._broken.get(key, ()))
        # Most mutants win nothing. What the model is to read must be true in every line.
        hot = candidate.origin == "mutation"
        verdict = self._verifier.judge(candidate.lines, hot=hot, hasty=hot and not again)
        if verdict.cancelled:
            self._over = True
            return Tested(candidate, verdict, False)
        breaks = self._verifier.breaks(candidate.lines) if verdict.solved else ()
        with self._lock:
            # Another thread may have been at the same program.
            if not again and (known := self._verdict_of(key)) is not None:
                return Tested(candidate, known, True, self._broken.get(key, ()))
            self.kinds[candidate.kind or candidate.origin] += not again
            self._known[key], self._broken[key] = verdict, breaks
            if verdict.hasty:
                self._hasty.append(candidate)
        if verdict.solved and not breaks:
            with self._solving:
                self._solved()
        return Tested(candidate, verdict, False, breaks)

    def _verdict_of(self, key: str) -> Verdict | None:
        return self._known.get(key) if self._deduplicate else None
