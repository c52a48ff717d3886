"""Each thing is said once, and a repair is offered only where there is something to repair."""

import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from lsprotocol import types
from samples import CLAMP

from coe_lsp.lsp.actions import code_lenses
from coe_lsp.lsp.diagnostics import Finding
from coe_lsp.repair.target.source import SourceFile, split_lines

REWRITE = [types.CodeActionKind.RefactorRewrite]
TEXT = textwrap.dedent(CLAMP).lstrip()
IDLE = TEXT + "\n\ndef idle():\n    return 1\n"
FIXED = TEXT.replace("return low\n    return", "return high\n    return")


async def opened(editor, project, text, **options):
    (project / "ranges.py").write_text(text)
    await editor.start(project, **options)
    uri = editor.open(project / "ranges.py")
    await editor.wait("status", lambda s: "passed" in s.message)
    return uri


async def reason(editor, uri, line):
    (action,) = await editor.actions(uri, line, only=REWRITE)
    return action.disabled.reason if action.disabled else None


async def test_no_bulb_where_all_tests_pass(editor, clamp_project):
    uri = await opened(editor, clamp_project, FIXED)
    assert await editor.actions(uri, 2) == ()
    everything = [types.CodeActionKind.Empty]
    assert await editor.actions(uri, 2, only=everything) == ()
    assert await reason(editor, uri, 2) == "All tests of ranges.py pass."
    (action,) = await editor.actions(uri, 2, only=[types.CodeActionKind.Refactor])
    assert action.command is None and action.title == "Repair with CoE: clamp"


async def test_the_reason_is_given_where_something_else_fails(editor, clamp_project):
    uri = await opened(editor, clamp_project, IDLE)
    assert await reason(editor, uri, 9) == "No test runs `idle`."
    assert await reason(editor, uri, 2) is None  # this one fails
    assert await editor.actions(uri, 9) == ()
    tests = editor.open(clamp_project / "tests/test_ranges.py")
    await editor.diagnostics(tests)
    lines = editor.texts[tests].splitlines()
    row = next(n for n, line in enumerate(lines) if "def test_low" in line)
    assert await reason(editor, tests, row) == "`test_low` does not fail."
    assert await editor.actions(tests, row) == ()


async def test_no_bulb_in_files_without_tests(editor, tmp_path):
    (tmp_path / "alone.py").write_text("def f():\n    return 1\n")
    await editor.start(tmp_path)
    uri = editor.open(tmp_path / "alone.py")
    assert await editor.actions(uri, 1) == ()  # not even before that is known
    await editor.wait("status", lambda s: s.state == "idle" and "No tests" in s.message)
    assert await editor.actions(uri, 1) == ()
    assert (await reason(editor, uri, 1)).startswith("No tests were found for alone.py")


async def test_a_client_that_knows_no_reasons_is_offered_nothing(editor, clamp_project):
    def tweak(capabilities):
        capabilities.text_document.code_action.disabled_support = None

    uri = await opened(editor, clamp_project, FIXED, tweak=tweak)
    assert await editor.actions(uri, 2, only=REWRITE) == ()


async def test_where_tests_run_by_demand_a_repair_is_offered_unseen(editor, clamp_project):
    editor.configuration = {"run": "off"}
    await editor.start(clamp_project)
    uri = editor.open(clamp_project / "ranges.py")
    await editor.execute("coe.doctor", {"uri": uri})  # the settings are known by then
    assert len(await editor.actions(uri, 2)) == 1


async def test_a_library_says_why_not(editor, clamp_project):
    path = clamp_project / ".venv/lib/python3/site-packages/them.py"
    path.parent.mkdir(parents=True)
    path.write_text("def f():\n    return 1\n")
    await editor.start(clamp_project)
    uri = editor.open(path)
    assert await editor.actions(uri, 1) == ()
    assert "belongs to a library" in await reason(editor, uri, 1)


@pytest.mark.parametrize("name", ["visual-studio-code", "neovim"])
async def test_a_hover_says_what_the_mark_does_not(editor, clamp_project, name):
    editor.accept = None
    await editor.start(clamp_project, name=name)
    uri = editor.open(clamp_project / "ranges.py")
    (mark,) = await editor.diagnostics(uri)
    (related,) = mark.related_information
    assert related.message == "test_high"  # what it said is in the mark itself
    assert mark.message.count("assert 0 == 10") == 1
    here, below = await editor.hover(uri, mark.range.start.line), await editor.hover(uri, 4)
    assert "test_high" in below.contents.value
    if name == "neovim":  # which shows marks elsewhere
        assert here == below
    else:
        assert here is None
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    await editor.wait("log", lambda p: "not accepted" in p.message)
    here = await editor.hover(uri, mark.range.start.line)
    assert "`` line 5 changed to `return high` ``" in here.contents.value
    assert ("1 test failing" in here.contents.value) == (name == "neovim")


@pytest.mark.timing
def test_lenses_over_many_functions_take_no_time():
    text = "".join(f"def step_{n}(value):\n" + "    value += 1\n" * 8 + "\n" for n in range(200))
    source = SourceFile(Path("long.py"), "utf-8", False, split_lines(text))
    found = [Finding(function, (None,), function.first) for function in source.functions()]
    began = time.process_time()
    lenses = code_lenses("file:///long.py", SimpleNamespace(found=found), source.lines)
    assert time.process_time() - began < 0.05  # one pass over the lines, not one for each
    assert [lens.range.start.line for lens in lenses] == list(range(0, 2000, 10))


# -- notebooks


async def test_cells_of_a_notebook_are_left_alone(editor, clamp_project):
    await editor.start(clamp_project)
    folder = clamp_project.as_uri().replace("file:", "vscode-notebook-cell:")
    cell = f"{folder}/ranges.ipynb#W0sZmlsZQ=="
    uri = editor.open(None, "def f():\n    assert 1 == 2\nf()\n", cell)
    editor.change(uri, editor.texts[uri] + "f()\n")
    editor.save(uri)
    assert await editor.actions(uri, 1) == ()
    assert await editor.hover(uri, 1) is None
    lens = types.CodeLensParams(types.TextDocumentIdentifier(uri))
    assert not await editor.lsp.text_document_code_lens_async(lens)
    status = await editor.wait("status")
    assert status.state == "idle" and editor.messages() == []
    assert status.message == "ranges.ipynb is a notebook: its cells are not tested."
    assert editor.seen("diagnostics") == [] and editor.seen("trust") == []
    await editor.execute("coe.repair", {"uri": uri, "position": {"line": 1, "character": 0}})
    await editor.wait("message", lambda p: p.message == status.message)
    other = editor.open(clamp_project / "ranges.py")
    await editor.diagnostics(other)  # all else goes on
