"""Text of unknown origin on terminals and in Markdown, read by a real Markdown parser."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from coe_lsp.escaping import code, fenced, markdown, printable

HOSTILE = st.text(st.sampled_from("\\`*_[]()<>!#|~&;:/.@$-+=19 a\n\t\"'w\r\x1b\u202e"), max_size=40)


def read(text):
    """What a parser makes of Markdown: the kinds of its nodes, and the text that is seen."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    flat = [t for token in tokens for t in (token, *(token.children or []))]
    kinds = {t.type for t in flat if t.nesting >= 0} - {"inline"}
    seen = "".join("\n" if t.type == "hardbreak" else t.content for t in flat if t.type != "inline")
    return kinds, seen


def squeezed(text):
    return re.sub(r"\s+", "", printable(text))


@given(HOSTILE)
def test_nothing_of_a_text_is_live_markdown(text):
    kinds, seen = read(markdown(text))
    assert kinds <= {"paragraph_open", "text", "text_special", "hardbreak", "softbreak"}
    assert squeezed(seen) == squeezed(text)


@given(HOSTILE)
def test_a_code_span_holds_all_of_its_text(text):
    kinds, seen = read(f"- {code(text)}\n")
    assert kinds <= {"bullet_list_open", "list_item_open", "paragraph_open", "code_inline"}
    assert squeezed(seen) == squeezed(text)


@given(HOSTILE)
def test_a_block_is_closed_by_its_own_fence_alone(text):
    kinds, seen = read(f"{fenced(text, 'diff')}\n\nafter\n")
    assert kinds == {"fence", "paragraph_open", "text"}
    assert seen == printable(text).rstrip("\n") + "\nafter"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\n\ttext", "plain\n\ttext"),
        ("a\r\nb\rc", "a\nb\\rc"),
        ("\x1b]52;c;aGk=\x07", "\\x1b]52;c;aGk=\\x07"),
        ("\x9b2J\x00\x7f", "\\x9b2J\\x00\\x7f"),
        ("user\u202e\u2066nimda\u2069", "user\\u202e\\u2066nimda\\u2069"),
        ("\ud800\u2028", "\\ud800\\u2028"),
        ("\U000e0041", "\\U000e0041"),
        ("\u00e9 \u4f60 \U0001f469\u200d\U0001f680", "\u00e9 \u4f60 \U0001f469\u200d\U0001f680"),
    ],
)
def test_control_characters_are_shown_not_obeyed(text, shown):
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("see https://evil/?d=1", "see https\\://evil/?d=1"),
        ("www.evil.org and a@b.org", "www\\.evil.org and a\\@b.org"),
        ("![x](https://evil)", "\\!\\[x\\](https\\://evil)"),
    ],
)
def test_bare_links_are_none(text, escaped):
    assert markdown(text) == escaped
