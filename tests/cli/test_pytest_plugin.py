"""`pytest --coe` and `coe_hint`, in real runs of pytest with the plugin as it is installed."""

import os
import subprocess
import sys

import pytest

SHELF = "def place(count, width):\n    return count // width + 1\n"
TESTS = """
    from shelf import place

    def test_exact():
        assert place(4, 2) == 2

    def test_none():
        assert place(0, 2) == 0

    class TestMore:
        def test_some(self):
            assert place(5, 2) == 2
"""


@pytest.fixture
def project(write, tmp_path):
    write(
        "pyproject.toml",
        "[tool.coe]\nbudget = 30\n"
        '[tool.pytest.ini_options]\ncoe_hint = true\naddopts = "--strict-config"\n',
    )
    write("shelf.py", SHELF)
    write("tests/test_shelf.py", TESTS)
    return tmp_path


def run(project, *options, cwd=None, importable=True):
    path = os.pathsep.join(
        filter(None, [str(project) if importable else "", os.environ.get("PYTHONPATH")])
    )
    command = (
        ["-m", "pytest"] if importable else ["-c", "import pytest; raise SystemExit(pytest.main())"]
    )
    return subprocess.run(
        [
            sys.executable,
            *([] if importable else ["-P"]),
            *command,
            "-p",
            "no:cacheprovider",
            *options,
        ],
        cwd=cwd or project,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": path},
    )


@pytest.fixture
def no_model(monkeypatch, tmp_path):
    """Mutations are enough, and nothing is to be fetched."""
    monkeypatch.setenv("COE_LSP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_what_failed_is_repaired_at_the_end_of_the_run(project, no_model, workers):
    done = run(project, "--coe", *workers, "--color=yes")
    assert done.returncode == 1, done.stdout + done.stderr
    text = done.stdout
    assert "repair with CoE" in text
    assert "repairing place (shelf.py, lines 1 to 2)" in text
    assert "\x1b[31m-    return count // width + 1" in text
    assert "\x1b[32m+    return count // width" in text
    assert "`place` is repaired: 3 tests passed." in text
    assert "coe-lsp repair --apply tests/test_shelf.py::" in text
    assert (project / "shelf.py").read_text() == SHELF  # nothing is written


def test_only_what_ran_and_failed_is_meant(project, no_model):
    done = run(project, "--coe", "tests/test_shelf.py::TestMore::test_some", cwd=project / "tests")
    assert done.returncode in (1, 4)
    done = run(project, "--coe", "-k", "test_some")
    assert "✗ tests/test_shelf.py::TestMore::test_some" in done.stdout
    assert "✗ tests/test_shelf.py::test_none" not in done.stdout


def test_nothing_is_said_when_all_pass(project):
    (project / "shelf.py").write_text(SHELF.replace(" + 1", ""))
    done = run(project, "--coe")
    assert done.returncode == 0
    assert "CoE" not in done.stdout


def test_a_failure_says_how_to_have_it_repaired(project):
    done = run(project)
    assert "coe-lsp repair tests/test_shelf.py::TestMore::test_some" in done.stdout
    assert done.stdout.count("coe-lsp repair ") == 3
    done = run(project, "-o", "coe_hint=false")
    assert "coe-lsp repair" not in done.stdout


def test_nothing_of_ours_is_imported_before_it_is_used(project):
    (project / "tests/test_shelf.py").write_text(
        "import sys\n\ndef test_loaded():\n"
        "    assert [m for m in sys.modules if m.startswith('coe_lsp.')] == ['coe_lsp.pytest_plugin']\n"
    )
    done = run(project)
    assert done.returncode == 0, done.stdout


def test_a_project_that_always_wants_repairs_is_repaired_once(project, no_model):
    path = project / "pyproject.toml"
    path.write_text(path.read_text().replace('"--strict-config"', '"--strict-config --coe"'))
    done = run(project)
    assert done.stdout.count("repairing place") == 1, done.stdout
    assert "`place` is repaired: 3 tests passed." in done.stdout


def test_tests_that_pytest_could_not_import_are_told(project, no_model):
    done = run(project, "--coe", importable=False)
    assert "No module named 'shelf'" in done.stdout
    assert "`place` is repaired" in done.stdout
    assert "could not import all of its tests" in " ".join(done.stdout.split())
    assert "could not import" not in run(project, "--coe").stdout
