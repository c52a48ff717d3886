"""The seven commands: exact bytes, round trip, and one message for each way to go wrong."""

import pytest
from chain_strategies import commands, texts
from hypothesis import example, given

from coe_lsp.chain.commands import (
    MAX_LINE,
    AddBlock,
    AddLine,
    CommandError,
    DeleteLine,
    Exit,
    Reason,
    ReplaceBlock,
    ReplaceLine,
    ReplaceWords,
    find_end,
    is_block,
    parse,
    render,
)

EXACT = [
    (AddLine(1, ""), "### ADDL 1 >>>"),
    (AddLine(12, "\treturn x  "), "### ADDL 12 >>>\treturn x  "),
    (ReplaceLine(3, "    return x"), "### REPL 3 >>>    return x"),
    (ReplaceLine(3, "a >>> b"), "### REPL 3 >>>a >>> b"),
    (ReplaceLine(3, "\f\u2028\r"), "### REPL 3 >>>\f\u2028\r"),
    (ReplaceWords(3, "old", "new"), "### REPW 3 >>>old >>>new"),
    (ReplaceWords(3, "a >> ", ""), "### REPW 3 >>>a >>  >>>"),
    (ReplaceWords(3, ">", "> >>>b"), "### REPW 3 >>>> >>>> >>>b"),
    (ReplaceWords(3, ">>>", " "), "### REPW 3 >>>>>> >>> "),
    (DeleteLine(MAX_LINE), f"### DELL {MAX_LINE}"),
    (ReplaceBlock(3, 5, ("    if x:", "")), "### REPB 3 5\n>>>    if x:\n>>>"),
    (ReplaceBlock(3, 3, (">>> f(1)", "### EXIT")), "### REPB 3 3\n>>>>>> f(1)\n>>>### EXIT"),
    (ReplaceBlock(12, 40, ()), "### REPB 12 40"),
    (AddBlock(1, ("\tx\r", "y")), "### ADDB 1\n>>>\tx\r\n>>>y"),
    (AddBlock(7, ("",)), "### ADDB 7\n>>>"),
    (Exit(), "### EXIT"),
]


@pytest.mark.parametrize(("command", "text"), EXACT)
def test_exact_bytes(command, text):
    assert render(command) == text
    assert parse(text) == command
    assert parse(text + "\n") == command


@given(commands)
def test_what_is_printed_is_read_back(command):
    assert parse(render(command)) == command


@given(texts)
@example("### EXIT ")
@example("### DELL 3 ")
@example("### DELL 3\r")
def test_what_is_read_is_printed_back(text):
    try:
        command = parse(text)
    except CommandError as error:
        assert str(error) == error.reason.value
    else:
        assert render(command) == text.removesuffix("\n")


MALFORMED = [
    ("", Reason.EMPTY),
    ("\n", Reason.EMPTY),
    (" \n\t\n", Reason.EMPTY),
    ("### EXIT\n### EXIT", Reason.SEVERAL),
    ("### REPL 1 >>>x\n    y", Reason.SEVERAL),
    ("### EXIT\n\n", Reason.SEVERAL),
    ("\n### EXIT", Reason.SEVERAL),
    ("REPL 1 >>>x", Reason.UNKNOWN),
    ("### repl 1 >>>x", Reason.UNKNOWN),
    ("### REPLACE 1 >>>x", Reason.UNKNOWN),
    ("###REPL 1 >>>x", Reason.UNKNOWN),
    (" ### EXIT", Reason.UNKNOWN),
    ("return x", Reason.UNKNOWN),
    ("### EXIT\r", Reason.UNKNOWN),
    ("### DELL", Reason.NUMBER),
    ("### DELL ", Reason.NUMBER),
    ("### DELL x", Reason.NUMBER),
    ("### DELL 0", Reason.NUMBER),
    ("### DELL -1", Reason.NUMBER),
    ("### DELL 03", Reason.NUMBER),
    ("### DELL 1.5", Reason.NUMBER),
    ("### DELL ٣", Reason.NUMBER),
    ("### DELL " + "9" * 5000, Reason.NUMBER),
    ("### REPL >>>x", Reason.NUMBER),
    ("### REPL  1 >>>x", Reason.NUMBER),
    ("### REPL 1>>>x", Reason.NUMBER),
    ("### REPL 1", Reason.NO_MARK),
    ("### REPL 1 x", Reason.NO_MARK),
    ("### ADDL 1 >> x", Reason.NO_MARK),
    ("### REPL 1  >>>x", Reason.NO_MARK),
    ("### REPW 1 old >>>new", Reason.NO_MARK),
    ("### REPW 1 >>>old", Reason.NO_SECOND_MARK),
    ("### REPW 1 >>>old>>>new", Reason.NO_SECOND_MARK),
    ("### REPW 1 >>> >>>new", Reason.EMPTY_OLD),
    ("### REPW 1 >>> >>>old >>>new", Reason.EMPTY_OLD),
    ("### DELL 1 >>>x", Reason.EXTRA),
    ("### DELL 1 ", Reason.EXTRA),
    ("### EXIT now", Reason.EXTRA),
    ("### EXIT ", Reason.EXTRA),
    ("### REPB\n>>>x", Reason.SEVERAL),
    ("### REPB x\n>>>x", Reason.NUMBER),
    ("### REPB 3", Reason.NO_LAST),
    ("### REPB 3\n>>>x", Reason.NO_LAST),
    ("### REPB 3-5\n>>>x", Reason.NUMBER),
    ("### REPB 3 05\n>>>x", Reason.NO_LAST),
    ("### REPB 3 >>>x", Reason.NO_LAST),
    ("### REPB 5 3\n>>>x", Reason.ORDER),
    ("### REPB 3 5 >>>x", Reason.BESIDE),
    ("### REPB 3 5 \n>>>x", Reason.BESIDE),
    ("### ADDB 3 >>>x\n>>>y", Reason.BESIDE),
    ("### ADDB 3 4\n>>>y", Reason.BESIDE),
    ("### ADDB 3", Reason.NO_LINES),
    ("### ADDB 3\n", Reason.NO_LINES),
    ("### ADDB 3\n\n", Reason.UNMARKED),
    ("### ADDB 3\n>>>x\n\n", Reason.UNMARKED),
    ("### REPB 3 5\n>>>x\n    y", Reason.UNMARKED),
    ("### REPB 3 5\n >>>x", Reason.UNMARKED),
    ("### REPB 3 5\n>>>x\n### EXIT", Reason.UNMARKED),
    ("### DELL 3\n>>>x", Reason.SEVERAL),
]


