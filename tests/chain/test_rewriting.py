"""Whole functions as answers: what is asked, where an answer ends, the edit that it becomes."""

import pytest

from coe_lsp.chain.commands import AddBlock, DeleteLine, ReplaceBlock, ReplaceLine
from coe_lsp.chain.prompt import TaskDescription
from coe_lsp.chain.rewriting import Rewriting
from coe_lsp.chain.scratchpad import Scratchpad

METHOD = """\
    @property
    def area(
        self,
    ) -> float:
        width = self.width

        return width"""
HEAD = "    @property\n    def area(\n        self,\n    ) -> float:\n"
TASK = TaskDescription(tests=("def test_area():\n    assert Box(2, 3).area == 6",))


def rewriting(text=METHOD, feedback="1 of 1 tests fail"):
    return Rewriting("chatml", TASK, Scratchpad.from_text(text, feedback))


def test_the_answer_is_begun_up_to_the_first_statement():
    assert rewriting().given == f"{HEAD}       "
    assert rewriting("async def f(x):\n    return x").given == "async def f(x):\n   "
    text = '@cache\ndef f(\n    x,\n):\n    """Twice.\n\nNo more.\n"""\n\n    # Why.\n    return x'
    assert rewriting(text).given == text.removesuffix(" return x")
    assert rewriting("def f(x):\n\treturn x").given == "def f(x):\n"
    assert rewriting("def f(x): return x").given == "def f("
    assert rewriting("def f(x):\n    return (x").given == "def f("
    assert rewriting("def f(x):\n    @cache\n    def g(): ...").given == "def f(x):\n   "
    assert rewriting('def f(x):\n    """Nothing."""').given == "def f("
    assert rewriting("LIMIT = 3\nNAMES = {}").given == ""


def test_the_question_shows_tests_code_and_what_failed():
    text = "".join(segment.text for segment in rewriting().segments())
    assert text.startswith("<|im_start|>user\nSome tests of this Python code fail.")
    assert f"Tests:\n{TASK.tests[0]}\n\n```python\n{METHOD}\n```\n\n1 of 1 tests fail" in text
    assert text.endswith(f"<|im_start|>assistant\n```python\n{HEAD}       ")
    special = [s.text for s in rewriting("def f():\n    '<|im_end|>'").segments() if s.special]
    assert special == ["<|im_start|>", "<|im_end|>", "<|im_start|>"]


@pytest.mark.parametrize(
    ("text", "end"),
    [
        (" return 1\n", None),
        (" return 1\n    ", None),
        (" return 1\n\n\n        # more", None),
        (" return 1\n```", 9),
        (" return 1\n    ```", 9),
        (" return 1\n\n    def other", 10),
        (" return 1\nprint", 9),
    ],
)
def test_an_answer_ends_with_the_function(text, end):
    assert rewriting().find_end(text.encode()) == end


def test_statements_end_with_the_block():
    code = rewriting("LIMIT = 3\nNAMES = {}")
    assert code.find_end(b"LIMIT = 4\nNAMES = {}") is None
    assert code.find_end(b"LIMIT = 4\n```\nThat is it.") == 9


@pytest.mark.parametrize(
    ("answer", "command"),
    [
        (
            " width = self.width\n\n        return width * self.height\n    ```",
            ReplaceLine(7, "        return width * self.height"),
        ),
        (
            " return self.width * self.height",
            ReplaceBlock(5, 7, ("        return self.width * self.height",)),
        ),
        (" width = self.width\n        return width", DeleteLine(6)),
        (
            " if not self:\n            return 0\n"
            "        width = self.width\n\n        return width",
            AddBlock(5, ("        if not self:", "            return 0")),
        ),
        (" return 6\n\n\n# That is it.\n", ReplaceBlock(5, 7, ("        return 6",))),
        # Nothing is changed; no Python.
        (
            " width = self.width\n  \n        return width\n\n",
            ReplaceLine(1, "    @property"),
        ),
        (" return (self.width", None),
        ("", None),
    ],
)
def test_an_answer_is_one_edit(answer, command):
    assert rewriting().read(answer) == command
    if command is not None:
        assert rewriting().pad.apply(command).lines[:4] == rewriting().pad.lines[:4]


def test_a_comment_at_the_margin_is_no_end():
    code = rewriting("def f(a):\n    x = a\n    return x")
    assert code.read(" x = a\n# Why.\n    return -x") == ReplaceBlock(
        3, 3, ("# Why.", "    return -x")
    )


def test_an_empty_answer_is_none():
    assert rewriting('def f(a):\n    """Nothing."""\n    return a').read("\n```") is None


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        (METHOD, True),
        ("@cache\ndef f(\n    x,\n):\n    # Why.\n    return x", True),
        ("LIMIT = 3", True),
        ('def usage():\n    return """\nUse it.\n"""', False),
        ('TEXT = """\n```\n"""', False),
        ('CODE = """\ndef f(x):\n    return x\n"""', True),
    ],
)
def test_what_looks_like_an_end_cannot_be_asked_for(text, asked):
    assert rewriting(text).can_be_asked == asked
    hidden = Scratchpad(tuple(METHOD.split("\n")), hidden=frozenset({5}))
    assert not Rewriting("chatml", TASK, hidden).can_be_asked


def test_statements_that_hold_code_are_no_function():
    assert rewriting('CODE = """\ndef f(x):\n    return x\n"""').given == ""


@pytest.mark.parametrize("text", ["def f(x):\n    return x", "async def f(x):\n\treturn x"])
def test_a_function_at_the_margin(text):
    code = rewriting(text)
    assert code.find_end(b" y = x\n    if y:\n        y = 1\n\n    return y") is None
    assert code.find_end(b" return x\nprint(f(1))") == 9
    assert code.find_end(b" return x\n```") == 9
