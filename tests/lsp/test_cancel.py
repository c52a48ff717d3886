"""Cancel means: stop looking. What was found is shown, and what is said of it is true."""

import asyncio

import pytest


async def start(editor, script, project, **search):
    search = {"mutations": True, "grace": 60, **search}
    script(more={"search": search}, clamp=["### EXIT"])
    await editor.start(project)
    uri = editor.open(project / "ranges.py")
    await editor.diagnostics(uri)
    return uri


@pytest.mark.parametrize("how", ["button", "command"])
async def test_cancel_after_a_repair_was_found_shows_it(editor, script, clamp_project, how):
    tests = clamp_project / "tests/test_ranges.py"
    tests.write_text(tests.read_text() + "\ndef test_more():\n    assert clamp(11, 0, 10) == 10\n")
    editor.accept = None
    uri = await start(editor, script, clamp_project)
    number = (await editor.execute("coe.repair", {"uri": uri, "function": "clamp"}))["repair"]
    said = await editor.wait("progress", lambda p: "looking for" in p.value.get("message", ""))
    assert "cancelling shows this one" in said.value["message"]
    if how == "button":
        editor.cancel_progress(said.token)
    else:
        await editor.execute("coe.cancel", {"repair": number})
    preview = await editor.wait("preview", seconds=10)
    assert preview.message == "`clamp` is repaired: 4 tests passed."
    assert "return high" in preview.patches[0].newText
    ended = await editor.wait("progress", lambda p: p.value["kind"] == "end")
    assert ended.value["message"] == preview.message
    await editor.wait("log", lambda p: p.message.startswith("repair 1: repaired"))
    assert not [s for s in editor.seen("status") if "cancelled" in s.message]
    assert editor.messages() == []
    chain = await editor.execute("coe.showChain", {"uri": uri})
    assert chain["text"].startswith(preview.message + "\n")  # the name once
    assert "(4 of 4 tests pass)" in chain["text"] and "(0 of" not in chain["text"]


async def test_cancel_before_says_cancelled_everywhere(editor, script, clamp_project):
    script(delay=30, clamp=["### EXIT"])
    await editor.start(clamp_project)
    uri = editor.open(clamp_project / "ranges.py")
    await editor.diagnostics(uri)
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    await editor.wait("status", lambda s: s.state == "repairing")
    await editor.execute("coe.cancel")
    await editor.wait("log", lambda p: p.message.startswith("repair 1: cancelled"))
    await editor.wait("status", lambda s: (s.state, s.message) == ("idle", "clamp: cancelled"))
    assert await editor.execute("coe.showChain", {"uri": uri}) is None


async def test_cancel_at_the_question_for_a_model_is_no_failure(plain_editor, clamp_project):
    editor = plain_editor
    editor.button = asyncio.get_running_loop().create_future()
    editor.configuration = {"model": "smollm2-135m", "budget": 5}
    text = "def clamp(value, low, high):\n    return NotImplemented\n"
    (clamp_project / "ranges.py").write_text(text)
    await editor.start(clamp_project)
    uri = editor.open(clamp_project / "ranges.py")
    await editor.diagnostics(uri)
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    await editor.wait("question")
    await editor.execute("coe.cancel")
    ended = await editor.wait("progress", lambda p: p.value["kind"] == "end", seconds=5)
    assert ended.value["message"] == "clamp: cancelled"
    await editor.wait("status", lambda s: (s.state, s.message) == ("idle", "clamp: cancelled"))
    assert editor.messages() == []
    editor.button.set_result(None)  # the late answer bothers nobody
    assert await editor.execute("coe.showChain") is None
    assert not [p for p in editor.seen("log") if "Error" in p.message]
