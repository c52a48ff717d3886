"""Tests elsewhere in a project that a change of a file must not break.

Which ones pass as it is gets known when that is first asked: most candidates never come so far.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence

from attrs import evolve

from coe_lsp.execution.runner import SuiteRunner
from coe_lsp.repair.acceptance import passes
from coe_lsp.repair.target.source import SourceFile

_MOST = 2000
# A rerun may take so many times as long, and a little more, before it is given up.
_SLOWER, _AT_LEAST = 3.0, 5.0


class Guards:
    """The tests of some files, but for those that others look after."""

    def __init__(
        self,
        runner: SuiteRunner,
        source: SourceFile,
        tests: Sequence[str],
        known: Collection[str],
        seconds: float,
    ) -> None:
        """`source` is the text before the change, `tests` are files and ids, relative to the root.

        All together may take `seconds`: those that ran by then stand guard. `known` ones are left
        out.
        """
        self._runner = runner
        self._source = source
        self._asked = tests
        self._known = frozenset(known)
        self._seconds = seconds
        self._lock = threading.Lock()
        self._tests: tuple[str, ...] | None = None

    def broken(self, data: bytes) -> tuple[str, ...]:
        """The tests that no longer pass with this text of the file."""
        with self._lock:
            if self._tests is None:
                self._tests = self._passing()
        if not self._tests:
            return ()
        limits = evolve(self._runner.limits, wall_seconds=self._seconds)
        run = self._runner.run(data, self._tests, limits=limits)
        results = {result.id: result for result in run.results}
        # What did not run in time is not known to be broken.
        known = [t for t in self._tests if t in results or run.status != "timeout"]
        return tuple(test for test in known if not passes(test, results))

    def _passing(self) -> tuple[str, ...]:
        if not self._asked:
            return ()
        began = time.monotonic()
        limits = evolve(self._runner.limits, wall_seconds=self._seconds)
        data = self._source.encode(self._source.lines)
        run = self._runner.run(data, self._asked, limits=limits)
        self._seconds = _AT_LEAST + _SLOWER * (time.monotonic() - began)
        passed = [r.id for r in run.results if r.outcome == "passed" and r.id not in self._known]
        return tuple(passed[:_MOST])
