"""What the sandbox keeps from code inside it: files, kernel, environment, sockets, processes."""

import ctypes
import io
import os
import platform
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from attacks import GOOD, Target

from coe_lsp.execution.coe_worker import limits
from coe_lsp.execution.mounts import HiddenError, View, bubblewrap_mounts
from coe_lsp.execution.sandbox import find_sandbox
from coe_lsp.execution.seccomp import MISSING_CALLS, REFUSED_CALLS
from coe_lsp.execution.suite import Limits, Preforked, Suite

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is Linux's")
AS_ROOT = os.getuid() == 0
LIBC = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)"
COLUMN = 0 if platform.machine() == "x86_64" else 1


def status(target, name: str) -> str:
    return target.value(
        f"dict(line.split(':', 1) for line in open('/proc/self/status'))[{name!r}].strip()"
    ).strip("'")


# -- capabilities and namespaces: root is nobody in here


@pytest.mark.parametrize("name", ["CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"])
def test_no_capabilities(target, name):
    assert int(status(target, name), 16) == 0


def test_no_new_privileges_and_a_filter(target):
    assert (status(target, "NoNewPrivs"), status(target, "Seccomp")) == ("1", "2")


@pytest.mark.parametrize(
    "call",
    [
        "libc.umount2(b'/usr', 2)",
        "libc.umount2(b'/proc', 2)",
        "libc.mount(b'', b'/', b'', 0x20, None)",  # MS_REMOUNT, writable
        "libc.mount(b'tmpfs', b'/dev/shm', b'tmpfs', 0, None)",
        "libc.unshare(0x10000000)",  # CLONE_NEWUSER
        "libc.unshare(0x00020000)",  # CLONE_NEWNS
        "libc.unshare(0x40000000)",  # CLONE_NEWNET
        "libc.setns(os.open('/proc/self/ns/mnt', 0), 0)",
        "libc.chroot(b'/dev/shm')",
        "libc.setuid(12345)",
        "libc.setgroups(0, None)",
    ],
)
def test_no_way_to_power(target, call):
    assert target.value(f"({call}, ctypes.get_errno())", LIBC).startswith("(-1, ")


def test_no_clone_into_a_namespace(target):
    clone = 56 if COLUMN == 0 else 220
    found = target.value(
        f"(libc.syscall({clone}, 0x10000011, 0, 0, 0, 0), ctypes.get_errno())", LIBC
    )
    assert found == "(-1, 1)"


@pytest.mark.parametrize("path", ["/proc/sys/kernel/core_pattern", "/proc/sys/vm/overcommit_memory",
                                  "/proc/sysrq-trigger", "/proc/self/oom_score_adj", "/proc/self/mem"])  # fmt: skip
def test_proc_cannot_be_written(target, path):
    if Path(path).exists():
        assert "Error" in target.value(f"open({path!r}, 'r+b')")


def test_no_devices(target):
    assert "Error" in target.value("os.mknod('/dev/shm/disk', 0o60600, os.makedev(253, 0))")
    assert "Error" in target.value("open('/dev/tty')")


# -- system calls


@pytest.mark.parametrize("name", [*REFUSED_CALLS, *MISSING_CALLS])
def test_system_calls_are_refused(target, name):
    number = {**REFUSED_CALLS, **MISSING_CALLS}[name][COLUMN]
    if number is None:
        pytest.skip("not on this processor")
    # Arguments that are wrong, so that a call that is let through does nothing.
    found = target.value(
        f"(libc.syscall({number}, -1, -1, -1, -1, -1, -1), ctypes.get_errno())", LIBC
    )
    assert found == ("(-1, 38)" if name in MISSING_CALLS else "(-1, 1)"), f"{name} was let through"


def test_filter_knows_this_kernel_s_numbers(target):
    """A call that is known to work is not among the refused: the numbers are the right ones."""
    getpid = 39 if COLUMN == 0 else 172
    assert target.value(f"libc.syscall({getpid}) == os.getpid()", LIBC) == "True"


