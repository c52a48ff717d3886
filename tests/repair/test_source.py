"""Source files: functions found, and every byte that was not named left alone."""

import ast
import encodings.aliases
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_lsp.repair.target.source import Function, SourceError, SourceFile, unified_diff

TEXT = """\
import os


class Box:
    size = 1

    @property
    def area(self):
        return self.size

    async def grow(self, by):
        def inner():
            return by
        return inner()


def last():
    pass
"""


def parse(data: bytes | str) -> SourceFile:
    return SourceFile.parse(Path("x.py"), data.encode() if isinstance(data, str) else data)


def test_functions_with_their_decorators_and_owners():
    found = parse(TEXT).functions()
    assert [(f.name, f.first, f.last, f.owner) for f in found] == [
        ("Box.area", 7, 9, "Box"),
        ("Box.grow", 11, 14, "Box"),
        ("Box.grow.inner", 12, 13, "Box.grow"),
        ("last", 17, 18, ""),
    ]


def test_functions_of_a_file_that_does_not_parse():
    broken = TEXT.replace("return self.size", "return (self.size")
    assert parse(broken).functions() == parse(TEXT).functions()


def test_find_takes_qualified_and_unique_short_names():
    source = parse(TEXT)
    assert source.find("grow").name == "Box.grow"
    with pytest.raises(SourceError, match=r"no function `shrink`; it has `Box.area`"):
        source.find("shrink")
    with pytest.raises(SourceError, match=r"could be any of"):
        parse("def f(): ...\ndef f(): ...\n").find("f")


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbfdef f():\r\n\treturn 1\r\n# end",
        b"# -*- coding: latin-1 -*-\ndef f():\n    return '\xe9'\n",
        b"# coding: shift_jis\ndef f():\n    return '\x83\x65\x83\x5c'\n",
        b"def f():\r\n    x = 1 \r    return x\n\x0c\n# \xe2\x80\xa8 one line",
    ],
)
def test_unchanged_lines_keep_their_bytes(data):
    source = parse(data)
    function = source.find("f")
    lines = source.scratch_lines(function)
    assert source.encode(source.replace(function, lines)) == data
    changed = [*lines[:-1], lines[-1].replace("return", "return 2 +")]
    new = source.encode(source.replace(function, changed))
    assert new == data.replace(b"return", b"return 2 +")


def test_method_lines_lose_and_regain_their_indentation():
    source = parse(TEXT.replace("\n", "\r\n"))
    area = source.find("area")
    assert source.scratch_lines(area) == ("@property", "def area(self):", "    return self.size")
    new = source.replace(
        area, ("@property", "def area(self):", "    x = 1", "    return self.size")
    )
    assert "".join(new) == source.text.replace(
        "        return self.size\r\n", "        x = 1\r\n        return self.size\r\n"
    )


def test_lines_with_less_indentation_stay_as_they_are():
    text = (
        "class Page:\n"
        "    def show(self):\n"
        '        text = """\n'
        'Title"""\n'
        "# a comment\n"
        "        return text\n"
    )
    source = parse(text)
    show = source.find("show")
    lines = source.scratch_lines(show)
    assert lines == (
        "def show(self):",
        '    text = """',
        'Title"""',
        "# a comment",
        "    return text",
    )
    ast.parse("\n".join(lines))
    changed = [*lines[:-1], "    return text + ''"]
    assert "".join(source.replace(show, changed)) == text.replace("text\n", "text + ''\n")


def test_no_final_newline_stays_so():
    source = parse("def f():\n    return 1")
    assert "".join(source.replace(source.find("f"), ("def f():", "    return 2"))) == (
        "def f():\n    return 2"
    )
    diff = unified_diff("x.py", source.lines, source.replace(source.find("f"), ("def f(): 0",)))
    assert diff.count("\\ No newline at end of file") == 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"x = 1\n\0", "null bytes"),
        (b"# coding: utf-8\nx = '\xff'\n", "cannot be decoded"),
        (b"# coding: no-such-thing\n", "cannot be decoded"),
        (b"# coding: undefined\nx = 1\n", "cannot be decoded"),
        (b"# coding: punycode\nx = 1\n", "cannot be decoded"),
        (b"# coding: idna\nx = 1..2\n", "cannot be decoded"),
        (b"# coding: utf-16\nx = 1\n", "cannot be decoded"),
        (b"# coding: utf-16-le\nx = 12\n", "cannot be decoded"),
        (b"# coding: utf-32\nx = 1\n", "cannot be decoded"),
        (b"# coding: unicode_escape\nx = 1\n", "cannot be decoded"),
        (b"# coding: rot13\nx = 1\n", "cannot be decoded"),
        (b"\xef\xbb\xbf# coding: latin-1\nx = 1\n", "cannot be decoded"),
        (b"#" * (3 << 20), "the limit is"),
    ],
)
def test_bad_files_are_refused(data, message):
    with pytest.raises(SourceError, match=message):
        parse(data)


BODY = st.lists(st.text(st.characters(blacklist_characters="\r\n", codec="utf-8")), min_size=1)
END = st.sampled_from(["\n", "\r\n", "\r"])


@given(BODY, BODY, BODY, st.data())
def test_replace_never_touches_lines_outside(before, inside, after, data):
    raw = [line + data.draw(END) for line in [*before, *inside, *after]]
    source = SourceFile(Path("x.py"), "utf-8", False, tuple(raw))
    function = Function("f", len(before) + 1, len(before) + len(inside))
    new = source.replace(function, data.draw(BODY))
    assert new[: len(before)] == tuple(raw[: len(before)])
    assert new[len(new) - len(after) :] == tuple(raw[len(raw) - len(after) :])
    assert source.replace(function, source.scratch_lines(function))[: len(before)] == tuple(
        raw[: len(before)]
    )


@given(st.sampled_from(sorted(set(encodings.aliases.aliases.values()))), st.binary())
def test_whatever_the_cookie_says_the_bytes_come_back(name, body):
    data = f"# coding: {name}\n".encode() + body
    try:
        source = parse(data)
    except SourceError as error:
        assert "\n" not in str(error)
    else:
        assert source.encode(source.lines) == data
