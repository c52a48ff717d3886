"""Nothing of a folder runs that the user has not trusted; what was answered is remembered."""

import asyncio
import json
import os
import stat
from pathlib import Path

import pytest
from editor_client import Editor
from processes import below
from pygls.exceptions import JsonRpcInternalError

from coe_lsp.lsp.trust import TrustedFolders


def state(tmp_path):
    return tmp_path / "state/coe-lsp/trusted.json"


async def test_nothing_runs_before_the_answer(editor, clamp_project, write):
    touched = clamp_project / "touched"
    write(".venv/bin/python", f"#!/bin/sh\ntouch '{touched}'\nexit 1\n").chmod(0o755)
    write("pyproject.toml", "[tool.coe]\nbogus = 1\n")
    editor.trust = asyncio.get_running_loop().create_future()
    await editor.start(clamp_project)
    uri = editor.open(clamp_project / "ranges.py")
    question = await editor.wait("trust")
    assert question.message.startswith(
        f"Run the tests of {clamp_project}? Its code runs in the sandbox"
    )
    assert [action.title for action in question.actions] == ["Trust this folder", "Not now"]
    editor.save(uri)  # a new check waits for the same answer
    doctor = await editor.execute("coe.doctor", {"uri": uri})
    assert "is not trusted" in doctor["text"]
    await asyncio.sleep(0.8)
    assert len(editor.seen("trust")) == 1
    assert not touched.exists()
    assert all(s.state != "testing" for s in editor.seen("status"))
    assert below(editor.lsp._server.pid) == []
    assert editor.messages() == []  # the project's settings are not even read
    editor.trust.set_result("Trust this folder")
    await editor.diagnostics(uri)
    await editor.wait("message", lambda p: "there is no setting coe.bogus" in p.message)


@pytest.mark.parametrize("answer", ["Not now", None])
async def test_a_refusal_holds_until_a_command_asks_again(editor, clamp_project, tmp_path, answer):
    editor.trust = answer
    await editor.start(clamp_project)
    uri = editor.open(clamp_project / "ranges.py")
    await editor.wait("status", lambda s: "is not trusted" in s.message)
    start = len(editor.log)
    editor.save(uri)
    await editor.wait("status", lambda s: "is not trusted" in s.message, after=start)
    assert len(editor.seen("trust")) == 1
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    told = await editor.wait("message")
    assert told.message == f"{clamp_project} is not trusted: its tests are not run."
    assert len(editor.seen("trust")) == 2
    assert not state(tmp_path).exists()
    editor.trust = "Trust this folder"
    await editor.execute("coe.check", {"uri": uri})
    await editor.diagnostics(uri)
    assert len(editor.seen("trust")) == 3


async def test_an_answer_is_kept_for_the_next_session(editor, clamp_project, tmp_path):
    await editor.start(clamp_project)
    uri = editor.open(clamp_project / "ranges.py")
    await editor.diagnostics(uri)
    await editor.stop()
    assert json.loads(state(tmp_path).read_text())["trusted"] == [str(clamp_project)]
    assert stat.S_IMODE(state(tmp_path).stat().st_mode) == 0o600
    other = Editor(editor._command)
    await other.start(clamp_project)
    other.open(clamp_project / "ranges.py")
    await other.diagnostics(uri)
    assert other.seen("trust") == []
    await other.stop()


async def test_an_editor_that_guards_its_workspace_is_not_asked(editor, clamp_project, tmp_path):
    await editor.start(clamp_project, guards=True)
    uri = editor.open(clamp_project / "ranges.py")
    await editor.diagnostics(uri)
    assert editor.seen("trust") == []
    assert not state(tmp_path).exists()


async def test_an_editor_that_cannot_ask_trusts_nothing(editor, clamp_project):
    editor.trust = asyncio.get_running_loop().create_future()
    editor.trust.set_exception(JsonRpcInternalError("no"))
    await editor.start(clamp_project)
    editor.open(clamp_project / "ranges.py")
    await editor.wait("log", lambda p: "could not ask whether" in p.message)
    await editor.wait("status", lambda s: "is not trusted" in s.message)


async def test_without_a_sandbox_the_question_says_so(editor, clamp_project):
    editor.configuration = {"sandbox": "off"}
    await editor.start(clamp_project)
    editor.open(clamp_project / "ranges.py")
    question = await editor.wait("trust")
    assert "without a sandbox (coe.sandbox is off)" in question.message


async def test_what_was_opened_meanwhile_is_checked_once_trusted(editor, clamp_project, write):
    other = write("pairs.py", "def one():\n    return 2\n")
    write("tests/test_pairs.py", "from pairs import one\ndef test_one():\n    assert one() == 1\n")
    editor.trust = "Not now"
    await editor.start(clamp_project)
    first = editor.open(clamp_project / "ranges.py")
    second = editor.open(other)
    while sum("not checked" in p.message for p in editor.seen("log")) < 2:
        await asyncio.sleep(0.02)
    editor.trust = "Trust this folder"
    await editor.execute("coe.check", {"uri": first})
    await editor.diagnostics(first)
    await editor.diagnostics(second)


def test_a_folder_covers_those_below_it_but_home_does_not(tmp_path, monkeypatch):
    home = tmp_path / "home/me"
    (home / "work/one").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    trusted = TrustedFolders(tmp_path / "x/trusted.json")
    for folder in (home, home.parent, Path("/")):
        trusted.add(folder)
        assert trusted.covers(folder)
        assert not trusted.covers(home / "work")
    trusted.add(home / "work")
    assert trusted.covers(home / "work/one")
    assert not trusted.covers(home / "works")
    (home / "link").symlink_to(home / "work/one")
    assert trusted.covers(home / "link")
    assert TrustedFolders(tmp_path / "x/trusted.json").covers(home / "work/one/deep")


@pytest.mark.skipif(os.name == "nt", reason="folders that all may write")
def test_a_shared_folder_covers_nothing_below_it(tmp_path, monkeypatch):
    """A script in /tmp that was trusted once is no reason to run what others put there."""
    shared, mine = tmp_path / "shared", tmp_path / "mine"
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    for folder in (shared / "project", mine / "project"):
        folder.mkdir(parents=True)
    shared.chmod(0o1777)
    trusted = TrustedFolders(tmp_path / "x/trusted.json")
    for folder in (Path("/tmp"), Path("/var/tmp"), Path("/var"), shared):
        trusted.add(folder)
        assert trusted.covers(folder)
        assert not trusted.covers(folder / "project")
    assert not trusted.covers(Path("/var/tmp/other"))
    trusted.add(mine)
    assert trusted.covers(mine / "project")
    monkeypatch.setattr("tempfile.tempdir", str(mine))
    assert not trusted.covers(mine / "project")
    trusted.add(shared / "project")
    assert trusted.covers(shared / "project/deep")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"trusted": 3}', '{"trusted": [3, "a", null]}'])
def test_a_broken_file_trusts_nothing_and_is_replaced(tmp_path, text):
    path = tmp_path / "trusted.json"
    path.write_text(text)
    trusted = TrustedFolders(path)
    assert not trusted.covers(tmp_path)
    trusted.add(tmp_path)
    assert trusted.covers(tmp_path)
