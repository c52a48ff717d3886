"""The ways in which one task can meet a model: docstring or none, imports, kind of tests.

Each way of testing has an environment of its own, opened when it is first drawn. A demonstration
draws anew, so that a function is not seen in the same dress ten times.
"""

from __future__ import annotations

import ast
from contextlib import ExitStack
from random import Random
from typing import Self

from attrs import evolve, frozen

from coe_lsp.execution.sandbox import Sandbox
from coe_lsp.parsing import parse
from coe_lsp.repair.target.source import SourceError
from training.demonstrations.program_text import without_docs
from training.tasks.environment import TaskEnvironment
from training.tasks.tasks import Task, TaskError


@frozen
class Variant:
    """One of them; `goal` passes all tests of the environment. `bare`: no docstring, no comments.

    `setup` is what runs before the program, None if it is the task's own.
    """

    environment: TaskEnvironment
    goal: tuple[str, ...]
    bare: bool
    setup: str | None

    def dress(self, program: str) -> tuple[str, ...]:
        """Another program of the task in the same way."""
        lines = tuple(program.split("\n"))
        return without_docs(lines) if self.bare else lines


class Variants:
    """Draws variants of a task; a context manager that ends their workers."""

    def __init__(self, task: Task, sandbox: Sandbox, *, pytest: float, without_docs: float) -> None:
        self._task = task
        self._sandbox = sandbox
        self._pytest = pytest
        self._without_docs = without_docs
        self._stack = ExitStack()
        self._open: dict[tuple[bool, bool], TaskEnvironment | None] = {}
        self._passing: dict[tuple[int, tuple[str, ...]], bool] = {}

    def draw(self, random: Random) -> Variant | None:
        """One of them; None if the reference does not pass its tests, or is no longer there."""
        as_pytest = random.random() < self._pytest
        outside = random.random() < 0.5
        bare = random.random() < self._without_docs
        environment = self._environment(as_pytest, outside) or self._environment(False, False)
        if environment is None:
            return None
        task = environment.task
        setup = None if task.setup == self._task.setup else task.setup
        goal = tuple(task.reference.split("\n"))
        if bare:
            plain = without_docs(goal)
            key = id(environment), plain
            if key not in self._passing:  # its doctests are gone with a docstring
                self._passing[key] = environment.evaluate(plain).solved
            bare = self._passing[key]
            goal = plain if bare else goal
        return Variant(environment, goal, bare, setup)

    def _environment(self, as_pytest: bool, outside: bool) -> TaskEnvironment | None:
        """None if the reference fails there.

        As a pytest file it may: lines are indented, and names with an underscore not imported.
        """
        if self._task.place is not None:
            as_pytest = outside = False
        key = as_pytest, outside
        if key not in self._open:
            self._open[key] = self._calibrated(as_pytest, outside)
        return self._open[key]

    def _calibrated(self, as_pytest: bool, outside: bool) -> TaskEnvironment | None:
        task = self._task
        if task.place is None:
            task = evolve(task, reference=_tidy(task.reference))
            task = _without_imports(task) if outside else task
        try:
            environment = TaskEnvironment(task, self._sandbox, as_pytest=as_pytest)
        except (TaskError, SourceError):  # the project was changed since it was harvested
            return None
        self._stack.callback(environment.close)
        return environment if environment.calibrate() else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()


def _tidy(program: str) -> str:
    lines = [line.rstrip() for line in program.replace("\r\n", "\n").strip("\n").split("\n")]
    return "\n".join(lines)


def _without_imports(task: Task) -> Task:
    """Imports at the top moved into the setup, as they are outside the function when serving."""
    body = parse(task.reference).body
    count = 0
    while count < len(body) and isinstance(body[count], (ast.Import, ast.ImportFrom)):
        count += 1
    if not count or count == len(body):
        return task
    lines = task.reference.split("\n")
    cut = body[count].lineno - 1
    decorators = getattr(body[count], "decorator_list", [])
    cut = min([cut, *(d.lineno - 1 for d in decorators)])
    head = "\n".join(line for line in lines[:cut] if line.strip())
    setup = f"{task.setup}\n{head}".strip("\n")
    return evolve(task, setup=setup, reference="\n".join(lines[cut:]))
