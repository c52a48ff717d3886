"""A repair of two functions in the editor, which is edited elsewhere meanwhile: nothing is lost."""

import pytest

SHOP = """\
def price(count):
    return count * 2


def total(counts):
    result = 1
    for count in counts:
        result += price(count)
    return result
"""
TESTS = """\
from shop import price, total


def test_nothing():
    assert total([]) == 0


def test_total():
    assert total([5]) == 15


def test_more():
    assert total([5, 7]) == 36
"""
REPAIRED = SHOP.replace("count * 2", "count * 3").replace("result = 1", "result = 0")


@pytest.mark.parametrize(
    ("old", "new"),
    [("def price", "# mine\ndef price"), ("\n\n\ndef total", "\n\n# mine\n\ndef total")],
)
async def test_both_changes_are_kept_with_an_edit_elsewhere(
    editor, script, write, tmp_path, old, new
):
    """The second one was lost, and the user was told that the repair fails its tests."""
    script(
        delay=0.3,
        price=["### REPL 2 >>>    return count * 3"],
        total=["### REPL 2 >>>    result = 0"],
    )
    write("pyproject.toml", "")
    path = write("shop.py", SHOP)
    write("test_shop.py", TESTS)
    await editor.start(tmp_path)
    uri = editor.open(path)
    await editor.diagnostics(uri)

    async def typing():
        editor.change(uri, SHOP.replace(old, new))

    editor.before_preview = typing
    await editor.execute("coe.repairFile", {"uri": uri})
    await editor.wait("apply", seconds=60)
    assert "price" in editor.seen("preview")[0].message
    assert editor.texts[uri] == REPAIRED.replace(old, new)
