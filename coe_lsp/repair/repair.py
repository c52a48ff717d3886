"""One repair from start to end: find the tests, name the function, search, make the diff.

It reads the user's files and runs the user's tests in the worker; it writes nothing. The model is
asked for only when there is something to repair.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Literal, Protocol

from attrs import evolve, field, frozen

from coe_lsp.chain.commands import Command, render
from coe_lsp.chain.prompt import TaskDescription
from coe_lsp.errors import CoeError
from coe_lsp.execution.discovery import find_root, is_for_tests, subjects_of, suites_for
from coe_lsp.execution.interpreter import find_interpreter
from coe_lsp.execution.runner import SuiteRunner
from coe_lsp.execution.sandbox import find_sandbox
from coe_lsp.execution.suite import Limits, Suite, TestResult
from coe_lsp.mutations.surroundings import surroundings
from coe_lsp.repair.deadline import Deadline
from coe_lsp.repair.outcome import Counts, Outcome, Repaired, Seconds
from coe_lsp.repair.policy.protocol import LoadedPolicy, Policy
from coe_lsp.repair.report import chain_of, repaired, success
from coe_lsp.repair.search.ranking import MOST_SHOWN, constants
from coe_lsp.repair.search.search import Found, Search, SearchSettings
from coe_lsp.repair.search.states import State
from coe_lsp.repair.search.step import Step
from coe_lsp.repair.target.baseline import Baseline, measure
from coe_lsp.repair.target.hints import RepairHints, undefined_names
from coe_lsp.repair.target.source import Function, SourceFile, locate, relative, unified_diff
from coe_lsp.repair.target.toplevel import with_toplevel_block
from coe_lsp.repair.task import describe
from coe_lsp.repair.verify import Verifier

# Seconds that running the tests as they are may take, if the budget is less.
_LEAST_FOR_TESTS = 30.0
# What the most suspect functions get of the time, if more than one is suspect.
_SHARES = (0.6, 0.25, 0.15)
# And what a function gets of that, in seconds at most, before another is changed as well if some of
# its tests are won.
_ALONE, _LONGEST_ALONE = 0.4, 10.0
# At most that share of the budget is for mutations alone before a model is loaded.
_LONGEST_START = 0.3
# And how long they go on if it cannot be loaded, before the user is told.
_WITHOUT_MODEL = 10.0


@frozen
class Request:
    """What to repair and how far to go. `budget` is in seconds of wall time for the search.

    `source` is the file's text if it is not (yet) what the disk has. `test_seconds` is what one
    test may take; a file's tests together get twelve times that. `env` and `show` are what the
    sandbox lets in (see `find_sandbox`). `search` has what measurements switch; the fields here go
    before it.
    """

    path: Path
    function: str | None = None
    source: SourceFile | None = None
    tests: tuple[str, ...] = ()
    python: str | None = None
    sandbox: Literal["auto", "off"] = "auto"
    env: tuple[str, ...] = ()
    show: tuple[str, ...] = ()
    budget: float = 60.0
    samples: int = 16
    test_seconds: float = 5.0
    search: SearchSettings = field(factory=SearchSettings)

    @property
    def limits(self) -> Limits:
        """Bounds on the tests as they are: one of them, and all of the file's together."""
        return Limits(test_seconds=self.test_seconds, wall_seconds=12 * self.test_seconds)


class TestFileError(CoeError):
    """What was named holds tests: those say what is right, and are never edited."""

    __test__ = False

    def __init__(self, path: Path, root: Path) -> None:
        tested = ", ".join(relative(file, root) for file in subjects_of(path, root)[:3])
        super().__init__(
            f"{path.name} is a file of tests, which are never edited: name what they test"
            f"{f' ({tested})' if tested else ''} instead."
        )


class Watcher(Protocol):
    """Told of everything that happens, in order; must not raise."""

    def baseline(self, baseline: Baseline, suites: Sequence[Suite]) -> None:
        """The tests have run on the file as it is."""
        ...

    def target(self, function: Function, target_tests: Sequence[str]) -> None:
        """The function that is tried next, and the failing tests that must pass."""
        ...

    def step(self, step: Step) -> None:
        """A chain has taken a turn."""
        ...


