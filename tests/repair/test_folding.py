"""Folding: a short function is shown whole, of a long one what is near its suspect lines."""

from coe_lsp.chain.scratchpad import Scratchpad
from coe_lsp.repair.folding import hidden_lines

HEAD = ["def longest(rows, limit,", "            start=0):"]
STEPS = [f"    step_{n} = rows[{n}] + limit" for n in range(3, 300)]
LONG = [
    *HEAD,
    *STEPS,
    "    for row in rows:",
    "        if row > limit:",
    "            first = row",
    *[f"            same_{n} = first" for n in range(20)],
    "            limit = row + 1",
    *[f"            more_{n} = limit" for n in range(40)],
    "    return limit",
]
WRONG = LONG.index("            limit = row + 1") + 1


def shown(lines, suspiciousness):
    hidden = hidden_lines(lines, suspiciousness)
    return [number for number in range(1, len(lines) + 1) if number not in hidden]


def test_a_short_function_is_shown_whole():
    assert hidden_lines(LONG[:60], {7: 1.0}) == frozenset()


def test_of_a_long_one_the_head_the_suspects_and_what_they_are_nested_in():
    seen = shown(LONG, {WRONG: 1.0, 200: 0.9})
    nested = LONG.index("    for row in rows:") + 1
    assert {1, 2, nested, nested + 1, *range(WRONG - 2, WRONG + 3), *range(198, 203)} <= set(seen)
    pad = Scratchpad(tuple(LONG), "", hidden_lines(LONG, {WRONG: 1.0, 200: 0.9}))
    assert 2500 < len(pad.render()) < 3500
    assert "\n...\n" in pad.render()


def test_no_line_is_hidden_by_itself():
    hidden = hidden_lines(LONG, dict.fromkeys(range(1, 200, 6), 1.0))
    assert hidden
    assert all(n - 1 in hidden or n + 1 in hidden for n in hidden)


def test_lines_that_are_too_long_by_themselves_make_room_for_others():
    lines = [*HEAD, f"    text = {'x' * 9000!r}", *STEPS]
    assert shown(lines, {3: 1.0, 50: 0.5}) != [1, 2]
    assert 3 not in shown(lines, {3: 1.0, 50: 0.5})
    assert 50 in shown(lines, {3: 1.0, 50: 0.5})
