"""Edits from program to program: they lead there, and the cheapest are chosen."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coe_lsp.chain.commands import (
    AddBlock,
    AddLine,
    DeleteLine,
    ReplaceBlock,
    ReplaceLine,
    ReplaceWords,
    render,
)
from coe_lsp.chain.edits import commands_between, shortest_commands
from coe_lsp.chain.scratchpad import Scratchpad

_lines = st.lists(
    st.sampled_from(["a", "b + c", "c", "", "    d", "c >>>d", "long " * 30]), max_size=9
)
OLD = ("def f(x):", "    y = g(x)", "    if y > 0:", "        return y", "    return 0")


def applied(commands, lines):
    pad = Scratchpad(tuple(lines))
    for command in commands:
        pad = pad.apply(command)
    return pad.lines


@settings(max_examples=300)
@given(_lines, _lines, st.booleans(), st.booleans())
def test_commands_lead_from_one_program_to_the_other(old, new, blocks, words):
    plain = commands_between(old, new)
    assert applied(plain, old) == tuple(new)
    assert not any(isinstance(one, ReplaceBlock | AddBlock) for one in plain)
    some = shortest_commands(old, new, blocks=blocks, words=words)
    assert applied(some, old) == tuple(new)
    assert len(some) <= len(plain)
    if not blocks and not words:
        assert some == plain


@pytest.mark.parametrize(
    ("new", "commands"),
    [
        (OLD, ()),
        (OLD[:4], (DeleteLine(5),)),
        (OLD[:2], (ReplaceBlock(3, 5, ()),)),
        ((*OLD[:4], "    return 1"), (ReplaceLine(5, "    return 1"),)),
        ((*OLD[:1], "    print(x)", *OLD[1:]), (AddLine(2, "    print(x)"),)),
        (
            (*OLD[:1], "    if x:", "        x = 1", *OLD[1:]),
            (AddBlock(2, ("    if x:", "        x = 1")),),
        ),
        # What is between two changed lines costs less than another turn.
        (
            (OLD[0], "    y = h(x)", OLD[2], "        return -y", OLD[4]),
            (ReplaceBlock(2, 4, ("    y = h(x)", OLD[2], "        return -y")),),
        ),
    ],
)
def test_the_cheapest(new, commands):
    assert shortest_commands(OLD, new) == commands


def test_far_hunks_stay_apart_and_the_second_counts_from_where_the_first_has_left_it():
    middle = tuple(f"    value_{n} = compute_something({n})" for n in range(9))
    old = (OLD[0], *middle, OLD[4])
    new = (OLD[0], "    a = 1", "    b = 2", *middle, "    return 1")
    added = AddBlock(2, ("    a = 1", "    b = 2"))
    assert shortest_commands(old, new) == (added, ReplaceLine(13, "    return 1"))
    (block,) = shortest_commands(old, new, turn=10_000)
    assert isinstance(block, ReplaceBlock)


def test_words_where_they_are_shorter_and_name_one_place():
    old = ("    total = total + compute_the_next_value(total, limit)",)
    new = ("    total = total + compute_the_last_value(total, limit)",)
    (command,) = shortest_commands(old, new, words=True)
    assert command == ReplaceWords(1, "compute_the_next_value", "compute_the_last_value")
    (command,) = shortest_commands(("    x = x",), ("    x = y",), words=True)
    assert command == ReplaceLine(1, "    x = y")
    assert all("REPL" in render(one) for one in shortest_commands(old, new))
