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

from coe_lsp.chain.commands import parse
from coe_lsp.chain.prompt import TaskDescription
from coe_lsp.chain.scratchpad import Scratchpad
from coe_lsp.errors import CoeError
from coe_lsp.execution.discovery import find_root, suites_for
from coe_lsp.execution.interpreter import find_interpreter
from coe_lsp.execution.sandbox import find_sandbox
from coe_lsp.execution.suite import Limits, Suite, TestResult
from coe_lsp.repair.asking import LoadedPolicy, Policy
from coe_lsp.repair.outcome import Counts, Link, Outcome, Repaired, Seconds
from coe_lsp.repair.patches import MOST_SHOWN, Patch, constants
from coe_lsp.repair.search import Clues, Found, Search, SearchSettings, Step
from coe_lsp.repair.source import Function, SourceFile, locate, unified_diff
from coe_lsp.repair.task import describe, feedback_text
from coe_lsp.repair.verify import Baseline, TestBench, Verifier, measure, relative

# What the most suspect functions get of the time, if more than one is suspect.
_SHARES = (0.6, 0.25, 0.15)
# Seconds for mutations alone before a model is loaded that is not in memory.
_HEAD_START = 0.5
# And how long they go on if it cannot be loaded, before the user is told.
_WITHOUT_MODEL = 10.0


@frozen
class Request:
    """What to repair and how far to go. `budget` is in seconds of wall time for the search.

    `source` is the file's text if it is not (yet) what the disk has. `test_seconds` is what one
    test may take; a file's tests together get twelve times that. `search` has what measurements
    switch; the fields here go before it.
    """

    path: Path
    function: str | None = None
    source: SourceFile | None = None
    tests: tuple[str, ...] = ()
    python: str | None = None
    sandbox: Literal["auto", "off"] = "auto"
    budget: float = 60.0
    samples: int = 16
    test_seconds: float = 5.0
    search: SearchSettings = field(factory=SearchSettings)

    @property
    def limits(self) -> Limits:
        """Bounds on the tests as they are: one of them, and all of the file's together."""
        return Limits(test_seconds=self.test_seconds, wall_seconds=12 * self.test_seconds)


