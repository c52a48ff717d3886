"""A project that attacks before a single test has run: its interpreter, its links, its settings."""

import contextlib
import os
import stat
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

from coe_lsp.execution.interpreter import InterpreterError, find_interpreter, probe
from coe_lsp.execution.sandbox import find_sandbox
from coe_lsp.execution.suite import Suite
from coe_lsp.execution.worker import Worker
from coe_lsp.settings import Settings, project_layer, read_settings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is Linux's")


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_an_interpreter_in_the_project_runs_only_in_the_sandbox(tmp_path, sandbox):
    """A shell script in place of `.venv/bin/python` ran as the user, on opening a file."""
    mark = tmp_path / "was-here"
    script(
        tmp_path / "p/.venv/bin/python", f'#!/bin/sh\necho was-here > {mark}\nexec python3 "$@"\n'
    )
    find_interpreter(tmp_path / "p", None, sandbox)
    assert not mark.exists()


def test_what_such_an_interpreter_says_shows_it_nothing(tmp_path, sandbox):
    """Its answer names folders that it wants to see."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "mine.py").write_text("x = 1")
    answer = (
        '{"executable": "/usr/bin/python3", "version": [3, 11, 0], "prefixes": ["%s"], '
        '"path": ["%s", "/etc", "/"], "user_base": "%s", "pytest": true}' % ((secret,) * 3)
    )
    path = script(tmp_path / "p/.venv/bin/python", f"#!/bin/sh\necho '{answer}'\n")
    interpreter = probe(path, tmp_path / "p", sandbox)
    assert interpreter.version == (3, 11, 0)
    assert all(folder.is_relative_to(tmp_path / "p") for folder in interpreter.folders)
    assert interpreter.user_base is None


@pytest.mark.parametrize(
    "answer", ["", "[]", "{}", '{"version": 3}', "x" * 3_000_000, '{"version": [1e999,1,1]}']
)
def test_answers_of_the_wrong_form(tmp_path, sandbox, answer):
    (tmp_path / "answer").write_text(answer)
    path = script(tmp_path / ".venv/bin/python", f"#!/bin/sh\ncat {tmp_path}/answer\n")
    with pytest.raises(InterpreterError, match="does not work as a Python interpreter"):
        probe(path, tmp_path, sandbox)


def test_an_answer_that_never_comes(tmp_path, sandbox, monkeypatch):
    monkeypatch.setattr("coe_lsp.execution.interpreter.PROBE_SECONDS", 0.5)
    path = script(tmp_path / ".venv/bin/python", "#!/bin/sh\nexec sleep 100\n")
    with pytest.raises(InterpreterError):
        probe(path, tmp_path, sandbox)


@pytest.mark.timing
def test_an_interpreter_that_eats_memory_is_ended(tmp_path, sandbox):
    hoard = "import time; x = [bytearray(b'x') * (1 << 26) for _ in range(40)]; time.sleep(60)"
    path = script(tmp_path / ".venv/bin/python", f'#!/bin/sh\nexec /usr/bin/python3 -c "{hoard}"\n')
    started = time.monotonic()
    with pytest.raises(InterpreterError):
        probe(path, tmp_path, sandbox)
    assert time.monotonic() - started < 20


@pytest.fixture
def home(tmp_path, monkeypatch):
    folder = tmp_path / "home"
    (folder / ".ssh").mkdir(parents=True)
    (folder / ".ssh" / "id_rsa").write_text("hunter2")
    (folder / "private").mkdir()
    (folder / "private" / "diary.txt").write_text("hunter2")
    monkeypatch.setenv("HOME", str(folder))
    return folder


def value(root: Path, interpreter, sandbox, expression: str) -> str:
    suite = Suite("asserts", root, None, statements=(f"assert {expression} == ()",))
    with Worker(suite, interpreter, sandbox) as worker:
        return worker.run(b"import os").results[0].detail


def test_links_on_the_way_to_an_interpreter_show_no_folder(home, sandbox):
    """`.venv/bin/python -> ~/.ssh/python -> /usr/bin/python3` showed `~/.ssh`."""
    real = Path(sys.executable).resolve()
    (home / ".ssh" / "python").symlink_to(real)
    root = home / "p"
    (root / ".venv/bin").mkdir(parents=True)
    (root / ".venv/bin/python").symlink_to(home / ".ssh" / "python")
    (root / ".venv/pyvenv.cfg").write_text(f"home = {real.parent}\n")
    interpreter = find_interpreter(root, None, sandbox)
    assert interpreter.executable == root / ".venv/bin/python"
    seen = value(root, interpreter, sandbox, f"os.listdir({str(home / '.ssh')!r})")
    assert "['python']" in seen
    assert "No such file" in value(
        root, interpreter, sandbox, f"open({str(home / '.ssh/id_rsa')!r}).read()"
    )


@pytest.mark.parametrize(
    "named", ["{home}", "{home}/.ssh", "{home}/private", "/", "/etc", "{home}/.."]
)
def test_pth_files_and_pyvenv_cfg_show_no_private_folder(home, sandbox, named):
    root = home / "p"
    venv.create(root / ".venv", with_pip=False, symlinks=True)
    packages = next((root / ".venv").glob("lib/python3*/site-packages"))
    wanted = named.format(home=home)
    (packages / "evil.pth").write_text(f"{wanted}\n")
    (packages / "__editable___evil_finder.py").write_text(
        f"MAPPING: dict[str, str] = {{'x': {wanted!r}}}\n"
    )
    interpreter = find_interpreter(root, None, sandbox)
    for secret in (home / ".ssh/id_rsa", home / "private/diary.txt"):
        assert "No such file" in value(root, interpreter, sandbox, f"open({str(secret)!r}).read()")


def test_packages_to_be_edited_elsewhere_are_shown_when_named(home):
    root, other = home / "p", home / "other/src"
    (other / "helper").mkdir(parents=True)
    (other / "helper/__init__.py").write_text("VALUE = 7\n")
    venv.create(root / ".venv", with_pip=False, symlinks=True)
    packages = next((root / ".venv").glob("lib/python3*/site-packages"))
    (packages / "helper.pth").write_text(f"{other}\n")
    for sandbox, seen in (
        (find_sandbox(), "No module named"),
        (find_sandbox("auto", (), [str(other)]), "7"),
    ):
        interpreter = find_interpreter(root, None, sandbox)
        assert seen in value(root, interpreter, sandbox, "__import__('helper').VALUE")


def test_packages_that_a_trusted_environment_edits_elsewhere_are_shown(home, sandbox):
    """An environment outside the project is the user's own."""
    root, other, mine = home / "p", home / "other/src", home / "environments/mine"
    root.mkdir()
    (other / "helper").mkdir(parents=True)
    (other / "helper/__init__.py").write_text("VALUE = 7\n")
    venv.create(mine, with_pip=False, symlinks=True)
    packages = next(mine.glob("lib/python3*/site-packages"))
    (packages / "helper.pth").write_text(f"{other}\n")
    interpreter = find_interpreter(root, str(mine), sandbox)
    assert "7" in value(root, interpreter, sandbox, "__import__('helper').VALUE")