class Repair:
    """A repair that can be cancelled from another thread."""

    def __init__(
        self,
        request: Request,
        load_policy: Callable[[], AbstractContextManager[LoadedPolicy]] | None,
        watcher: Watcher,
        *,
        head_start: float = 0.0,
    ) -> None:
        """`load_policy` None: without a model. It is loaded once mutations had the `head_start`."""
        self._request = request
        self._load = load_policy
        self._head_start = head_start
        self._watcher = watcher
        self._cancelled = threading.Event()
        self._runner: SuiteRunner | None = None
        self._lock = threading.RLock()  # `cancel` may come from a signal in the midst of it
        self._policy: Policy | None = None
        self._loaded: LoadedPolicy | None = None
        self._running: Search | None = None
        self._started = 0.0

    def cancel(self) -> None:
        """Look no further: `run` returns soon, with the repair if there is one already."""
        self._cancelled.set()
        with self._lock:
            if self._policy is not None:
                self._policy.interrupt()
        if self._running is None or not self._running.solved:
            self._end_tests()

    def abandon(self) -> None:
        """Stop everything; `run` returns at once with nothing of use."""
        self.cancel()
        self._end_tests()

    def _end_tests(self) -> None:
        if self._runner is not None:
            self._runner.cancel()

    def run(self) -> Outcome:
        """Repair. Raises CoeError for whatever the user has to put right first."""
        self._started = time.monotonic()
        request = self._request
        path = locate(request.path)
        source = request.source or SourceFile.read(path)
        root = find_root(path)
        if is_for_tests(path, root):
            raise TestFileError(path, root)
        named = source.find(request.function) if request.function else None
        sandbox = find_sandbox(request.sandbox, request.env, request.show)
        interpreter = find_interpreter(root, request.python, sandbox)
        suites = suites_for(path, root, interpreter, request.tests)
        # The tests as they are do not take much longer than the user wants to wait for a repair.
        most = max(request.budget, _LEAST_FOR_TESTS)
        limits = evolve(request.limits, wall_seconds=min(request.limits.wall_seconds, most))
        with SuiteRunner(suites, interpreter, sandbox, limits) as runner:
            self._runner = runner
            if self._cancelled.is_set():
                runner.cancel()
            outcome = self._repair(runner, source, named, root)
            total = time.monotonic() - self._started
            seconds = evolve(outcome.seconds, total=total, tests=runner.seconds)
            return evolve(outcome, seconds=seconds, tests_run=runner.runs)

    def _since_start(self, at: float | None) -> float | None:
        return None if at is None else at - self._started

    def _repair(
        self, runner: SuiteRunner, source: SourceFile, named: Function | None, root: Path
    ) -> Outcome:
        baseline = measure(runner, source, max(self._request.budget, _LEAST_FOR_TESTS))
        real = source.path.resolve()  # what is changed, if it is a link
        file = relative(real if real.is_relative_to(root) else source.path, root)
        if self._cancelled.is_set():
            return Outcome("failed", file, self._request.function, message="Cancelled.")
        if not baseline.results:
            raise CoeError(f"No test could be run for {file}: {baseline.detail or 'none found'}.")
        self._watcher.baseline(baseline, runner.suites)
        before = Counts(baseline.passed, len(baseline.failing))
        if not baseline.failing:
            name = named.name if named else None
            return Outcome("already_passing", file, name, before=before, after=before,
                           message="All tests pass; there is nothing to repair.")  # fmt: skip
        suspects = baseline.suspects()
        if named and suspects and named not in suspects and not baseline.concerns(named):
            names = ", ".join(function.name for function in suspects[:3])
            raise CoeError(f"No failing test runs {named.name}; those that fail run {names}.")
        targets = [named, *_helpers(baseline, named)] if named else suspects
        reached = baseline.reached()
        targets = with_toplevel_block(targets, source, baseline.failing, reached=reached)[
            : len(_SHARES)
        ]
        if not targets and baseline.unwatched:
            raise CoeError(
                f"Which functions the failing tests run was not seen ({baseline.unwatched}): name "
                f"one, as in {file}::FUNCTION, or fewer tests with --tests (editors: coe.tests)."
            )
        if not targets:
            raise CoeError(
                f"The failing tests do not run any function of {file}: "
                f"{_first_line(baseline.failing[0])}"
            )
        outcome = Outcome("failed", file, targets[0].name, before=before, after=before)
        deadline = Deadline(time.monotonic())
        with ExitStack() as stack:
            for index, target in enumerate(targets):
                share = _SHARES[index] / sum(_SHARES[: len(targets)])
                deadline.end += share * self._request.budget
                outcome = self._target(runner, baseline, target, deadline, outcome, stack)
                if outcome.status == "repaired" or self._cancelled.is_set():
                    break
        return outcome

    def _target(
        self,
        runner: SuiteRunner,
        baseline: Baseline,
        target: Function,
        deadline: Deadline,
        outcome: Outcome,
        stack: ExitStack,
    ) -> Outcome:
        """Try to repair one function; the outcome so far with what came of it."""
        verifier = Verifier(runner, baseline, target, deadline)
        search = self._search(runner, baseline, target, verifier, deadline)
        alone = time.monotonic() + min(_ALONE * deadline.left(), _LONGEST_ALONE)
        half: State | None = None
        loading = 0.0
        problem: CoeError | None = None
        with search:
            if self._load is not None and self._loaded is None:
                start = min(self._head_start, _LONGEST_START * self._request.budget)
                search.run(until=time.monotonic() + start)
            if self._load is not None and not search.solved and self._loaded is None:
                loading = time.monotonic()
                try:
                    with deadline.held():
                        self._loaded = stack.enter_context(self._load())
                        stack.enter_context(self._asking(self._loaded.policy))
                except CoeError as error:
                    problem = error
                loading = time.monotonic() - loading
                alone += loading
            end = float("inf") if problem is None else time.monotonic() + _WITHOUT_MODEL
            search.run(self._loaded, until=min(end, alone))
            if not search.solved and self._others(baseline, target, verifier, search.halfway()):
                half = search.halfway()
            else:
                search.run(self._loaded, until=end)
            found = search.found()
        if problem is not None and not found.patches:
            raise problem
        seconds = Seconds(
            model=outcome.seconds.model + loading + found.model_seconds,
            first=self._since_start(found.first_at),
        )
        outcome = evolve(
            outcome,
            attempts=outcome.attempts + found.tested,
            seconds=seconds,
            model=self._loaded.model if self._loaded else None,
        )
        if half is not None and not found.patches:
            both = self._both(runner, baseline, target, verifier, half, deadline, outcome)
            if both.status == "repaired":
                return both
            outcome = evolve(outcome, attempts=both.attempts, seconds=both.seconds)
        if search.problem is not None and not found.patches:
            raise search.problem
        return self._outcome(outcome, baseline, target, found, verifier, runner)

    def _search(
        self,
        runner: SuiteRunner,
        baseline: Baseline,
        target: Function,
        verifier: Verifier,
        deadline: Deadline,
    ) -> Search:
        self._watcher.target(target, verifier.target_tests)
        task = describe(baseline.source, target, runner.suites, verifier.target_tests)
        self._running = Search(
            verifier,
            task,
            baseline.source.scratch_lines(target),
            _hints(baseline, target, task, runner.suites),
            evolve(self._request.search, samples=self._request.samples),
            deadline,
            self._watcher.step,
            self._cancelled.is_set,
        )
        return self._running

    def _others(
        self, baseline: Baseline, target: Function, verifier: Verifier, half: State | None
    ) -> list[Function]:
        """Other suspects, run by tests that `half`, a better target, leaves failing."""
        if half is None:
            return []
        left = [test for test in verifier.target_tests if test not in half.verdict.passing]
        return [
            function
            for function in baseline.suspects()
            if _apart(function, target) and any(baseline.runs(test, function) for test in left)
        ]

    def _both(
        self,
        runner: SuiteRunner,
        baseline: Baseline,
        target: Function,
        verifier: Verifier,
        half: State,
        deadline: Deadline,
        outcome: Outcome,
    ) -> Outcome:
        """With the better version of the target in place, try to repair another function as well.

        The outcome says `repaired` only if then all tests pass that the target was to win, and no
        test fails that passed before.
        """
        old = baseline.source
        source = evolve(old, lines=old.replace(target, half.lines))
        between = measure(runner, source, max(1.0, deadline.left()))
        names = {function.name for function in self._others(baseline, target, verifier, half)}
        others = [f for f in between.suspects() if f.name in names][: len(_SHARES)]
        for index, other in enumerate(others):
            share = _SHARES[index] / sum(_SHARES[index : len(others)])
            end = Deadline(time.monotonic() + deadline.left() * share)
            second = Verifier(runner, between, other, end)
            with self._search(runner, between, other, second, end) as search:
                search.run(self._loaded)
                found = search.found()
            outcome = evolve(
                outcome,
                attempts=outcome.attempts + found.tested,
                seconds=evolve(outcome.seconds, model=outcome.seconds.model + found.model_seconds),
            )
            shown: list[Repaired] = []
            last: tuple[Command, ...] = ()
            counts = Counts()
            for patch in found.patches:
                if len(shown) == MOST_SHOWN or (shown and self._cancelled.is_set()):
                    break
                lines = source.replace(other, patch.lines)
                run = runner.run(old.encode(lines))
                passed = {result.id for result in run.results if result.outcome == "passed"}
                before = {r.id for r in baseline.results.values() if r.outcome == "passed"}
                if passed.issuperset(before.union(verifier.target_tests)):
                    if not shown:
                        counts, last = Counts(run.passed, len(run.failures)), patch.commands
                    reason = f"with a change of {other.name}; {patch.reason}"
                    diff = unified_diff(outcome.file, old.lines, lines)
                    commands = tuple(map(render, (*half.commands, *patch.commands)))
                    shown.append(Repaired(diff, reason, commands, old.encode(lines)))
            if shown:
                chain = (
                    *chain_of(half.commands, old.scratch_lines(target), verifier),
                    *chain_of(last, source.scratch_lines(other), second),
                )
                first = self._since_start(found.first_at)
                outcome = evolve(outcome, seconds=evolve(outcome.seconds, first=first))
                names = f"{target.name} and {other.name} are"
                return success(outcome, target, names, verifier, shown, counts, chain, old)
            if self._cancelled.is_set():
                break
        return outcome

    @contextmanager
    def _asking(self, policy: Policy) -> Generator[None]:
        """Let `cancel` reach the policy for as long as it is ours."""
        with self._lock:
            self._policy = policy
            if self._cancelled.is_set():
                policy.interrupt()
        try:
            yield
        finally:
            with self._lock:
                self._policy = None

    def _outcome(
        self,
        outcome: Outcome,
        baseline: Baseline,
        target: Function,
        found: Found,
        verifier: Verifier,
        runner: SuiteRunner,
    ) -> Outcome:
        lines = baseline.source.scratch_lines(target)
        if not found.patches:
            if outcome.chain:
                return outcome  # the most suspect function's best chain tells more
            chain = chain_of(found.closest.commands, lines, verifier)
            message = "No repair was found in time."
            if self._cancelled.is_set():
                message = "Cancelled."
            elif found.exhausted:
                message = "No repair was found, and nothing is left to try."
            return evolve(outcome, chain=chain, message=message)
        source = baseline.source
        shown = [
            repaired(patch, source, target, outcome.file) for patch in found.patches[:MOST_SHOWN]
        ]
        run = runner.run(shown[0].new_source)
        if run.status == "cancelled":
            return evolve(outcome, message="Cancelled.")
        after = Counts(run.passed, len(run.failures))
        chain = chain_of(found.patches[0].commands, lines, verifier)
        names = f"{target.name} is"
        return success(outcome, target, names, verifier, shown, after, chain, source)


def _helpers(baseline: Baseline, named: Function) -> list[Function]:
    """Other suspects, most suspect first, that all the tests run which the named one must win."""
    target_tests = baseline.target_tests(named)
    return [
        function
        for function in baseline.suspects()
        if _apart(function, named)
        and all(
            test not in baseline.lines or baseline.runs(test, function) for test in target_tests
        )
    ]


def _apart(one: Function, other: Function) -> bool:
    return one.last < other.first or one.first > other.last


def _hints(
    baseline: Baseline, target: Function, task: TaskDescription, suites: Sequence[Suite]
) -> RepairHints:
    """What the tests and the file say of where the mistake may be."""
    lines = baseline.localization.within(target.first, target.last)
    statements = [statement for suite in suites for statement in suite.statements]
    in_tests = {constant for text in [*task.tests, *statements] for constant in constants(text)}
    enclosing = surroundings(baseline.source.text, target.owner)
    details = [baseline.results[test].detail for test in baseline.target_tests(target)]
    return RepairHints(lines, enclosing, frozenset(in_tests), undefined_names(details))


def _first_line(failure: TestResult) -> str:
    return f"{failure.id}: {(failure.detail or failure.outcome).splitlines()[0]}"
