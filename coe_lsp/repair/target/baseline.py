"""What the tests said of a file before any repair: which fail, which functions are suspect.

`measure` runs them, `Baseline` answers questions about the result. It knows of no candidates.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence

from attrs import evolve, frozen

from coe_lsp.execution.localization import FaultLocalization, localize, rank
from coe_lsp.execution.runner import SuiteRunner, merge
from coe_lsp.execution.suite import Run, TestResult
from coe_lsp.repair.deadline import Deadline
from coe_lsp.repair.target.hints import bad_call
from coe_lsp.repair.target.source import Function, SourceFile

_TRACED_PASSING, _TRACED_FAILING = 60, 200
_GUARDS = 200
# A test that is watched is this many times slower, or more.
_TRACED_SLOWER = 3.0
# What the tests alone get of the time, the rest being for watching some of them.
_UNTRACED = 0.6
# A test that hangs is given up after this many times what the slowest passing one takes,
_SLOWER = 5.0
# or after so many seconds, if that is more: once one has hung, and once two have.
_HANGING = (1.0, 0.3)
# Seconds for a test that hangs while watched.
_TRACED_HANGING = 1.0


@frozen
class Baseline:
    """What the tests say of the file as it is. Line numbers are those of the file.

    `missing` tests were found but did not run, since the process ended before; `detail` says why.
    `unwatched` says why no failing test could be watched, where that was tried.
    """

    source: SourceFile
    results: Mapping[str, TestResult]
    lines: Mapping[str, frozenset[int]]
    entries: Mapping[str, frozenset[int]]
    localization: FaultLocalization
    seconds: float
    detail: str
    missing: tuple[str, ...] = ()
    unwatched: str = ""

    @property
    def overhead(self) -> float:
        """Seconds that imports and collection took, or at most that."""
        return max(0.0, self.seconds - sum(result.seconds for result in self.results.values()))

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

        First come those that tests could not call as they did. If no failing test runs any (the
        file cannot be imported, say), those around the lines that the failures name, or none.
        """
        functions = self.source.functions()
        refused = set(self._refused_by.values())
        refusing = [f for f in functions if f.name in refused]
        ranked = [
            functions[i] for i in rank([(f.first, f.last) for f in functions], self.localization)
        ]
        if ranked or refusing:
            return list(dict.fromkeys([*refusing, *ranked]))
        named = {result.line for result in self.failing if result.line is not None}
        return [f for f in reversed(functions) if any(f.first <= n <= f.last for n in named)]

    @functools.cached_property
    def _refused_by(self) -> Mapping[str, str]:
        """The function that a test called with arguments which it does not take, by test.

        The test itself, not something in the file, which would be at fault as well.
        """
        calls = {test.id: bad_call(test.detail) for test in self.failing if test.line is None}
        found = {test: call for test, call in calls.items() if call is not None}
        names = [function.name for function in self.source.functions()] if found else []
        refused: dict[str, str] = {}
        for test, call in found.items():
            # Before Python 3.10 a method is named without its class.
            tails = [name for name in names if name.rpartition(".")[2] == call.name]
            if call.name in names:
                refused[test] = call.name
            elif len(tails) == 1:
                refused[test] = tails[0]
        return refused

    def functions_at_fault(self) -> list[tuple[TestResult, Function | None]]:
        """Each failing test with the one function that it is attributed to, None if there is none.

        Of the functions that the test calls directly the most suspect, else of those that it runs;
        else the one around the line that it names without having run anything of the file.
        """
        suspects = self.suspects()

        def at_fault(test: TestResult) -> Function | None:
            refusing = [f for f in suspects if f.name == self._refused_by.get(test.id)]
            entered = self.entries.get(test.id, frozenset())
            direct = [f for f in suspects if f.first in entered]
            running = [f for f in suspects if self.runs(test.id, f)]
            ended = [f for f in suspects if test.line and f.first <= test.line <= f.last]
            return next(iter([*refusing, *direct, *running, *ended]), None)

        return [(test, at_fault(test)) for test in self.failing]

    def reached(self) -> bool:
        """Whether a failing test was seen to run a function of the file."""
        functions = self.source.functions()
        return any(self.runs(test.id, f) for test in self.failing for f in functions)

    def concerns(self, function: Function) -> bool:
        """Whether a failing test runs the function, or may do so unseen."""
        return any(
            test.id not in self.lines or self.runs(test.id, function) for test in self.failing
        )

    def target_tests(self, function: Function) -> tuple[str, ...]:
        """The failing tests that a repair of the function must make pass.

        Those that call the function directly, or could not, if there are any: a test that reaches
        it through another function may fail for that one's sake. Else all failing tests that run
        it; and if none was seen to run it, all failing tests.
        """
        failing = [result.id for result in self.failing]
        direct = {test for test in failing if function.first in self.entries.get(test, ())}
        direct |= {test for test in failing if self._refused_by.get(test) == function.name}
        chosen = direct or {test for test in failing if self.runs(test, function)}
        # Of tests that hang only some were watched.
        chosen |= {test for test in failing if test not in self.lines} if chosen else set(failing)
        return tuple(test for test in failing if test in chosen)

    def covering_tests(self, function: Function) -> tuple[str, ...]:
        """Passing tests that a repair must not break; the first ones if there are many."""
        passing = [test for test, result in self.results.items() if result.outcome == "passed"]
        running = [t for t in passing if t not in self.lines or self.runs(t, function)]
        return tuple(running[:_GUARDS])

    def runs(self, test: str, function: Function) -> bool:
        """Whether a test was seen to run the function."""
        return function.is_run_by(self.lines.get(test, ()))


