"""Signals at any moment: one JSON object, the documented status, nothing left behind.

They are sent from the moment on at which the program has taken them over: what comes before is
Python's own start.
"""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from samples import HOPELESS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def start(*arguments, **options):
    process = subprocess.Popen(
        [sys.executable, "-m", "coe_lsp", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip
    # SIGTERM ends a Python at once, until somebody wants to hear of it.
    while process.poll() is None and not catches(process.pid, signal.SIGTERM):
        time.sleep(0.002)
    return process


def catches(pid: int, number: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def processes_of(project: Path) -> list[str]:
    """Command lines of what still works in a project."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            text = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if entry.name.isdigit() and (
                str(project) in text or str(project) in str((entry / "cwd").readlink())
            ):
                found.append(text)
        except OSError:
            continue
    return [text for text in found if text]


def interrupted(project: Path, scratch: Path, number: int, seconds: float, *options: str):
    scratch.mkdir()
    process = start(
        "repair", "ranges.py::clamp", "--model", "none", "--budget", "8", *options,
        cwd=project, env=os.environ | {"TMPDIR": str(scratch)},
    )  # fmt: skip
    time.sleep(seconds)
    process.send_signal(number)
    sent = time.monotonic()
    out, errors = process.communicate(timeout=60)
    return number, seconds, process.returncode, out, errors, time.monotonic() - sent


def test_one_object_whenever_the_signal_comes(clamp_project, write, tmp_path_factory):
    write("ranges.py", HOPELESS)
    scratch = tmp_path_factory.mktemp("scratch")
    moments = [(signal.SIGTERM if n % 4 == 3 else signal.SIGINT, n * 0.075) for n in range(20)]
    moments[:2] = [(signal.SIGINT, 0.0), (signal.SIGTERM, 0.0)]
    with ThreadPoolExecutor(4) as pool:
        runs = pool.map(
            lambda each: interrupted(clamp_project, scratch / str(each[0]), *each[1], "--json"),
            enumerate(moments),
        )
        for number, seconds, status, out, errors, _ in runs:
            where = f"{signal.Signals(number).name} after {seconds:.2f} s: {out} {errors}"
            body = json.loads(out)
            assert (body["schema"], body["status"], body["file"], body["function"]) == (
                1, "error", "ranges.py", "clamp",
            ), where  # fmt: skip
            assert body["message"] == "Interrupted.", where
            assert status == 128 + number, where
            assert errors == "", where
    end = time.monotonic() + 3
    while time.monotonic() < end and processes_of(clamp_project):
        time.sleep(0.05)
    assert processes_of(clamp_project) == []
    assert [path for folder in scratch.iterdir() for path in folder.iterdir()] == []


@pytest.mark.parametrize("command", ["repair", "tests"])
def test_without_json_it_is_one_word(clamp_project, write, command):
    write("tests/test_ranges.py", "import time\n\ndef test_slow():\n    time.sleep(4)\n")
    more = ["--model", "none"] if command == "repair" else []
    process = start(command, "ranges.py", "--tests", "tests/test_ranges.py", *more,
                    cwd=clamp_project)  # fmt: skip
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "interrupted\n"), out
    assert "passed" not in out


def test_ignored_signals_stay_ignored(clamp_project):
    """As nohup and a shell's background jobs have it."""
    process = start(
        "repair", "ranges.py", "--model", "none", "--json", cwd=clamp_project,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )  # fmt: skip
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert (process.returncode, json.loads(out)["status"]) == (0, "repaired"), errors


def test_the_first_ctrl_c_may_be_settled():
    """In a process of its own: signals are a process's affair."""
    program = """
        import os, signal
        from coe_lsp.cli import interrupts

        def settle():
            said.append("settled")
            return len(said) == 1

        said = []
        interrupts.hold()
        with interrupts.ending(lambda: said.append("ended"), settle):
            os.kill(os.getpid(), signal.SIGINT)
        assert said == ["settled"]
        try:
            with interrupts.ending(lambda: said.append("ended"), settle):
                os.kill(os.getpid(), signal.SIGINT)
        except interrupts.Interrupted:
            said.append("interrupted")
        assert said == ["settled", "settled", "ended", "interrupted"]
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)
