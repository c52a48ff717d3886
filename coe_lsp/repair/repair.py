"""One repair from start to end: open the project, run its tests, choose functions, search.

It reads the user's files and runs the user's tests in the worker; it writes nothing. The model is
asked for only when there is something to repair. What counts as repaired is `Acceptance`'s affair,
how one function is searched `Search`'s.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from attrs import evolve, field, frozen

from coe_lsp.chain.commands import Command
from coe_lsp.chain.prompt import TaskDescription
from coe_lsp.errors import CoeError
from coe_lsp.execution.discovery import find_root, is_for_tests, subjects_of
from coe_lsp.execution.project import Project
from coe_lsp.execution.runner import SuiteRunner
from coe_lsp.execution.suite import Run, Suite
from coe_lsp.mutations.surroundings import surroundings
from coe_lsp.repair.deadline import Deadline
from coe_lsp.repair.outcome import Counts, Outcome, Seconds
from coe_lsp.repair.patch import Patch
from coe_lsp.repair.policy.protocol import LoadedPolicy, Policy
from coe_lsp.repair.report import replay_chain, report_success, show_patch
from coe_lsp.repair.request import Request, Watcher
from coe_lsp.repair.search.ranking import MOST_SHOWN, PassingProgram, constants
from coe_lsp.repair.search.search import Found, Search
from coe_lsp.repair.search.states import State
from coe_lsp.repair.target.baseline import Baseline, measure
from coe_lsp.repair.target.choice import choose_targets
from coe_lsp.repair.target.hints import RepairHints, undefined_names
from coe_lsp.repair.target.source import Function, SourceFile, locate, relative
from coe_lsp.repair.task import describe
from coe_lsp.repair.verify import Verifier
from coe_lsp.repair.warm import WarmRunner, WarmRunners

# Seconds that running the tests as they are may take, if the budget is less.
_LEAST_FOR_TESTS = 30.0
# What the most suspect functions get of the time, if more than one is suspect.
_SHARES = (0.6, 0.25, 0.15)
# And what a function gets of that, in seconds at most, before another is changed as well if some of
# its tests are won.
_SHARE_ALONE, _SECONDS_ALONE = 0.4, 10.0
# At most that share of the budget is for mutations alone before a model is loaded.
_SHARE_WITHOUT_MODEL = 0.3
# And how many seconds they go on if it cannot be loaded, before the user is told.
_SECONDS_WITHOUT_MODEL = 10.0


class TestFileError(CoeError):
    """What was named holds tests: those say what is right, and are never edited."""

    __test__ = False

    def __init__(self, path: Path, root: Path) -> None:
        tested = ", ".join(relative(file, root) for file in subjects_of(path, root)[:3])
        super().__init__(
            f"{path.name} is a file of tests, which are never edited: name what they test"
            f"{f' ({tested})' if tested else ''} instead."
        )


@frozen
class _Site:
    """Where one search looks: a function of a text, and what tests say of that text.

    `before` is what was changed already to get from the user's text to this one, and `commands`
    how; `first` is the verifier of that change. Without one they are empty and the `verifier`.
    """

    file: str
    source: SourceFile  # the user's text
    runner: SuiteRunner
    baseline: Baseline
    verifier: Verifier
    first: Verifier
    deadline: Deadline
    before: Patch = field(factory=Patch)
    commands: tuple[Command, ...] = ()

    @property
    def target(self) -> Function:
        """The function that is searched."""
        return self.verifier.function

    def patch(self, lines: Sequence[str]) -> Patch:
        """What makes the user's text one with these lines of the function."""
        return self.before.then(self.verifier.patch(self.file, lines))

    def run(self, patch: Patch, select: Sequence[str] | None = None) -> Run:
        """These tests, or all of the file, with a patch of the user's text."""
        changed = patch.apply({self.file: self.source})[self.file]
        return self.runner.run(changed.encode(changed.lines), select)


