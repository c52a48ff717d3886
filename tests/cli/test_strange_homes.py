"""Users without a home folder, without a name, without a place for temporary files."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from coe_lsp.execution.sandbox import find_sandbox

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap makes the users")


@pytest.fixture
def nameless(clamp_project):
    """Run a command of ours as a user of whom the system knows the number alone, as docker can."""
    program = find_sandbox("auto").program
    number = str(54321)
    tried = [program, "--unshare-user", "--uid", number, "--gid", number, "--dev-bind", "/", "/"]

    def run(*arguments, inside=(), **environment):
        return subprocess.run(
            [*tried, *inside, "--", sys.executable, "-m", "coe_lsp", *arguments],
            capture_output=True, text=True, timeout=120, check=False, cwd=clamp_project,
            env={"PATH": os.environ["PATH"], **environment},
        )  # fmt: skip

    return run


def test_tests_and_repairs_need_no_home(nameless, clamp_project):
    done = nameless("tests", "ranges.py")
    assert (done.returncode, "2 passed, 1 failed" in done.stdout, done.stderr) == (1, True, "")
    done = nameless("repair", "ranges.py", "--model", "none", "--json")
    assert (done.returncode, json.loads(done.stdout)["status"]) == (0, "repaired"), done
    assert sorted(path.name for path in clamp_project.iterdir()) == [
        "pyproject.toml", "ranges.py", "tests",
    ]  # fmt: skip


@pytest.mark.parametrize("environment", [{}, {"HOME": "here"}], ids=["none", "relative"])
@pytest.mark.parametrize(
    "command",
    [["models", "list"], ["models", "pull"], ["repair", "ranges.py", "--json"]],
    ids=" ".join,
)
def test_what_needs_a_home_says_so(nameless, clamp_project, command, environment):
    done = nameless(*command, **environment)
    told = json.loads(done.stdout)["message"] if "--json" in command else done.stderr
    assert done.returncode == 2, done
    assert "home folder is not known" in told and "COE_LSP_CACHE" in told
    assert "Traceback" not in done.stderr
    assert not (clamp_project / "here").exists() and not (clamp_project / "~").exists()


def test_a_cache_of_its_own_will_do(nameless, tmp_path):
    done = nameless("models", "path", COE_LSP_CACHE=str(tmp_path / "cache"))
    assert (done.returncode, "is not here yet" in done.stderr) == (2, True), done


@pytest.mark.parametrize(
    "option", [["--model", "~/x.gguf"], ["--adapter", "~/x.gguf"]], ids=" ".join
)
def test_a_tilde_that_stands_for_nothing(nameless, option):
    done = nameless("repair", "ranges.py", *option)
    assert (done.returncode, "~/x.gguf" in done.stderr) == (2, True), done
    assert "no file" in done.stderr or "no adapter file" in done.stderr


def test_a_home_that_is_relative_or_missing(clamp_project):
    for home in ("here", "/nowhere/at/all"):
        done = subprocess.run(
            [sys.executable, "-m", "coe_lsp", "tests", "ranges.py"], capture_output=True, text=True,
            timeout=120, check=False, cwd=clamp_project, env=os.environ | {"HOME": home},
        )  # fmt: skip
        assert (done.returncode, "2 passed, 1 failed" in done.stdout) == (1, True), done


def test_no_place_for_temporary_files(nameless):
    """Row 79: it was said that there is no Python."""
    done = nameless("tests", "ranges.py", "--sandbox", "off", inside=["--remount-ro", "/"])
    if "--remount-ro" in done.stderr or not done.stderr:
        pytest.skip("everything could not be made read-only")
    told = " ".join(done.stderr.split())
    assert (done.returncode, "no folder for temporary files" in told) == (2, True), done
    assert "TMPDIR" in told


@pytest.mark.skipif(shutil.which("setpriv") is None or os.geteuid() != 0, reason="needs root")
def test_another_user_without_an_environment(clamp_project, tmp_path_factory):
    """The real thing, where the Python that runs this is one that others may use."""
    for path in (clamp_project, *clamp_project.rglob("*"), *clamp_project.parents[:-2]):
        path.chmod(path.stat().st_mode | 0o055)
    command = ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", "env", "-i",
               f"PATH={os.environ['PATH']}", sys.executable, "-m", "coe_lsp"]  # fmt: skip
    usable = subprocess.run([*command, "--version"], capture_output=True, check=False)
    if usable.returncode != 0:
        pytest.skip("other users cannot run this Python")
    done = subprocess.run([*command, "tests", "ranges.py"], cwd=clamp_project, capture_output=True,
                          text=True, timeout=120, check=False)  # fmt: skip
    assert (done.returncode, "2 passed, 1 failed" in done.stdout) == (1, True), done
