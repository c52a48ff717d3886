"""From a run of the tests to what an editor shows: diagnostics, lenses, hover. Pure.

Each failing test is attributed to one function, as the baseline says.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen
from lsprotocol import types

from coe_lsp.escaping import code, fenced, in_backticks, markdown, printable
from coe_lsp.files import read_bounded
from coe_lsp.lsp.documents import line_range
from coe_lsp.parsing import parse

if TYPE_CHECKING:
    from coe_lsp.execution.suite import TestResult
    from coe_lsp.repair.outcome import Outcome, PlaceTried
    from coe_lsp.repair.target.baseline import Baseline
    from coe_lsp.repair.target.places import Place
    from coe_lsp.repair.target.source import Function

SOURCE = "coe"
CODE = "failing-tests"
_SHOWN_TESTS = 5
_SHOWN_LINES = 6


@frozen
class Finding:
    """A function, the failing tests that it has to answer for, and the line to mark (1-based).

    Without a function, these are tests that failed before they ran any: the file cannot be
    imported, say.
    """

    function: Function | None
    tests: tuple[TestResult, ...]
    line: int


def findings(baseline: Baseline, *, of_tests: bool = False) -> tuple[Finding, ...]:
    """One finding for each function at fault, in the order of the file.

    `of_tests`: for each test that fails, in the file of tests itself.
    """
    at_fault: dict[Function | None, list[TestResult]] = {}
    attributed = _tests_themselves(baseline) if of_tests else baseline.functions_at_fault()
    for test, function in attributed:
        at_fault.setdefault(function, []).append(test)
    found = [
        Finding(function, tuple(tests), _line(function, tests))
        for function, tests in at_fault.items()
    ]
    return tuple(sorted(found, key=lambda finding: finding.line))


def _tests_themselves(baseline: Baseline) -> list[tuple[TestResult, Function | None]]:
    functions = {function.name: function for function in baseline.source.functions()}
    return [
        (test, functions.get(test.id.partition("::")[2].partition("[")[0].replace("::", ".")))
        for test in baseline.failing
    ]


def _line(function: Function | None, tests: Sequence[TestResult]) -> int:
    if function is None:
        return next((test.line for test in tests if test.line), 1)
    inside = [t.line for t in tests if t.line and function.first <= t.line <= function.last]
    return inside[0] if inside else function.first


def diagnostics(
    found: Sequence[Finding],
    lines: Sequence[str],
    root: Path,
    units: Callable[[str], int],
) -> list[types.Diagnostic]:
    """One diagnostic for each finding; `units` measures text in the client's units."""
    return [
        types.Diagnostic(
            range=line_range(lines, _marked(finding, lines), units),
            message=printable(f"{headline(finding)}\n{_details(finding.tests)}"),
            severity=types.DiagnosticSeverity.Error,
            source=SOURCE,
            code=CODE,
            related_information=_related(finding.tests, root) or None,
            data={
                "function": finding.function.name if finding.function else None,
                "tests": [test.id for test in finding.tests],
            },
        )
        for finding in found
    ]


def headline(finding: Finding) -> str:
    """How many tests fail in which function; the same as Markdown and as plain text."""
    where = f" in {code(finding.function.name)}" if finding.function else ""
    return f"{count(len(finding.tests), 'test')} failing{where}"


