"""Faults outside of any function: which block is repaired, and that it is."""

from pathlib import Path
from unittest.mock import Mock

import pytest

from coe_lsp.errors import CoeError
from coe_lsp.execution.project import ProjectOptions
from coe_lsp.execution.suite import TestResult
from coe_lsp.repair.repair import Repair
from coe_lsp.repair.request import Request
from coe_lsp.repair.target.source import SourceFile
from coe_lsp.repair.target.toplevel import with_toplevel_block
from coe_lsp.repair.way_in import way_of

_SHELF = """\
import math

LIMIT = 3


class Shelf
    width = 2

    def free(self, n):
        return self.width - n

    def full(self):
        return not self.free(0)


def last():
    return LIMIT
"""


def _source(text):
    return SourceFile.parse(Path("shelf.py"), text.encode())


def _failure(detail, line=None):
    return TestResult("test_shelf.py", "error", detail, line=line)


def _spans(text, *failures, functions=(), reached=False):
    source = _source(text)
    chosen = [source.find(name) for name in functions]
    found = with_toplevel_block(chosen, source, failures, reached=reached)
    return [(f.name, f.first, f.last) for f in found]


def test_the_block_around_the_line_that_a_failure_names():
    broken = _failure("SyntaxError: expected ':'", 6)
    assert _spans(_SHELF, broken) == [("Shelf", 6, 13)]
    assert _spans(_SHELF, _failure("NameError", 3)) == [("<module>", 3, 3)]
    assert _spans(_SHELF, _failure("NameError", 99)) == []
    assert _spans(_SHELF, _failure("AssertionError: assert 1 == 2")) == []


def test_of_a_file_that_does_not_parse_functions_that_do_are_not_to_blame():
    broken = _failure("SyntaxError: expected ':'", 6)
    assert _spans(_SHELF, broken, functions=["Shelf.free"]) == [("Shelf", 6, 13)]
    worse = _SHELF.replace("- n", "- (n")
    found = _spans(worse, broken, functions=["Shelf.full", "Shelf.free"])
    assert found == [("Shelf.free", 9, 10), ("Shelf", 6, 13)]
    inside = _failure("SyntaxError: '(' was never closed", 17)
    open_ = _SHELF.replace("Shelf\n", "Shelf:\n").replace("return LIMIT", "return (LIMIT")
    assert _spans(open_, inside, functions=["last"]) == [("last", 16, 17)]


def test_a_class_whose_method_has_lost_its_indentation():
    text = "class Shelf:\ndef free(self):\n    return 1\n\n\nx = 1\n"
    detail = "IndentationError: expected an indented block after class definition on line 1"
    assert _spans(text, _failure(detail, 2), functions=["free"]) == [("Shelf", 1, 3)]


@pytest.mark.parametrize(
    ("text", "last"),
    [
        (
            "class S:\n\ndef free(self):\n    return 1\n\n@property\ndef full(self):\n    return 2\n",
            8,
        ),
        (
            "class S:  # a remark\n@property\ndef full(self):\n    return 2\n\ndef last(n):\n    pass\n",
            4,
        ),
        ("class S:\n    def free(self):\n        return 1\n\ndef full(self):\n    return 2\n", 3),
    ],
)
def test_methods_on_the_class_s_own_level(text, last):
    failure = _failure("AttributeError: 'S' object has no attribute 'full'")
    assert _spans(text, failure) == [("S", 1, last)]


def test_a_body_that_was_left_outside_belongs_to_the_function_before():
    text = "import os\n\ndef free(n):\n    x = 1\n\ny = 2\nreturn 2 - n\n\ndef last():\n    pass\n"
    failure = _failure("SyntaxError: 'return' outside function (shelf.py, line 7)", 7)
    assert _spans(text, failure) == [("free", 3, 7)]
    inside = "class S:\n    def f(self):\n        x = 1\n    return x\n\n\nx = 1\n"
    assert _spans(inside, _failure(failure.detail, 4)) == [("S", 1, 4)]
    assert _spans("x = 1\nreturn x\n", _failure(failure.detail, 2)) == [("<module>", 2, 2)]


