"""Hypothesis strategies for commands, programs, and what a bad model writes."""

from hypothesis import strategies as st

from coe_lsp.chain.commands import (
    MAX_LINE,
    AddBlock,
    AddLine,
    DeleteLine,
    Exit,
    ReplaceBlock,
    ReplaceLine,
    ReplaceWords,
    render,
)

# Much of what separates lines for str.splitlines, marks of the language, and control tokens.
_ODD = [" ", "  ", ">", ">>>", " >>>", "#", "###", "***", "\r", "\f", "\x0b", "\x85", "\u2028", "é"]
_WORDS = ["if", "x", "return", "+", "0", "<|im_end|>", "### EXIT", *_ODD]
single_lines = st.one_of(
    st.lists(st.sampled_from(_WORDS), max_size=8).map("".join),
    st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=30),
)
old_texts = single_lines.filter(lambda text: text != "" and " >>>" not in text)
numbers = st.one_of(st.integers(1, 12), st.integers(1, MAX_LINE))
blocks = st.lists(single_lines, max_size=4).map(tuple)
commands = st.one_of(
    st.builds(AddLine, numbers, single_lines),
    st.builds(ReplaceLine, numbers, single_lines),
    st.builds(ReplaceWords, numbers, old_texts, single_lines),
    st.builds(DeleteLine, numbers),
    st.builds(
        lambda ends, lines: ReplaceBlock(min(ends), max(ends), lines),
        st.tuples(numbers, numbers),
        blocks,
    ),
    st.builds(AddBlock, numbers, blocks.filter(bool)),
    st.just(Exit()),
)
programs = st.lists(single_lines, max_size=12).map("\n".join)

_PIECES = [
    "### ",
    "ADDL",
    "REPL",
    "REPW",
    "DELL",
    "REPB",
    "ADDB",
    "EXIT",
    " ",
    " >>>",
    ">>>",
    "\n",
    "\n>>>",
    "x",
    " x",
]
_FIGURES = ["0", "1", "2", "03", "7", "12", "-1", "9999999999", "١"]


@st.composite
def damaged_commands(draw):
    """A command with one piece taken out, doubled or put in."""
    text = render(draw(commands))
    begin = draw(st.integers(0, len(text)))
    end = draw(st.integers(begin, min(len(text), begin + 4)))
    return text[:begin] + draw(st.sampled_from(["", " ", ">", "\n", "0", "x"])) + text[end:]


texts = st.one_of(
    commands.map(render),
    commands.map(lambda command: render(command) + "\n"),
    damaged_commands(),
    st.lists(st.sampled_from(_PIECES + _FIGURES), max_size=8).map("".join),
    st.text(max_size=40),
)
