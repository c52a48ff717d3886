"""Faults outside of any function: which block is repaired, and that it is."""

from pathlib import Path

import pytest

from coe_lsp.errors import CoeError
from coe_lsp.execution.suite import TestResult
from coe_lsp.repair.outside import with_block
from coe_lsp.repair.repair import Repair, Request
from coe_lsp.repair.source import SourceFile

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


class _Silent:
    def baseline(self, baseline, suites):
        pass

    def target(self, function, goal):
        pass

    def step(self, step):
        pass


def _source(text):
    return SourceFile.parse(Path("shelf.py"), text.encode())


def _failure(detail, line=None):
    return TestResult("test_shelf.py", "error", detail, line=line)


def _spans(text, *failures, functions=()):
    source = _source(text)
    chosen = [source.find(name) for name in functions]
    return [(f.name, f.first, f.last) for f in with_block(chosen, source, failures)]


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


def test_a_class_that_lacks_what_the_tests_ask_for():
    text = _SHELF.replace("Shelf\n", "Shelf:\n")
    lacking = _failure("AttributeError: 'Shelf' object has no attribute 'empty'")
    assert _spans(text, lacking) == [("Shelf", 6, 13)]
    hidden = text.replace("def last", "# def last")
    missing = _failure("ImportError: cannot import name 'last' from 'shelf'")
    assert _spans(hidden, missing) == [("<module>", 16, 17)]


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
    outcome = Repair(Request(path, budget=20.0), None, _Silent()).run()
    assert outcome.status == "repaired", outcome.message
    assert any(patch.new_source.decode() == right for patch in outcome.patches)


def test_without_a_clue_it_is_refused(write, tmp_path):
    write("pyproject.toml", "")
    path = write("shelf.py", "x = 1\n")
    write("test_shelf.py", "def test_free():\n    assert 1 == 2\n")
    request = Request(path, tests=(str(tmp_path / "test_shelf.py"),))
    with pytest.raises(CoeError, match="do not run any function of shelf.py"):
        Repair(request, None, _Silent()).run()