@pytest.mark.parametrize(
    ("text", "line", "span"),
    [
        ("try:\n    import json\nexcept ImportErro:\n    json = None\n\nx = 1\n", 3, (1, 4)),
        ("x = 1\nif x:\n    y = 1\nelse\n    y = 2\n", 4, (2, 5)),
        ("@dataclass(\nclass P:\n    x: int\n", 1, (1, 3)),
        ("class P:\n    x = 1\n# a remark\n    y = x +\n", 4, (1, 4)),
        ('class P:\n    """A text\nthat hangs out\n    """\n    y = z\n', 5, (1, 5)),
        ("", 1, None),
    ],
)
def test_a_block_is_whole(text, line, span):
    found = _spans(text, _failure("NameError: what Python says", line))
    assert [f[1:] for f in found] == ([span] if span else [])


def test_a_class_that_lacks_what_the_tests_ask_for():
    text = "def empty(): pass\n\n\n" + _SHELF.replace("Shelf\n", "Shelf:\n")
    lacking = _failure("AttributeError: 'Shelf' object has no attribute 'empty'")
    assert _spans(text, lacking) == [("Shelf", 9, 16)]


def test_a_definition_in_a_comment_that_the_tests_ask_for():
    text = _SHELF.replace("Shelf\n", "Shelf:\n").replace("def last():", "# def last():  # of all")
    for detail in ("ImportError: cannot import name 'last' from 'shelf'",
                   "NameError: name 'last' is not defined"):  # fmt: skip
        assert _spans(text, _failure(detail), reached=True) == [("<module>", 16, 17)]
    method = _SHELF.replace("Shelf\n", "Shelf:\n").replace("def full", "# def full")
    lacking = _failure("AttributeError: 'Shelf' object has no attribute 'full'")
    found = _spans(method, lacking, functions=["Shelf.free"], reached=True)
    assert found == [("Shelf", 6, 13), ("Shelf.free", 9, 13)]


def test_faults_of_other_files_are_not_laid_at_this_one_s_door():
    text = _SHELF.replace("Shelf\n", "Shelf:\n")
    for detail in ("NameError: name 'last' is not defined", "assert 'last' == 'full'",
                   "IndentationError: expected a block after 'if' on line 8 (test_s.py, line 9)",
                   "fixture 'LIMIT' not found"):  # fmt: skip
        assert _spans(text, _failure(detail)) == []


def test_a_block_that_is_too_long_is_left_alone():
    text = "class Shelf\n" + "    x = 1\n" * 400
    assert _spans(text, _failure("SyntaxError: expected ':'", 1)) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("class Shelf:", "class Shelf"),
        ("    def free(self, n):", "    # def free(self, n):"),
        ("    def free(self, n):\n        x = 1\n    ", "    def free(self, n):\n        x = 1\n"),
        ("        x = 1\n        return", "        x = 1\n    return"),
        ("        x = 1\n        return", "        x = 1\nreturn"),
    ],
)
def test_what_no_function_holds_is_repaired(write, tmp_path, old, new):
    right = "class Shelf:\n    def free(self, n):\n        x = 1\n        return 2 - n - x\n"
    write("pyproject.toml", "")
    write("test_shelf.py", """
        from shelf import Shelf

        def test_free():
            assert Shelf().free(1) == 0
    """)  # fmt: skip
    path = write("shelf.py", right.replace(old, new))
    outcome = Repair(Request(way_of(path), budget=20.0), None, Mock()).run()
    assert outcome.status == "repaired", outcome.message
    found = [repaired.patch for repaired in outcome.patches]
    assert any(patch.apply(outcome.sources)["shelf.py"].text == right for patch in found)


def test_without_a_clue_it_is_refused(write, tmp_path):
    write("pyproject.toml", "")
    path = write("shelf.py", "x = 1\n")
    write("test_shelf.py", "def test_free():\n    assert 1 == 2\n")
    request = Request(way_of(path), options=ProjectOptions((str(tmp_path / "test_shelf.py"),)))
    with pytest.raises(CoeError, match="do not run any function of shelf.py"):
        Repair(request, None, Mock()).run()
