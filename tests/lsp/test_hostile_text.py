"""Test ids, messages and code are text: neither Markdown nor control characters of them are live."""

import stat

import pytest
from lsprotocol import types
from markdown_it import MarkdownIt

EVIL = "`![x](https://evil/?d=1) <img src=x> [a](b)\n\n![y](z)"
PLAIN = {"bullet_list_open", "list_item_open", "paragraph_open", "strong_open", "inline", "text"}
PLAIN |= {"code_inline", "hr", "ordered_list_open", "fence", "softbreak", "hardbreak"}
PLAIN |= {"text_special"}


def kinds(text):
    tokens = MarkdownIt("commonmark").parse(text)
    flat = [t for token in tokens for t in (token, *(token.children or []))]
    return {t.type for t in flat if t.nesting >= 0}


async def hovered(editor, project, write, **options):
    write("tests/test_ranges.py", f"""
        import pytest
        from ranges import clamp

        @pytest.mark.parametrize("x", [15], ids=[{EVIL!r}])
        def test_high(x):
            assert clamp(x, 0, 10) == 10, "\\x1b]52;c;aGk=\\x07\\x9b2J\\u202e hidden"
    """)  # fmt: skip
    await editor.start(project, **options)
    uri = editor.open(project / "ranges.py")
    (diagnostic,) = await editor.diagnostics(uri)
    editor.accept = None
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    await editor.wait("log", lambda p: "repair 1: repaired" in p.message)
    where = types.HoverParams(types.TextDocumentIdentifier(uri), types.Position(4, 8))
    return diagnostic, (await editor.lsp.text_document_hover_async(where)).contents, uri


async def test_nothing_in_a_hover_or_chain_is_live_markdown(editor, clamp_project, write, script):
    script(clamp=["### REPL 5 >>>        return high  # ``` ` ![x](https://evil) <b>"])
    _, hover, uri = await hovered(editor, clamp_project, write)
    assert hover.kind == types.MarkupKind.Markdown
    assert "https://evil" in hover.value  # it is there to be read
    assert kinds(hover.value) <= PLAIN
    chain = await editor.execute("coe.showChain", {"uri": uri})
    assert kinds(chain["text"]) <= PLAIN
    assert chain["text"].count("![x](https://evil)") == 2  # the words and the diff


async def test_an_editor_without_markdown_gets_plain_text(editor, clamp_project, write):
    def tweak(capabilities):
        capabilities.text_document.hover.content_format = [types.MarkupKind.PlainText]

    _, hover, _ = await hovered(editor, clamp_project, write, tweak=tweak)
    assert hover.kind == types.MarkupKind.PlainText
    assert hover.value.startswith("1 test failing in `clamp`\n- tests/test_ranges.py::test_high[")
    assert "1. line 5 changed to `return high` (1 of 1 tests pass)" in hover.value


async def test_control_characters_are_shown_not_sent(editor, clamp_project, write):
    diagnostic, hover, _ = await hovered(editor, clamp_project, write)
    assert "\\x1b]52;c;aGk=\\x07\\x9b2J\\u202e hidden" in diagnostic.message
    texts = [diagnostic.message, hover.value, *editor.messages()]
    texts += [info.message for info in diagnostic.related_information]
    texts += [status.message for status in editor.seen("status")]
    texts += [str(progress.value) for progress in editor.seen("progress")]
    texts += [log.message for log in editor.seen("log")]
    for text in texts:
        assert not set(text) & set("\x1b\x07\x9b\u202e")


async def test_messages_name_files_harmlessly(editor, clamp_project, write):
    path = write("a\x1b[2Jb\u202e.py", "def f():\n    return 1\n")
    await editor.start(clamp_project)
    uri = editor.open(path)
    await editor.wait("status", lambda s: "a\\x1b[2Jb\\u202e.py" in s.message)
    await editor.execute("coe.repairFile", {"uri": uri})
    await editor.wait("message", lambda p: "a\\x1b[2Jb\\u202e.py" in p.message)


@pytest.mark.parametrize("before", [True, False])
async def test_the_log_is_its_users_own(editor, clamp_project, tmp_path, before):
    folder = tmp_path / "state/coe-lsp/log"
    if before:  # written by a version that did not care
        folder.mkdir(parents=True, mode=0o755)
        (folder / "server.log").touch(0o644)
    await editor.start(clamp_project)
    await editor.wait("log")
    await editor.stop()
    assert (folder / "server.log").read_text()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "server.log").stat().st_mode) == 0o600
