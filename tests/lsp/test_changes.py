"""What changes beside the open text: settings, project files, tests and modules on the disk."""

import asyncio
import textwrap

import pytest
from samples import CLAMP

TEXT = textwrap.dedent(CLAMP).lstrip()
ONLY_LOW = '[tool.coe]\ntests = ["tests/test_ranges.py::test_low"]\n'


async def opened(editor, project, **options):
    await editor.start(project, **options)
    uri = editor.open(project / "ranges.py")
    await editor.diagnostics(uri)
    return uri


def runs_of(editor, after=0):
    return [s.message for k, s in editor.log[after:] if k == "status" and s.state == "testing"]


async def test_what_is_wanted_of_the_editor_is_registered(editor, clamp_project):
    await opened(editor, clamp_project)
    (params,) = editor.seen("register")
    wanted = {one.method: one.register_options for one in params.registrations}
    assert wanted["workspace/didChangeConfiguration"] == {"section": "coe"}
    patterns = [w["globPattern"] for w in wanted["workspace/didChangeWatchedFiles"]["watchers"]]
    for name in ("*.py", "pyproject.toml", "pytest.ini", "setup.cfg", "tox.ini"):
        assert f"**/{name}" in patterns


async def test_the_projects_settings_are_read_again_when_they_change(editor, clamp_project):
    uri = await opened(editor, clamp_project)
    (clamp_project / "pyproject.toml").write_text(ONLY_LOW)
    start = len(editor.log)
    editor.changed_on_disk(clamp_project / "pyproject.toml")
    await editor.diagnostics(uri, lambda found: not found, after=start)


async def test_they_are_read_again_without_being_told(editor, clamp_project):
    uri = await opened(editor, clamp_project, name="neovim")
    assert editor.seen("register") == []
    (clamp_project / "pyproject.toml").write_text(ONLY_LOW)
    start = len(editor.log)
    editor.save(uri)
    await editor.diagnostics(uri, lambda found: not found, after=start)


async def test_a_conftest_that_changes_counts(editor, clamp_project, write):
    uri = await opened(editor, clamp_project)
    path = write("conftest.py", "import ranges\nranges.clamp = lambda v, low, high: sorted((low, v, high))[1]\n")  # fmt: skip
    start = len(editor.log)
    editor.changed_on_disk(path)
    await editor.diagnostics(uri, lambda found: not found, after=start)
    write("conftest.py", "")
    start = len(editor.log)
    editor.changed_on_disk(path)  # and the process that has imported it is not used again
    await editor.diagnostics(uri, after=start)


async def test_modules_that_are_imported_on_the_way_count(editor, clamp_project, write):
    deep = write("deep.py", "HIGH = 0\n")
    write("helper.py", "from deep import (\n    HIGH,\n)\n\ndef high():\n    return HIGH\n")
    write("other.py", "def one():\n    return 2\n")
    write("tests/test_other.py", "from other import one\ndef test_one():\n    assert one() == 1\n")
    write("ranges.py", "import helper\n\ndef clamp(v, low, high):\n    return min(max(v, low), high, helper.high())\n")  # fmt: skip
    uri = await opened(editor, clamp_project)
    other = editor.open(clamp_project / "other.py")
    await editor.diagnostics(other)
    for value, failing in ((10, False), (0, True)):
        deep.write_text(f"HIGH = {value}\n")
        start = len(editor.log)
        editor.changed_on_disk(deep)
        await editor.diagnostics(uri, lambda found, f=failing: bool(found) is f, after=start)
        assert set(runs_of(editor, start)) == {"testing ranges.py"}
    # The same for an editor that only says what it saved.
    name = editor.open(deep)
    deep.write_text("HIGH = 10\n")
    start = len(editor.log)
    editor.save(name)
    await editor.diagnostics(uri, lambda found: not found, after=start)


