"""A project whose files lead to what never ends, or is waited for for ever: real processes."""

import os
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no such files")
KINDS = ["device", "pipe", "sparse"]


def poison(path, kind):
    """Have a name lead to a device without end, to a pipe, or to a terabyte of nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.touch()
        os.truncate(path, 1 << 40)


def coe(*arguments):
    """With 2 GB of memory and 20 seconds."""
    started = time.monotonic()
    done = subprocess.run(
        ["bash", "-c", 'ulimit -v 2000000; exec "$@"', "-", sys.executable, "-m", "coe_lsp",
         *map(str, arguments)],
        capture_output=True, text=True, timeout=20, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    assert time.monotonic() - started < 20
    return done


@pytest.fixture
def environment(clamp_project):
    """The project's own virtual environment, with this Python and its packages."""
    folder = clamp_project / ".venv"
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", folder],
        check=True,
    )
    return folder


@pytest.mark.parametrize("kind", KINDS[:2])
@pytest.mark.parametrize(
    "name",
    ["pyproject.toml", "setup.cfg", "conftest.py", "tests/conftest.py", "tests/test_other.py",
     "test_ranges.py", "helper.py"],
)  # fmt: skip
def test_files_of_the_project(clamp_project, name, kind):
    """The tests that there are run, as if the file were not there."""
    source = clamp_project / "ranges.py"
    source.write_text("import helper\n" * (name == "helper.py") + source.read_text())
    poison(clamp_project / name, kind)
    if name != "pyproject.toml":
        # Only files with odd names are looked into for tests.
        (clamp_project / "pyproject.toml").write_text(
            '[tool.pytest.ini_options]\npython_files = ["test_*.py", "o*.py"]\n'
        )
        poison(clamp_project / "odd.py", kind)
    done = coe("tests", source)
    if name == "helper.py":
        assert done.returncode in (1, 2), done
    else:
        assert "2 passed, 1 failed" in done.stdout, done


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["pyvenv.cfg", "x.pth", "__editable___x_finder.py"])
def test_files_of_its_environment(clamp_project, environment, place, kind):
    path = environment / place
    if place != "pyvenv.cfg":
        path = next(environment.glob("lib/python3*/site-packages")) / place
    poison(path, kind)
    if place == "x.pth" and kind == "sparse":
        pytest.skip("Python itself reads all of it, in the sandbox")
    done = coe("tests", clamp_project / "ranges.py")
    assert done.returncode in (1, 2), done
    assert "2 passed, 1 failed" in done.stdout or "pytest" in done.stderr, done


def test_a_file_that_is_too_large_is_told(clamp_project):
    poison(clamp_project / "ranges.py", "sparse")
    done = coe("tests", clamp_project / "ranges.py")
    assert done.returncode == 2
    assert "the limit is 2097152 bytes" in " ".join(done.stderr.split())
