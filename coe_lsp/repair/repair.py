"""One repair from start to end: find the tests, name the function, search, make the diff.

It reads the user's files and runs the user's tests in the worker; it writes nothing. The model is
asked for only when there is something to repair.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from attrs import evolve, frozen

from coe_lsp.errors import CoeError
from coe_lsp.execution.discovery import find_root, suites_for
from coe_lsp.execution.interpreter import find_interpreter
from coe_lsp.execution.sandbox import find_sandbox
from coe_lsp.execution.suite import Limits, Suite, TestResult
from coe_lsp.repair.chains import Found, Search, Step, run_chains
from coe_lsp.repair.outcome import Counts, Link, ModelUsed, Outcome, Seconds
from coe_lsp.repair.source import Function, SourceFile, locate, unified_diff
from coe_lsp.repair.task import describe, feedback_text
from coe_lsp.repair.verify import Baseline, TestBench, Verifier, measure, relative

if TYPE_CHECKING:
    from coe_lsp.repair.policy import Policy

# What the most suspect functions get of the time, if more than one is suspect.
_SHARES = (0.6, 0.25, 0.15)


@frozen
class Request:
    """What to repair and how far to go. `budget` is in seconds of wall time for the search.

    `source` is the file's text if it is not (yet) what the disk has. `test_seconds` is what one
    test may take; a file's tests together get twelve times that.
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

    @property
    def limits(self) -> Limits:
        """Bounds on the tests as they are: one of them, and all of the file's together."""
        return Limits(test_seconds=self.test_seconds, wall_seconds=12 * self.test_seconds)


@frozen
class LoadedPolicy:
    """A policy ready to be asked, the weights behind it, and whether they were trained for this."""

    policy: Policy
    model: ModelUsed
    trained: bool


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
        load_policy: Callable[[], AbstractContextManager[LoadedPolicy]],
        watcher: Watcher,
    ) -> None:
        self._request = request
        self._load = load_policy
        self._watcher = watcher
        self._cancelled = threading.Event()
        self._bench: TestBench | None = None
        self._lock = threading.Lock()
        self._policy: Policy | None = None

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
        targets = [named] if named else baseline.suspects()[: len(_SHARES)]
        if not targets:
            raise CoeError(
                f"The failing tests do not run any function of {file}: "
                f"{_first_line(baseline.failing[0])}"
            )
        loading = time.monotonic()
        with self._load() as loaded, self._asking(loaded.policy):
            loading = time.monotonic() - loading
            outcome = Outcome("failed", file, targets[0].name, before=before, after=before,
                              model=loaded.model)  # fmt: skip
            deadline = time.monotonic()
            attempts, decoding = 0, loading
            for index, target in enumerate(targets):
                share = _SHARES[index] / sum(_SHARES[: len(targets)])
                deadline += share * self._request.budget
                found, verifier = self._search(bench, baseline, target, loaded, deadline)
                attempts += found.attempts
                decoding += found.model_seconds
                outcome = self._outcome(outcome, baseline, target, found, verifier, bench)
                if found.solved or self._cancelled.is_set():
                    break
        return evolve(outcome, attempts=attempts, seconds=Seconds(model=decoding))

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

    def _search(
        self,
        bench: TestBench,
        baseline: Baseline,
        target: Function,
        loaded: LoadedPolicy,
        deadline: float,
    ) -> tuple[Found, Verifier]:
        verifier = Verifier(bench, baseline, target, deadline)
        self._watcher.target(target, verifier.goal)
        task = describe(baseline.source, target, bench.suites, verifier.goal)
        lines = baseline.source.scratch_lines(target)
        focus = () if loaded.trained else _focus_lines(lines, baseline, target)
        search = Search(self._request.samples, deadline=deadline, focus=focus)
        found = run_chains(
            loaded.policy, verifier, task, lines, search, self._watcher.step, self._cancelled.is_set
        )
        return found, verifier

    def _outcome(
        self,
        outcome: Outcome,
        baseline: Baseline,
        target: Function,
        found: Found,
        verifier: Verifier,
        bench: TestBench,
    ) -> Outcome:
        chain = tuple(
            Link(
                turn.command_text,
                feedback_text(verdict, target.first, len(turn.pad.lines)),
                verdict.passed,
                verdict.total - verdict.passed,
            )
            for turn, verdict in zip(found.episode.turns, found.verdicts, strict=False)
        )
        if not found.solved:
            if outcome.chain:
                return outcome  # the most suspect function's best chain tells more
            message = "Cancelled." if self._cancelled.is_set() else "No repair was found in time."
            return evolve(outcome, chain=chain, message=message)
        source = baseline.source
        new = source.replace(target, found.episode.pad.lines)
        data = source.encode(new)
        after = bench.run(data)
        left = len(after.failures)
        message = f"{target.name} is repaired: {_count(len(verifier.tests), 'test')} passed."
        if left:
            verb = "fails" if left == 1 else "fail"
            message += f" {_count(left, 'other test')} of the file still {verb}, as before."
        return evolve(
            outcome,
            status="repaired",
            function=target.name,
            diff=unified_diff(outcome.file, source.lines, new),
            after=Counts(after.passed, left),
            chain=chain,
            message=message,
            new_source=data,
            old_source=source.encode(source.lines),
        )


def _focus_lines(lines: Sequence[str], baseline: Baseline, target: Function) -> tuple[int, ...]:
    """The scratchpad's lines that failing tests run, most suspect first; all, if none was seen."""
    scores = baseline.suspicion.lines
    numbers = [n for n, line in enumerate(lines, 1) if line.strip()]
    seen = [n for n in numbers if target.first + n - 1 in scores]
    return tuple(sorted(seen or numbers, key=lambda n: -scores.get(target.first + n - 1, 0.0)))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _first_line(failure: TestResult) -> str:
    return f"{failure.id}: {(failure.detail or failure.outcome).splitlines()[0]}"