class Watcher(Protocol):
    """Told of everything that happens, in order; must not raise."""

    def baseline(self, baseline: Baseline, suites: Sequence[Suite]) -> None:
        """The tests have run on the file as it is."""
        ...

    def target(self, function: Function, goal: Sequence[str]) -> None:
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
        at_hand: bool = True,
    ) -> None:
        """`load_policy` None: without a model. `at_hand`: it is in memory, so it costs nothing."""
        self._request = request
        self._load = load_policy
        self._at_hand = at_hand
        self._watcher = watcher
        self._cancelled = threading.Event()
        self._bench: TestBench | None = None
        self._lock = threading.RLock()  # `cancel` may come from a signal in the midst of it
        self._policy: Policy | None = None
        self._loaded: LoadedPolicy | None = None

    def cancel(self) -> None:
        """Stop tests and search; `run` then returns soon with what it has."""
        self._cancelled.set()
        with self._lock:
            if self._policy is not None:
                self._policy.interrupt()
        if self._bench is not None:
            self._bench.cancel()

    def run(self) -> Outcome:
        """Repair. Raises CoeError for whatever the user has to put right first."""
        started = time.monotonic()
        request = self._request
        path = locate(request.path)
        source = request.source or SourceFile.read(path)
        root = find_root(path)
        named = source.find(request.function) if request.function else None
        interpreter = find_interpreter(root, request.python)
        suites = suites_for(path, root, interpreter, request.tests)
        sandbox = find_sandbox(request.sandbox)
        with TestBench(suites, interpreter, sandbox, request.limits) as bench:
            self._bench = bench
            if self._cancelled.is_set():
                bench.cancel()
            outcome = self._repair(bench, source, named, root)
            seconds = evolve(outcome.seconds, total=time.monotonic() - started, tests=bench.seconds)
            return evolve(outcome, seconds=seconds, tests_run=bench.runs)

    def _repair(
        self, bench: TestBench, source: SourceFile, named: Function | None, root: Path
    ) -> Outcome:
        baseline = measure(bench, source)
        self._watcher.baseline(baseline, bench.suites)
        file = relative(source.path, root)
        before = Counts(baseline.passed, len(baseline.failing))
        if self._cancelled.is_set():
            return Outcome("failed", file, self._request.function, message="Cancelled.")
        if not baseline.results:
            raise CoeError(f"No test could be run for {file}: {baseline.detail or 'none found'}.")
        if not baseline.failing:
            name = named.name if named else None
            return Outcome("already_passing", file, name, before=before, after=before,
                           message="All tests pass; there is nothing to repair.")  # fmt: skip
        suspects = baseline.suspects()
        if named and suspects and not baseline.concerns(named):
            names = ", ".join(function.name for function in suspects[:3])
            raise CoeError(f"No failing test runs {named.name}; those that fail run {names}.")
        targets = [named] if named else suspects[: len(_SHARES)]
        if not targets:
            raise CoeError(
                f"The failing tests do not run any function of {file}: "
                f"{_first_line(baseline.failing[0])}"
            )
        outcome = Outcome("failed", file, targets[0].name, before=before, after=before)
        deadline = time.monotonic()
        with ExitStack() as stack:
            for index, target in enumerate(targets):
                share = _SHARES[index] / sum(_SHARES[: len(targets)])
                deadline += share * self._request.budget
                outcome = self._target(bench, baseline, target, deadline, outcome, stack)
                if outcome.status == "repaired" or self._cancelled.is_set():
                    break
        return outcome

    def _target(
        self,
        bench: TestBench,
        baseline: Baseline,
        target: Function,
        deadline: float,
        outcome: Outcome,
        stack: ExitStack,
    ) -> Outcome:
        """Try to repair one function; the outcome so far with what came of it."""
        verifier = Verifier(bench, baseline, target, deadline)
        self._watcher.target(target, verifier.goal)
        task = describe(baseline.source, target, bench.suites, verifier.goal)
        lines = baseline.source.scratch_lines(target)
        settings = evolve(self._request.search, samples=self._request.samples, deadline=deadline)
        search = Search(
            verifier,
            task,
            lines,
            _clues(baseline, target, task, bench.suites),
            settings,
            self._watcher.step,
            self._cancelled.is_set,
        )
        loading = 0.0
        problem: CoeError | None = None
        with search:
            if self._load is not None and not self._at_hand and self._loaded is None:
                search.run(until=time.monotonic() + _HEAD_START)
            if self._load is not None and not search.solved and self._loaded is None:
                loading = time.monotonic()
                try:
                    self._loaded = stack.enter_context(self._load())
                    stack.enter_context(self._asking(self._loaded.policy))
                except CoeError as error:
                    problem = error
                loading = time.monotonic() - loading
            end = float("inf") if problem is None else time.monotonic() + _WITHOUT_MODEL
            search.run(self._loaded, until=end)
            found = search.found()
            problem = problem or search.problem
        if problem is not None and not found.patches:
            raise problem
        seconds = Seconds(model=outcome.seconds.model + loading + found.model_seconds)
        outcome = evolve(
            outcome,
            attempts=outcome.attempts + found.tested,
            seconds=seconds,
            model=self._loaded.model if self._loaded else None,
        )
        return self._outcome(outcome, baseline, target, found, verifier, bench)

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
        bench: TestBench,
    ) -> Outcome:
        lines = baseline.source.scratch_lines(target)
        if not found.patches:
            if outcome.chain:
                return outcome  # the most suspect function's best chain tells more
            chain = _chain(found.closest.commands, lines, verifier)
            message = "No repair was found in time."
            if self._cancelled.is_set():
                message = "Cancelled."
            elif found.exhausted:
                message = "No repair was found, and nothing is left to try."
            return evolve(outcome, chain=chain, message=message)
        source = baseline.source
        shown = tuple(
            _repaired(patch, source, target, outcome.file) for patch in found.patches[:MOST_SHOWN]
        )
        after = bench.run(shown[0].new_source)
        left = len(after.failures)
        message = f"{target.name} is repaired: {_count(len(verifier.tests), 'test')} passed."
        if left:
            verb = "fails" if left == 1 else "fail"
            message += f" {_count(left, 'other test')} of the file still {verb}, as before."
        return evolve(
            outcome,
            status="repaired",
            function=target.name,
            diff=shown[0].diff,
            after=Counts(after.passed, left),
            chain=_chain(found.patches[0].commands, lines, verifier),
            message=message,
            patches=shown,
            new_source=shown[0].new_source,
            old_source=source.encode(source.lines),
        )


def _repaired(patch: Patch, source: SourceFile, target: Function, file: str) -> Repaired:
    new = source.replace(target, patch.lines)
    diff = unified_diff(file, source.lines, new)
    return Repaired(diff, patch.reason, patch.commands, source.encode(new))


def _chain(commands: Sequence[str], lines: Sequence[str], verifier: Verifier) -> tuple[Link, ...]:
    """The commands once more, one after the other, each with what the tests say then."""
    pad = Scratchpad(tuple(lines))
    links: list[Link] = []
    for command in commands:
        pad = pad.apply(parse(command))
        verdict = verifier.judge(pad.lines, late=True)
        feedback = feedback_text(verdict, verifier.function.first, len(pad.lines))
        links.append(Link(command, feedback, verdict.passed, verdict.total - verdict.passed))
    return tuple(links)


def _clues(
    baseline: Baseline, target: Function, task: TaskDescription, suites: Sequence[Suite]
) -> Clues:
    """What the tests and the file say of where the mistake may be."""
    scores = baseline.suspicion.lines
    count = len(baseline.source.scratch_lines(target))
    lines = {n: scores[target.first + n - 1] for n in range(1, count + 1)
             if target.first + n - 1 in scores}  # fmt: skip
    statements = [statement for suite in suites for statement in suite.statements]
    spelt = {constant for text in [*task.tests, *statements] for constant in constants(text)}
    return Clues(lines, baseline.source.names(), frozenset(spelt))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _first_line(failure: TestResult) -> str:
    return f"{failure.id}: {(failure.detail or failure.outcome).splitlines()[0]}"