async def test_tests_that_change_or_come_count(editor, clamp_project, write):
    tests = clamp_project / "tests/test_ranges.py"
    text = tests.read_text()
    uri = await opened(editor, clamp_project)
    for new, failing in ((text.replace("== 10", "== 0"), False), (text, True)):
        tests.write_text(new)
        start = len(editor.log)
        editor.changed_on_disk(tests)
        await editor.diagnostics(uri, lambda found, f=failing: bool(found) is f, after=start)
    lonely = editor.open(write("lonely.py", "def one():\n    return 2\n"))
    await editor.wait("status", lambda s: "No tests were found for lonely.py" in s.message)
    first = write(
        "tests/test_it.py", "import lonely\ndef test_it():\n    assert lonely.one() == 1\n"
    )
    editor.changed_on_disk(first)
    await editor.diagnostics(lonely)


async def test_what_is_no_source_of_the_project_is_ignored(editor, clamp_project, write):
    await opened(editor, clamp_project)
    await asyncio.sleep(0.5)
    start = len(editor.log)
    write("env/pyvenv.cfg", "")
    folders = (".venv/lib", "node_modules/x", ".hidden", "env", "x/site-packages", "__pycache__")
    paths = [write(f"{name}/conftest.py", "import ranges\n") for name in folders]
    outside = clamp_project.parent / f"{clamp_project.name}-outside" / "conftest.py"
    editor.changed_on_disk(*paths, outside)
    await asyncio.sleep(1.5)
    assert editor.log[start:] == []


async def test_a_save_is_tested_once(editor, clamp_project):
    """Some editors say that a file was saved and that it has changed."""
    uri = await opened(editor, clamp_project)
    await asyncio.sleep(0.5)
    start = len(editor.log)
    (clamp_project / "ranges.py").write_text(TEXT + "# more\n")
    editor.change(uri, TEXT + "# more\n")
    editor.save(uri)
    editor.changed_on_disk(clamp_project / "ranges.py")
    await asyncio.sleep(0.6)
    editor.changed_on_disk(clamp_project / "ranges.py")
    await editor.diagnostics(uri, after=start)
    await asyncio.sleep(1.0)
    assert runs_of(editor, start) == ["testing ranges.py"]


async def test_a_file_that_the_editor_reads_again_is_tested(editor, clamp_project):
    uri = await opened(editor, clamp_project)
    fixed = TEXT.replace("return low\n    return", "return high\n    return")
    (clamp_project / "ranges.py").write_text(fixed)
    start = len(editor.log)
    editor.changed_on_disk(clamp_project / "ranges.py")
    await asyncio.sleep(0.1)
    editor.change(uri, fixed)
    await editor.diagnostics(uri, lambda found: not found, after=start)


# -- the editor's settings


async def test_an_interpreter_that_was_put_right_is_used_at_once(editor, clamp_project):
    editor.configuration = {"python": "/no/such/python"}
    await editor.start(clamp_project)
    uri = editor.open(clamp_project / "ranges.py")
    assert "/no/such/python" in (await editor.wait("message")).message
    editor.reconfigure()
    await editor.diagnostics(uri)
    start = len(editor.log)
    editor.reconfigure(budget=30, logLevel="info")  # of no concern to the tests
    await asyncio.sleep(1.0)
    assert runs_of(editor, start) == []
    editor.reconfigure(tests=["tests/test_ranges.py::test_low"])
    await editor.diagnostics(uri, lambda found: not found, after=start)


async def test_marks_go_when_tests_are_switched_off(editor, clamp_project):
    uri = await opened(editor, clamp_project)
    start = len(editor.log)
    editor.reconfigure(run="off")
    await editor.diagnostics(uri, lambda found: not found, after=start)
    assert runs_of(editor, start) == []


@pytest.mark.parametrize("value", [-1, 1e308, "soon"])
async def test_a_setting_out_of_range_is_told_and_the_server_goes_on(editor, clamp_project, value):
    editor.configuration = {"testTimeout": value}
    await editor.start(clamp_project)
    uri = editor.open(clamp_project / "ranges.py")
    await editor.wait("message")
    editor.reconfigure()
    editor.save(uri)
    await editor.diagnostics(uri)
