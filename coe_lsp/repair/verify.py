"""Judges candidates of one function: the file's tests, with the candidate in its place.

Nothing here knows about models or edits.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from attrs import evolve, frozen

from coe_lsp.execution.localization import localize
from coe_lsp.execution.runner import SuiteRunner
from coe_lsp.execution.suite import Limits, Run, TestResult
from coe_lsp.repair.acceptance import Acceptance, passes
from coe_lsp.repair.deadline import Deadline
from coe_lsp.repair.forgery import machinery_in
from coe_lsp.repair.guards import Guards
from coe_lsp.repair.patch import BlockEdit, Patch
from coe_lsp.repair.target.baseline import Baseline
from coe_lsp.repair.target.source import Function

# A candidate may be this many times slower than the original before it counts as hanging.
_SLOWDOWN = 5.0
# Seconds that a test counts for which hangs as it is.
_SECONDS_OF_HANGING = 0.02
# What the fastest test gets at first, in seconds of processor and wall time: of what hangs then
# nearly all hangs for ever, and the rest has a second chance.
_QUICK_CPU_SECONDS, _QUICK_WALL_SECONDS = 0.03, 0.3
# How many failing tests a hot verdict begins with; fewer, but so many, if they take that long.
_FIRST_TESTS, _FIRST_TESTS_AT_LEAST, _FIRST_SECONDS = 6, 2, 0.1
# What even the fastest test gets, in seconds of wall time and of processor time.
_LEAST_WALL_SECONDS = 0.5
_LEAST_CPU_SECONDS = 0.1
# Runs that were late get this many times the time once more; so many of them may be late in vain.
_MORE_TIME = 6.0
_RETRIES = 3


@frozen
class Verdict:
    """What the tests say of one candidate. Failure lines are those of the candidate file.

    A `hot` verdict has no details of failures, and may in rare cases be wrong. One that is `hasty`
    gave up tests that might have ended, had they had the usual time.
    """

    results: tuple[TestResult, ...]
    passing: frozenset[str]
    total: int
    failures: tuple[TestResult, ...]
    cancelled: bool = False
    hot: bool = False
    hasty: bool = False

    @property
    def passed(self) -> int:
        """How many of the tests that matter pass."""
        return len(self.passing)

    @property
    def failed(self) -> int:
        """How many of the tests that matter do not pass."""
        return self.total - self.passed

    @property
    def solved(self) -> bool:
        """Whether every test that matters passes."""
        return self.passed == self.total and not self.cancelled


def verdict(
    results: Sequence[TestResult],
    tests: Sequence[str],
    *,
    detail: str = "",
    status: str = "completed",
) -> Verdict:
    """The verdict on a run for `tests`. `detail` says why, where there are no results at all."""
    cancelled = status == "cancelled"
    if not results:
        failure = TestResult("all tests", "error", detail)
        return Verdict((), frozenset(), len(tests), (failure,), cancelled)
    known = {result.id: result for result in results}
    passing = frozenset(test for test in tests if passes(test, known))
    failures = tuple(result for result in results if result.failing)
    return Verdict(tuple(results), passing, len(tests), failures, cancelled)


class Verifier:
    """Judges candidates of one function."""

    def __init__(
        self,
        runner: SuiteRunner,
        baseline: Baseline,
        function: Function,
        deadline: Deadline | None = None,
        acceptance: Acceptance | None = None,
        guards: Guards | None = None,
        preforked: Sequence[str] | None = None,
    ) -> None:
        """Past the `deadline` verdicts are `cancelled`.

        `acceptance` says what a repair must do beyond passing the function's own tests; by default
        break no other test of the file. `guards` are tests elsewhere that it must not break.
        `preforked` are tests that the runner's other verifiers need as well, these among them, so
        that a change from one to the other costs nothing.
        """
        self.function = function
        self._deadline = deadline or Deadline()
        self.target_tests = baseline.target_tests(function)
        self.covering_tests = baseline.covering_tests(function)
        self.acceptance = acceptance or Acceptance.of(baseline, self.target_tests)
        self._guards = guards
        self._runner = runner
        self._baseline = baseline
        results = baseline.results
        known = [results[test] for test in self.tests if test in results]
        # How long a test takes that hangs now, nobody knows; what passes seldom takes seconds.
        times = [_SECONDS_OF_HANGING if r.outcome == "timeout" else r.seconds for r in known]
        self._limits = limits_for(runner.limits, times, overhead=baseline.overhead)
        ended = [result.seconds for result in known if result.outcome != "timeout"]
        self._quick_limits = _quicker(self._limits, max(ended, default=0.0))
        self._first_tests = spread_of_quickest(self.target_tests, results)
        self._preforked = baseline.source.encode(baseline.source.lines), preforked or self.tests
        self._retries = _RETRIES

    @property
    def tests(self) -> tuple[str, ...]:
        """All tests that a candidate is run against, in the order in which the file's tests run.

        In any other order what one test leaves behind could make another pass.
        """
        mine = {*self.target_tests, *self.covering_tests}
        return tuple(test for test in self._baseline.results if test in mine)

    def first(self) -> Verdict:
        """The verdict on the function as it is, from the baseline."""
        return verdict([self._baseline.results[test] for test in self.tests], self.tests)

    def judge(
        self,
        lines: Sequence[str],
        *,
        late: bool = False,
        hot: bool = False,
        hasty: bool = False,
    ) -> Verdict:
        """Run the tests with the function's lines changed to `lines`; `late`: past the deadline.

        `hot`: first a few of the failing tests, with the quickest means; if none is won that is
        all, and the verdict is hot, as it is if some are won. A repair is always judged in full.
        `hasty`: what is hot gets little time at first, which the verdict says if it mattered.
        """
        try:
            data = self._bytes(lines)
        except UnicodeEncodeError as error:
            detail = f"the file's encoding cannot hold {error.object[error.start]!r}"
            return verdict([], self.tests, detail=detail)
        if named := machinery_in(lines, self._baseline.source.lines):
            return verdict([], self.tests, detail=f"code under test may not use {named}")
        if hot:
            found = self._run(data, self._first_tests, late=late, hot=True, hasty=hasty)
            if not found.passed or found.cancelled or found.hasty:
                return evolve(found, passing=frozenset(self.covering_tests), total=len(self.tests))
            if len(self.tests) > len(self._first_tests):
                found = self._run(data, self.tests, late=late, hot=True)
            if not found.solved:
                return found
        return self._run(data, self.tests, late=late, passed=hot)

    def _run(
        self,
        data: bytes,
        tests: Sequence[str],
        *,
        late: bool,
        hot: bool = False,
        passed: bool = False,
        hasty: bool = False,
    ) -> Verdict:
        """One run, and another with more time if the machine rather than the program was slow.

        That is so if no test hung, or if none did when they all `passed` a moment ago.
        """
        if self._left(late) <= 0:
            return verdict([], tests, status="cancelled")
        usual = self._quick_limits if hasty else self._limits
        limits = _within(usual, self._left(late))
        preforked = self._preforked if hot else None
        run = self._runner.run(data, tests, limits=limits, hot=preforked)
        if hasty and _hung(run):
            return evolve(verdict(run.results, tests), hot=hot, hasty=True)
        if _late(run) and (passed or not _hung(run)) and self._retries:
            limits = _within(_more(self._limits, self._runner.limits), self._left(late))
            run = self._runner.run(data, tests, limits=limits, hot=preforked)
            self._retries -= _late(run)
        over = run.status == "timeout" and limits.wall_seconds < self._limits.wall_seconds
        status = "cancelled" if over else run.status
        found = verdict(run.results, tests, detail=run.detail, status=status)
        return evolve(found, hot=hot)

    @property
    def seconds_left(self) -> float:
        """Until the deadline."""
        return self._deadline.left()

    def _left(self, late: bool) -> float:
        return float("inf") if late else self._deadline.left()

    def suspiciousness(self, lines: Sequence[str]) -> dict[int, float]:
        """How suspect the lines of a candidate are (1-based, of `lines`), by running it traced."""
        run = self._runner.run(self._bytes(lines), self.tests, coverage=True, limits=self._limits)
        first = self.function.first
        scores = localize(run.results, run.lines).lines
        return {n - first + 1: s for n, s in scores.items() if first <= n < first + len(lines)}

    def breaks(self, lines: Sequence[str]) -> tuple[str, ...]:
        """The tests for which a candidate is no repair after all: none for a repair.

        May take as long as the user allows the file's tests, past any deadline.
        """
        run = self._runner.run(self._bytes(lines), self.acceptance.select)
        return self.acceptance.unmet(run) or self.breaks_elsewhere(lines)

    def breaks_elsewhere(self, lines: Sequence[str]) -> tuple[str, ...]:
        """The tests of other files that no longer pass."""
        return self._guards.broken(self._bytes(lines)) if self._guards else ()

    def patch(self, file: str, lines: Sequence[str]) -> Patch:
        """The function's change as a patch of `file`."""
        return Patch((BlockEdit(file, self.function, tuple(lines)),))

    def _bytes(self, lines: Sequence[str]) -> bytes:
        source = self._baseline.source
        return source.encode(source.replace(self.function, lines))


