"""Puts a failing function into words for the model: the code around it, its tests, what they say.

Everything is cut to a size that a small model with a small context can use; what is cut is chosen
by rule, not by relevance.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from coe_lsp.chain.feedback import Failure, render_feedback
from coe_lsp.chain.prompt import TaskDescription
from coe_lsp.chain.scratchpad import Scratchpad
from coe_lsp.execution.suite import Suite, TestResult
from coe_lsp.files import read_text_bounded
from coe_lsp.mutations.surroundings import find_class
from coe_lsp.parsing import parse
from coe_lsp.repair.folding import hidden_lines
from coe_lsp.repair.target.source import Function, SourceFile
from coe_lsp.repair.verify import Verdict

_IMPORT_LINES = 12
_CLASS_LINES = 14
_TEST_LINES = 14
_TESTS = 3
# pytest repeats the kind of error; addresses differ from run to run, and cost tokens.
_NOISE = re.compile(r"\AAssertionError: (?=assert )| at 0x[0-9a-fA-F]+(?=>)")


def describe(
    source: SourceFile,
    function: Function | None,
    suites: Sequence[Suite],
    target_tests: Sequence[str],
) -> TaskDescription:
    """The part of the prompt that does not change from turn to turn.

    Statements are not shown as tests: the feedback quotes those that fail. `function` is None where
    the whole program is under repair and `source` has what is around it.
    """
    tests: list[str] = []
    for test in target_tests:
        text = _test_source(test, suites)
        if text and text not in tests:
            tests.append(text)
        if len(tests) == _TESTS:
            break
    return TaskDescription(
        instructions="", context="\n".join(_context(source, function)), tests=tuple(tests)
    )


def scratchpad(
    lines: Sequence[str], verdict: Verdict, first: int, suspiciousness: Mapping[int, float]
) -> Scratchpad:
    """The state that the model sees, of a long function what is near its most suspect lines.

    `first` is the file's line where the function starts, `suspiciousness` by line of `lines`
    (1-based).
    """
    feedback = feedback_text(verdict, first, len(lines))
    return Scratchpad(tuple(lines), feedback, hidden_lines(lines, suspiciousness))


def feedback_text(verdict: Verdict, first: int, count: int) -> str:
    """What the tests say, with line numbers of the scratchpad."""
    failures = [
        Failure(_short_name(f.id), _detail(f), _scratch_line(f.line, first, count))
        for f in verdict.failures
    ]
    return render_feedback(verdict.passed, verdict.total, failures)


def _scratch_line(line: int | None, first: int, count: int) -> int | None:
    return line - first + 1 if line is not None and first <= line < first + count else None


def _short_name(test: str) -> str:
    return test.rpartition("::")[2]


def _detail(failure: TestResult) -> str:
    """What went wrong, in the same words whichever suite tells it."""
    return _NOISE.sub("", failure.detail) or failure.outcome


def _context(source: SourceFile, function: Function | None) -> Iterator[str]:
    """Imports, and for a method the head of its class with its constructor."""
    try:
        tree = parse(source.text)
    except SyntaxError:
        return
    lines = source.text.splitlines()
    shown = 0
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)) and shown < _IMPORT_LINES:
            yield ast.unparse(node)
            shown += 1
    owner = find_class(tree.body, function.owner) if function else None
    if function is None or owner is None:
        return
    yield lines[owner.lineno - 1].strip()
    count = 0
    for node in owner.body:
        keep = isinstance(node, (ast.Assign, ast.AnnAssign)) or (
            isinstance(node, ast.FunctionDef)
            and node.name == "__init__"
            and node.lineno != function.first
        )
        if not keep:
            continue
        for line in lines[node.lineno - 1 : node.end_lineno]:
            if count < _CLASS_LINES:
                yield line
                count += 1


def _test_source(test: str, suites: Sequence[Suite]) -> str:
    """The text of a test by its id, without decorators and docstring, cut to some lines."""
    for suite in suites:
        if suite.kind in ("pytest", "unittest") and "::" in test:
            path, *names = test.partition("[")[0].split("::")
            return _function_text(_file_of(path, suite.root), names)
    return ""


def _file_of(path: str, root: Path) -> Path:
    return root / path


def _function_text(path: Path, names: Sequence[str]) -> str:
    try:
        text = read_text_bounded(path)
        body: list[ast.stmt] = parse(text).body
    except (OSError, SyntaxError, UnicodeDecodeError):
        return ""
    node: ast.stmt | None = None
    for name in names:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        node = next((n for n in body if isinstance(n, kinds) and n.name == name), None)
        if not isinstance(node, kinds):
            return ""
        body = node.body
    if node is None:
        return ""
    lines = text.splitlines()[node.lineno - 1 : node.end_lineno]
    indent = len(lines[0]) - len(lines[0].lstrip())
    return "\n".join(line[indent:] for line in lines[:_TEST_LINES])
