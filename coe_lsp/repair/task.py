"""Puts a failing function into words for the model: the code around it, its tests, what they say.

Everything is cut to a size that a small model with a small context can use; what is cut is chosen
by rule, not by relevance.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from coe_lsp.chain.feedback import Failure, render_feedback
from coe_lsp.chain.prompt import TaskDescription
from coe_lsp.chain.scratchpad import Scratchpad
from coe_lsp.execution.suite import Suite, TestResult
from coe_lsp.repair.context_code import code_pieces
from coe_lsp.repair.context_pieces import choose_pieces
from coe_lsp.repair.context_tests import TestReader
from coe_lsp.repair.folding import hidden_lines, shown_size
from coe_lsp.repair.target.source import Function, SourceFile
from coe_lsp.repair.verify import Verdict

# Characters: with them nine of ten real tasks take no more than 1,500 tokens in all.
_ROOM, _LEAST_ROOM = 4600, 1200
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
    size = 0
    words: set[str] = set()
    if function is not None:
        size = shown_size(source.scratch_lines(function))
        words = {function.name.rpartition(".")[2], function.owner.rpartition(".")[2]} - {""}
    tests = TestReader(suites).pieces(target_tests, words)
    code = code_pieces(source, function, [piece.forms[0] for piece in tests])
    chosen = choose_pieces([*code, *tests], max(_LEAST_ROOM, _ROOM - size))
    shown_code, shown_tests = chosen[: len(code)], chosen[len(code) :]
    return TaskDescription(
        context="\n".join(filter(None, shown_code)), tests=tuple(filter(None, shown_tests))
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
