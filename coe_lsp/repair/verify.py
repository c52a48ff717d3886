"""Runs the tests of one file: first as it is, then with candidates of one function in place.

`Baseline` is what held before: which tests fail, which functions are suspect. `Verifier` judges
candidates of one function against it. Nothing here knows about models or edits.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from attrs import evolve, frozen

from coe_lsp.execution.interpreter import Interpreter
from coe_lsp.execution.localise import Suspicion, rank, suspicion
from coe_lsp.execution.sandbox import Sandbox
from coe_lsp.execution.suite import Limits, Run, Suite, TestResult
from coe_lsp.execution.worker import Held, Worker
from coe_lsp.repair.deadline import Deadline
from coe_lsp.repair.source import Function, SourceFile

_TRACED_PASSING = 60
_GUARDS = 200
# Ids under which a suite reports that none of its tests could run.
_WHOLE_SUITE = frozenset({"doctest", "program", "pytest", "collection"})
_DOCTEST = re.compile(r"doctest(::.*)?\Z", re.DOTALL)
_STATEMENT = re.compile(r"(assert \d+|program)\Z")
# A candidate may be this many times slower than the original before it counts as hanging.
_SLOWER = 5.0
_UNKNOWN = 0.02
# Seconds for a test after one has hung, after two have, and for one that hangs while watched.
_HANGING = (1.0, 0.3)
_TRACED_HANGING = 0.3
# How many failing tests a hasty verdict begins with.
_QUICK = 6
# What even the fastest test gets, in seconds of wall time and of processor time.
_PATIENCE = 0.5
_CPU_PATIENCE = 0.1


class TestBench:
    """The workers of a file's suites, asked one after the other. Cancellable from any thread."""

    __test__ = False

    def __init__(
        self,
        suites: Sequence[Suite],
        interpreter: Interpreter,
        sandbox: Sandbox,
        limits: Limits | None = None,
    ) -> None:
        self.limits = limits or Limits(wall_seconds=60.0)
        self._workers = [Worker(suite, interpreter, sandbox, self.limits) for suite in suites]
        self._cancelled = threading.Event()
        self.runs = 0
        self.seconds = 0.0

    @property
    def suites(self) -> tuple[Suite, ...]:
        """The suites in the order in which they run."""
        return tuple(worker.suite for worker in self._workers)

    def run(
        self,
        source: bytes,
        select: Sequence[str] | None = None,
        *,
        coverage: bool = False,
        limits: Limits | None = None,
        base: tuple[bytes, Sequence[str]] | None = None,
    ) -> Run:
        """One run of all suites together. `select` names tests by id across them.

        With a `base`, a program and tests to hold (see `Worker.run`), it is quicker and may in rare
        cases be wrong.
        """
        runs: list[Run] = []
        for worker in self._workers:
            chosen = None if select is None else _chosen(select, worker.suite)
            if chosen == []:
                continue
            if self._cancelled.is_set():
                runs.append(Run("cancelled", "cancelled", ()))
                break
            limits = limits or self.limits
            held = None
            if base is not None and (tests := _chosen(base[1], worker.suite)):
                held = Held(base[0], frozenset(tests))
            run = worker.run(source, chosen, coverage=coverage, limits=limits, base=held)
            self.runs += 1
            self.seconds += run.seconds
            runs.append(run)
        return _merge(runs)

    def cancel(self) -> None:
        """End the run in progress and refuse further ones."""
        self._cancelled.set()
        for worker in self._workers:
            worker.cancel()

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.close()

    def __enter__(self) -> TestBench:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _chosen(select: Sequence[str], suite: Suite) -> list[str] | None:
    """Those tests that are the suite's; None for the whole of it."""
    chosen = [test for test in select if _belongs(test, suite)]
    return chosen if _WHOLE_SUITE.isdisjoint(chosen) else None


def _belongs(test: str, suite: Suite) -> bool:
    if _DOCTEST.match(test):
        return suite.kind == "doctest"
    if _STATEMENT.match(test):
        return suite.kind == "asserts"
    return suite.kind in ("pytest", "unittest")