@pytest.mark.parametrize("link", ["../../../..", "../../../../..", "../../../../../private"])
def test_a_link_in_place_of_packages_shows_nothing(home, sandbox, link):
    """`site-packages -> ../../../..` showed the neighbours, and their sockets could be connected to."""
    root = home / "p"
    venv.create(root / ".venv", with_pip=False, symlinks=True)
    (root / "__init__.py").touch()
    packages = next((root / ".venv").glob("lib/python3*/site-packages"))
    packages.rmdir()
    packages.symlink_to(link)
    interpreter = find_interpreter(root, None, sandbox)
    assert "No such file" in value(
        root, interpreter, sandbox, f"open({str(home / 'private/diary.txt')!r}).read()"
    )


def test_an_interpreter_elsewhere_in_the_repository_runs_only_in_the_sandbox(
    tmp_path, sandbox, monkeypatch
):
    mark = tmp_path / "was-here"
    (tmp_path / "repo/.git").mkdir(parents=True)
    part = tmp_path / "repo/part"
    part.mkdir()
    evil = script(
        tmp_path / "repo/.venv/bin/python", f'#!/bin/sh\necho x > {mark}\nexec python3 "$@"\n'
    )
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "repo/.venv"))
    find_interpreter(part, None, sandbox)
    for name in (str(evil), f"/usr/../{evil}", f"{part}/../.venv/bin/python"):
        with contextlib.suppress(InterpreterError):
            find_interpreter(part, name, sandbox)
    assert not mark.exists()


def test_a_file_that_is_a_link_shows_no_secret(home, interpreter, sandbox):
    root = home / "p"
    root.mkdir()
    (root / "m.py").symlink_to("../.ssh/id_rsa")
    suite = Suite(
        "asserts",
        root,
        root / "m.py",
        statements=("assert 1", f"assert open({str(home / '.ssh/id_rsa')!r}).read() == ()"),
    )
    with Worker(suite, interpreter, sandbox) as worker:
        assert "hunter2" not in str(worker.run(b"x = 1"))


