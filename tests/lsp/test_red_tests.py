"""A red test in the editor: marked where it fails, repaired from there, wherever the fault is."""

import asyncio

from lsprotocol import types

SHELF = """\
def place(count, width):
    return count // width
"""
STORE = """\
from shelf import place


def rows(counts, width):
    return sum(place(count, width) for count in counts)
"""
TESTS = """\
import pytest
from store import rows


@pytest.mark.parametrize(("counts", "wanted"), [([4], 2), ([5], 3), ([3, 3], 4)])
def test_rows(counts, wanted):
    assert rows(counts, 2) == wanted


class TestNothing:
    def test_none(self):
        assert rows([], 2) == 0
"""
REPAIRED = SHELF.replace("count // width", "-(-count // width)")


async def start(editor, script, write, folder, tests=TESTS, store=STORE):
    script(
        place=["### REPL 2 >>>    return -(-count // width)"],
        rows=["### REPL 2 >>>    return sum(place(count, width) for count in counts[:])"],
    )
    write("pyproject.toml", "")
    write("store.py", store)
    shelf = write("shelf.py", SHELF)
    path = write("tests/test_store.py", tests)
    await editor.start(folder)
    return shelf.as_uri(), editor.open(path)


async def test_from_the_red_test_to_the_fault_in_another_file(editor, script, write, tmp_path):
    shelf, tests = await start(editor, script, write, tmp_path)
    (diagnostic,) = await editor.diagnostics(tests)
    assert diagnostic.message.startswith("2 tests failing in `test_rows`\n")
    assert diagnostic.range.start.line == 6  # the assertion
    (action,) = await editor.actions(tests, 6, [diagnostic])
    assert action.title == "Repair with CoE: test_rows"
    (lens,) = await editor.lsp.text_document_code_lens_async(
        types.CodeLensParams(types.TextDocumentIdentifier(tests))
    )
    assert lens.command.title == "2 tests failing: Repair with CoE"
    assert lens.range.start.line == 5
    before = len(editor.log)
    await editor.execute(action.command.command, *action.command.arguments)
    (edit,) = (await editor.wait("apply")).edit.document_changes
    assert edit.text_document.uri == shelf
    assert editor.texts[shelf] == REPAIRED
    assert editor.texts[tests] == TESTS
    (preview,) = editor.seen("preview")
    assert (preview.uri, preview.patches[0].newText) == (shelf, REPAIRED)
    assert preview.message == "`place` is repaired: 4 tests passed."
    # Nothing is saved yet, and the test is green all the same.
    await editor.diagnostics(tests, lambda found: not found, after=before)
    before = len(editor.log)
    editor.change(shelf, SHELF)  # undone
    await editor.diagnostics(tests, after=before)


async def test_the_hover_says_where_a_red_test_points(editor, script, write, tmp_path):
    _, tests = await start(editor, script, write, tmp_path)
    await editor.diagnostics(tests)
    for _ in range(100):
        hover = await editor.hover(tests, 6, 4)
        if hover and "Suspect" in hover.contents.value:
            break
        await asyncio.sleep(0.1)
    text = hover.contents.value
    assert text.startswith("Suspect:")  # how many fail is said by the mark beside it
    _, _, suspects = text.partition("Suspect:")
    first, second = suspects.strip().split("\n")
    assert first.startswith("1. `rows` in `store.py:4` (the test calls it")
    assert second.startswith("1. `place` in `shelf.py:1` (")


async def test_other_tests_of_the_file_offer_nothing(editor, script, write, tmp_path):
    _, tests = await start(editor, script, write, tmp_path)
    await editor.diagnostics(tests)
    assert await editor.actions(tests, 11) == ()
    await editor.execute("coe.repair", {"uri": tests, "function": "TestNothing.test_none"})
    told = await editor.wait("message")
    assert told.message == "All tests pass; there is nothing to repair."


async def test_two_files_are_changed_by_one_edit(editor, script, write, tmp_path):
    store = STORE.replace("in counts)", "in counts[1:])")
    tests = TESTS.replace("([3, 3], 4)", "([3, 3], 4), ([], 0)")
    shelf, uri = await start(editor, script, write, tmp_path, tests, store)
    script(
        place=["### REPL 2 >>>    return -(-count // width)"],
        rows=["### REPL 2 >>>    return sum(place(count, width) for count in counts)"],
    )
    await editor.diagnostics(uri)
    await editor.execute("coe.repairFile", {"uri": uri})
    changes = (await editor.wait("apply")).edit.document_changes
    other = (tmp_path / "store.py").as_uri()
    assert {change.text_document.uri for change in changes} == {shelf, other}
    assert editor.texts[shelf] == REPAIRED
    assert editor.texts[other] == STORE
    (preview,) = editor.seen("preview")
    (also,) = preview.patches[0].also
    assert {preview.uri, also.uri} == {shelf, other}


