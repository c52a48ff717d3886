"""Small changes of single functions, from commits of a repository that the test makes."""

import pytest

from training.bugs.small_changes import find_small_changes

FIRST = """class Shelf:
    def count(self, items):
        return len(items) + 1


def other():
    return 1
"""


@pytest.fixture
def history(tmp_path, git_in):
    """Commit versions of a module, each with its test; returns the repository."""

    def commit(*versions):
        git = git_in(tmp_path)
        git("init", "-q")
        for number, text in enumerate(versions):
            (tmp_path / "shelf.py").write_text(text)
            (tmp_path / "test_shelf.py").write_text(f"# {number}\n")
            git("add", ".")
            git("commit", "-qm", str(number))
        return tmp_path

    return commit


def found(repository):
    return list(find_small_changes(repository, commits=10, most_lines=4))


def test_a_change_of_one_function_by_a_few_lines_is_one(history):
    fixed = FIRST.replace("len(items) + 1", "len(items)")
    (change,) = found(history(FIRST, fixed))
    assert change.before == ("def count(self, items):", "    return len(items) + 1")
    assert change.after == ("def count(self, items):", "    return len(items)")
    assert (change.owner, change.module, change.size) == ("Shelf", FIRST, "one line")


@pytest.mark.parametrize(
    "after",
    [
        FIRST.replace("len(items) + 1", "len(items)").replace("return 1", "return 2"),
        FIRST.replace("    return 1", "".join(f"    print({n})\n" for n in range(9))),
        FIRST.replace("def other():", "def other():  # a remark"),
        FIRST.replace("return 1", "print 1"),
        "\n" * 200 + FIRST.replace("return 1", "return 2") + "x = 1\n" * 99,
    ],
    ids=["two functions", "many lines", "nothing that runs", "Python 2", "far apart"],
)
def test_others_are_not(history, after):
    assert found(history(FIRST, after)) == []