@pytest.mark.parametrize("inside", [True, False])
def test_modules_planted_beside_an_interpreter_s_start_are_not_imported(
    tmp_path, sandbox, monkeypatch, inside
):
    """`/tmp/json.py`, put there by another user, was imported by our probe."""
    planted = tmp_path / "planted"
    planted.mkdir()
    mark = tmp_path / "was-here"
    for name in ("json", "site", "sysconfig", "importlib"):
        (planted / f"{name}.py").write_text(
            f"open({str(mark)!r}, 'w').close()\nraise SystemExit(3)\n"
        )
    monkeypatch.chdir(planted)
    monkeypatch.setenv("PYTHONPATH", str(planted))
    monkeypatch.setattr("tempfile.tempdir", str(planted))
    root = planted if inside else tmp_path / "elsewhere"
    if inside:
        venv.create(root / ".venv", with_pip=False, symlinks=True)
    path = root / ".venv/bin/python" if inside else Path(sys.executable)
    assert probe(path, root, sandbox).version >= (3, 9)
    assert not mark.exists()


def test_an_environment_that_is_a_link_is_used(home, sandbox):
    real = home / ".virtualenvs/p"
    venv.create(real, with_pip=False, symlinks=True)
    root = home / "p"
    root.mkdir()
    (root / ".venv").symlink_to(real)
    interpreter = find_interpreter(root, None, sandbox)
    assert interpreter.executable == root / ".venv/bin/python"
    assert str(root / ".venv") in value(root, interpreter, sandbox, "__import__('sys').prefix")


def test_an_environment_without_pytest_is_not_passed_over(tmp_path, sandbox):
    venv.create(tmp_path / ".venv", with_pip=False, symlinks=True)
    interpreter = find_interpreter(tmp_path, None, sandbox)
    assert interpreter.executable.is_relative_to(tmp_path / ".venv") and not interpreter.has_pytest


def test_an_answer_is_forgotten_when_packages_are_installed(tmp_path, sandbox):
    venv.create(tmp_path / ".venv", with_pip=False, symlinks=True)
    assert not find_interpreter(tmp_path, None, sandbox).has_pytest
    packages = next((tmp_path / ".venv").glob("lib/python3*/site-packages"))
    (packages / "pytest.py").write_text("")
    assert find_interpreter(tmp_path, None, sandbox).has_pytest


@pytest.mark.parametrize(
    ("name", "given"),
    [("sandbox", "off"), ("python", "tools/py"), ("model", "mine.gguf"), ("adapter", "mine.gguf"), ("apply", "direct"),
     ("env", ["AWS_SECRET_ACCESS_KEY"]), ("show", ["~/.ssh"]), ("logLevel", "debug")],
)  # fmt: skip
def test_a_project_may_not_set(tmp_path, name, given):
    value = str(given).replace("'", '"') if isinstance(given, list) else f'"{given}"'
    (tmp_path / "pyproject.toml").write_text(f"[tool.coe]\n{name} = {value}\nbudget = 7\n")
    layer = (str(tmp_path / "pyproject.toml"), project_layer(tmp_path))
    settings, problems = read_settings([("editor", {})], layer)
    assert settings == Settings(budget=7)
    assert len(problems) == 1 and f"coe.{name} is yours to set, not the project's" in problems[0]
    # The user's own word for the same thing counts.
    settings, problems = read_settings([("editor", {name: given})], layer)
    assert problems == () and settings != Settings(budget=7)


def test_a_project_that_turns_the_sandbox_off_stays_in_it(tmp_path):
    """The command line, for real: the tests try to write to the disk."""
    mark = tmp_path / "was-here"
    root = tmp_path / "p"
    root.mkdir()
    (root / "pyproject.toml").write_text('[tool.coe]\nsandbox = "off"\n')
    (root / "m.py").write_text("def f():\n    return 1\n")
    (root / "test_m.py").write_text(
        f"from m import f\n\ndef test_f():\n    open({str(mark)!r}, 'w')\n    assert f()\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "coe_lsp", "tests", str(root / "m.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "yours to set" in done.stderr
    assert done.returncode == 1 and not mark.exists(), done.stdout
    done = subprocess.run(
        [sys.executable, "-m", "coe_lsp", "tests", str(root / "m.py"), "--sandbox", "off"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and mark.exists(), done.stdout + done.stderr


@pytest.mark.parametrize("home", [None, "relative", "/", "/nowhere"])
def test_odd_homes(tmp_path, home):
    """No traceback and no wrong reason, whatever HOME is."""
    (tmp_path / "m.py").write_text("def f():\n    return 1\n")
    (tmp_path / "test_m.py").write_text("from m import f\n\ndef test_f():\n    assert f()\n")
    environment = {name: value for name, value in os.environ.items() if name != "HOME"}
    if home is not None:
        environment["HOME"] = home
    done = subprocess.run(
        [sys.executable, "-m", "coe_lsp", "tests", "m.py"],
        capture_output=True, text=True, check=False, env=environment, cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stdout + done.stderr
    assert stat.S_ISREG((tmp_path / "m.py").stat().st_mode)
