"""Which lines of a long function are hidden from the model.

To read a thousand tokens takes a small model seconds on a laptop, and it loses its way among them.
So of a function above a certain size it sees the head and what is near the most suspect lines, each
with the statements that it is nested in. Mutations are made of all lines nevertheless.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

# Characters, line numbers included: a function of up to so many is shown whole, else so many of it.
_SHOWN_WHOLE, _WINDOW = 4000, 3000
_LINE_NUMBER_WIDTH = 6
_LINES_AROUND_SUSPECT = 2
_HEAD_LINES = 8
_LONG_LINE = 120


def hidden_lines(lines: Sequence[str], suspiciousness: Mapping[int, float]) -> frozenset[int]:
    """The numbers (1-based) of the lines to hide; none if the function is short.

    `suspiciousness` by line. A line that alone stands between two that are shown is shown as
    well, if it is not overlong.
    """
    if not is_folded(lines):
        return frozenset()
    shown = set(_head(lines))
    left = _WINDOW - sum(_size(lines[number - 1]) for number in shown)
    order = sorted(range(1, len(lines) + 1), key=lambda n: (-suspiciousness.get(n, 0.0), n))
    for number in order:
        if left <= _LINE_NUMBER_WIDTH:
            break
        wanted = [n for n in (*_near(lines, number), *_parents(lines, number)) if n not in shown]
        cost = sum(_size(lines[n - 1]) for n in set(wanted))
        if cost > left:
            continue
        shown.update(wanted)
        left -= cost
    hidden = frozenset(range(1, len(lines) + 1)) - shown
    return frozenset(
        n for n in hidden if n - 1 in hidden or n + 1 in hidden or len(lines[n - 1]) > _LONG_LINE
    )


def is_folded(lines: Sequence[str]) -> bool:
    """Whether a function is so long that some of its lines are hidden."""
    return sum(_size(line) for line in lines) > _SHOWN_WHOLE


def shown_size(lines: Sequence[str]) -> int:
    """About how many characters of a function are shown, line numbers included."""
    return _WINDOW if is_folded(lines) else sum(_size(line) for line in lines)


def _size(line: str) -> int:
    return len(line) + _LINE_NUMBER_WIDTH


def _head(lines: Sequence[str]) -> Iterator[int]:
    """The lines up to the end of the signature."""
    for number, line in enumerate(lines[:_HEAD_LINES], 1):
        yield number
        if line.rstrip().endswith(":"):
            return


def _near(lines: Sequence[str], number: int) -> range:
    return range(
        max(1, number - _LINES_AROUND_SUSPECT), min(len(lines), number + _LINES_AROUND_SUSPECT) + 1
    )


def _parents(lines: Sequence[str], number: int) -> Iterator[int]:
    """The lines above that are less and less indented: what the line is nested in."""
    indent = _indent(lines[number - 1])
    for above in range(number - 1, 0, -1):
        line = lines[above - 1]
        if line.strip() and _indent(line) < indent:
            indent = _indent(line)
            yield above


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
