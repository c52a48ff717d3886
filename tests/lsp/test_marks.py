"""Marks belong to the text as it is now, whatever was typed, accepted or taken back."""

import asyncio
import textwrap

import pytest
from lsprotocol import types
from samples import CLAMP

from coe_lsp.lsp.marks import moved

TEXT = textwrap.dedent(CLAMP).lstrip()
FIXED = TEXT.replace("return low\n    return", "return high\n    return")


async def accepted(editor, project):
    await editor.start(project)
    uri = editor.open(project / "ranges.py")
    await editor.diagnostics(uri)
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    await editor.wait("apply")
    await editor.diagnostics(uri, lambda found: not found, after=1)
    await editor.wait("status", lambda s: s.message == "ranges.py: 3 passed, 0 failed")
    assert editor.texts[uri] == FIXED
    return uri


async def test_undo_after_accept_brings_the_marks_back_at_once(editor, clamp_project):
    uri = await accepted(editor, clamp_project)
    start = len(editor.log)
    editor.change(uri, TEXT)  # undo; the file is as on the disk, so nobody saves it
    shown = await editor.wait("diagnostics", after=start, seconds=3)
    assert len(shown.diagnostics) == 1 and shown.version == editor.versions[uri]
    assert [s.message for k, s in editor.log[start:] if k == "status"] == [
        "ranges.py: 2 passed, 1 failed"
    ]
    lens = types.CodeLensParams(types.TextDocumentIdentifier(uri))
    assert len(await editor.lsp.text_document_code_lens_async(lens)) == 1
    start = len(editor.log)
    editor.change(uri, FIXED)  # redo
    assert (await editor.wait("diagnostics", after=start, seconds=3)).diagnostics == ()


async def test_an_accepted_repair_is_watched_until_it_is_saved(editor, clamp_project):
    uri = await accepted(editor, clamp_project)
    start = len(editor.log)
    editor.change(uri, FIXED.replace("value < low", "value < high"))
    await editor.diagnostics(uri, after=start)  # nobody saved
    editor.save(uri)
    await editor.wait("status", lambda s: s.state == "testing", after=start)
    await asyncio.sleep(1.5)
    start = len(editor.log)
    editor.change(uri, FIXED + "# thinking\n")
    await asyncio.sleep(1.5)
    assert not [s for k, s in editor.log[start:] if k == "status" and s.state == "testing"]


async def test_marks_follow_what_was_typed_during_the_check_and_after(editor, clamp_project):
    tests = clamp_project / "tests/test_ranges.py"
    tests.write_text("import time\n" + tests.read_text() + "\ndef test_b():\n    time.sleep(1)\n")
    await editor.start(clamp_project)
    uri = editor.open(clamp_project / "ranges.py")
    await editor.wait("status", lambda s: s.state == "testing")
    await asyncio.sleep(0.3)
    editor.change(uri, "# one\n" * 5 + TEXT)
    shown = await editor.wait("diagnostics")
    assert [d.range.start.line for d in shown.diagnostics] == [5]
    assert shown.version == 2
    start = len(editor.log)
    editor.change(uri, "# one\n" * 7 + TEXT)
    shown = await editor.wait("diagnostics", after=start, seconds=3)
    assert [d.range.start.line for d in shown.diagnostics] == [7]
    assert shown.version == 3
    start = len(editor.log)
    editor.change(uri, "# one\n" * 7 + TEXT + "# below\n")  # moves nothing
    editor.change(uri, "# one\n" * 7 + "x = 1\n" + TEXT.partition("\n")[2])
    shown = await editor.wait("diagnostics", after=start, seconds=3)
    assert shown.diagnostics == () and shown.version == 5  # its line is gone
    start = len(editor.log)
    editor.change(uri, TEXT)
    shown = await editor.wait("diagnostics", after=start, seconds=3)
    assert [d.range.start.line for d in shown.diagnostics] == [0]


def mark(row):
    return types.Diagnostic(types.Range(types.Position(row, 0), types.Position(row, 1)), str(row))


@pytest.mark.parametrize(
    ("new", "rows"),
    [
        ("abcde", {0: 0, 2: 2, 4: 4}),
        ("xabcde", {0: 1, 2: 3, 4: 5}),
        ("abxcde", {0: 0, 2: 3, 4: 5}),
        ("abde", {0: 0, 4: 3}),
        ("xbcdx", {2: 2}),
        ("eabcd", {0: 1, 2: 3}),
        ("", {}),
    ],
)
def test_marks_move_with_their_lines(new, rows):
    old_lines, new_lines = [c + "\n" for c in "abcde"], [c + "\n" for c in new]
    found = moved([mark(0), mark(2), mark(4)], old_lines, new_lines, len)
    assert {int(d.message): d.range.start.line for d in found} == rows


def test_moving_marks_takes_no_time_in_a_long_file():
    old = [f"line {n}\n" for n in range(20_000)]
    new = ["x\n", *old[:-1], "y\n"]
    found = moved([mark(19_000)], old, new, len)
    assert [d.range.start.line for d in found] in ([19_001], [])
    found = moved([mark(19_000)], old, ["x\n", *old], len)
    assert [d.range.start.line for d in found] == [19_001]
