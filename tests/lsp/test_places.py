"""Whose files are tested: the user's own, never a library's, and the one looked at first."""

import asyncio
import sysconfig
import textwrap
from pathlib import Path

import pytest
from samples import CLAMP

STDLIB = Path(sysconfig.get_path("stdlib")) / "textwrap.py"


@pytest.fixture
def foreign(tmp_path, clamp_project, write):
    """A file that is not the user's own, with a failing doctest so that there is what to run."""
    text = '\ndef f():\n    """\n    >>> f()\n    2\n    """\n    return 1\n'

    def make(kind):
        if kind == "stdlib":
            return STDLIB, f"belongs to a library ({STDLIB.parent})"
        if kind == "installed":
            return write("env/site-packages/thing/__init__.py", text), "belongs to a library"
        if kind == "environment":
            write(".venv/pyvenv.cfg", "home = /usr/bin\n")
            return write(".venv/share/thing.py", text), "belongs to a library"
        path = tmp_path.parent / f"{tmp_path.name}-outside" / "thing.py"
        path.parent.mkdir()
        (path.parent / "pyproject.toml").touch()
        path.write_text(text)
        return path, "is outside of the folders that are open in the editor"

    return make


@pytest.mark.parametrize("kind", ["stdlib", "installed", "environment", "outside"])
async def test_what_is_not_the_users_own_is_left_alone(editor, clamp_project, foreign, kind):
    path, why = foreign(kind)
    await editor.start(clamp_project)
    other = editor.open(path)
    own = editor.open(clamp_project / "ranges.py")
    await editor.diagnostics(own)
    await asyncio.sleep(0.5)
    states = [status.message for status in editor.seen("status") if status.state == "testing"]
    assert states == ["testing ranges.py"]
    assert [params.uri for params in editor.seen("diagnostics")] == [own]
    assert editor.messages() == []
    row = next(n for n, line in enumerate(path.read_text().split("\n")) if "    return" in line)
    assert await editor.actions(other, row) == ()
    for command in ("coe.check", "coe.repairFile"):
        count = len(editor.messages())
        await editor.execute(command, {"uri": other})
        await editor.wait("message")
        (told,) = editor.messages()[count:]
        assert why in told and path.name in told


async def test_a_file_opened_by_itself_is_tested_unless_it_is_a_librarys(editor, clamp_project):
    await editor.start(clamp_project, folder=False)
    other = editor.open(STDLIB)
    own = editor.open(clamp_project / "ranges.py")
    await editor.diagnostics(own)
    await editor.execute("coe.check", {"uri": other})
    assert "belongs to a library" in (await editor.wait("message")).message


def project(folder, tests):
    (folder / "tests").mkdir(parents=True)
    (folder / "pyproject.toml").touch()
    (folder / "ranges.py").write_text(textwrap.dedent(CLAMP).lstrip())
    (folder / "tests/test_ranges.py").write_text(tests)
    return folder / "ranges.py"


@pytest.mark.parametrize("slow", ["tests", "interpreter"])
async def test_the_file_looked_at_does_not_wait_for_others(editor, tmp_path, slow):
    sleeping = (
        "import ranges, time\n\ndef test_a():\n    time.sleep({})\n    assert ranges is None\n"
    )
    others = [
        project(tmp_path / name, sleeping.format(4 if slow == "tests" else 0)) for name in "abcd"
    ]
    if slow == "interpreter":  # what cannot be cancelled takes nobody's thread
        for path in others:
            python = path.parent / ".venv/bin/python"
            python.parent.mkdir(parents=True)
            python.write_text("#!/bin/sh\nexec sleep 62\n")
            python.chmod(0o755)
    own = project(tmp_path / "own", sleeping.format(0))
    (tmp_path / "pytest.ini").touch()
    await editor.start(tmp_path)
    uris = [editor.open(path) for path in others]
    await editor.wait("status", lambda s: s.state == "testing")
    await asyncio.sleep(0.5)
    uri = editor.open(own)
    await editor.diagnostics(uri)
    assert {params.uri for params in editor.seen("diagnostics")} == {uri}
    if slow == "tests":  # and those that made room get their turn
        for one in uris:
            await editor.diagnostics(one)


# -- offers


async def test_nothing_is_offered_where_it_would_not_work(editor, clamp_project):
    await editor.start(clamp_project)
    tests = editor.open(clamp_project / "tests/test_ranges.py")
    unnamed = editor.open(None, "def f():\n    return 1\n", uri="untitled:Untitled-1")
    unwritten = editor.open(clamp_project / "new.py", "def f():\n    return 1\n")
    for uri in (tests, unnamed, unwritten):
        assert await editor.actions(uri, 1 if uri != tests else 4) == ()
    (clamp_project / "new.py").write_text("def f():\n    return 1\n")
    assert await editor.actions(unwritten, 1) == ()  # its tests have not run yet
    (asked,) = await editor.actions(unwritten, 1, only=["refactor.rewrite"])
    assert asked.command is not None


@pytest.mark.parametrize("uri", ["file://", "file:///", "untitled:"])
async def test_a_document_without_a_name_is_called_something(editor, clamp_project, uri):
    await editor.start(clamp_project)
    editor.open(None, "def f():\n    return 1\n", uri=uri)
    for command in ("coe.repair", "coe.check"):
        count = len(editor.messages())
        await editor.execute(command, {"uri": uri})
        await editor.wait("message")
        (told,) = editor.messages()[count:]
        assert told.startswith("This document is not")


async def test_all_kinds_of_actions_can_be_asked_for(editor, clamp_project):
    await editor.start(clamp_project)
    uri = editor.open(clamp_project / "ranges.py")
    found = await editor.diagnostics(uri)
    for only in ([""], ["quickfix"], None):
        (action,) = await editor.actions(uri, 0, found, only=only)
        assert action.kind == "quickfix"
    assert await editor.actions(uri, 0, found, only=["source"]) == ()


async def test_a_check_that_was_asked_for_is_answered_without_a_status_item(editor, clamp_project):
    await editor.start(clamp_project, name="neovim", ours=False)
    uri = editor.open(clamp_project / "ranges.py")
    await editor.diagnostics(uri)
    assert editor.messages() == []
    await editor.execute("coe.check", {"uri": uri})
    assert (await editor.wait("message")).message == "ranges.py: 2 passed, 1 failed"
