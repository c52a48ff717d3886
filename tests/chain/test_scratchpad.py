"""The scratchpad: what is shown, and that a command changes only the line it names."""

import attrs
import pytest
from chain_strategies import commands, programs, single_lines, texts
from hypothesis import given
from hypothesis import strategies as st

from coe_lsp.chain.commands import (
    AddBlock,
    AddLine,
    CommandError,
    DeleteLine,
    Exit,
    Reason,
    ReplaceBlock,
    ReplaceLine,
    ReplaceWords,
    parse,
)
from coe_lsp.chain.scratchpad import Scratchpad

PAD = Scratchpad(("def f(x):", "    y = x + x", "    return y"), "1 of 1 tests fail")


def test_rendering():
    assert PAD.render() == (
        "1 >>>def f(x):\n2 >>>    y = x + x\n3 >>>    return y\n***\n1 of 1 tests fail"
    )
    assert Scratchpad(("x",)).render() == "1 >>>x\n***"
    assert Scratchpad((), "gone").render() == "***\ngone"


def test_hidden_lines_are_one_mark_and_the_others_keep_their_numbers():
    pad = Scratchpad(tuple("abcdef"), "bad", frozenset({2, 3, 6}))
    assert pad.render() == "1 >>>a\n...\n4 >>>d\n5 >>>e\n...\n***\nbad"


@given(programs, commands, st.frozensets(st.integers(1, 12)))
def test_hiding_changes_no_edit_and_what_was_written_is_shown(text, command, hidden):
    pad = Scratchpad.from_text(text)
    pad = attrs.evolve(pad, hidden=frozenset(n for n in hidden if n <= len(pad.lines)))
    try:
        after = pad.apply(command)
    except CommandError:
        return
    assert after.lines == attrs.evolve(pad, hidden=frozenset()).apply(command).lines
    # The same lines are hidden as before, wherever they are now, but for the one that was edited.
    edited = range(0)
    match command:
        case ReplaceBlock(first, last):
            edited = range(first, last + 1)
        case ReplaceLine(line) | ReplaceWords(line) | DeleteLine(line):
            edited = range(line, line + 1)
        case _:  # inserts, or edits nothing
            pass
    kept = [line for n, line in enumerate(pad.lines, 1) if n in pad.hidden and n not in edited]
    assert [after.lines[n - 1] for n in sorted(after.hidden)] == kept


def test_a_shown_line_is_the_same_bytes_as_in_the_command_that_replaces_it():
    for number, shown in enumerate(PAD.render().split("\n")[:3], 1):
        assert parse(f"### REPL {shown}") == ReplaceLine(number, PAD.lines[number - 1])


@given(programs)
def test_text_comes_back(text):
    assert Scratchpad.from_text(text).text == text


def test_only_newline_separates_lines():
    assert Scratchpad.from_text("a\fb\r\u2028c\x85\n").lines == ("a\fb\r\u2028c\x85", "")
    assert Scratchpad.from_text("").lines == ()
    with pytest.raises(ValueError):
        Scratchpad(("a\nb",))


@pytest.mark.parametrize(
    ("command", "lines"),
    [
        (AddLine(1, "# top"), ("# top", *PAD.lines)),
        (AddLine(4, ""), (*PAD.lines, "")),
        (ReplaceLine(3, "    return 0"), (*PAD.lines[:2], "    return 0")),
        (ReplaceWords(2, "x", "z"), (PAD.lines[0], "    y = z + x", PAD.lines[2])),
        (ReplaceWords(2, "    ", ""), (PAD.lines[0], "y = x + x", PAD.lines[2])),
        (DeleteLine(2), (PAD.lines[0], PAD.lines[2])),
        (ReplaceBlock(2, 3, ("    return 2 * x",)), (PAD.lines[0], "    return 2 * x")),
        (ReplaceBlock(2, 2, ("", "")), (PAD.lines[0], "", "", PAD.lines[2])),
        (ReplaceBlock(1, 3, ()), ()),
        (AddBlock(1, ("# a", "# b")), ("# a", "# b", *PAD.lines)),
        (AddBlock(4, ("# a", "# b")), (*PAD.lines, "# a", "# b")),
        (Exit(), PAD.lines),
    ],
)
def test_commands(command, lines):
    assert PAD.apply(command) == Scratchpad(lines, "")


@pytest.mark.parametrize(
    "command",
    [
        AddLine(5, "x"),
        ReplaceLine(4, "x"),
        DeleteLine(4),
        ReplaceBlock(3, 4, ()),
        ReplaceBlock(4, 4, ("x",)),
        AddBlock(5, ("x",)),
    ],
)
def test_a_line_that_is_not_there(command):
    with pytest.raises(CommandError, match="lines are 1 to") as caught:
        PAD.apply(command)
    assert caught.value.reason is Reason.RANGE


