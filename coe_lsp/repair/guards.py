"""Tests elsewhere in a project that a change of a file must not break.

Which ones pass as it is gets known when that is first asked: most candidates never come so far.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attrs import evolve

from coe_lsp.execution.runner import SuiteRunner
from coe_lsp.repair.acceptance import Acceptance
from coe_lsp.repair.target.source import SourceFile

_MOST = 2000


class Guards:
    """The tests of some files, but for those that others look after."""

    def __init__(
        self,
        runner: SuiteRunner,
        source: SourceFile,
        files: Sequence[str],
        known: Collection[str],
        seconds: float,
    ) -> None:
        """`source` is the text before the change, `files` are relative to the root.

        All tests together may take `seconds`: those that ran by then stand guard. `known` ones are
        left out.
        """
        self._runner = runner
        self._source = source
        self._files = files
        self._known = frozenset(known)
        self._limits = evolve(runner.limits, wall_seconds=min(runner.limits.wall_seconds, seconds))
        self._tests: tuple[str, ...] | None = None

    @property
    def tests(self) -> tuple[str, ...]:
        """Those that pass as it is; none before `broken` was asked for the first time."""
        return self._tests or ()

    def broken(self, data: bytes) -> tuple[str, ...]:
        """The tests that no longer pass with this text of the file."""
        if self._tests is None:
            self._tests = self._passing()
        if not self._tests:
            return ()
        run = self._runner.run(data, self._tests, limits=self._limits)
        return Acceptance((), self._tests).unmet(run)

    def _passing(self) -> tuple[str, ...]:
        if not self._files:
            return ()
        data = self._source.encode(self._source.lines)
        run = self._runner.run(data, self._files, limits=self._limits)
        passed = [r.id for r in run.results if r.outcome == "passed" and r.id not in self._known]
        return tuple(passed[:_MOST])
