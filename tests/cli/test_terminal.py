"""What others wrote (names, messages, code) reaches a terminal as text, and a pipe to the byte."""

import os
import subprocess
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("there are no pseudo-terminals", allow_module_level=True)

import pty

COPY, TITLE, CLEAR, C1, BIDI = (
    "\x1b]52;c;AAAA\x07",
    "\x1b]0;gotcha\x07",
    "\x1b[2J",
    "\x9b2J",
    "\u202e",
)
EVIL = COPY + TITLE + CLEAR + C1 + BIDI


def on_terminal(*arguments, cwd):
    """What a command writes to a terminal that is its output and its error stream."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "coe_lsp", *map(str, arguments)],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd,
        env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "300"},
    )  # fmt: skip
    os.close(theirs)
    data = b""
    while True:
        try:
            chunk = os.read(ours, 1 << 16)
        except OSError:  # Linux's way of saying that the other end is closed
            break
        if not chunk:
            break
        data += chunk
    os.close(ours)
    return process.wait(timeout=60), data.decode()


@pytest.fixture
def evil_project(clamp_project, write):
    write(
        "tests/test_ranges.py",
        f"""
        import pytest
        from ranges import clamp

        @pytest.mark.parametrize("value", [15], ids=[{"id" + EVIL!r}])
        def test_high(value):
            assert clamp(value, 0, 10) == 10, {"why" + EVIL!r}

        def test_low():
            if clamp(-1, 0, 10):
                raise ValueError({"what" + EVIL!r})
        """,
    )
    return clamp_project


def check(text):
    for part in (COPY, TITLE, CLEAR, C1, BIDI):
        assert part not in text, text


def test_tests_show_escapes(evil_project):
    status, text = on_terminal("tests", "ranges.py", cwd=evil_project)
    assert (status, "1 passed, 1 failed" in text) == (1, True), text
    assert "why\\x1b]52;c;AAAA" in text
    check(text)


def test_repair_shows_escapes_and_a_diff_that_is_exact_in_a_pipe(evil_project, write):
    source = (
        f"def clamp(value, low, high):\n    # seen{EVIL}\n    if value > high:\n"
        "        return low\n    return value if value > low else low\n"
    )
    (evil_project / "ranges.py").write_text(source)
    status, text = on_terminal("repair", "ranges.py", "--model", "none", cwd=evil_project)
    assert (status, "return high" in text) == (0, True), text
    assert "seen\\x1b]52;c;AAAA" in text
    check(text)
    done = subprocess.run(
        [sys.executable, "-m", "coe_lsp", "repair", "ranges.py", "--model", "none"],
        capture_output=True, cwd=evil_project, timeout=60, check=False,
    )  # fmt: skip
    assert f"     # seen{EVIL}\n".encode() in done.stdout, done
    assert subprocess.run(["patch", "-p1", "--dry-run"], input=diff_of(done.stdout), cwd=evil_project,
                          capture_output=True, check=False).returncode == 0  # fmt: skip


def diff_of(out):
    return out[out.index(b"--- a/") : out.index(b"`clamp` is repaired")]


@pytest.mark.parametrize("arguments", [["repair", "no" + EVIL], ["tests", "no" + EVIL],
                                       ["repair", "ranges.py", "--budget", EVIL],
                                       ["repair", "ranges.py", "--model", EVIL],
                                       ["models", "path", EVIL], ["demo", "--only", EVIL]])  # fmt: skip
def test_errors_show_escapes(clamp_project, arguments):
    status, text = on_terminal(*arguments, cwd=clamp_project)
    assert (status, "\\x1b]52" in text) == (2, True), text
    check(text)


def test_settings_that_are_wrong_show_escapes(clamp_project):
    (clamp_project / "pyproject.toml").write_text(
        '[tool.coe]\nbudget = "\\u001b]52;c;AAAA\\u0007"\n"x\\u009b2J" = 1\n', encoding="utf-8"
    )
    status, text = on_terminal("tests", "ranges.py", cwd=clamp_project)
    assert (status, "warning: " in text) == (1, True), text
    check(text)
