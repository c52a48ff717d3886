"""A repository with a history, as a user has one, in a folder of the test's own."""

import os
import subprocess

import pytest

HEADER = '"""Numbers and texts."""\n\nLIMIT = 10\n\n\n'
CLAMP_BEFORE = '''def clamp(value, low, high):
    """Keep a value between two bounds."""
    return min(value, high)


'''
CLAMP_AFTER = '''def clamp(value, low, high):
    """Keep a value between two bounds, both of them."""
    if value < low:
        return low
    return min(value, high)


'''
WORDS_BEFORE = """class Words:
    def __init__(self, text):
        self.text = text

    def count(self):
        return len(self.text.split(" "))
"""
WORDS_AFTER = WORDS_BEFORE.replace('split(" ")', "split()")
LONGEST = """

def longest(words):
    return max(words, key=len)
"""
TESTS = """from tools import LIMIT, Words, clamp


def test_high():
    assert clamp(12, 0, LIMIT) == 10


def test_inside():
    assert clamp(5, 0, 10) == 5


def test_words():
    assert Words("a b").count() == 2
"""
TEST_LOW = """

def test_low():
    assert clamp(-3, 0, 10) == 0


def test_very_low():
    assert clamp(-300, -10, 10) == -10


def test_lower():
    assert clamp(3, 5, 10) == 5
"""
TEST_BLANKS = """

class TestWords:
    def test_blanks(self):
        assert Words("a   b ").count() == 2
"""
TEST_LONGEST = """

def test_longest():
    import tools

    assert tools.longest(["a", "abc"]) == "abc"
"""


@pytest.fixture
def git_in():
    """Makes what runs git in a folder, as somebody."""

    def make(folder):
        identity = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER")
                    for what in ("NAME", "EMAIL")}  # fmt: skip

        def git(*arguments):
            subprocess.run(
                ["git", "-C", str(folder), *arguments],
                check=True,
                capture_output=True,
                env={**os.environ, **identity},
            )

        return git

    return make


@pytest.fixture
def repository(tmp_path, git_in):
    """Four commits: the start, a guard added, a separator mended, a function added with comments."""
    folder = tmp_path / "tools-repository"
    folder.mkdir()

    git = git_in(folder)

    def commit(message, **files):
        for name, text in files.items():
            (folder / f"{name}.py").write_text(text)
        git("add", "-A")
        git("commit", "-q", "-m", message)

    git("init", "-q")
    (folder / "pyproject.toml").write_text("")
    commit("start", tools=HEADER + CLAMP_BEFORE + WORDS_BEFORE, test_tools=TESTS)
    commit("clamp", tools=HEADER + CLAMP_AFTER + WORDS_BEFORE, test_tools=TESTS + TEST_LOW)
    mended = HEADER + CLAMP_AFTER + WORDS_AFTER
    commit("words", tools=mended, test_tools=TESTS + TEST_LOW + TEST_BLANKS)
    commit(
        "longest",
        tools=mended.replace("Numbers and", "Numbers, words and") + LONGEST,
        test_tools=TESTS + TEST_LOW + TEST_BLANKS + TEST_LONGEST,
    )
    return folder