async def test_after_a_repair_of_two_files_both_are_green_before_they_are_saved(
    editor, script, write, tmp_path
):
    store = STORE.replace("in counts)", "in counts[1:])")
    shelf, uri = await start(editor, script, write, tmp_path, TESTS, store)
    script(
        place=["### REPL 2 >>>    return -(-count // width)"],
        rows=["### REPL 2 >>>    return sum(place(count, width) for count in counts)"],
    )
    other = (tmp_path / "store.py").as_uri()
    for name in ("shelf.py", "store.py"):
        await editor.diagnostics(editor.open(tmp_path / name))
    await editor.execute("coe.repairFile", {"uri": uri})
    applied = len(editor.log)
    await editor.wait("apply")
    for one in (shelf, other, uri):
        await editor.diagnostics(one, lambda marks: not marks, after=applied)
    # Alone on the disk neither is the repair.
    editor.save(shelf)
    await editor.wait(
        "status", lambda s: s.state == "idle" and s.uri == shelf, after=len(editor.log)
    )
    marks = [told.diagnostics for kind, told in editor.log
             if kind == "diagnostics" and told.uri == shelf]  # fmt: skip
    assert not marks[-1]


async def test_what_is_not_saved_is_what_is_repaired(editor, script, write, tmp_path):
    """In both files: the test as it is in the editor, and the code."""
    shelf, tests = await start(editor, script, write, tmp_path)
    before = len(editor.log)
    editor.open(tmp_path / "shelf.py")
    editor.change(shelf, "# mine\n\n\n" + SHELF)
    editor.change(tests, TESTS.replace("([4], 2), ", ""))
    await editor.execute("coe.repair", {"uri": tests, "function": "test_rows"})
    await editor.wait("apply", after=before)
    assert editor.texts[shelf] == "# mine\n\n\n" + REPAIRED
    (preview,) = editor.seen("preview")
    assert preview.message == "`place` is repaired: 3 tests passed."


async def test_the_offer_ends_if_the_fault_is_edited_meanwhile(editor, script, write, tmp_path):
    shelf, tests = await start(editor, script, write, tmp_path)
    editor.open(tmp_path / "shelf.py")

    async def typing():
        editor.change(shelf, SHELF.replace("count //", "1 + count //"))

    editor.before_preview = typing
    await editor.execute("coe.repair", {"uri": tests, "function": "test_rows"})
    told = await editor.wait("message")
    assert "`place` was edited while it was being repaired" in told.message
    assert editor.seen("apply") == []


async def test_an_edit_elsewhere_is_kept(editor, script, write, tmp_path):
    shelf, tests = await start(editor, script, write, tmp_path)
    editor.open(tmp_path / "shelf.py")

    async def typing():
        editor.change(shelf, "import os\n\n" + SHELF)
        await asyncio.sleep(0)

    editor.before_preview = typing
    await editor.execute("coe.repair", {"uri": tests, "function": "test_rows"})
    await editor.wait("apply")
    assert editor.texts[shelf] == "import os\n\n" + REPAIRED


async def test_what_was_not_saved_and_is_closed_counts_no_more(editor, script, write, tmp_path):
    shelf, tests = await start(editor, script, write, tmp_path)
    await editor.diagnostics(tests)
    editor.open(tmp_path / "shelf.py")
    before = len(editor.log)
    editor.change(shelf, REPAIRED)
    editor.save(tests)
    await editor.diagnostics(tests, lambda found: not found, after=before)
    before = len(editor.log)
    editor.lsp.text_document_did_close(
        types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(shelf))
    )
    await editor.diagnostics(tests, after=before)  # red again: the disk has the old text


async def test_the_chain_says_which_places_were_tried(editor, script, write, tmp_path):
    _, tests = await start(editor, script, write, tmp_path)
    script(place=[], rows=[])
    editor.configuration = {"budget": 5}
    await editor.execute("coe.repair", {"uri": tests, "function": "test_rows"})
    await editor.wait("message")
    shown = await editor.execute("coe.showChain", {"uri": tests})
    assert "- `place` in `shelf.py`" in shown["text"]
    assert "- `rows` in `store.py`" in shown["text"]