@pytest.mark.parametrize(("text", "reason"), MALFORMED)
def test_each_failure_has_its_own_reason(text, reason):
    with pytest.raises(CommandError) as caught:
        parse(text)
    assert caught.value.reason is reason


def test_reasons_have_messages_of_their_own_on_one_line():
    messages = [reason.value for reason in Reason]
    assert len(set(messages)) == len(Reason.__members__) == len(messages)
    assert not any("\n" in message for message in messages)


@pytest.mark.parametrize(
    "make",
    [
        lambda: AddLine(0, "x"),
        lambda: ReplaceLine(-1, "x"),
        lambda: DeleteLine(0),
        lambda: DeleteLine(MAX_LINE + 1),
        lambda: AddLine(1, "x\n"),
        lambda: ReplaceLine(1, "a\nb"),
        lambda: ReplaceWords(1, "a\nb", "x"),
        lambda: ReplaceWords(1, "a", "\n"),
        lambda: ReplaceWords(1, "", "x"),
        lambda: ReplaceWords(1, "a >>>b", "x"),
        lambda: ReplaceBlock(0, 1, ()),
        lambda: ReplaceBlock(3, 2, ("x",)),
        lambda: ReplaceBlock(1, 2, ("x", "a\nb")),
        lambda: AddBlock(1, ()),
        lambda: AddBlock(1, ("x\n",)),
    ],
)
def test_commands_that_could_not_be_written_cannot_be_made(make):
    with pytest.raises(ValueError):
        make()


@given(commands, texts)
def test_where_a_command_ends_does_not_depend_on_how_it_is_written(command, after):
    """Byte by byte it goes on until what follows cannot be part of it; the end is the same then."""
    text = render(command).encode()
    assert all(find_end(text[:count]) is None for count in range(len(text) + 1))
    whole = text + b"\n" + after.encode("utf-8", "replace")
    end = find_end(whole)
    if not is_block(render(command)) or not after.startswith((">", "")[not after]):
        assert end == len(text)
    elif end is not None:
        assert whole[:end].startswith(text)
        assert all(line.startswith(b">>>") for line in whole[:end].split(b"\n")[1:])


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("### REPL 1 >>>x\n>>>y", 15),
        ("### REPB\n>>>y", 8),
        ("### REPB 3 4\n", None),
        ("### REPB 3 4\n>>", None),
        ("### REPB 3 4\n>> ", 12),
        ("### REPB 3 4\n\n", 12),
        ("### ADDB 3\n>>>x\n>>>\n>>>", None),
        ("### ADDB 3\n>>>x\n1 >>>def f():", 15),
        ("### ADDB wrong\n>>>x\n>>>y", None),
    ],
)
def test_where_it_ends(text, end):
    assert find_end(text.encode()) == end
