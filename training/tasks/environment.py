"""Runs a task's tests on a program, in the sandboxed worker, with the verdicts of serving.

A `TaskEnvironment` owns one worker process; use one a thread or process. Three kinds of task: plain
statements; the same statements as a pytest file of a throw-away project (`as_pytest`), so that a
model also sees pytest's way of telling; and functions of the user's own project.
"""

from __future__ import annotations

import ast
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from attrs import evolve

from coe_lsp.chain.prompt import TaskDescription
from coe_lsp.execution.discovery import suites_for
from coe_lsp.execution.interpreter import Interpreter, probe
from coe_lsp.execution.localization import localize
from coe_lsp.execution.project import Project
from coe_lsp.execution.sandbox import Sandbox
from coe_lsp.execution.suite import Limits, Run, Suite
from coe_lsp.mutations.surroundings import Surroundings, surroundings
from coe_lsp.parsing import parse
from coe_lsp.repair.deadline import Deadline
from coe_lsp.repair.folding import hidden_lines, is_folded
from coe_lsp.repair.forgery import machinery_in
from coe_lsp.repair.site import Site
from coe_lsp.repair.target.baseline import measure
from coe_lsp.repair.target.source import Function, SourceError, SourceFile
from coe_lsp.repair.task import describe, feedback_text
from coe_lsp.repair.verify import Verdict, Verifier, limits_for, verdict
from training.tasks.tasks import Task, TaskError

_LIMITS = Limits(wall_seconds=20.0, test_seconds=5.0)
# A run that was late gets this many times the time once more.
_MORE_TIME = 6.0
_FILE = "program.py"


