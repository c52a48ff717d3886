"""The test processes of one repair: leased, counted and cancelled together."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from coe_lsp.execution.project import Project
from coe_lsp.execution.runner import SuiteRunner
from coe_lsp.repair.warm import WarmRunner, WarmRunners


class Processes:
    """What a repair leases of the warm runners, as a context that gives all back."""

    def __init__(self, warm: WarmRunners, seconds: float) -> None:
        """All tests of a project together get so many `seconds`."""
        self._warm = warm
        self._seconds = seconds
        self._stack = ExitStack()
        self._lock = threading.RLock()  # `cancel` may come from a signal in the midst of it
        self._leased: list[tuple[WarmRunner, int, float]] = []
        self._cancelled = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, value, trace)

    def lease(self, project: Project) -> WarmRunner:
        """The processes of a project; the same ones if it was asked for before.

        Where the tests of one were found to write into the project, so may those of all others.
        """
        for warm, _, _ in self._leased:
            if warm.project == project:
                return warm
        warm = self._stack.enter_context(self._warm.lease(project, self._seconds))
        for runner in self._runners():
            if runner.copies:
                warm.runner.copy_as(runner)
        with self._lock:
            self._leased.append((warm, warm.runner.runs, warm.runner.seconds))
            if self._cancelled:
                warm.runner.cancel()
        return warm

    def cancel(self) -> None:
        """End all runs, now and from now on."""
        self._cancelled = True
        for runner in self._runners():
            runner.cancel()

    @property
    def runs(self) -> int:
        """How often tests were run."""
        return sum(warm.runner.runs - before for warm, before, _ in self._leased)

    @property
    def seconds(self) -> float:
        """How long tests ran."""
        return sum(warm.runner.seconds - before for warm, _, before in self._leased)

    def _runners(self) -> list[SuiteRunner]:
        with self._lock:
            return [warm.runner for warm, _, _ in self._leased]