def test_keyring_of_the_session_is_closed(target):
    keyctl = REFUSED_CALLS["keyctl"][COLUMN]
    libc = ctypes.CDLL(None, use_errno=True)
    outside = libc.syscall(keyctl, 0, -3, 1, 0, 0)  # KEYCTL_GET_KEYRING_ID of the session
    inside = target.value(f"(libc.syscall({keyctl}, 0, -3, 1, 0, 0), ctypes.get_errno())", LIBC)
    assert inside == "(-1, 1)", f"outside: {outside}"


def test_sockets_of_other_families(target):
    for family in (
        "socket.AF_VSOCK",
        "38",
        "17",
    ):  # virtual machines, the kernel's ciphers, packets
        assert "Error" in target.value(
            f"socket.socket({family}, socket.SOCK_STREAM)", "import socket"
        )
    assert "Error" in target.value("socket.socket(16, 3, 12)", "import socket")  # the firewall's


def test_x32_numbers_are_no_way_around(target):
    if COLUMN == 0:
        found = target.value(
            "(libc.syscall(0x40000000 + 101, 0, 0, 0, 0), ctypes.get_errno())", LIBC
        )
        assert found == "(-1, 38)"


def test_what_python_needs_still_works(target):
    for expression, imports in [
        ("subprocess.run(['true']).returncode", "import subprocess"),
        ("[*multiprocessing.Pool(1).map(abs, [-1])][0] - 1", "import multiprocessing"),
        ("multiprocessing.Manager().list([0])[0]", "import multiprocessing"),
        ("len(socket.socketpair()) - 2", "import socket"),
        ("asyncio.run(asyncio.sleep(0, 0))", "import asyncio"),
        ("socket.create_server(('127.0.0.1', 0)).fileno() * 0", "import socket"),
        ("(shm := shared_memory.SharedMemory(create=True, size=9)).buf[0]", "from multiprocessing import shared_memory"),
        ("tempfile.TemporaryFile().write(b'')", "import tempfile"),
        ("zoneinfo.ZoneInfo('Europe/Berlin').utcoffset(None) and 1 or 0", "import zoneinfo"),
        ("ssl.create_default_context().cert_store_stats()['crl']", "import ssl"),
        ("os.sched_getaffinity(0) and 0", ""),
        ("pwd.getpwuid(os.getuid()).pw_uid - os.getuid() if KNOWN else 0", f"import pwd\nKNOWN = {has_name()}"),
    ]:  # fmt: skip
        assert target.value(expression, imports) == "0", expression


def has_name() -> bool:
    import pwd

    try:
        return bool(pwd.getpwuid(os.getuid()))
    except KeyError:
        return False


# -- files


@pytest.mark.parametrize("path", ["/etc/shadow", "/etc/ssh", "/etc/sudoers", "/root", "/var", "/opt", "/srv",
                                  "/mnt", "/media", "/boot", "/run", "/sys/class", "/sys/kernel"])  # fmt: skip
def test_places_that_are_not_there(target, path):
    found = target.value(
        f"os.path.lexists({path!r}) and (not os.path.isdir({path!r}) or os.listdir({path!r}))"
    )
    allowed = {"False", "[]"}
    if path == "/root" and sys.base_prefix.startswith("/root/"):
        assert ".bashrc" not in found
    else:
        assert found in allowed or (path == "/opt" and sys.base_prefix.startswith("/opt/")), found


def test_the_root_is_bare(target):
    listed = set(eval(target.value("os.listdir('/')")))
    outside = {entry.name for entry in os.scandir("/")}
    assert listed < outside
    assert not listed & {"boot", "lost+found", "srv", "mnt", "media", "run", "var", "home"} - {
        Path(place).parts[1] for place in (sys.prefix, sys.base_prefix, str(target.root))
    }