def measure(runner: SuiteRunner, source: SourceFile, seconds: float = float("inf")) -> Baseline:
    """Run all tests once, then the failing and a sample of the passing ones with coverage.

    What a test comes to is what it does when nobody watches: watched ones are slower, and some fail
    for that alone. After so many `seconds` what is not known then is `missing`.
    """
    data = source.encode(source.lines)
    plain = _all_tests(runner, data, Deadline(time.monotonic() + _UNTRACED * seconds))
    results = {result.id: result for result in plain.results}
    failing = [result.id for result in plain.failures]
    hanging = [result.id for result in plain.results if result.outcome == "timeout"]
    passing = [result.id for result in plain.results if result.outcome == "passed"]
    traced = Run("completed", "", ())
    if failing and plain.collected:
        deadline = Deadline(time.monotonic() + (1 - _UNTRACED) * seconds)
        ended = [test for test in failing if test not in hanging]
        chosen = _some(ended, _TRACED_FAILING) + _some(passing, _TRACED_PASSING)
        limits = evolve(
            runner.limits,
            test_seconds=_TRACED_SLOWER * runner.limits.test_seconds,
            wall_seconds=_within(runner, deadline),
        )
        runs = [runner.run(data, chosen, coverage=True, limits=limits)] if chosen else []
        if hanging:
            limits = evolve(limits, test_seconds=_TRACED_HANGING)
            runs.append(runner.run(data, hanging[:2], coverage=True, limits=limits))
        traced = merge(runs)
    unseen = bool(failing) and not any(test in traced.lines for test in failing)
    return Baseline(
        source=source,
        results=results,
        lines=traced.lines,
        entries=traced.entries,
        localization=localize(results.values(), traced.lines),
        seconds=plain.seconds,
        detail=plain.detail,
        missing=tuple(test for test in plain.collected if test not in results),
        unwatched=traced.detail if unseen else "",
    )


def _within(runner: SuiteRunner, deadline: Deadline) -> float:
    """Seconds for one run; rounded, since they are told when they are over."""
    return round(min(runner.limits.wall_seconds, max(0.1, deadline.left())), 1)


def _some(tests: Sequence[str], count: int) -> list[str]:
    """About so many of the tests, evenly spread."""
    return list(tests[:: max(1, len(tests) // count)])


def _all_tests(runner: SuiteRunner, data: bytes, deadline: Deadline) -> Run:
    """All tests, those that hang given up sooner and sooner.

    A slow test may be given up so as well: in the end those are run once more for as long as a test
    may take, until one does hang for that long.
    """

    def run(select: Sequence[str] | None, seconds: float, timeouts: int | None = None) -> Run:
        limits = evolve(
            runner.limits,
            test_seconds=seconds,
            timeouts=timeouts,
            wall_seconds=_within(runner, deadline),
        )
        return without_cut_test(runner.run(data, select, limits=limits), seconds)

    longest = runner.limits.test_seconds
    runs = [run(None, longest, 1)]
    collected = runs[0].collected
    given_up: list[str] = []
    for patience in _HANGING:
        results = {result.id: result for each in runs for result in each.results}
        rest = [test for test in collected if test not in results]
        if not rest or deadline.left() <= 0 or not _ended_by_hanging(runs[-1]):
            break
        slowest = max((r.seconds for r in results.values() if r.outcome == "passed"), default=0.0)
        seconds = min(longest, max(patience, _SLOWER * slowest))
        runs.append(run(rest, seconds, None if patience == _HANGING[-1] else 1))
        if seconds < longest:
            given_up += [r.id for r in runs[-1].results if r.outcome == "timeout"]
    last = runs[-1]
    if given_up and deadline.left() > 0:
        known = {result.id: result for result in run(given_up, longest, 1).results}
        runs = [evolve(r, results=tuple(known.get(x.id, x) for x in r.results)) for r in runs]
    return evolve(merge(runs), collected=collected, status=last.status, detail=last.detail)


def _ended_by_hanging(run: Run) -> bool:
    return run.results[-1:] != () and run.results[-1].outcome == "timeout"


def without_cut_test(run: Run, seconds: float) -> Run:
    """The run without the test that was under way when the time of all was over: it may be good.

    A test may take so many `seconds` by itself.
    """
    if run.status != "timeout":
        return run
    kept = [r for r in run.results if r.outcome != "timeout" or r.seconds >= seconds]
    return evolve(run, results=tuple(kept))