def count(number: int, noun: str) -> str:
    """The number with its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _marked(finding: Finding, lines: Sequence[str]) -> int:
    """The line to mark: where tests failed, else the `def` (not its decorators)."""
    if finding.function is None or finding.line != finding.function.first:
        return finding.line
    last = min(finding.function.last, len(lines))
    for number in range(finding.function.first, last + 1):
        if re.match(r"\s*(async\s+)?def\b", lines[number - 1]):
            return number
    return finding.line


def _details(tests: Sequence[TestResult]) -> str:
    parts: list[str] = []
    for test in tests[:_SHOWN_TESTS]:
        detail = (test.detail or test.outcome).splitlines()[
            : _SHOWN_LINES if test is tests[0] else 1
        ]
        parts.append(f"{test.id}: " + "\n  ".join(detail))
    if len(tests) > _SHOWN_TESTS:
        parts.append(f"and {len(tests) - _SHOWN_TESTS} more")
    return "\n".join(parts)


def _related(tests: Sequence[TestResult], root: Path) -> list[types.DiagnosticRelatedInformation]:
    """Where the failing tests are, for those that are functions in a file."""
    found: list[types.DiagnosticRelatedInformation] = []
    for test in tests[:_SHOWN_TESTS]:
        name, _, rest = test.id.partition("::")
        path = root / name
        if not rest or path.suffix != ".py":
            continue
        row = _row_of(path, rest)
        if row is not None:
            start = types.Position(row, 0)
            location = types.Location(path.as_uri(), types.Range(start, start))
            # What it said is in the message.
            found.append(types.DiagnosticRelatedInformation(location, printable(rest)))
    return found


def _row_of(path: Path, test: str) -> int | None:
    """The row of a test's `def`, by the names in its id."""
    try:
        nodes = parse(read_bounded(path)).body
    except (OSError, SyntaxError):
        return None
    row = None
    for name in test.partition("[")[0].split("::"):
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        node = next((n for n in nodes if isinstance(n, kinds) and n.name == name), None)
        if node is None:
            return row
        row, nodes = node.lineno - 1, node.body
    return row


def suspects(places: Sequence[Place], *, as_markdown: bool) -> list[str]:
    """Where a failing test points, as lines."""
    if not places:
        return []
    quoted, said = (code, markdown) if as_markdown else (printable, printable)
    lines = [
        f"{quoted(p.function.name)} in {quoted(f'{p.file}:{p.function.first}')}"
        + (f" ({said(p.reason)})" if p.reason else "")
        for p in places
    ]
    if as_markdown:
        return ["Suspect:", "", *(f"1. {line}" for line in lines), ""]
    return ["Suspect:", *(f"- {line}" for line in lines)]


def chain_text(outcome: Outcome) -> str:
    """The last chain of edits as Markdown."""
    name = outcome.function or outcome.file
    begin = f"{in_backticks(name)} "
    if outcome.message.startswith(begin):
        lines = [begin + markdown(outcome.message.removeprefix(begin)), ""]
    else:
        lines = [f"**{markdown(name)}**: {markdown(outcome.message)}", ""]
    for number, link in enumerate(outcome.chain, 1):
        total = link.passed + link.failed
        lines += [f"{number}. {code(link.words)} ({link.passed} of {total} tests pass)"]
    if outcome.diff:
        lines += ["", fenced(outcome.diff, "diff")]
    if outcome.partly is not None:
        lines += ["", fenced(outcome.partly.diff, "diff")]
    if len(outcome.places) > 1:
        lines += ["", *(f"- {_place_text(place)}" for place in outcome.places)]
    if outcome.attempts:
        tried = count(outcome.attempts, "different program")
        lines += ["", f"{tried} tested in {outcome.seconds.total:.1f} s"]
    return "\n".join(lines) + "\n"


def _place_text(place: PlaceTried) -> str:
    """Where it was looked, for how long, and how near that came."""
    total = place.passed + place.failed
    why = f" ({markdown(place.reason)})" if place.reason else ""
    return (
        f"{code(place.function)} in {code(place.file)}{why}: {place.seconds:.1f} s, "
        f"{place.passed} of {count(total, 'test')} at the best"
    )


def chain_plain(outcome: Outcome) -> str:
    """The last chain of edits as plain text."""
    lines = [outcome.message]
    for number, link in enumerate(outcome.chain, 1):
        total = link.passed + link.failed
        lines += [f"{number}. {link.words} ({link.passed} of {total} tests pass)"]
    if outcome.diff:
        lines += ["", outcome.diff.rstrip("\n")]
    return printable("\n".join(lines)) + "\n"
