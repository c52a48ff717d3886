"""The five commands: exact bytes, round trip, and one message for each way to go wrong."""

import pytest
from chain_strategies import commands, texts
from hypothesis import example, given

from coe_lsp.chain.commands import (
    MAX_LINE,
    AddLine,
    CommandError,
    DeleteLine,
    Exit,
    Reason,
    ReplaceLine,
    ReplaceWords,
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
    ],
)
def test_commands_that_could_not_be_written_cannot_be_made(make):
    with pytest.raises(ValueError):
        make()