def spread_of_quickest(
    target_tests: Sequence[str], results: Mapping[str, TestResult]
) -> tuple[str, ...]:
    """A few of the failing tests: of the quicker half some that lie apart, in their order.

    What nearly every candidate has to wait for should not be long: if they are slow, the quickest.
    """
    seconds = {test: results[test].seconds for test in target_tests if test in results}
    half = sorted(target_tests, key=lambda test: seconds.get(test, 0.0))[
        : max(_FIRST_TESTS, len(target_tests) // 2)
    ]
    inside = [test for test in target_tests if test in half]
    if len(inside) > _FIRST_TESTS:
        inside = [inside[n * len(inside) // _FIRST_TESTS] for n in range(_FIRST_TESTS)]
    quickest = sorted(inside, key=lambda test: seconds.get(test, 0.0))
    taken = itertools.accumulate(seconds.get(test, 0.0) for test in quickest)
    count = max(_FIRST_TESTS_AT_LEAST, sum(total <= _FIRST_SECONDS for total in taken))
    return tuple(test for test in inside if test in quickest[:count])


def _hung(run: Run) -> bool:
    return any(result.outcome == "timeout" for result in run.results)


def _late(run: Run) -> bool:
    return run.status == "timeout" or _hung(run)


def _within(limits: Limits, seconds: float) -> Limits:
    return evolve(limits, wall_seconds=max(0.0, min(limits.wall_seconds, seconds)))


def _quicker(limits: Limits, slowest: float) -> Limits:
    """The same with as little time for one test as can be without being wrong too often.

    `slowest` are the seconds of the slowest test that ended.
    """
    more = _SLOWDOWN * slowest
    return evolve(
        limits,
        cpu_seconds=min(limits.cpu_seconds or limits.test_seconds, _QUICK_CPU_SECONDS + more),
        test_seconds=min(limits.test_seconds, _QUICK_WALL_SECONDS + more),
    )


def _more(limits: Limits, most: Limits) -> Limits:
    """The same with more time, but not more than the user allows."""
    return evolve(
        limits,
        test_seconds=most.test_seconds,
        cpu_seconds=most.test_seconds,
        wall_seconds=min(most.wall_seconds, _MORE_TIME * limits.wall_seconds),
    )


def limits_for(limits: Limits, seconds: Sequence[float], *, overhead: float = 0.0) -> Limits:
    """Limits for candidates of a program whose tests took `seconds` each, `overhead` before them.

    Wrong edits often loop for ever: the faster a hanging candidate is given up, the better, so
    after the first test that hangs no other is run. Processor time bounds what a test computes,
    more generous wall time what it waits for.
    """
    slowest = _SLOWDOWN * max(seconds, default=0.0)
    return evolve(
        limits,
        test_seconds=min(limits.test_seconds, _LEAST_WALL_SECONDS + slowest),
        cpu_seconds=min(limits.test_seconds, _LEAST_CPU_SECONDS + slowest),
        wall_seconds=min(
            limits.wall_seconds, 3 * _LEAST_WALL_SECONDS + _SLOWDOWN * (overhead + sum(seconds))
        ),
        timeouts=1,
    )
