"""Runs chains of edits side by side until one of them passes all tests or the time is up.

Rounds: the policy proposes one command for each living chain, every new state is tested while the
others are still being decoded, then all chains move on together. A chain that ends without success
is replaced by a fresh one. The same seed gives the same chains as long as no time limit cuts in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from coe_lsp.chain.episode import Attempt, Episode
from coe_lsp.chain.prompt import TaskDescription
from coe_lsp.repair.task import feedback_text, scratchpad
from coe_lsp.repair.verify import Verdict, Verifier

if TYPE_CHECKING:  # it loads llama.cpp, which takes a second that the tests need not wait for
    from coe_lsp.repair.policy import Policy, Proposal


@frozen
class Step:
    """One turn of one chain, as it is told to whoever watches."""

    chain: int
    turn: int
    command: str
    passed: int
    total: int
    error: str | None


@frozen
class Search:
    """How far to look. `max_turns` bounds one chain, `samples` how many live at a time.

    `focus` has lines (1-based, of the scratchpad) for the first turns of fresh chains, one after
    the other; three of four chains get one, the fourth edits what it likes. A model that was not
    trained for the task cannot tell which line to edit, and a chain of its that gets nowhere in its
    first turn seldom recovers: with a focus such chains are dropped at once.
    """

    samples: int = 16
    max_turns: int = 10
    deadline: float = float("inf")
    focus: tuple[int, ...] = ()


@define
class Found:
    """What came of it. `episode` is the chain that passed, else the one that came closest."""

    solved: bool
    episode: Episode
    verdicts: list[Verdict]
    attempts: int
    model_seconds: float = 0.0


@define
class _Chain:
    episode: Episode
    verdicts: list[Verdict] = field(factory=list[Verdict])
    stuck: bool = False  # it got no proposal, and will get none


def run_chains(
    policy: Policy,
    verifier: Verifier,
    task: TaskDescription,
    lines: Sequence[str],
    search: Search,
    watch: Callable[[Step], None],
    cancelled: Callable[[], bool],
) -> Found:
    """Look for a chain of edits after which every test of the verifier passes."""
    return _Runner(policy, verifier, task, lines, search, watch, cancelled).run()


class _Runner:
    def __init__(
        self,
        policy: Policy,
        verifier: Verifier,
        task: TaskDescription,
        lines: Sequence[str],
        search: Search,
        watch: Callable[[Step], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self._policy = policy
        self._verifier = verifier
        self._task = task
        self._search = search
        self._watch = watch
        self._cancelled = cancelled
        self._first = verifier.function.first
        before = verifier.first()
        self._start = scratchpad(lines, before, self._first)
        self._known: dict[tuple[str, ...], Verdict] = {self._start.lines: before}
        self._next = 0
        self._attempts = 0
        self._best = _Chain(self._fresh())
        self._best_passed = before.passed
        self._decoding = 0.0

    def run(self) -> Found:
        living: dict[int, _Chain] = {}
        tester = ThreadPoolExecutor(1, "coe-tests")
        try:
            while not self._over():
                while len(living) < self._search.samples:
                    living[self._next] = _Chain(self._fresh())
                    self._next += 1
                winner = self._round(living, tester)
                if winner is not None:
                    return self._found(True, winner)
                for number in [n for n in living if self._ended(living[n])]:
                    self._policy.forget(number)
                    del living[number]
            return self._found(False, self._best)
        finally:
            # Nobody waits for what is queued, least of all who pressed Ctrl-C.
            tester.shutdown(wait=False, cancel_futures=True)

    def _ended(self, chain: _Chain) -> bool:
        if chain.stuck or chain.episode.done:
            return True
        first = self._known[self._start.lines].passed
        tried = bool(chain.verdicts) and chain.verdicts[-1].passed <= first
        return bool(self._search.focus) and tried

    def _focus(self, living: dict[int, _Chain]) -> dict[int, int]:
        """The line for the first turn of each fresh chain that gets one."""
        lines = self._search.focus
        fresh = [n for n in living if lines and not living[n].episode.turns and n % 4 != 3]
        # Counting only chains with a focus, so that every line gets its turn.
        return {number: lines[(number - number // 4) % len(lines)] for number in fresh}

    def _fresh(self) -> Episode:
        return Episode(self._task, self._start, max_turns=self._search.max_turns)

    def _found(self, solved: bool, chain: _Chain) -> Found:
        for number in range(self._next):
            self._policy.forget(number)
        return Found(solved, chain.episode, chain.verdicts, self._attempts, self._decoding)

    def _over(self) -> bool:
        return self._cancelled() or time.monotonic() >= self._search.deadline

    def _round(self, living: dict[int, _Chain], tester: ThreadPoolExecutor) -> _Chain | None:
        """One command for each chain; the chain that solved it, if one did."""
        waiting: list[tuple[Proposal, Attempt, Future[Verdict]]] = []
        solved = False

        def stop() -> bool:
            nonlocal solved
            solved = solved or any(f.done() and f.result().solved for _, _, f in waiting)
            return solved or self._over()

        asked = {number: chain.episode for number, chain in living.items()}
        started = time.monotonic()
        for proposal in self._policy.propose(asked, self._focus(living), stop):
            attempt = living[proposal.chain].episode.attempt(proposal.text)
            waiting.append(
                (proposal, attempt, self._judge(attempt, living[proposal.chain], tester))
            )
        self._decoding += time.monotonic() - started
        proposed = {proposal.chain for proposal, _, _ in waiting}
        for number, chain in living.items():
            chain.stuck = number not in proposed
        # In order of chains, not of arrival: timing must not decide which of two repairs wins.
        for proposal, attempt, future in sorted(waiting, key=lambda item: item[0].chain):
            if (solved or self._over()) and not future.done():
                future.cancel()
                continue
            chain = living[proposal.chain]
            if self._extend(chain, proposal, attempt, future.result()):
                return chain
        return None

    def _judge(
        self, attempt: Attempt, chain: _Chain, tester: ThreadPoolExecutor
    ) -> Future[Verdict]:
        """The verdict on an attempt: tested once for each state, however many chains reach it."""
        lines = attempt.pad.lines
        if lines in self._known:
            future: Future[Verdict] = Future()
            future.set_result(self._known[lines])
            return future
        return tester.submit(self._test, lines)

    def _test(self, lines: tuple[str, ...]) -> Verdict:
        if lines not in self._known:
            self._attempts += 1
            verdict = self._verifier.judge(lines)
            if verdict.cancelled:
                return verdict
            self._known[lines] = verdict
        return self._known[lines]

    def _extend(
        self, chain: _Chain, proposal: Proposal, attempt: Attempt, verdict: Verdict
    ) -> bool:
        """Move a chain on; True if it now passes everything, the other tests of the file too."""
        lines = attempt.pad.lines
        solved = verdict.solved
        if solved and self._verifier.breaks(lines):
            solved = False
        feedback = feedback_text(verdict, self._first, len(lines))
        chain.episode = chain.episode.extend(attempt, feedback, solved)
        chain.verdicts.append(verdict)
        self._watch(
            Step(
                proposal.chain,
                len(chain.episode.turns),
                proposal.text,
                verdict.passed,
                verdict.total,
                chain.episode.turns[-1].error,
            )
        )
        if verdict.passed > self._best_passed:
            self._best_passed = verdict.passed
            self._best = _Chain(chain.episode, list(chain.verdicts))
        return solved