def _merge(runs: Sequence[Run]) -> Run:
    bad = next((run for run in runs if run.status != "completed"), None)
    lines: dict[str, frozenset[int]] = {}
    entries: dict[str, frozenset[int]] = {}
    for run in runs:
        lines.update(run.lines)
        entries.update(run.entries)
    return Run(
        status=bad.status if bad else "completed",
        detail=bad.detail if bad else "",
        results=tuple(result for run in runs for result in run.results),
        collected=tuple(test for run in runs for test in run.collected),
        lines=lines,
        entries=entries,
        output="".join(run.output for run in runs),
        seconds=sum(run.seconds for run in runs),
    )


@frozen
class Baseline:
    """What the tests say of the file as it is. Line numbers are those of the file.

    `missing` tests were found but did not run, since the process ended before; `detail` says why.
    """

    source: SourceFile
    results: Mapping[str, TestResult]
    lines: Mapping[str, frozenset[int]]
    entries: Mapping[str, frozenset[int]]
    suspicion: Suspicion
    seconds: float
    detail: str
    missing: tuple[str, ...] = ()

    @property
    def failing(self) -> tuple[TestResult, ...]:
        """The tests that fail."""
        return tuple(result for result in self.results.values() if result.failing)

    @property
    def passed(self) -> int:
        """How many tests pass."""
        return sum(result.outcome == "passed" for result in self.results.values())

    def suspects(self) -> list[Function]:
        """Functions that failing tests run, most suspect first; innermost ones before those around.

        If no failing test runs any (the file cannot be imported, say), those around the lines that
        the failures name, or none.
        """
        functions = self.source.functions()
        ranked = [
            functions[i] for i in rank([(f.first, f.last) for f in functions], self.suspicion)
        ]
        if ranked:
            return ranked
        named = {result.line for result in self.failing if result.line is not None}
        return [f for f in reversed(functions) if any(f.first <= n <= f.last for n in named)]

    def concerns(self, function: Function) -> bool:
        """Whether a failing test runs the function, or may do so unseen."""
        return any(
            test.id not in self.lines or self.runs(test.id, function) for test in self.failing
        )

    def goal(self, function: Function) -> tuple[str, ...]:
        """The failing tests that a repair of the function must make pass.

        Those that call the function directly, if there are any: a test that reaches it through
        another function may fail for that one's sake. Else all failing tests that run it; and if
        none was seen to run it, all failing tests.
        """
        failing = [result.id for result in self.failing]
        direct = {test for test in failing if function.first in self.entries.get(test, ())}
        chosen = direct or {test for test in failing if self.runs(test, function)}
        # Of tests that hang only some were watched.
        chosen |= {test for test in failing if test not in self.lines} if chosen else set(failing)
        return tuple(test for test in failing if test in chosen)

    def guards(self, function: Function) -> tuple[str, ...]:
        """Passing tests that a repair must not break; the first ones if there are many."""
        passing = [test for test, result in self.results.items() if result.outcome == "passed"]
        running = [t for t in passing if t not in self.lines or self.runs(t, function)]
        return tuple(running[:_GUARDS])

    def runs(self, test: str, function: Function) -> bool:
        """Whether a test was seen to run the function."""
        # The line of the `def` itself runs at import, not in a call.
        return any(function.first < n <= function.last for n in self.lines.get(test, ()))