def test_neighbours_of_the_project_are_absent(tmp_path, interpreter, sandbox):
    (tmp_path / "mine").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "secret").write_text("hunter2")
    target = Target(tmp_path / "mine", interpreter, sandbox)
    try:
        assert target.value("os.listdir('..')") == "['mine']"
    finally:
        target.worker.close()


def test_the_rest_of_a_repository_is_shown(tmp_path, interpreter, sandbox):
    (tmp_path / ".git").mkdir()
    (tmp_path / "sibling").mkdir()
    (tmp_path / "part").mkdir()
    target = Target(tmp_path / "part", interpreter, sandbox)
    try:
        assert "'sibling'" in target.value("os.listdir('..')")
    finally:
        target.worker.close()


def test_folders_that_the_user_names_are_shown(tmp_path, interpreter):
    (tmp_path / "mine").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("seven")
    sandbox = find_sandbox("auto", (), [str(tmp_path / "data")])
    target = Target(tmp_path / "mine", interpreter, sandbox)
    try:
        assert target.value("open('../data/file').read()") == "'seven'"
        assert "Error" in target.value("open('../data/file', 'w')")
    finally:
        target.worker.close()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder that is itself the project, with what people keep in one."""
    folder = tmp_path / "home"
    for name in (".ssh/id_rsa", ".netrc", ".git-credentials", ".pgpass", ".bash_history", "Documents/tax.txt",
                 ".config/gh/hosts.yml", "wallet.dat", "notes.txt", "pkg/__init__.py", "pkg/data.txt"):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("hunter2")
    monkeypatch.setenv("HOME", str(folder))
    return folder


def test_a_project_that_is_the_home_folder(home, interpreter, sandbox):
    target = Target(home, interpreter, sandbox)
    try:
        assert target.value("open('pkg/data.txt').read()") == "'hunter2'"
        found = target.value(
            "[p for p in ('.ssh/id_rsa', '.netrc', '.git-credentials', '.pgpass', '.bash_history', "
            "'Documents/tax.txt', '.config/gh/hosts.yml', 'wallet.dat', 'notes.txt') if read(p)]",
            "def read(p):\n    try:\n        return open(p).read()\n    except OSError:\n        return ''",
        )
        assert found == "[]"
    finally:
        target.worker.close()


def test_secrets_that_are_written_anew_stay_hidden(home, interpreter, sandbox):
    """A mask over a file is gone when the file is replaced: now only what belongs is shown."""
    target = Target(home, interpreter, sandbox)
    try:
        assert target.value("os.path.exists('.netrc')") == "False"
        for name in (".netrc", ".new-secret"):
            (home / "temporary").write_text("hunter2")
            (home / "temporary").rename(home / name)
        assert target.value("[p for p in ('.netrc', '.new-secret') if os.path.exists(p)]") == "[]"
        (home / "test_mod.py.new").write_text((home / "test_mod.py").read_text() + "\n# newer\n")
        (home / "test_mod.py.new").rename(home / "test_mod.py")
        assert "newer" in target.value("open('test_mod.py').read()"), (
            "what belongs is not an old copy"
        )
    finally:
        target.worker.close()


def test_a_project_above_the_home_folder_is_refused(home):
    with pytest.raises(HiddenError, match=r"which holds whole home folders: put the code"):
        bubblewrap_mounts(View(home.parent), ())


def test_no_environment_but_what_is_needed(tmp_path, monkeypatch, interpreter, sandbox):
    secrets = {"DATABASE_URL": "postgres://me:hunter2@db/x", "PIP_INDEX_URL": "https://me:hunter2@index",
               "STRIPE_SK": "hunter2", "GH_PAT": "hunter2", "AWS_ACCESS_KEY_ID": "hunter2",
               "MY_API_TOKEN": "hunter2", "SSH_AUTH_SOCK": "/hunter2", "KUBECONFIG": "/hunter2"}  # fmt: skip
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LC_TIME", "C")
    target = Target(tmp_path, interpreter, sandbox)
    try:
        seen = eval(target.value("dict(os.environ)"))
        assert "hunter2" not in str(seen)
        assert seen["LC_TIME"] == "C" and seen["PATH"] and seen["HOME"] == "/dev/shm"
        assert "hunter2" not in target.value("open('/proc/1/environ').read()")
    finally:
        target.worker.close()


def test_variables_that_the_user_names_are_let_in(tmp_path, monkeypatch, interpreter):
    monkeypatch.setenv("DATABASE_URL", "sqlite://")
    sandbox = find_sandbox("auto", ["DATABASE_URL", "MODE=test", "NOT_SET"])
    target = Target(tmp_path, interpreter, sandbox)
    try:
        seen = eval(target.value("dict(os.environ)"))
        assert (seen["DATABASE_URL"], seen["MODE"], "NOT_SET" in seen) == (
            "sqlite://",
            "test",
            False,
        )
    finally:
        target.worker.close()


# -- sockets and processes


@contextmanager
def listening(address):
    """A program of the user's that hands a descriptor to whoever connects."""
    heard = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        server.settimeout(20)

        def serve():
            try:
                while True:
                    client, _ = server.accept()
                    heard.append(client.recv(10))
                    socket.send_fds(client, [b"fd"], [1])
                    client.close()
            except OSError:
                pass

        threading.Thread(target=serve, daemon=True).start()
        yield heard
        server.shutdown(socket.SHUT_RDWR)


