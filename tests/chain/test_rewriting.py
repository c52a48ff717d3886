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
        # Nothing is changed; no Python.
        (" width = self.width\n  \n        return width\n\n", None),
        (" return (self.width", None),
        ("", None),
    ],
)
def test_an_answer_is_one_edit(answer, command):
    assert rewriting().read(answer) == command
    if command is not None:
        assert rewriting().pad.apply(command).lines[:4] == rewriting().pad.lines[:4]


def test_text_that_is_less_deep_is_no_matter():
    text = '    def usage(self):\n        return """\nUse it.\n"""'
    changed = rewriting(text).read(' return """\n        Use it!\n        """')
    assert isinstance(changed, ReplaceBlock)
