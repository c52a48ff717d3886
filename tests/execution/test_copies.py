"""Tests that write into their project: on a copy of it, new for each run, nothing on the disk."""

import sqlite3
import sys
import time
from pathlib import Path

import pytest

from coe_lsp.execution.runner import SuiteRunner
from coe_lsp.execution.suite import Limits, Suite

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="overlays are Linux's")

CODE = "def double(n):\n    return n {} 2\n"
TESTS = """\
import os, sqlite3
from code_of import double

HERE = os.path.dirname(__file__)

def test_file():
    assert not os.path.exists("out.txt"), "left by the run before"
    with open("out.txt", "w") as file:
        file.write(str(double(4)))
    assert open(os.path.join(HERE, "out.txt")).read() == "8"

def test_changes():
    os.mkdir("made")
    os.remove("data/old.txt")
    with open("data/kept.txt", "a") as file:
        file.write("more")
    assert os.listdir("data") == ["kept.txt"] and open("data/kept.txt").read() == "kept more"

def test_database():
    with sqlite3.connect("data.db") as database:
        database.execute("insert into numbers values (?)", (double(3),))
        assert database.execute("select * from numbers").fetchall() == [(6,)]

def test_nothing():
    assert double(0) == 0
"""


@pytest.fixture
def project(tmp_path, sandbox):
    if not sandbox.can_copy:
        pytest.skip("needs bubblewrap 0.11")
    (tmp_path / "code_of.py").write_text(CODE.format("*"))
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "old.txt").write_text("old")
    (tmp_path / "data" / "kept.txt").write_text("kept ")
    with sqlite3.connect(tmp_path / "data.db") as database:
        database.execute("create table numbers (n integer)")
    database.close()
    return tmp_path


@pytest.fixture
def runner(project, interpreter, sandbox):
    suite = Suite("pytest", project, project / "code_of.py", ("test_it.py",))
    with SuiteRunner([suite], interpreter, sandbox, Limits(wall_seconds=30.0)) as made:
        yield made


def outcomes(run):
    return {result.id.rpartition("::")[2]: result.outcome for result in run.results}


def all_that_is(folder: Path):
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


ALL_PASS = dict.fromkeys(("test_file", "test_changes", "test_database", "test_nothing"), "passed")


def test_each_run_has_a_copy_of_its_own(project, runner):
    before = all_that_is(project)
    for _ in range(3):
        assert outcomes(runner.run(None)) == ALL_PASS
    assert all_that_is(project) == before


def test_candidates_run_on_it_too(project, runner):
    assert outcomes(runner.run(None)) == ALL_PASS
    wrong = outcomes(runner.run(CODE.format("+").encode()))
    assert wrong == ALL_PASS | {
        "test_file": "failed",
        "test_database": "failed",
        "test_nothing": "failed",
    }
    hot = (CODE.format("*").encode(), tuple(result.id for result in runner.run(None).results))
    for _ in range(2):
        assert outcomes(runner.run(CODE.format("*").encode(), hot[1], hot=hot)) == ALL_PASS


def test_hot_runs_share_a_copy_if_their_tests_bear_it(project, runner):
    """A new process for each is slow; a run that counts has a clean copy nevertheless."""
    (project / "test_it.py").write_text(TESTS.partition("def test_changes")[0].replace(
        'assert not os.path.exists("out.txt"), "left by the run before"', "pass"))  # fmt: skip
    tests = tuple(result.id for result in runner.run(None).results)
    worker = runner._lanes[0].workers[0]
    assert worker.bears_leftovers
    hot = (CODE.format("*").encode(), tests)
    run = runner.run(CODE.format("*").encode(), tests, hot=hot)
    process = worker.init_pid
    wrong = runner.run(CODE.format("+").encode(), tests, hot=hot)
    assert outcomes(run) == {"test_file": "passed"}
    assert outcomes(wrong) == {"test_file": "failed"}
    assert worker.init_pid == process is not None
    assert outcomes(runner.run(None)) == {"test_file": "passed"}
    assert worker.init_pid != process


def test_tests_that_do_not_bear_leftovers_never_see_any(runner):
    runner.run(None)
    assert not runner._lanes[0].workers[0].bears_leftovers


def test_a_run_that_writes_nothing_keeps_its_process(runner):
    tests = [result.id for result in runner.run(None).results]
    quiet = [test for test in tests if test.endswith("test_nothing")]
    runner.run(None, quiet)
    worker = runner._lanes[0].workers[0]
    process = worker.init_pid
    runner.run(None, quiet)
    assert worker.copies and worker.init_pid == process
    runner.run(None, tests)
    assert worker.init_pid is None


def test_files_that_change_are_seen(project, runner):
    """An editor replaces a file; what lies over it must not go on showing the old one."""
    quiet = ["test_it.py::test_nothing"]
    assert outcomes(runner.run(None)) == ALL_PASS
    assert outcomes(runner.run(None, quiet)) == {"test_nothing": "passed"}
    new = project / "new.py"
    new.write_text(TESTS.replace("double(0) == 0", "double(0) == 1"))
    time.sleep(0.05)  # the clock of a file system ticks slowly
    new.replace(project / "test_it.py")
    assert outcomes(runner.run(None, quiet)) == {"test_nothing": "failed"}


def test_what_is_written_counts(project, runner):
    """The copy lies in memory, which no test may fill."""
    (project / "test_it.py").write_text(
        "def test_fill():\n"
        "    for n in range(800):\n"
        "        with open(f'out{n}', 'wb') as file:\n"
        "            file.write(bytes(4 << 20))\n"
    )
    run = runner.run(None, limits=Limits(wall_seconds=30.0, memory_bytes=512 << 20))
    assert run.status == "memory"
    assert "memory" in run.detail


def test_a_project_is_never_copied_where_nobody_writes(project, runner):
    runner.run(None, ["test_it.py::test_nothing"])
    assert not runner._lanes[0].workers[0].copies


def test_a_folder_that_is_made_on_import(project, runner):
    """Before a test runs at all: `conftest.py` writes as well."""
    (project / "conftest.py").write_text("import os\nos.makedirs('logs/today')\n")
    assert outcomes(runner.run(None)) == ALL_PASS
    assert not (project / "logs").exists()