def test_a_block_hides_nothing_that_was_hidden_before_and_elsewhere():
    pad = Scratchpad(tuple("abcdefgh"), "bad", frozenset({2, 3, 5, 6, 8}))
    assert pad.apply(ReplaceBlock(3, 5, ("x", "y", "z", "w"))).hidden == {2, 7, 9}
    assert pad.apply(ReplaceBlock(3, 5, ())).hidden == {2, 3, 5}
    assert pad.apply(AddBlock(3, ("x", "y"))).hidden == {2, 5, 7, 8, 10}


def test_the_empty_program():
    empty = Scratchpad(())
    assert empty.apply(AddLine(1, "x")).lines == ("x",)
    with pytest.raises(CommandError, match="empty"):
        empty.apply(DeleteLine(1))


def test_text_that_is_not_in_the_line():
    with pytest.raises(CommandError) as caught:
        PAD.apply(ReplaceWords(1, "return", "yield"))
    assert caught.value.reason is Reason.NOT_IN_LINE


def test_states_are_immutable():
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        PAD.lines = ()
    assert hash(PAD.apply(Exit())) == hash(Scratchpad(PAD.lines))


def check_only_the_named_line_changed(before, command, after):
    """Compares line by line with what the command's own words allow."""
    match command:
        case AddLine(n, text):
            assert after[n - 1] == text
            assert after[: n - 1] == before[: n - 1]
            assert after[n:] == before[n - 1 :]
        case AddBlock(n, lines):
            assert after[n - 1 : n - 1 + len(lines)] == lines
            assert after[: n - 1] + after[n - 1 + len(lines) :] == before
        case ReplaceBlock(first, last, lines):
            assert len(after) == len(before) - (last - first + 1) + len(lines)
            assert after[: first - 1] == before[: first - 1]
            assert after[first - 1 : first - 1 + len(lines)] == lines
            assert after[first - 1 + len(lines) :] == before[last:]
        case DeleteLine(n):
            assert after[: n - 1] == before[: n - 1]
            assert after[n - 1 :] == before[n:]
            assert len(after) == len(before) - 1
        case ReplaceLine(n, text):
            assert after[n - 1] == text
            assert [i for i in range(len(before)) if i != n - 1 and before[i] != after[i]] == []
            assert len(after) == len(before)
        case ReplaceWords(n, old, new):
            left, found, right = before[n - 1].partition(old)
            assert found
            assert after[n - 1] == left + new + right
            assert [i for i in range(len(before)) if i != n - 1 and before[i] != after[i]] == []
            assert len(after) == len(before)
        case Exit():
            assert after == before


@st.composite
def fitting_commands(draw, pad):
    """Commands that mostly can be applied: random ones seldom name a word that is there."""
    command = draw(commands)
    if isinstance(command, Exit):
        return command
    number = draw(st.integers(1, len(pad.lines) + 1))
    if isinstance(command, ReplaceWords) and number <= len(pad.lines) and pad.lines[number - 1]:
        line = pad.lines[number - 1]
        begin = draw(st.integers(0, len(line) - 1))
        old = line[begin : draw(st.integers(begin + 1, len(line)))]
        if " >>>" not in old:
            return ReplaceWords(number, old, command.new)
    if isinstance(command, ReplaceBlock):
        first = draw(st.integers(1, number))
        return attrs.evolve(command, first=first, last=number)
    return attrs.evolve(command, line=number)


@given(programs, st.data())
def test_any_commands_change_only_what_they_name(text, data):
    pad = Scratchpad.from_text(text, "some feedback")
    for _ in range(data.draw(st.integers(1, 10))):
        command = data.draw(st.one_of(commands, fitting_commands(pad)))
        before = pad
        try:
            pad = pad.apply(command)
        except CommandError as error:
            assert error.reason in (Reason.RANGE, Reason.NOT_IN_LINE)
            assert pad is before
        else:
            assert pad.feedback == ""
            check_only_the_named_line_changed(before.lines, command, pad.lines)
            assert Scratchpad.from_text(pad.text).lines in (pad.lines, ())


@given(programs, st.lists(texts, max_size=10))
def test_any_text_never_crashes(program, answers):
    pad = Scratchpad.from_text(program)
    for answer in answers:
        before = pad
        try:
            command = parse(answer)
            pad = pad.apply(command)
        except CommandError:
            assert pad is before
        else:
            check_only_the_named_line_changed(before.lines, command, pad.lines)


@given(st.lists(single_lines, min_size=1, max_size=5))
def test_every_line_is_shown_whole(lines):
    shown = Scratchpad(tuple(lines), "feedback").render().split("\n")
    assert shown == [f"{n} >>>{line}" for n, line in enumerate(lines, 1)] + ["***", "feedback"]