class TaskEnvironment:
    """Tests programs of one task. `limits` bound what a candidate may take."""

    def __init__(
        self,
        task: Task,
        sandbox: Sandbox,
        *,
        as_pytest: bool = False,
        limits: Limits = _LIMITS,
    ) -> None:
        """TaskError if the function of a harvested task has changed, SourceError if it is gone."""
        self.task = task
        self._limits = self._most = limits
        self._every: tuple[str, ...] = ()
        self._hidden: tuple[str, ...] = ()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._source: SourceFile | None = None
        if task.place is not None:
            interpreter = probe(Path(task.place.python), Path(task.place.root), sandbox)
            self._open_project(interpreter, sandbox)
        else:
            self._open_statements(sandbox, as_pytest)

    def _open_statements(self, sandbox: Sandbox, as_pytest: bool) -> None:
        task = self.task
        self._folder = tempfile.TemporaryDirectory(prefix="coe-task-")
        root = Path(self._folder.name)
        interpreter = probe(Path(sys.executable), root, sandbox)
        if as_pytest:
            (root / "pyproject.toml").write_text("")
            name = f"test_{task.entry_point or 'it'}"
            tests = [f"{name}_{n}" if n > 1 else name for n in range(1, len(task.tests) + 1)]
            bodies = [
                f"def {name}():\n" + "\n".join("    " + line for line in test.split("\n"))
                for name, test in zip(tests, task.tests, strict=True)
            ]
            head = f"from {_FILE.removesuffix('.py')} import *\n\n\n"
            (root / f"test_{_FILE}").write_text(head + "\n\n\n".join(bodies), encoding="utf-8")
            (root / _FILE).write_text(task.reference, encoding="utf-8")
            suite = Suite("pytest", root, root / _FILE, (f"test_{_FILE}",))
            self.tests = tuple(f"test_{_FILE}::{test}" for test in tests)
        else:
            suite = Suite("asserts", root, None, setup=task.setup, statements=task.tests)
            self.tests = tuple(f"assert {n}" for n in range(1, len(task.tests) + 1))
        self._as_pytest = as_pytest
        self._project = Project(root, None, interpreter, sandbox, (suite,), self._limits)
        self._runner = self._project.start_runner()

    def _open_project(self, interpreter: Interpreter, sandbox: Sandbox) -> None:
        place = self.task.place
        assert place is not None
        path = Path(place.root) / place.file
        self._source = SourceFile.read(path)
        self._function = self._source.find(place.function)
        if "\n".join(self._source.scratch_lines(self._function)) != self.task.reference:
            raise TaskError(f"{path}::{place.function} has changed since it was harvested.")
        root = Path(place.root)
        if place.doctest:
            suites: tuple[Suite, ...] = (Suite("doctest", root, path),)
        else:
            suites = suites_for(path, root, interpreter)
        self._project = Project(root, path, interpreter, sandbox, suites, self._limits)
        self._runner = self._project.start_runner()
        self.tests = self.task.tests

    def hide(self, tests: Sequence[str]) -> None:
        """Take these tests out, and no others; only `passes_hidden` runs them from here on."""
        self._every = self._every or self.tests
        self._hidden = tuple(tests)
        self.tests = tuple(test for test in self._every if test not in tests)

    @property
    def asserting(self) -> tuple[str, ...]:
        """The tests that can be hidden: of plain statements those that only prepare are none."""
        if self.task.place is not None:
            return self.tests
        statements = dict(zip(self._every or self.tests, self.task.tests, strict=True))
        return tuple(test for test in self.tests if _asserts(statements[test]))

    @property
    def has_hidden(self) -> bool:
        """Whether some tests are taken out."""
        return bool(self._hidden)

    def passes_hidden(self, lines: Sequence[str]) -> bool:
        """Whether a program passes all tests that were taken out."""
        return not self._hidden or self._evaluate(lines, self._hidden).solved

    def evaluate(self, lines: Sequence[str]) -> Verdict:
        """What the tests say of a program, given as scratchpad lines; hidden ones say nothing."""
        return self._evaluate(lines, self.tests)

    def _evaluate(self, lines: Sequence[str], tests: tuple[str, ...]) -> Verdict:
        try:
            data = self._bytes(lines)
        except UnicodeEncodeError as error:
            return verdict([], tests, detail=str(error))
        if named := machinery_in(lines, self._known_lines()):
            return verdict([], tests, detail=f"code under test may not use {named}")
        run = self._runner.run(data, tests, limits=self._limits)
        if _late(run) and self._limits != self._most:  # perhaps the machine is busy, as in serving
            run = self._runner.run(data, tests, limits=_more(self._limits, self._most))
        return verdict(run.results, tests, detail=run.detail, status=run.status)

    def _known_lines(self) -> Sequence[str]:
        """What a program may name of the test machinery: all that its file or the task does."""
        task = self.task
        file = self._source.text if self._source is not None else task.setup
        return "\n".join([file, task.reference, task.code or ""]).split("\n")

    def _bytes(self, lines: Sequence[str]) -> bytes:
        """The file with a program in its place. UnicodeEncodeError if its encoding lacks one."""
        if self._source is not None:
            return self._source.encode(self._source.replace(self._function, lines))
        setup = self.task.setup + "\n" if self._as_pytest and self.task.setup else ""
        return (setup + "\n".join(lines) + "\n").encode("utf-8", "replace")

    def suspiciousness(self, lines: Sequence[str]) -> dict[int, float]:
        """How suspect the lines of a program are (1-based), by running it traced; as in serving."""
        try:
            data = self._bytes(lines)
        except UnicodeEncodeError:
            return {}
        run = self._runner.run(data, self.tests, coverage=True, limits=self._limits)
        first = self._first
        scores = localize(run.results, run.lines).within(first, first + len(lines) - 1)
        return dict(scores)

    def hidden_lines(self, lines: Sequence[str]) -> frozenset[int]:
        """The lines of a program (1-based) that serving would fold; a short one is not run."""
        return hidden_lines(lines, self.suspiciousness(lines) if is_folded(lines) else {})

    def surroundings(self) -> Surroundings:
        """What a program can see beyond itself."""
        if self._source is None:
            return surroundings(self.task.setup, "")
        return surroundings(self._source.text, self._function.owner)

    def calibrate(self, program: str | None = None) -> bool:
        """Test the reference and tighten the limits to its speed; False if it does not pass.

        `program`: another form of it that is to be used in its place.
        """
        lines = (self.task.reference if program is None else program).split("\n")
        run = self._runner.run(self._bytes(lines), self.tests, limits=self._limits)
        found = verdict(run.results, self.tests, detail=run.detail, status=run.status)
        if found.solved:
            times = [result.seconds for result in found.results]
            overhead = max(0.0, run.seconds - sum(times))
            self._limits = limits_for(self._limits, times, overhead=overhead)
        return found.solved

    def feedback(self, found: Verdict, lines: Sequence[str]) -> str:
        """The feedback that serving would show."""
        return feedback_text(found, self._first, len(lines))

    def named_lines(self, found: Verdict, lines: Sequence[str]) -> frozenset[int]:
        """The lines of a program (1-based) in which failures ended."""
        first = self._first
        ended = (failure.line - first + 1 for failure in found.failures if failure.line is not None)
        return frozenset(line for line in ended if 1 <= line <= len(lines))

    @property
    def _first(self) -> int:
        """The file's line where the program begins."""
        if self._source is not None:
            return self._function.first
        setup = self.task.setup if self._as_pytest else ""
        return setup.count("\n") + 2 if setup else 1

    def describe(
        self, found: Verdict, lines: Sequence[str], *, instructions: str = ""
    ) -> TaskDescription:
        """The task as serving would describe it for a program (`lines`) that fails like this.

        What is shown depends on the program: the reference's own calls would tell the repair.
        """
        failing = [test for test in self.tests if test not in found.passing]
        if self._source is None:
            source, function = SourceFile.parse(Path(_FILE), self.task.setup.encode()), None
        else:
            source, function = self._place(lines)
        description = describe(source, function, self._runner.suites, failing)
        return evolve(description, instructions=instructions)

    def site(self, lines: Sequence[str], deadline: Deadline) -> Site:
        """A program as a place that the product's search looks at; of the tests it has the shown.

        Past the deadline it tests nothing.
        """
        source, function = self._place(lines)
        found = measure(self._runner, source, deadline.left())
        shown = {test: found.results[test] for test in self.tests if test in found.results}
        suspects = localize(shown.values(), found.lines)
        baseline = evolve(found, results=shown, localization=suspects)
        verifier = Verifier(self._runner, baseline, function, deadline)
        file = self.task.place.file if self.task.place else _FILE
        return Site(file, source, self._project, self._runner, baseline, verifier)

    def _place(self, lines: Sequence[str]) -> tuple[SourceFile, Function]:
        """The file with a program in its place, and where that is."""
        if self._source is None:
            source = SourceFile.parse(Path(_FILE), self._bytes(lines))
            name = self.task.entry_point or "program"
            return source, Function(name, self._first, self._first + len(lines) - 1)
        changed = evolve(self._source, lines=tuple(self._source.replace(self._function, lines)))
        grown = len(changed.lines) - len(self._source.lines)
        return changed, evolve(self._function, last=self._function.last + grown)

    def close(self) -> None:
        """End the worker and remove what it needed."""
        self._runner.close()
        if self._folder is not None:
            self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _asserts(statement: str) -> bool:
    try:
        tree = parse(statement)
    except SyntaxError:  # no program passes that
        return True
    return any(isinstance(node, ast.Assert) for node in ast.walk(tree))


def _late(run: Run) -> bool:
    return run.status == "timeout" or any(result.outcome == "timeout" for result in run.results)


def _more(limits: Limits, most: Limits) -> Limits:
    return evolve(
        limits,
        test_seconds=min(most.test_seconds, _MORE_TIME * limits.test_seconds),
        cpu_seconds=min(most.test_seconds, _MORE_TIME * (limits.cpu_seconds or most.test_seconds)),
        wall_seconds=min(most.wall_seconds, _MORE_TIME * limits.wall_seconds),
    )


def open_environments(
    tasks: Sequence[Task], sandbox: Sandbox, stack: ExitStack
) -> list[TaskEnvironment]:
    """Environments, closed by `stack`, of tasks whose functions are still as they were harvested.

    A project goes on being edited while it is trained on: what was changed is left out.
    """
    environments: list[TaskEnvironment] = []
    for task in tasks:
        try:
            environments.append(stack.enter_context(TaskEnvironment(task, sandbox)))
        except (TaskError, SourceError):
            continue
    return environments
