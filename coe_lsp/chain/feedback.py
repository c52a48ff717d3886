"""What the tests said, in few words for a small model.

Pure text making: which tests failed and why comes from the caller. Long details are cut, so the
feedback is bounded whatever the tests print.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

_FAILURES = 2
_DETAIL_LINES = 3
_DETAIL_CHARACTERS = 160
_NAME_CHARACTERS = 60
_TOTAL_CHARACTERS = 600
_MALFORMED = "The last command changed nothing: "


@frozen
class Failure:
    """One failing test; `line` is the 1-based line of the scratchpad in which it ended."""

    test: str
    detail: str
    line: int | None = None


def render_feedback(passed: int, total: int, failures: Sequence[Failure]) -> str:
    """The feedback on a state; empty if nothing failed.

    At most two failures with three lines each are shown, in at most 600 characters.
    """
    if passed == total and not failures:
        return ""
    lines = [f"{total - passed} of {total} tests fail"]
    for failure in failures[:_FAILURES]:
        where = f" (line {failure.line})" if failure.line is not None else ""
        detail = _short(failure.detail)
        name = failure.test[:_NAME_CHARACTERS]
        lines.append(f"{name}{where}: {detail}" if detail else f"{name}{where}")
    return _cut("\n".join(lines), _TOTAL_CHARACTERS)


def malformed_feedback(error: str, previous: str) -> str:
    """The feedback after a command that was none: what was wrong, then what still holds."""
    lines = [line for line in previous.split("\n") if line and not line.startswith(_MALFORMED)]
    return "\n".join([_MALFORMED + error, *lines])


def _short(detail: str) -> str:
    kept = [line.strip() for line in detail.split("\n") if line.strip()][:_DETAIL_LINES]
    return "\n".join(_cut(line, _DETAIL_CHARACTERS) for line in kept)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
