"""Opens a project for some of its tests: interpreter, suites, sandbox and limits.

The one place where these four are put together, for repairs, checks, `coe-lsp tests` and training.
It starts no test process; `Project.start_runner` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from attrs import evolve, frozen

from coe_lsp.execution.discovery import (
    find_root,
    suite_of_tests,
    suites_for,
    suites_from_afar,
)
from coe_lsp.execution.interpreter import Interpreter, find_interpreter
from coe_lsp.execution.runner import SuiteRunner
from coe_lsp.execution.sandbox import Sandbox, find_sandbox
from coe_lsp.execution.suite import Limits, Suite

# What all tests of a file may take together, as a multiple of what one may take.
_TESTS_IN_A_RUN = 12


@frozen
class ProjectOptions:
    """How a project's tests are to be run.

    `tests` names them (none: those that are found), `python` the interpreter (None: found).
    `test_seconds` is what one test may take. `env` and `show` are what the sandbox lets in (see
    `find_sandbox`).
    """

    tests: tuple[str, ...] = ()
    python: str | None = None
    sandbox: Literal["auto", "off"] = "auto"
    env: tuple[str, ...] = ()
    show: tuple[str, ...] = ()
    test_seconds: float = 5.0

    @property
    def limits(self) -> Limits:
        """Bounds on the tests as they are: one of them, and all of the file's together."""
        seconds = self.test_seconds
        return Limits(test_seconds=seconds, wall_seconds=_TESTS_IN_A_RUN * seconds)


@frozen
class Project:
    """A project opened for tests. Equal if the same tests would run the same way.

    `path` is the file under repair; None where that is not known yet.
    """

    root: Path
    path: Path | None
    interpreter: Interpreter
    sandbox: Sandbox
    suites: tuple[Suite, ...]
    limits: Limits

    @classmethod
    def open(cls, path: Path, options: ProjectOptions) -> Project:
        """Find all that the tests of the file at `path` need.

        Raises CoeError for whatever the user has to put right first: no tests, no interpreter with
        pytest, no sandbox.
        """
        root = find_root(path)
        sandbox = find_sandbox(options.sandbox, options.env, options.show)
        interpreter = find_interpreter(root, options.python, sandbox)
        suites = tuple(suites_for(path, root, interpreter, options.tests))
        return cls(root, path, interpreter, sandbox, suites, options.limits)

    @classmethod
    def of_tests(cls, root: Path, tests: Sequence[str], options: ProjectOptions) -> Project:
        """Find all that some tests need: files and node ids relative to the root, none for all.

        CoeError like `open`.
        """
        sandbox = find_sandbox(options.sandbox, options.env, options.show)
        interpreter = find_interpreter(root, options.python, sandbox)
        suite = suite_of_tests(root, interpreter, tests)
        return cls(root, None, interpreter, sandbox, (suite,), options.limits)

    def from_afar(self) -> Project:
        """The same with tests that reach the file through others; equal if there are none."""
        if self.path is None:
            return self
        return evolve(
            self, suites=suites_from_afar(self.path, self.root, self.interpreter, self.suites)
        )

    def for_file(self, path: Path) -> Project:
        """The same tests with a file under repair."""
        suites = tuple(evolve(suite, path=path) for suite in self.suites)
        return evolve(self, path=path, suites=suites)

    @property
    def overlaid(self) -> bool:
        """Whether some files are taken for something else than what is on the disk."""
        return any(suite.overlay for suite in self.suites)

    def with_overlay(self, overlay: Mapping[Path, bytes]) -> Project:
        """The same with other files taken for something else than what is on the disk."""
        beside = tuple((path, data) for path, data in overlay.items() if path != self.path)
        return evolve(self, suites=tuple(evolve(s, overlay=beside) for s in self.suites))

    def start_runner(self) -> SuiteRunner:
        """The test processes of the suites; the caller closes them."""
        return SuiteRunner(self.suites, self.interpreter, self.sandbox, self.limits)