def measure(bench: TestBench, source: SourceFile) -> Baseline:
    """Run all tests once, then the failing and a sample of the passing ones with coverage.

    Once a test has hung for as long as one may, the others get less.
    """
    data = source.encode(source.lines)
    plain = _all_tests(bench, data)
    results = {result.id: result for result in plain.results}
    failing = [result.id for result in plain.failures]
    hanging = [result.id for result in plain.results if result.outcome == "timeout"]
    passing = [result.id for result in plain.results if result.outcome == "passed"]
    traced = Run("completed", "", ())
    if failing and plain.collected:
        step = max(1, len(passing) // _TRACED_PASSING)
        chosen = [test for test in failing if test not in hanging] + passing[::step]
        runs = [bench.run(data, chosen, coverage=True)] if chosen else []
        if hanging:
            limits = evolve(bench.limits, test_seconds=_TRACED_HANGING)
            runs.append(bench.run(data, hanging[:2], coverage=True, limits=limits))
        traced = _merge(runs)
    return Baseline(
        source=source,
        results=results,
        lines=traced.lines,
        entries=traced.entries,
        suspicion=suspicion(results.values(), traced.lines),
        seconds=plain.seconds,
        detail=plain.detail,
        missing=tuple(test for test in plain.collected if test not in results),
    )


def _all_tests(bench: TestBench, data: bytes) -> Run:
    runs = [bench.run(data, limits=evolve(bench.limits, timeouts=1))]
    collected = runs[0].collected
    for patience in _HANGING:
        results = {result.id: result for run in runs for result in run.results}
        rest = [test for test in collected if test not in results]
        if not rest or runs[-1].results[-1:] == () or runs[-1].results[-1].outcome != "timeout":
            break
        slowest = max((r.seconds for r in results.values() if r.outcome == "passed"), default=0.0)
        seconds = min(bench.limits.test_seconds, max(patience, _SLOWER * slowest))
        timeouts = None if patience == _HANGING[-1] else 1
        limits = evolve(bench.limits, test_seconds=seconds, timeouts=timeouts)
        runs.append(bench.run(data, rest, limits=limits))
    return evolve(_merge(runs), collected=collected, status=runs[-1].status, detail=runs[-1].detail)


@frozen
class Verdict:
    """What the tests say of one candidate. Failure lines are those of the candidate file.

    A `brief` verdict has no details of failures, and may in rare cases be wrong.
    """

    results: tuple[TestResult, ...]
    passing: frozenset[str]
    total: int
    failures: tuple[TestResult, ...]
    cancelled: bool = False
    brief: bool = False

    @property
    def passed(self) -> int:
        """How many of the tests that matter pass."""
        return len(self.passing)

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
    passing = frozenset(test for test in tests if _passes(test, known))
    failures = tuple(result for result in results if result.failing)
    return Verdict(tuple(results), passing, len(tests), failures, cancelled)


class Verifier:
    """Judges candidates of one function."""

    def __init__(
        self,
        bench: TestBench,
        baseline: Baseline,
        function: Function,
        deadline: Deadline | None = None,
    ) -> None:
        """Past the `deadline` verdicts are `cancelled`."""
        self.function = function
        self._deadline = deadline or Deadline()
        self.goal = baseline.goal(function)
        self.guards = baseline.guards(function)
        self._bench = bench
        self._baseline = baseline
        results = baseline.results
        known = [results[test] for test in self.tests if test in results]
        # How long a test takes that hangs now, nobody knows; what passes seldom takes seconds.
        times = [_UNKNOWN if r.outcome == "timeout" else r.seconds for r in known]
        self._limits = limits_for(bench.limits, times)
        self._quick = quickest(self.goal, results)
        self._base = baseline.source.encode(baseline.source.lines), self.tests

    @property
    def tests(self) -> tuple[str, ...]:
        """All tests that a candidate is run against, the failing ones first."""
        return (*self.goal, *self.guards)

    def first(self) -> Verdict:
        """The verdict on the function as it is, from the baseline."""
        return verdict([self._baseline.results[test] for test in self.tests], self.tests)

    def judge(self, lines: Sequence[str], *, late: bool = False, hasty: bool = False) -> Verdict:
        """Run the tests with the function's lines changed to `lines`; `late`: past the deadline.

        `hasty`: first a few of the failing tests, with the quickest means; if none is won that is
        all, and the verdict is brief, as it is if some are won. A repair is always judged in full.
        """
        try:
            data = self._baseline.source.encode(self._baseline.source.replace(self.function, lines))
        except UnicodeEncodeError as error:
            detail = f"the file's encoding cannot hold {error.object[error.start]!r}"
            return verdict([], self.tests, detail=detail)
        if hasty:
            found = self._run(data, self._quick, late=late, swapped=True)
            if not found.passed or found.cancelled:
                return evolve(found, passing=frozenset(self.guards), total=len(self.tests))
            if len(self.tests) > len(self._quick):
                found = self._run(data, self.tests, late=late, swapped=True)
            if not found.solved:
                return found
        return self._run(data, self.tests, late=late)

    def _run(
        self, data: bytes, tests: Sequence[str], *, late: bool, swapped: bool = False
    ) -> Verdict:
        left = float("inf") if late else self._deadline.left()
        if left <= 0:
            return verdict([], tests, status="cancelled")
        limits = evolve(self._limits, wall_seconds=min(self._limits.wall_seconds, left))
        base = self._base if swapped else None
        run = self._bench.run(data, tests, limits=limits, base=base)
        over = run.status == "timeout" and limits != self._limits
        status = "cancelled" if over else run.status
        found = verdict(run.results, tests, detail=run.detail, status=status)
        return evolve(found, brief=swapped)

    def suspicion(self, lines: Sequence[str]) -> dict[int, float]:
        """How suspect the lines of a candidate are (1-based, of `lines`), by running it traced."""
        data = self._baseline.source.encode(self._baseline.source.replace(self.function, lines))
        run = self._bench.run(data, self.tests, coverage=True, limits=self._limits)
        first = self.function.first
        scores = suspicion(run.results, run.lines).lines
        return {n - first + 1: s for n, s in scores.items() if first <= n < first + len(lines)}

    def breaks(self, lines: Sequence[str]) -> tuple[str, ...]:
        """Tests of the file that passed before and no longer do: none in a good patch."""
        data = self._baseline.source.encode(self._baseline.source.replace(self.function, lines))
        run = self._bench.run(data)
        passed = {result.id for result in run.results if result.outcome == "passed"}
        before = (t for t, result in self._baseline.results.items() if result.outcome == "passed")
        return tuple(test for test in before if test not in passed)


def quickest(goal: Sequence[str], results: Mapping[str, TestResult]) -> tuple[str, ...]:
    """A few of the failing tests: of the quicker half some that lie apart, in their order."""
    seconds = {test: results[test].seconds for test in goal if test in results}
    half = sorted(goal, key=lambda test: seconds.get(test, 0.0))[: max(_QUICK, len(goal) // 2)]
    inside = [test for test in goal if test in half]
    if len(inside) <= _QUICK:
        return tuple(inside)
    return tuple(inside[n * len(inside) // _QUICK] for n in range(_QUICK))


def _passes(test: str, known: Mapping[str, TestResult]) -> bool:
    """Whether a test passed; what could not even be collected passes if all that is in it does."""
    if test in known:
        return known[test].outcome == "passed"  # to skip is not to pass
    inside = [
        result
        for name, result in known.items()
        if test in _WHOLE_SUITE or name.startswith(test + "::")
    ]
    return bool(inside) and not any(result.failing for result in inside)


def limits_for(limits: Limits, seconds: Sequence[float]) -> Limits:
    """Limits for candidates of a program whose tests took `seconds` each.

    Wrong edits often loop for ever: the faster a hanging candidate is given up, the better, so
    after the first test that hangs no other is run. Processor time bounds what a test computes,
    more generous wall time what it waits for.
    """
    slowest = _SLOWER * max(seconds, default=0.0)
    return evolve(
        limits,
        test_seconds=min(limits.test_seconds, _PATIENCE + slowest),
        cpu_seconds=min(limits.test_seconds, _CPU_PATIENCE + slowest),
        wall_seconds=min(limits.wall_seconds, 3 * _PATIENCE + _SLOWER * sum(seconds)),
        timeouts=1,
    )


def relative(path: Path, root: Path) -> str:
    """A path as it appears in diffs and messages."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
