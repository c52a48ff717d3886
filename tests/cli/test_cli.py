"""The command line as a user meets it: a real process, its output and its exit status."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from samples import HOPELESS

from coe_lsp.cli.repair import write
from coe_lsp.errors import CoeError
from coe_lsp.repair.outcome import Outcome, Repaired
from coe_lsp.repair.patch import BlockEdit, Patch
from coe_lsp.repair.target.source import Function, SourceFile


def coe(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "coe_lsp", *map(str, arguments)],
        capture_output=True, text=True, timeout=300, check=False, **options,
    )  # fmt: skip


def test_tests_command_shows_failures_and_suspects(clamp_project):
    done = coe("tests", clamp_project / "ranges.py")
    assert done.returncode == 1
    assert "2 passed, 1 failed" in done.stdout
    assert "test_high" in done.stdout
    assert "suspect: clamp (ranges.py:1): the test calls it, " in done.stdout


def test_already_passing(clamp_project):
    path = clamp_project / "ranges.py"
    path.write_text(
        path.read_text().replace("high:\n        return low", "high:\n        return high")
    )
    done = coe("repair", path, "--json")
    assert done.returncode == 0, done.stderr
    body = json.loads(done.stdout)
    assert (body["status"], body["before"]) == ("already_passing", {"passed": 3, "failed": 0})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["repair", "missing.py"], "There is no file missing.py"),
        (["repair", "ranges.py::grow"], "no function `grow`"),
        (["tests", "ranges.py::grow"], "no function `grow`"),
        (["tests", "tests/test_ranges.py::nope"], "There is no test `nope` in tests/"),
        (
            ["repair", "tests/test_ranges.py::test_low", "tests/test_ranges.py::nope"],
            "There is no test `nope` in tests/test_ranges.py",
        ),
        (["repair", "ranges.py", "--model", "no-such-model"], "no-such-model"),
        (["repair", "ranges.py", "--adapter", "missing.gguf"], "no adapter file missing.gguf"),
        (["repair", "ranges.py", "--budget", "-1"], "is -1, but takes a number from 1 to 86400"),
        (["repair", "ranges.py", "--budget", "soon"], "is soon, but takes a number"),
        (["tests", "ranges.py", "--test-timeout", "1e10"], "is 1e10, but takes a number from 0.1"),
        (["tests", "ranges.py", "--test-timeout", "nan"], "is nan, but takes a number from 0.1"),
        (
            ["repair", "ranges.py", "--samples", "65"],
            "is 65, but takes a whole number from 1 to 64",
        ),
        (["repair", "docs"], "There are no files of tests in"),
        (["repair", "tests", "--tests", "tests"], "name tests as targets instead"),
        (["repair", "a" * 300], "not a usable path"),
        (["tests", "loop.py"], "loop.py"),
        (["models", "path", "no-such-model"], "no-such-model"),
        (["demo", "--only", "nothing-like-it"], "No bug of the demo"),
    ],
)
def test_bad_input_is_status_2_and_a_sentence(clamp_project, arguments, message):
    (clamp_project / "loop.py").symlink_to("loop.py")
    (clamp_project / "docs").mkdir()
    done = coe(*arguments, cwd=clamp_project)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_json_error_is_one_object(clamp_project):
    done = coe("repair", "missing.py", "--json", cwd=clamp_project)
    assert done.returncode == 2
    assert json.loads(done.stdout)["status"] == "error"


def test_broken_model_file(clamp_project, write):
    write("ranges.py", HOPELESS)
    bad = clamp_project / "bad.gguf"
    bad.write_bytes(b"GGUF" + bytes(100))
    done = coe("repair", "ranges.py", "--model", bad, cwd=clamp_project)
    assert done.returncode == 1  # a part was found without
    assert "of 3 tests pass" in done.stdout and "bad.gguf" in done.stdout
    one = ("--tests", "assert clamp(1, 2, 3) == list('something else')")
    done = coe("repair", "ranges.py", *one, "--model", bad, cwd=clamp_project)
    assert done.returncode == 2
    assert "bad.gguf" in done.stderr and "Traceback" not in done.stderr


def test_the_project_s_settings_are_read_and_what_is_typed_wins(clamp_project):
    (clamp_project / "pyproject.toml").write_text(
        '[tool.coe]\ntests = ["assert clamp(1, 0, 2) == 1"]\nsamples = 99\n'
    )
    done = coe("tests", "ranges.py", cwd=clamp_project)
    assert (done.returncode, "1 passed, 0 failed" in done.stdout) == (0, True), done
    assert "coe.samples is 99, but takes a whole number from 1 to 64." in done.stderr
    done = coe("tests", "ranges.py", "--tests", "tests/test_ranges.py", cwd=clamp_project)
    assert (done.returncode, "2 passed, 1 failed" in done.stdout) == (1, True), done
    (clamp_project / "pyproject.toml").write_text("[tool\n")
    done = coe("repair", "ranges.py", "--json", cwd=clamp_project)
    assert (done.returncode, json.loads(done.stdout)["status"]) == (2, "error")
    assert "is not TOML" in json.loads(done.stdout)["message"]


def test_without_a_model(clamp_project):
    done = coe("repair", "ranges.py", "--model", "none", "--json", cwd=clamp_project)
    body = json.loads(done.stdout)
    assert (done.returncode, body["status"], body["model"]) == (0, "repaired", None)
    assert body["patches"][0]["commands"] == ["### REPL 5 >>>        return high"]
    assert body["patches"][0]["diff"] == body["diff"]
    assert body["chain"][0].keys() == {"command", "feedback", "passed", "failed"}
    told = coe("repair", "ranges.py", "--model", "none", cwd=clamp_project).stdout
    assert "  turn 1  3/3 line 5 changed to `return high`" in told and "###" not in told
    assert "variable" in body["patches"][0]["reason"]


@pytest.mark.model
def test_real_model_runs_and_leaves_the_file_alone(clamp_project, small_model, write):
    path = write("ranges.py", HOPELESS)
    before = path.read_bytes()
    done = coe("repair", path, "--model", small_model, "--adapter", "none", "--budget", 20,
               "--samples", 4, "--json")  # fmt: skip
    body = json.loads(done.stdout)
    assert body["status"] in ("repaired", "failed"), body
    assert done.returncode == (0 if body["status"] == "repaired" else 1)
    assert body["attempts"] > 0 and body["tests_run"] > 2 and body["seconds"]["model"] > 0
    assert path.read_bytes() == before


@pytest.mark.model
def test_interrupt_leaves_nothing_behind(clamp_project, small_model, tmp_path, write):
    write("ranges.py", HOPELESS)
    env = os.environ | {"TMPDIR": str(tmp_path / "scratch")}
    (tmp_path / "scratch").mkdir()
    before = (clamp_project / "ranges.py").read_bytes()
    process = subprocess.Popen(
        [sys.executable, "-m", "coe_lsp", "repair", "ranges.py", "--model", str(small_model),
         "--adapter", "none", "--apply"],
        cwd=clamp_project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
    )  # fmt: skip
    for line in process.stdout:
        if line.startswith("repairing"):
            break
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    if process.returncode != 0:  # it may have been repaired by then
        assert process.returncode == 130, errors
        assert "Traceback" not in errors
        assert (clamp_project / "ranges.py").read_bytes() == before
    assert list((tmp_path / "scratch").iterdir()) == []


def test_doctor_checks_the_sandbox():
    done = coe("doctor", env=os.environ | {"COLUMNS": "80"})
    checks = [line.strip() for line in done.stdout.splitlines()[1:]]
    names = [check.split()[1] for check in checks]
    assert names == ["interpreter:", "sandbox:", "model:", "processor:"], done.stdout
    assert re.fullmatch(r"ok   sandbox: bubblewrap [\d.]+ works", checks[1])
    assert re.fullmatch(r"ok   processor: \d+ cores; llama.cpp works, .*GPU", checks[3])
    all_of_it = coe("doctor", "--verbose").stdout
    assert "no network" in all_of_it and "SSE3" in all_of_it


def test_models_list():
    done = coe("models", "list")
    assert done.returncode == 0
    assert "qwen2.5-coder-0.5b" in done.stdout


def test_a_file_that_changed_meanwhile_is_not_overwritten(tmp_path):
    path = tmp_path / "mod.py"
    patch = Patch((BlockEdit("mod.py", Function("old", 1, 1), ("new",)),))
    outcome = Outcome(
        "repaired",
        "mod.py",
        patches=(Repaired(patch, "", "", ()),),
        sources={"mod.py": SourceFile.parse(path, b"old\r\n")},
    )
    path.write_bytes(b"old\r\n# mine\r\n")
    with pytest.raises(CoeError, match="has changed"):
        write(outcome)
    assert path.read_bytes() == b"old\r\n# mine\r\n"
    path.write_bytes(b"old\r\n")
    write(outcome)
    assert path.read_bytes() == b"new\r\n"


def test_brackets_of_the_users_are_shown(clamp_project):
    done = coe("tests", clamp_project / "ranges.py", "--tests", "assert [clamp(5, 0, 9)][0] == 5")
    assert "assert [clamp(5, 0, 9)][0] == 5" in done.stdout
    assert done.returncode == 0


@pytest.mark.model
def test_demo_reports_honestly(small_model):
    """With two seconds a bug the small model repairs next to nothing, and the table says so."""
    done = coe("demo", "--model", small_model, "--adapter", "none", "--budget", 2, "--only", "iso_")
    assert done.returncode in (0, 1), done.stderr
    assert "iso_week_label" in done.stdout
    repaired = done.returncode == 0
    assert f"{int(repaired)} of 1 repaired" in done.stdout
    assert ("yes" if repaired else "no") in done.stdout


@pytest.mark.slow
def test_demo_counts_what_was_repaired_along_with_another():
    """The tests of `reserve` need `ship` repaired, too."""
    done = coe("demo", "--model", "none", "--only", "inventory")
    assert "2 of 2 repaired" in done.stdout
    assert "with another" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["repair", "ranges.py", "--json", "--budget", "soon"], "--budget: is soon, but takes"),
        (["repair", "ranges.py", "--json", "--unheard-of"], "unrecognized arguments"),
        (["repair", "ranges.py::grow", "--json"], "no function `grow`"),
        (["repair", "odd.py", "--json"], "odd.py cannot be decoded"),
        (["repair", "none", "--json"], "There is no file"),
        (["repair", "ranges.py", "--json", "--model", "no-such-model"], "no-such-model"),
        (["repair", "ranges.py", "--json", "--python", "/no/python"], "/no/python"),
    ],
)
def test_json_says_what_was_wrong(clamp_project, arguments, message):
    (clamp_project / "odd.py").write_text("# coding: undefined\nx = 1\n")
    done = coe(*arguments, cwd=clamp_project)
    body = json.loads(done.stdout)
    assert (done.returncode, body["status"], done.stderr) == (2, "error", ""), done
    assert message in body["message"]


def test_a_fault_of_our_own_is_told_without_a_traceback(clamp_project):
    code = (
        "import sys, coe_lsp.repair.file_sites as r\n"
        "r.measure = lambda *a, **k: 1 / 0\n"
        "from coe_lsp.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    for option in ((), ("--json",)):
        done = subprocess.run(
            [sys.executable, "-c", code, "repair", "ranges.py", "--model", "none", *option],
            capture_output=True, text=True, timeout=60, check=False, cwd=clamp_project,
        )  # fmt: skip
        told = json.loads(done.stdout)["message"] if option else " ".join(done.stderr.split())
        assert "a fault of coe-lsp" in told and "ZeroDivisionError" in told
        assert (done.returncode, "Traceback" in done.stderr) == (2, False), done


def test_what_was_found_is_told_even_if_it_cannot_be_written(clamp_project):
    """The file became read-only while it was repaired."""
    code = (
        "import pathlib, sys, coe_lsp.cli.repair as r\n"
        "real = r.watched\n"
        "def watched(*a, **more):\n"
        "    try: return real(*a, **more)\n"
        "    finally: pathlib.Path('ranges.py').chmod(0o444)\n"
        "r.watched = watched\n"
        "from coe_lsp.cli.main import main\n"
        "sys.exit(main(['repair', 'ranges.py', '--model', 'none', '--apply', '--json']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60,
                          check=False, cwd=clamp_project)  # fmt: skip
    body = json.loads(done.stdout)
    assert (done.returncode, body["status"]) == (2, "error"), done
    assert "read-only" in body["message"]
    assert "return high" in body["diff"]


@pytest.mark.parametrize("json_too", [False, True])
def test_apply_refuses_before_any_work(clamp_project, json_too):
    (clamp_project / "ranges.py").chmod(0o444)
    more = ["--json"] if json_too else []
    done = coe("repair", "ranges.py", "--model", "none", "--apply", *more, cwd=clamp_project)
    told = json.loads(done.stdout)["message"] if json_too else " ".join(done.stderr.split())
    assert (done.returncode, "is read-only" in told) == (2, True), done
