"""Which functions to try, in which order, and why there may be none.

Goes by a baseline alone. It runs nothing, and does not look into other files.
"""

from __future__ import annotations

from collections.abc import Sequence

from coe_lsp.errors import CoeError
from coe_lsp.repair.target.baseline import Baseline
from coe_lsp.repair.target.importing import place_of_imports, undefined_name, wants_import
from coe_lsp.repair.target.source import Function
from coe_lsp.repair.target.toplevel import with_toplevel_block


def choose_targets(baseline: Baseline, named: Function | None, file: str) -> list[Function]:
    """The functions of the file to repair, most suspect first; the one that the user named first.

    CoeError if nothing that the failing tests run could be repaired; it says what to name.
    """
    suspects = baseline.suspects()
    if named and suspects and named not in suspects and not baseline.concerns(named):
        names = ", ".join(f"`{function.name}`" for function in suspects[:3])
        raise CoeError(f"No failing test runs `{named.name}`; those that fail run {names}.")
    targets = [named, *_helpers(baseline, named)] if named else suspects
    targets = with_toplevel_block(
        _with_imports(targets, baseline),
        baseline.source,
        baseline.failing,
        reached=baseline.reached(),
    )
    if not targets and baseline.unwatched:
        raise CoeError(
            f"Which functions the failing tests run was not seen ({baseline.unwatched}): name "
            f"one, as in {file}::FUNCTION, or fewer tests with --tests (editors: coe.tests)."
        )
    if not targets:
        failure = baseline.failing[0]
        why = (failure.detail or failure.outcome).splitlines()[0]
        raise CoeError(f"The failing tests do not run any function of {file}: {failure.id}: {why}")
    return targets


def _with_imports(targets: Sequence[Function], baseline: Baseline) -> list[Function]:
    """With the place of the imports, if all tests fail for a name that is not defined."""
    names = [undefined_name(failure.detail) for failure in baseline.failing]
    top = place_of_imports(baseline.source)
    if not targets or top is None or not all(names):
        return list(targets)
    first = all(wants_import(name, baseline.source) for name in names if name)
    return [top, *targets] if first else [targets[0], top, *targets[1:]]


def _helpers(baseline: Baseline, named: Function) -> list[Function]:
    """Other suspects, most suspect first, that all the tests run which the named one must win."""
    target_tests = baseline.target_tests(named)
    return [
        function
        for function in baseline.suspects()
        if function.apart(named)
        and all(
            test not in baseline.lines or baseline.runs(test, function) for test in target_tests
        )
    ]