class Repair:
    """A repair that can be cancelled from another thread.

    `run` takes the suspect functions one after the other, each with its share of the budget. Where
    a function wins some of its tests and not all, the better version stays in place while another
    function that the rest of these tests run is searched as well. The model is loaded once, when
    mutations alone have not been enough for a moment, and kept for all that follows.
    """

    def __init__(
        self,
        request: Request,
        load_policy: Callable[[], AbstractContextManager[LoadedPolicy]] | None,
        watcher: Watcher,
        *,
        head_start: float = 0.0,
        warm: WarmRunners | None = None,
    ) -> None:
        """`load_policy` None: without a model. It is loaded once mutations had the `head_start`.

        Test processes are taken from `warm` and left there, if given.
        """
        self._request = request
        self._load = load_policy
        self._head_start = head_start
        self._watcher = watcher
        self._warm = warm or WarmRunners(room=0)
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
        if (runner := self._runner) is not None:
            runner.cancel()

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
        project = Project.open(path, request.options)
        # The tests as they are take no longer than the user wants to wait for a repair.
        longest = max(request.budget, _LEAST_FOR_TESTS)
        with self._warm.lease(project, longest) as warm:
            runner = self._runner = warm.runner
            if self._cancelled.is_set():
                runner.cancel()
            runs, seconds = runner.runs, runner.seconds
            try:
                outcome = self._repair(warm, source, named)
            finally:
                self._runner = None
            total = time.monotonic() - self._started
            used = evolve(outcome.seconds, total=total, tests=runner.seconds - seconds)
            return evolve(outcome, seconds=used, tests_run=runner.runs - runs)

    def _repair(self, warm: WarmRunner, source: SourceFile, named: Function | None) -> Outcome:
        budget, root = self._request.budget, warm.project.root
        baseline = warm.baseline_of(source)
        if baseline is None:
            baseline = measure(warm.runner, source, max(budget, _LEAST_FOR_TESTS))
        real = source.path.resolve()  # what is changed, if it is a link
        file = relative(real if real.is_relative_to(root) else source.path, root)
        if self._cancelled.is_set():
            return Outcome("failed", file, self._request.function, message="Cancelled.")
        if not baseline.results:
            raise CoeError(f"No test could be run for {file}: {baseline.detail or 'none found'}.")
        warm.keep(baseline)
        self._watcher.baseline(baseline, warm.runner.suites)
        before = Counts(baseline.passed, len(baseline.failing))
        if not baseline.failing and baseline.missing:
            count, reason = len(baseline.missing), baseline.detail
            raise CoeError(
                f"{count} of the tests for {file} did not run ({reason}), and the others pass: "
                "name the failing test with --tests (editors: coe.tests)."
            )
        if not baseline.failing:
            name = named.name if named else None
            return Outcome("already_passing", file, name, before=before, after=before,
                           message="All tests pass; there is nothing to repair.")  # fmt: skip
        targets = choose_targets(baseline, named, file)[: len(_SHARES)]
        outcome = Outcome("failed", file, targets[0].name, before=before, after=before)
        deadline = Deadline(time.monotonic())
        with ExitStack() as stack:
            for target, share in zip(targets, _shares(len(targets)), strict=True):
                deadline.end += share * budget
                verifier = Verifier(warm.runner, baseline, target, deadline)
                site = _Site(file, source, warm.runner, baseline, verifier, verifier, deadline)
                outcome = self._repair_target(site, outcome, stack)
                if outcome.status == "repaired" or self._cancelled.is_set():
                    break
        return outcome

    # -- one function

    def _repair_target(self, site: _Site, outcome: Outcome, stack: ExitStack) -> Outcome:
        """Try to repair one function; the outcome so far with what came of it."""
        alone = time.monotonic() + min(_SHARE_ALONE * site.deadline.left(), _SECONDS_ALONE)
        with self._search(site) as search:
            loading, problem = self._mutate_then_load(search, site.deadline, stack)
            end = float("inf") if problem is None else time.monotonic() + _SECONDS_WITHOUT_MODEL
            search.run(self._loaded, until=min(end, alone + loading))
            half = None if search.solved else self._halfway(site, search)
            if half is None:
                search.run(self._loaded, until=end)
            found = search.found()
        outcome = evolve(
            self._counted(outcome, found, loading),
            model=self._loaded.model if self._loaded else None,
        )
        if found.patches:
            return self._report(site, found, outcome)
        if problem is not None:
            raise problem
        if half is not None:
            outcome = self._repair_second(site, half, outcome)
            if outcome.status == "repaired":
                return outcome
        if search.problem is not None:
            raise search.problem
        return self._report_failure(site, found, outcome)

    def _search(self, site: _Site) -> Search:
        baseline, target, verifier = site.baseline, site.target, site.verifier
        self._watcher.target(target, verifier.target_tests)
        task = describe(baseline.source, target, site.runner.suites, verifier.target_tests)
        request = self._request
        self._running = Search(
            verifier,
            task,
            baseline.source.scratch_lines(target),
            _hints(baseline, target, task, site.runner.suites),
            evolve(request.search, samples=request.samples),
            site.deadline,
            self._watcher.step,
            self._cancelled.is_set,
        )
        return self._running

    def _mutate_then_load(
        self, search: Search, deadline: Deadline, stack: ExitStack
    ) -> tuple[float, CoeError | None]:
        """Mutations alone, then the model if it is still needed and not there yet.

        The seconds that loading took, which do not count, and why it failed if it did.
        """
        if self._load is None or self._loaded is not None:
            return 0.0, None
        start = min(self._head_start, _SHARE_WITHOUT_MODEL * self._request.budget)
        search.run(until=time.monotonic() + start)
        if search.solved:
            return 0.0, None
        began = time.monotonic()
        problem: CoeError | None = None
        try:
            with deadline.held():
                self._loaded = stack.enter_context(self._load())
                stack.enter_context(self._asking(self._loaded.policy))
        except CoeError as error:
            problem = error
        return time.monotonic() - began, problem

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

    # -- another function beside it

    def _halfway(self, site: _Site, search: Search) -> State | None:
        """A state that wins some tests, if another function is suspect of the rest."""
        half = search.halfway()
        return half if half is not None and _others(site, half) else None

    def _repair_second(self, site: _Site, half: State, outcome: Outcome) -> Outcome:
        """With the better version of the target in place, try to repair another function as well.

        Both together must do what the target's repair was to do alone.
        """
        before = site.patch(half.lines)
        source = before.apply({site.file: site.source})[site.file]
        baseline = measure(site.runner, source, max(1.0, site.deadline.left()))
        names = {function.name for function in _others(site, half)}
        others = [f for f in baseline.suspects() if f.name in names][: len(_SHARES)]
        for index, other in enumerate(others):
            share = _shares(len(others))[index] / sum(_shares(len(others))[index:])
            deadline = Deadline(time.monotonic() + site.deadline.left() * share)
            verifier = Verifier(
                site.runner, baseline, other, deadline, acceptance=site.verifier.acceptance
            )
            second = evolve(
                site,
                baseline=baseline,
                verifier=verifier,
                deadline=deadline,
                before=before,
                commands=half.commands,
            )
            with self._search(second) as search:
                search.run(self._loaded)
                found = search.found()
            outcome = self._counted(outcome, found)
            if found.patches:
                outcome = self._report(second, found, outcome)
            if outcome.status == "repaired" or self._cancelled.is_set():
                break
        return outcome

    # -- what is told

    def _counted(self, outcome: Outcome, found: Found, loading: float = 0.0) -> Outcome:
        """The outcome with what a search has cost."""
        first = None if found.first_at is None else found.first_at - self._started
        seconds = Seconds(model=outcome.seconds.model + loading + found.model_seconds, first=first)
        return evolve(outcome, attempts=outcome.attempts + found.tested, seconds=seconds)

    def _report(self, site: _Site, found: Found, outcome: Outcome) -> Outcome:
        """The outcome with the repairs that a search found, all tests run once more."""
        programs, run = self._confirm(site, found.patches)
        if run is None:
            cancelled = self._cancelled.is_set()
            message = (
                "Cancelled." if cancelled else "What passed its tests failed them when asked again."
            )
            return evolve(outcome, message=message)
        second = site.first is not site.verifier
        sources = {site.file: site.source}
        shown = [
            show_patch(
                site.patch(program.lines),
                sources,
                f"with a change of {site.target.name}; {program.reason}"
                if second
                else program.reason,
                (*site.commands, *program.commands),
            )
            for program in programs[:MOST_SHOWN]
        ]
        chain = replay_chain(
            programs[0].commands,
            site.baseline.source.scratch_lines(site.target),
            site.verifier,
        )
        if second:
            lines = site.source.scratch_lines(site.first.function)
            chain = (*replay_chain(site.commands, lines, site.first), *chain)
        after = Counts(run.passed, len(run.failures))
        return report_success(outcome, site.first, shown, sources, after, chain)

    def _confirm(
        self, site: _Site, programs: Sequence[PassingProgram]
    ) -> tuple[Sequence[PassingProgram], Run | None]:
        """The programs from the first on that passes again, and a run of all tests with it."""
        acceptance = site.verifier.acceptance
        for index, program in enumerate(programs):
            patch = site.patch(program.lines)
            run = site.run(patch, acceptance.select)
            if acceptance.met(run):
                return programs[index:], site.run(patch) if acceptance.select else run
        return (), None

    def _report_failure(self, site: _Site, found: Found, outcome: Outcome) -> Outcome:
        if outcome.chain:
            return outcome  # the most suspect function's best chain tells more
        lines = site.baseline.source.scratch_lines(site.target)
        chain = replay_chain(found.closest.commands, lines, site.verifier)
        message = "No repair was found in time."
        if self._cancelled.is_set():
            message = "Cancelled."
        elif found.exhausted:
            message = "No repair was found, and nothing is left to try."
        return evolve(outcome, chain=chain, message=message)


def _shares(count: int) -> tuple[float, ...]:
    """What each of so many functions gets of the time; together 1."""
    return tuple(share / sum(_SHARES[:count]) for share in _SHARES[:count])


def _others(site: _Site, half: State) -> list[Function]:
    """Other suspects, run by tests that `half`, a better target, leaves failing."""
    left = [test for test in site.verifier.target_tests if test not in half.verdict.passing]
    return [
        function
        for function in site.baseline.suspects()
        if function.apart(site.target) and any(site.baseline.runs(t, function) for t in left)
    ]


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
