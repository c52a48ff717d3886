"""Diagnostics for clients that ask for them, and are told when to ask again."""

import textwrap

from lsprotocol import types
from samples import CLAMP

TEXT = textwrap.dedent(CLAMP).lstrip()
FIXED = TEXT.replace("return low\n    return", "return high\n    return")


def pulling(capabilities):
    capabilities.text_document.diagnostic = types.DiagnosticClientCapabilities()
    refresh = types.DiagnosticWorkspaceClientCapabilities(refresh_support=True)
    capabilities.workspace.diagnostics = refresh


async def test_marks_are_asked_for(editor, clamp_project):
    result = await editor.start(clamp_project, ours=False, tweak=pulling)
    options = result.capabilities.diagnostic_provider
    assert (options.identifier, options.inter_file_dependencies) == ("coe", True)
    uri = editor.open(clamp_project / "ranges.py")
    assert (await editor.pull(uri)).items == ()
    await editor.wait("refresh marks")
    report = await editor.pull(uri)
    assert report.kind == "full" and report.items[0].message.startswith("1 test failing in `clamp`")
    editor.change(uri, "# one\n" * 3 + TEXT)
    (moved,) = (await editor.pull(uri)).items
    assert moved.range.start.line == 3
    start = len(editor.log)
    editor.change(uri, FIXED)
    editor.save(uri)
    await editor.wait("refresh marks", after=start)
    assert (await editor.pull(uri)).items == ()
    editor.change(uri, TEXT)  # undo: known already
    assert len((await editor.pull(uri)).items) == 1
    assert editor.seen("diagnostics") == []  # nothing twice
    assert (await editor.pull("file:///nowhere.py")).items == ()


async def test_who_cannot_be_told_to_ask_again_is_sent_them(editor, clamp_project):
    def tweak(capabilities):
        pulling(capabilities)
        capabilities.workspace.diagnostics = None

    result = await editor.start(clamp_project, ours=False, tweak=tweak)
    assert result.capabilities.diagnostic_provider is None
    await editor.diagnostics(editor.open(clamp_project / "ranges.py"))


async def test_our_own_plugins_are_sent_them(editor, clamp_project):
    await editor.start(clamp_project, tweak=pulling)
    await editor.diagnostics(editor.open(clamp_project / "ranges.py"))
    assert editor.seen("refresh marks") == []
