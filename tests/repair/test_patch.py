"""A repair as data: applied, put together, carried to edited texts, shown as a diff."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_lsp.repair.patch import BlockEdit, Patch, StaleError
from coe_lsp.repair.target.source import Function, SourceFile

TEXT = """\
import os


def one():
    return 2


class Shelf:
    def two(self):
        return 1

    def three(self):
        return 3
"""


def source(text=TEXT, name="shelf.py"):
    return SourceFile.parse(Path(name), text.encode())


def edit(name, *lines, text=TEXT, file="shelf.py"):
    return BlockEdit(file, source(text).find(name), lines)


BOTH = Patch(
    (
        edit("two", "def two(self):", "    number = 2", "    return number"),
        edit("one", "def one():", "    return 1"),
    )
)


def applied(patch, text):
    return patch.apply({"shelf.py": source(text)})["shelf.py"].text


def test_all_edits_are_applied_whatever_their_order():
    assert [e.block.name for e in BOTH.edits] == ["one", "Shelf.two"]
    assert applied(BOTH, TEXT) == TEXT.replace("    return 2", "    return 1", 1).replace(
        "        return 1\n\n", "        number = 2\n        return number\n\n"
    )


def test_edits_that_overlap_are_no_patch():
    whole = BlockEdit("shelf.py", Function("Shelf", 8, 13), ("class Shelf:",))
    with pytest.raises(ValueError, match="overlap"):
        Patch((edit("two", "def two(self): ..."), whole))
    Patch((edit("two", "def two(self): ..."), BlockEdit("other.py", whole.block, whole.lines)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("import os\n", "import os\n# typed above\n"),  # above both
        ("class Shelf:", "x = 1\n\n\nclass Shelf:"),  # between the two
        ("return 3", "return 4"),  # below both
        ("import os\n", ""),
    ],
)
def test_both_changes_survive_an_edit_elsewhere(old, new):
    """The known fault: of a repair of two functions the second one was lost."""
    now = TEXT.replace(old, new)
    rebased = BOTH.rebase({"shelf.py": source()}, {"shelf.py": source(now)})
    assert applied(rebased, now) == applied(BOTH, TEXT).replace(old, new)


def test_a_block_that_was_moved_as_a_whole_is_found():
    one, rest = "def one():\n    return 2\n", TEXT.partition("class")[2]
    now = "class" + rest + "\n\n" + one
    patch = Patch((edit("one", "def one():", "    return 1"),))
    moved = patch.rebase({"shelf.py": source()}, {"shelf.py": source(now)})
    assert applied(moved, now) == now.replace("return 2", "return 1")


@pytest.mark.parametrize(
    ("old", "new"), [("        return 1", "        return 7"), ("two", "zwei")]
)
def test_an_edit_of_any_changed_block_is_told(old, new):
    now = source(TEXT.replace(old, new))
    with pytest.raises(StaleError, match=r"`Shelf\.two` was edited"):
        BOTH.rebase({"shelf.py": source()}, {"shelf.py": now})


def test_of_twins_the_one_in_place_is_meant():
    text = "if 1:\n    def f():\n        return 2\nelse:\n    def f():\n        return 2\n"
    second = BlockEdit("shelf.py", source(text).functions()[1], ("def f():", "    return 1"))
    now = "# above\n" + text
    moved = Patch((second,)).rebase({"shelf.py": source(text)}, {"shelf.py": source(now)})
    assert applied(moved, now).count("return 1") == 1
    assert applied(moved, now).endswith("else:\n    def f():\n        return 1\n")


def test_a_patch_of_several_files():
    other = "def far():\n    return 0\n"
    patch = Patch(
        (
            edit("one", "def one():", "    return 1"),
            edit("far", "def far():", "    return 1", text=other, file="lib/far.py"),
        )
    )
    sources = {"shelf.py": source(), "lib/far.py": source(other, "lib/far.py")}
    assert patch.files == ("lib/far.py", "shelf.py")
    changed = patch.apply(sources)
    assert changed["lib/far.py"].text == "def far():\n    return 1\n"
    diff = patch.diff(sources)
    assert diff.count("--- a/") == 2 and "+++ b/lib/far.py" in diff and "-    return 2" in diff
    now = sources | {"lib/far.py": source("# new\n" + other, "lib/far.py")}
    assert patch.rebase(sources, now).apply(now)["lib/far.py"].text == "# new\n" + (
        "def far():\n    return 1\n"
    )


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.data())
def test_one_patch_after_another_is_both_at_once(sizes, data):
    """Blocks that grow and shrink, then others of the text after: the same as one patch."""
    text = "".join(f"def f{n}():\n" + f"    x = {n}\n" * size for n, size in enumerate(sizes))
    first = data.draw(st.sets(st.sampled_from(range(len(sizes)))))

    def patch(of, numbers):
        made = [of.functions()[n] for n in numbers]
        grown = [data.draw(st.integers(1, 5), label=f.name) for f in made]
        return Patch(
            tuple(
                BlockEdit("shelf.py", f, (f"def {f.name}():", *["    y = 1"] * size))
                for f, size in zip(made, grown, strict=True)
            )
        )

    before = {"shelf.py": source(text)}
    one = patch(before["shelf.py"], first)
    between = before | one.apply(before)
    other = patch(between["shelf.py"], set(range(len(sizes))) - first)
    after = between | other.apply(between)
    assert (before | one.then(other).apply(before)) == after


def test_a_later_edit_of_the_same_block_is_refused():
    one = Patch((edit("one", "def one():", "    return 1"),))
    again = one.apply({"shelf.py": source()})["shelf.py"].find("one")
    with pytest.raises(ValueError, match="overlap"):
        one.then(Patch((BlockEdit("shelf.py", again, ("def one(): ...",)),)))
