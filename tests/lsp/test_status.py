"""What is said for a status item of a file's tests, and of several repairs that can be had."""

from lsprotocol import types


async def opened(editor, project):
    await editor.start(project)
    uri = editor.open(project / "ranges.py")
    await editor.diagnostics(uri)
    return uri


async def test_how_many_tests_fail_and_pass_is_said_of_the_file(editor, clamp_project):
    uri = await opened(editor, clamp_project)
    await editor.wait("status", lambda s: s.state == "idle")
    said = [s for s in editor.seen("status") if s.uri == uri]
    assert [s.state for s in said] == ["testing", "idle"]
    assert (said[-1].failing, said[-1].passed) == (1, 2)
    lonely = clamp_project / "lonely.py"
    lonely.write_text("x = 1\n")
    other = editor.open(lonely)
    status = await editor.wait(
        "status", lambda s: (getattr(s, "uri", ""), s.state) == (other, "idle")
    )
    assert not hasattr(status, "failing")


async def test_a_file_that_is_closed_is_not_under_test_any_more(editor, clamp_project):
    slow = clamp_project / "tests/test_ranges.py"
    slow.write_text("import time\ntime.sleep(30)\n" + slow.read_text())
    await editor.start(clamp_project)
    uri = editor.open(clamp_project / "ranges.py")
    await editor.wait("status", lambda s: s.state == "testing")
    editor.lsp.text_document_did_close(
        types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(uri))
    )
    await editor.wait("status", lambda s: (s.state, s.uri) == ("idle", uri), seconds=5)


async def test_several_repairs_say_what_sets_them_apart(editor, script, clamp_project):
    ways = ["### REPL 5 >>>        return high", "### REPL 5 >>>        return low + high"]
    script(more={"search": {"grace": 3}}, clamp=[ways])
    uri = await opened(editor, clamp_project)
    editor.accept = None
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    preview = await editor.wait("preview", seconds=90)
    first, second = preview.patches
    assert "return high\n" in first.newText and first.detail == "written by the model"
    assert "return low + high\n" in second.newText
    assert second.detail.endswith("instead of 10; written by the model")
