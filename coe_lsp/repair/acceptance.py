"""What "repaired" means: which tests must pass, and which must not break.

The one definition. The search asks it of every candidate that passes the tests it was judged by,
the repair of a second function asks it of both changes together, and the editor asks it again after
an edit elsewhere. It runs nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from coe_lsp.execution.runner import WHOLE_SUITE
from coe_lsp.execution.suite import Run, TestResult
from coe_lsp.repair.target.baseline import Baseline


@frozen
class Acceptance:
    """`target_tests` fail now and must pass; `regression_tests` pass now and must still pass.

    `select` is what has to run to find out, in that order; None: all tests of the file.
    """

    target_tests: tuple[str, ...]
    regression_tests: tuple[str, ...]
    select: tuple[str, ...] | None = None

    @classmethod
    def of(cls, baseline: Baseline, target_tests: Sequence[str]) -> Acceptance:
        """That these tests pass, and with them all that passed before."""
        results = baseline.results
        passed = tuple(test for test in results if results[test].outcome == "passed")
        wanted = {*passed, *target_tests}
        # Others that hang, or are too many to be run, would take the time of those that count.
        slow = any(result.outcome == "timeout" for result in results.values())
        alone = slow or bool(baseline.missing)
        return cls(
            tuple(target_tests),
            passed,
            tuple(test for test in results if test in wanted) if alone else None,
        )

    @classmethod
    def seen(cls, run: Run, target_tests: Sequence[str]) -> Acceptance:
        """That these tests pass, and with them all that passed in a run."""
        passed = tuple(r.id for r in run.results if r.outcome == "passed")
        others = tuple(test for test in passed if test not in target_tests)
        return cls(tuple(target_tests), others, tuple(dict.fromkeys([*passed, *target_tests])))

    def met(self, run: Run) -> bool:
        """Whether a run shows a repair."""
        return not self.unmet(run)

    def unmet(self, run: Run) -> tuple[str, ...]:
        """The tests that keep a run from showing a repair; to be skipped is not to pass."""
        results = {result.id: result for result in run.results}
        wanted = (*self.target_tests, *self.regression_tests)
        return tuple(test for test in wanted if not passes(test, results))


def passes(test: str, results: Mapping[str, TestResult]) -> bool:
    """Whether a test passed; what could not even be collected passes if all that is in it does."""
    if test in results:
        return results[test].outcome == "passed"
    inside = [
        result
        for name, result in results.items()
        if test in WHOLE_SUITE or name.startswith(test + "::")
    ]
    return bool(inside) and not any(result.failing for result in inside)