CONNECT = "socket.socket(socket.AF_UNIX).connect({!r})"


def test_socket_in_the_project(tmp_path, interpreter, sandbox):
    path = tmp_path / "run" / "agent.sock"
    path.parent.mkdir()
    with listening(str(path)) as heard:
        target = Target(tmp_path, interpreter, sandbox)
        try:
            assert "Error" in target.value(CONNECT.format(str(path)), "import socket")
            assert "Error" in target.value(CONNECT.format("run/agent.sock"), "import socket")
        finally:
            target.worker.close()
    assert heard == []


@pytest.mark.parametrize("place", ["run", ".", ".venv", "node_modules/.cache"])
def test_pipes_of_other_programs_in_the_project(tmp_path, interpreter, sandbox, place):
    folder = tmp_path / place
    folder.mkdir(parents=True, exist_ok=True)
    (tmp_path / "pyvenv.cfg").touch()  # does not make a project a place of packages
    (tmp_path / ".venv").mkdir(exist_ok=True)
    (tmp_path / ".venv/pyvenv.cfg").touch()
    os.mkfifo(folder / "fifo")
    reader = os.open(folder / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    target = Target(tmp_path, interpreter, sandbox)
    try:
        target.act(
            f"fd = os.open({str(folder / 'fifo')!r}, os.O_WRONLY | os.O_NONBLOCK)\nos.write(fd, b'x')"
        )
        assert os.read(reader, 10) == b""
    finally:
        os.close(reader)
        target.worker.close()


def test_sockets_elsewhere(target):
    places = [Path("/tmp"), Path("/var/lib"), Path("/opt"), Path("/run"), Path.home()]
    for place in places:
        if not os.access(place, os.W_OK):
            continue
        path = place / f"coe-{os.getpid()}.sock"
        try:
            with listening(str(path)) as heard:
                assert "Error" in target.value(CONNECT.format(str(path)), "import socket"), place
            assert heard == []
        finally:
            path.unlink()


def test_abstract_socket(target):
    with listening(f"\0coe-test-{os.getpid()}") as heard:
        assert "Error" in target.value(CONNECT.format(f"\0coe-test-{os.getpid()}"), "import socket")
    assert heard == []


def test_too_many_files_to_look_for_sockets_among(tmp_path, interpreter, sandbox, monkeypatch):
    monkeypatch.setattr("coe_lsp.execution.mounts.MAX_PROJECT_ENTRIES", 1)
    target = Target(tmp_path, interpreter, sandbox)
    try:
        assert "Address family not supported" in target.value(
            "socket.socket(socket.AF_UNIX)", "import socket"
        )
        assert target.value("len(socket.socketpair())", "import socket") == "2"
    finally:
        target.worker.close()


@pytest.mark.parametrize(
    "expression",
    [
        "os.readlink('/proc/1/fd/0')",
        "open('/proc/1/mem', 'rb')",
        "open('/proc/1/environ', 'rb').read()",
        "os.open('/proc/1/fd/1', os.O_WRONLY)",
        "os.open(f'/proc/{os.getppid()}/fd/2', os.O_WRONLY)",
        "libc.ptrace(16, 1, 0, 0) == -1 and 1 / 0",  # PTRACE_ATTACH
        "libc.ptrace(0x4206, os.getppid(), 0, 0) == -1 and 1 / 0",  # PTRACE_SEIZE
        "resource.prlimit(1, resource.RLIMIT_CPU, (1, 1))",
        "os.sched_setaffinity(1, {0})",
    ],
)
def test_the_worker_is_out_of_reach(target, expression):
    assert "Error" in target.value(expression, f"{LIBC}\nimport resource")


@pytest.mark.parametrize("fd", range(3, 10))
def test_the_prefork_server_is_out_of_reach(target, fd):
    """Candidates that take the place of functions in it are its children, not the worker's."""
    test = "test_mod.py::test_act"
    preforked = Preforked(GOOD, frozenset([test]))
    assert target.worker.run(GOOD, [test], hot=preforked).hot
    code = f"def act():\n    import os\n    return os.open(f'/proc/{{os.getppid()}}/fd/{fd}', os.O_WRONLY) and 1\n"
    run = target.worker.run(code.encode(), [test], hot=preforked)
    assert run.hot and not run.passed
    mine = (
        "def act():\n    import os\n    return len(os.listdir(f'/proc/{os.getpid()}/fd')) and 1\n"
    )
    assert target.worker.run(mine.encode(), [test], hot=preforked).passed == 1


def test_signals_do_not_stop_the_worker(target):
    body = "for number in (1, 2, 9, 15, 19, 20):\n    os.kill(1, number)\ntime.sleep(0.1)"
    run, _ = target.act(body)
    assert (run.status, run.passed) == ("completed", 3)


def test_killing_everybody_loses_no_result(target):
    run, results = target.act("os.kill(-1, 9)")
    assert results["test_before"].outcome == "passed"
    assert run.status in ("completed", "crashed")


# -- resources of all together


def test_threads_are_counted(target):
    body = (
        "import threading\nthreading.stack_size(1 << 16)\n"
        "for _ in range(700): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()\n"
        "time.sleep(9)"
    )
    run, _ = target.act(body)
    assert "more than 512 threads" in run.detail


def test_files_in_the_scratch_folder_are_counted(target):
    body = "for n in range(200_000): open(f'/dev/shm/{n}', 'x').close()"
    run, _ = target.act(body, Limits(wall_seconds=30, test_seconds=30))
    assert "more than 20000 files" in run.detail


def test_memory_that_no_process_holds_is_counted(target):
    assert "Error" in target.value("os.memfd_create('x')")
    assert target.value("(libc.shmget(0, 1 << 29, 0o1600), ctypes.get_errno())", LIBC) == "(-1, 1)"
    body = (
        "for n in range(200):\n    with open(f'/dev/shm/{n}', 'wb') as f:\n"
        "        for _ in range(20): f.write(bytes(1 << 20))"
    )
    _, results = target.act(body)
    assert "No space left" in results["test_act"].detail


@pytest.mark.parametrize(
    "body",
    [
        "open('/dev/shm/left', 'x').close()",
        "os.makedirs('/dev/shm/left/deeper')\nos.chmod('/dev/shm/left/deeper', 0)\nos.chmod('/dev/shm/left', 0)",
        "os.mkdir('/dev/shm/left')\nos.chmod('/dev/shm', 0)",
        "os.symlink('/', '/dev/shm/left')",
    ],
)
def test_nothing_of_one_candidate_is_left_to_the_next(target, body):
    target.act(body)
    assert (
        target.value("os.path.lexists('/dev/shm/left') or open('/dev/shm/new', 'x').close()")
        == "None"
    )


def test_devices_of_the_machine_stay_as_they_are(target):
    """Root owns them, so it could change the mode of the machine's own, for everybody."""
    before = Path("/dev/full").stat().st_mode
    assert "Error" in target.value("os.chmod('/dev/full', 0o600)")
    assert "Error" in target.value("[os.fchmod(fd, 0o600) for fd in (0,)]")
    assert Path("/dev/full").stat().st_mode == before


@pytest.mark.parametrize(("available", "little"), [(49, True), (51, False)])
def test_memory_that_nothing_counts_is_noticed_in_the_end(monkeypatch, available, little):
    """What sockets hold, say: a twentieth of the machine's memory is left alone."""
    facts = f"MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: {available} kB\n".encode()
    monkeypatch.setattr(limits, "open", lambda *_: io.BytesIO(facts), raising=False)
    assert limits.little_memory_left() is little


@pytest.mark.parametrize(
    ("seen", "answer", "status", "detail"),
    [
        ("little_memory_left", lambda: True, "memory", "used too much memory"),
        ("descendants", lambda pid: limits.descendants(pid) * 200, "processes", "128 processes"),
    ],
)
def test_the_watchdog_outside_says_what_it_ended_the_worker_for(
    tmp_path, worker_for, monkeypatch, seen, answer, status, detail
):
    suite = Suite("asserts", tmp_path, None, statements=("assert wait() is None",))
    worker = worker_for(suite)
    assert worker.run(b"def wait(): pass").passed == 1  # it is there before it takes too much
    monkeypatch.setattr(f"coe_lsp.execution.watchdog.{seen}", answer)
    run = worker.run(b"import time\ndef wait(): time.sleep(3)")
    assert run.status == status and detail in run.detail


@pytest.mark.skipif(not AS_ROOT, reason="only root may do this outside")
def test_root_cannot_reach_the_disk(target):
    """What broke before: unmount the mask, remount the root writable, write to the host."""
    mark = Path("/opt/coe-was-here")
    body = (
        f"{LIBC}\nlibc.umount2(b'/root', 2)\nlibc.mount(b'', b'/', b'', 0x20 | 0x1000, None)\n"
        f"open({str(mark)!r}, 'w')"
    )
    _, results = target.act(body)
    assert results["test_act"].outcome == "failed"
    assert not mark.exists()


def test_the_self_test_keeps_every_promise_and_sees_one_broken(interpreter, sandbox):
    from coe_lsp.execution.self_test import broken_promises

    assert broken_promises(interpreter, sandbox) == ()
    broken = {promise.text for promise in broken_promises(interpreter, find_sandbox("off"))}
    assert {"no network", "no writing to the project", "nothing of the home folder"} <= broken


def test_suites_of_asserts_are_held_too(tmp_path, worker_for):
    suite = Suite("asserts", tmp_path, None, statements=("open('x', 'w')", "assert True"))
    assert [r.outcome for r in worker_for(suite).run(b"").results] == ["failed", "passed"]


def test_doctor_says_that_it_tried(capfd):
    done = subprocess.run(
        [sys.executable, "-m", "coe_lsp", "doctor", "--verbose", "--model", "none"],
        capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "400"},
    )  # fmt: skip
    lines = [line.strip() for line in done.stdout.splitlines()]
    place = next(n for n, line in enumerate(lines) if "sandbox:" in line)
    assert lines[place].startswith("ok") and "no capabilities" in lines[place + 1]
