"""Text, lines, edits and the function at a line, against the ways editors have them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types

from coe_lsp.lsp.documents import edits, function_at, line_range, source_of
from coe_lsp.repair.target.source import SourceError, SourceFile, split_lines

texts = st.text("ab \t\n\r\f\u2028\u0085😀ü", max_size=60)


def utf16(text):
    return len(text.encode("utf-16-le")) // 2


def applied(text, found):
    """What an editor makes of edits: lines end at \\n, \\r\\n and \\r only."""
    lines = split_lines(text)

    def offset(position):
        before = "".join(lines[: position.line]).encode("utf-16-le")
        return len(before) + 2 * position.character

    data = text.encode("utf-16-le")
    for edit in reversed(found):
        data = (
            data[: offset(edit.range.start)]
            + edit.new_text.encode("utf-16-le")
            + data[offset(edit.range.end) :]
        )
    return data.decode("utf-16-le")


@given(texts, texts)
def test_edits_make_the_new_text(old, new):
    assert applied(old, edits(split_lines(old), split_lines(new), utf16)) == new


@given(texts, texts, texts)
def test_edits_leave_alone_what_stays(start, old, new):
    start = start + "\n"
    found = edits(split_lines(start + old), split_lines(start + new), utf16)
    assert applied(start + old, found) == start + new
    if old == new:
        assert found == []


def test_form_feeds_do_not_end_lines():
    assert split_lines("a\fb\u2028c\nd") == ("a\fb\u2028c\n", "d")


CODE = '''
import x


def outer(a):
    def inner(b):
        return b

    # a comment left of it all
    if a:
        call(
    1,
        )
    return inner(a)


top = outer(1)


class Box:
    size = 1

    @property
    def area(self):
        """Text
that hangs out."""
        return self.size


async def later():
    pass
'''


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("import x", None),
        ("def outer", "outer"),
        ("def inner", "outer.inner"),
        ("return b", "outer.inner"),
        ("# a comment", "outer"),
        ("call(", "outer"),
        ("return inner", "outer"),
        ("top =", None),
        ("class Box", None),
        ("size = 1", None),
        ("@property", "Box.area"),
        ("return self.size", None),  # a string hangs out to the left of it
        ("async def", "later"),
        ("pass", "later"),
    ],
)
def test_function_at(text, name):
    lines = split_lines(CODE)
    row = next(n for n, line in enumerate(lines) if text in line)
    assert function_at(lines, row) == name


def test_function_at_agrees_with_the_parser_where_code_is_tidy():
    path = Path(__file__).parents[2] / "coe_lsp/repair/repair.py"
    source = SourceFile.read(path)
    for function in source.functions():
        assert function_at(source.lines, function.first - 1) == function.name
        assert function_at(source.lines, function.last - 1).startswith(function.name)


def test_function_at_the_edges():
    assert function_at((), 0) is None
    assert function_at(("def f():\n", "    pass\n"), 99) == "f"
    assert function_at(("@decorator\n",), 0) is None


def test_line_range_is_the_text_of_the_line():
    whole = line_range(("    x = '😀'  \n",), 1, utf16)
    assert whole == types.Range(types.Position(0, 4), types.Position(0, 12))
    assert line_range((), 3, utf16).start == types.Position(0, 0)


def test_source_of_keeps_encoding_and_line_ends():
    source = source_of(Path("x.py"), "# -*- coding: latin-1 -*-\r\nx = 'ü'\r\n")
    assert source.encoding in ("latin-1", "iso-8859-1")
    assert source.encode(source.lines).endswith(b"\xfc'\r\n")
    with pytest.raises(SourceError, match="cannot be encoded"):
        source_of(Path("x.py"), "# coding: latin-1\nx = '😀'\n")
    with pytest.raises(SourceError, match="cannot be encoded"):
        source_of(Path("x.py"), "# coding: nonsense\n")
    with pytest.raises(SourceError, match="the limit is"):
        source_of(Path("x.py"), "#" * (3 << 20))
    marked = source_of(Path("x.py"), "\ufeffx = 1\n")
    assert marked.bom and marked.lines == ("x = 1\n",)
