"""One repair from start to end: run the tests, search the suspect places, tell what came of it.

It reads the user's files and runs the user's tests in the worker; it writes nothing. The model is
asked for only when there is something to repair. Where to look is said by `FileSites` for a file
that was named and by `ProjectSites` for tests; how long at each place by the `Portfolio`; what
counts as repaired by `Acceptance`.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from attrs import evolve, frozen

from coe_lsp.errors import CoeError
from coe_lsp.escaping import in_backticks
from coe_lsp.execution.suite import Run
from coe_lsp.repair.behaviour import tell_apart
from coe_lsp.repair.deadline import Deadline
from coe_lsp.repair.file_sites import FileSites
from coe_lsp.repair.lazy_policy import LazyPolicy
from coe_lsp.repair.outcome import Counts, Outcome, Partly, PlaceTried, Seconds, merged
from coe_lsp.repair.policy.protocol import LoadedPolicy
from coe_lsp.repair.portfolio import Portfolio, Tried
from coe_lsp.repair.processes import Processes
from coe_lsp.repair.project_sites import ProjectSites
from coe_lsp.repair.reasons import Effort
from coe_lsp.repair.report import (
    count,
    replay_chain,
    report_success,
    show_patch,
    with_revert,
)
from coe_lsp.repair.request import Request, Watcher
from coe_lsp.repair.search.ranking import MOST_SHOWN, PassingProgram
from coe_lsp.repair.search.states import State
from coe_lsp.repair.site import Base, Site
from coe_lsp.repair.sites import Sites
from coe_lsp.repair.target.source import SourceFile
from coe_lsp.repair.warm import WarmRunners

# Seconds that running the tests as they are may take, if the budget is less.
_LEAST_FOR_TESTS = 30.0
# How long it may take to see what is a part of a repair, once the time is up.
_SECONDS_FOR_HALVES = 15.0
# What looking at the user's own changes may take of the budget.
_SHARE_FOR_REVERTS = 0.25


@frozen
class _Won:
    """A change that makes some of the named tests pass, and the tests that are `left`."""

    base: Base
    left: tuple[str, ...]


class Repair:
    """A repair that can be cancelled from another thread.

    `run` searches the suspect places in turns until one is repaired. Where tests were named and a
    repair wins some of them, not all, it stays in place while the rest are looked after, and is
    told as a part of a repair if they cannot be won. The model is loaded once, when mutations alone
    have not been enough for a moment, and kept for all that follows.
    """

    def __init__(
        self,
        request: Request,
        load_policy: Callable[[], AbstractContextManager[LoadedPolicy]] | None,
        watcher: Watcher,
        *,
        load_second: Callable[[], AbstractContextManager[LoadedPolicy]] | None = None,
        head_start: float = 0.0,
        warm: WarmRunners | None = None,
    ) -> None:
        """`load_policy` None: without a model. It is loaded once mutations had the `head_start`.

        `load_second` is for a larger model that joins where that is not enough, None for none.
        Test processes are taken from `warm` and left there, if given.
        """
        self._request = request
        self._policy, self._second = LazyPolicy(load_policy), LazyPolicy(load_second)
        self._head_start = head_start
        self._watcher = watcher
        # The tests as they are take no longer than the user wants to wait for a repair.
        self._longest = max(request.budget, _LEAST_FOR_TESTS)
        self._processes = Processes(warm or WarmRunners(room=0), self._longest)
        self._cancelled = threading.Event()
        self._deadline = Deadline()
        self._portfolio: Portfolio | None = None
        self._confirming = False
        self._part: _Won | None = None
        self._started = 0.0

    def cancel(self) -> None:
        """Look no further: `run` returns soon, with the repair if there is one already."""
        self._cancelled.set()
        self._policy.interrupt()
        self._second.interrupt()
        if not self._is_repaired:
            self._processes.cancel()

    def settle(self) -> bool:
        """Look no further if there is a repair, or a part of one.

        False if there is none, or that was asked before. May be called in the midst of `run`, by a
        signal.
        """
        if self._cancelled.is_set() or not (self._is_repaired or self._part):
            return False
        self.cancel()
        return True

    @property
    def _is_repaired(self) -> bool:
        """Whether some place is: what this round came to, or will once that is confirmed."""
        return self._confirming or (self._portfolio is not None and self._portfolio.solved)

    @property
    def spent(self) -> float | None:
        """Seconds of the budget that the search has had; None before it has begun."""
        left = self._deadline.left()
        return None if left == float("inf") else max(0.0, self._request.budget - left)

    def abandon(self) -> None:
        """Stop everything; `run` returns at once with nothing of use."""
        self.cancel()
        self._processes.cancel()

    def run(self) -> Outcome:
        """Repair. Raises CoeError for whatever the user has to put right first."""
        self._started = time.monotonic()
        with self._processes as processes:
            sites = self._open_sites()
            try:
                outcome, places = sites.open(processes, self._watcher, self._deadline)
            except CoeError:
                if not self._cancelled.is_set():
                    raise
                outcome, places = Outcome("failed", self._request.way.file), []
            if self._cancelled.is_set():
                outcome = evolve(outcome, status="failed", message="Cancelled.")
            elif outcome.status == "failed":
                self._deadline.end = time.monotonic() + self._request.budget
                seconds = _SHARE_FOR_REVERTS * self._request.budget
                revert = sites.find_revert(Deadline(time.monotonic() + seconds))
                with self._policy, self._second:
                    outcome = self._repair(sites, outcome, places)
                if revert is not None and not self._cancelled.is_set():
                    outcome = with_revert(outcome, revert)
            spent = evolve(
                outcome.seconds,
                total=time.monotonic() - self._started,
                model=outcome.seconds.model + self._policy.seconds + self._second.seconds,
                tests=processes.seconds,
            )
            return evolve(outcome, seconds=spent, tests_run=processes.runs)

    def _open_sites(self) -> Sites:
        request, way = self._request, self._request.way
        if way.path is None:
            return ProjectSites(way, request.options, self._longest, request.unsaved)
        source = request.source or SourceFile.read(way.path)
        source = evolve(source, path=way.path)
        return FileSites(source, way.function, request.options, self._longest)

    # -- rounds

    def _repair(
        self, sites: Sites, outcome: Outcome, places: Sequence[tuple[Site, float]]
    ) -> Outcome:
        """Search until all that was named passes; each round has the last one's repair in place."""
        while places and not self._cancelled.is_set():
            outcome, more, over = self._search(sites, outcome, places)
            if outcome.status == "repaired":
                return outcome
            won = self._part
            if more is None or (won is not None and not set(more.left) < set(won.left)):
                break  # what a round wins must not be lost again
            self._part = more
            self._confirming = False
            if over:
                break
            try:
                places = sites.beside(more.base, more.left)
            except CoeError:  # cancelled, or no test can be run with that change
                break
        if self._part is None:
            return outcome
        found = _partly(outcome, self._part, sites.targets)
        if (problem := self._policy.problem) is not None:  # with the model it might be a whole one
            found = evolve(found, message=f"{found.message} {problem}")
        return found

    def _search(
        self, sites: Sites, outcome: Outcome, places: Sequence[tuple[Site, float]]
    ) -> tuple[Outcome, _Won | None, bool]:
        """One round: the outcome so far, what wins some tests, whether nothing more can be won."""

        def grow(site: Site, half: State) -> Sequence[tuple[Site, float]]:
            try:
                return sites.grow(site, half)
            except CoeError:  # no test can be run with the better version
                return []

        settings = evolve(self._request.search, samples=self._request.samples)
        with Portfolio(
            settings,
            self._deadline,
            self._policy,
            self._second,
            self._watcher,
            self._cancelled.is_set,
            self._head_start,
            grow,
        ) as portfolio:
            self._portfolio = portfolio
            for site, weight in places:
                portfolio.add(site, weight)
            doubted = False
            while (solved := portfolio.run()) is not None:
                self._confirming = True
                confirmed = sites.confirm(solved.site, solved.found.patches)
                if not confirmed:
                    self._confirming, doubted = False, True
                    continue
                outcome = self._counted(outcome, portfolio.tried())
                program, run = confirmed[0]
                if left := sites.left(run):
                    base = Base(solved.site, program.lines, program.commands)
                    self._portfolio = None
                    return outcome, _Won(base, left), False
                programs = [program for program, _ in confirmed]
                if not self._cancelled.is_set():
                    programs = tell_apart(solved.site, programs, self._cancelled.is_set)
                return self._report(sites, solved.site, programs, run, outcome), None, True
            tried = portfolio.tried()
            outcome = self._counted(outcome, tried)
        self._portfolio = None
        half = self._best_half(sites, tried)
        if half is None and self._policy.problem is not None:
            raise self._policy.problem
        return self._report_failure(sites, tried, outcome, doubted=doubted), half, True

    def _best_half(self, sites: Sites, tried: Sequence[Tried]) -> _Won | None:
        """Of changes that win some of the named tests the first that breaks nothing."""
        halves = [(place.site, place.half) for place in tried if place.half is not None]
        halves.sort(key=lambda entry: -entry[1].verdict.passed)
        deadline = Deadline(time.monotonic() + _SECONDS_FOR_HALVES)
        for site, half in halves:
            if self._cancelled.is_set() or deadline.left() <= 0:
                return None
            left = sites.half(site, half)
            if left is not None:
                return _Won(Base(site, half.lines, half.commands), left)
        return None

    # -- what is told

    def _counted(self, outcome: Outcome, tried: Sequence[Tried]) -> Outcome:
        """The outcome with what the searches of a round have cost."""
        firsts = [t.found.first_at - self._started for t in tried if t.found.first_at is not None]
        seconds = Seconds(
            model=outcome.seconds.model + sum(t.found.model_seconds for t in tried),
            first=min(firsts, default=outcome.seconds.first),
        )
        loaded = self._second.loaded or self._policy.loaded
        return evolve(
            outcome,
            attempts=outcome.attempts + sum(t.found.tested for t in tried),
            kinds=sum((Counter(t.found.kinds) for t in tried), Counter(outcome.kinds)),
            seconds=seconds,
            places=merged((*outcome.places, *map(_place, tried))),
            model=loaded.model if loaded else None,
        )

    def _report(
        self,
        sites: Sites,
        site: Site,
        programs: Sequence[PassingProgram],
        run: Run,
        outcome: Outcome,
    ) -> Outcome:
        """The outcome with the repairs that a search found, all tests run once more."""
        shown = [show_patch(site, program) for program in programs[:MOST_SHOWN]]
        after = Counts(run.passed, len(run.failures))
        tests, acceptance = sites.accepted(site, run)
        found = report_success(outcome, site, shown, after, tests, acceptance)
        if failing := sites.still_failing(site, programs[0]):
            verb = "fails" if len(failing) == 1 else "fail"
            still = f"Not named, and still {verb}: {_named(failing)}."
            found = evolve(found, message=f"{found.message} {still}")
        if others := [program.differs for program in programs[1:MOST_SHOWN] if program.differs]:
            found = evolve(found, message=f"{found.message} Another repair differs: {others[0]}.")
        return evolve(found, chain=replay_chain(site, programs[0].commands, run))

    def _report_failure(
        self, sites: Sites, tried: Sequence[Tried], outcome: Outcome, *, doubted: bool
    ) -> Outcome:
        """The outcome without a repair; the first place's best chain tells how far it went."""
        if outcome.chain or not tried:
            return outcome
        chain = replay_chain(tried[0].site, tried[0].found.closest.commands)
        if self._cancelled.is_set():
            return evolve(outcome, chain=chain, message="Cancelled.")
        message = "No repair was found in time."
        if doubted:
            message = "What passed its tests failed them when asked again."
        elif all(t.found.exhausted for t in tried):
            message = "No repair was found, and nothing is left to try."
        effort = Effort(sum(t.seconds for t in tried), sum(t.found.tested for t in tried))
        said = [message, sites.why_no_repair(effort), self._second.problem]
        message = " ".join(str(text) for text in said if text)
        return evolve(outcome, chain=chain, message=message)


def _place(tried: Tried) -> PlaceTried:
    site, found = tried.site, tried.found
    best = found.closest.verdict
    passed = best.total if found.patches else best.passed
    return PlaceTried(
        site.file,
        site.target.name,
        site.reason,
        tried.seconds,
        found.tested,
        passed,
        best.total - passed,
    )


def _partly(outcome: Outcome, won: _Won, targets: Sequence[str]) -> Outcome:
    """The outcome with a change that is a part of a repair."""
    patch = won.base.patch
    repaired = tuple(test for test in targets if test not in won.left)
    message = (
        f"A change of {' and '.join(map(in_backticks, patch.names))} makes {len(repaired)} of "
        f"{count(len(targets), 'test')} pass, but not {_named(won.left)}."
    )
    partly = Partly(patch.diff(won.base.site.sources), repaired, won.left)
    return evolve(outcome, status="failed", message=message, partly=partly)


def _named(tests: Sequence[str]) -> str:
    return tests[0] if len(tests) == 1 else f"{tests[0]} and {len(tests) - 1} more"
