"""What comes out of the sandbox is not believed: frames, floods, endless answers, orphans."""

import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import pytest
from attacks import GOOD, LIMITS

from coe_lsp.execution.coe_worker import messages, wire
from coe_lsp.execution.coe_worker.output import OutputSplitter, marker
from coe_lsp.execution.replies import read_reply
from coe_lsp.execution.sandbox import Sandbox
from coe_lsp.execution.suite import Limits, Suite
from coe_lsp.execution.tail import Tail
from coe_lsp.execution.worker import Worker, WorkerError
from coe_lsp.execution.worker_process import WorkerProcess

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is Linux's")

# In a conftest.py: code that runs in the worker itself, where the answers are written.
IN_WORKER = """
import json, os, struct, threading, time

def frame(data):
    return struct.pack(">I", len(data)) + data

def pytest_sessionstart(session):
    found = [fd for fd in range(3, 64) if is_pipe(fd)]
    for fd in found:
        try:
            os.write(fd, b"")
        except OSError:
            continue
        attack(fd)

def is_pipe(fd):
    try:
        return os.readlink("/proc/self/fd/%d" % fd).startswith("pipe:")
    except OSError:
        return False
"""


def project(root: Path, conftest: str) -> Suite:
    (root / "mod.py").write_bytes(GOOD)
    (root / "test_mod.py").write_text("import mod\n\ndef test_act():\n    assert mod.act() == 1\n")
    (root / "conftest.py").write_text(conftest)
    return Suite("pytest", root, root / "mod.py", ("test_mod.py",))


@pytest.mark.parametrize(
    "attack",
    [
        "os.write(fd, frame(b'{nope'))",
        "os.write(fd, frame(b'[]'))",
        "os.write(fd, frame(b'[' * 60000))",
        "os.write(fd, struct.pack('>I', 200 << 20))",
        "os.write(fd, struct.pack('>I', 1 << 31) + b'x' * 1000)",
        'os.write(fd, frame(b\'{"frame": "Ready", "seconds": 1e999}\')) and os.write(fd, frame(b\'null\'))',
    ],
)
@pytest.mark.timing
def test_broken_frames_from_the_worker_itself(tmp_path, worker_for, attack):
    """A clear error or an honest result, in good time; and the program lives on."""
    suite = project(tmp_path, IN_WORKER + f"\ndef attack(fd):\n    {attack}\n")
    worker = worker_for(suite, LIMITS)
    started = time.monotonic()
    try:
        run = worker.run(GOOD)
        assert run.status == "crashed" and not run.passed
    except WorkerError as error:
        assert "could not be set up" in str(error)
    assert time.monotonic() - started < 20
    (tmp_path / "conftest.py").unlink()
    assert worker.run(GOOD).passed == 1


@pytest.mark.timing
def test_answer_that_never_ends(tmp_path, worker_for, monkeypatch):
    """The header of a large frame, then nothing: the client's own clock ends it."""
    monkeypatch.setattr("coe_lsp.execution.worker.START_SECONDS", 3.0)
    attack = (
        "\ndef attack(fd):\n    os.write(fd, struct.pack('>I', 1 << 20))\n    time.sleep(100)\n"
    )
    worker = worker_for(project(tmp_path, IN_WORKER + attack), LIMITS)
    started = time.monotonic()
    with pytest.raises(WorkerError, match="could not be set up"):
        worker.run(GOOD)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    "message",
    [
        {"frame": "RunReply", "token": "old", "status": "completed", "results": []},
        {"frame": "PreforkReply", "token": "old", "ready": False},
    ],
)
def test_an_answer_to_another_run_is_refused(message):
    with pytest.raises(wire.FrameError, match="another run"):
        read_reply(message, "new")


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "splendid"},
        {"results": [{"id": "a", "outcome": "perfect"}]},
        {"results": [{"id": "a"}]},
        {"results": 7},
        {"lines": {"a": [None]}},
        {"lines": {"a": ["x"]}},
        {"seconds": "long"},
        {"seconds": float("nan")},
        {"seconds": float("inf")},
        {"seconds": -0.5},
        {"results": [{"id": "a", "outcome": "passed", "seconds": float("nan")}]},
        {"results": [{"id": "a", "outcome": "passed", "seconds": float("inf")}]},
        {"results": [{"id": "a", "outcome": "passed", "seconds": -1}]},
        {"results": [{"id": "a", "outcome": "failed", "line": 0}]},
        {"results": [{"id": "a", "outcome": "failed", "line": -3}]},
        {"lines": {"a": [1, 0]}},
        {"entries": {"a": [2, -1]}},
        {"results": [{"id": "a", "outcome": "passed", "line": float("inf")}]},
        {"collected": 3},
    ],
)
def test_answers_of_the_wrong_form(wrong):
    with pytest.raises(wire.FrameError):
        read_reply({"frame": "RunReply", "token": "t", **wrong}, "t")


HANGING = b"import time\n\ndef act():\n    time.sleep(60)\n"


def run_spec(source: bytes, seconds: float) -> messages.RunSpec:
    limits = Limits(wall_seconds=seconds, test_seconds=seconds)
    limits_spec = messages.LimitsSpec(**attrs.asdict(limits))
    return messages.RunSpec(source.decode(), None, False, limits_spec, "nonce")


@pytest.fixture
def process(tmp_path, interpreter, sandbox):
    """A worker's process, parked."""
    suite = project(tmp_path, "")
    process = WorkerProcess(suite, interpreter, sandbox, LIMITS)
    spec = messages.SuiteSpec("pytest", str(suite.root), str(suite.path), list(suite.args), "", [])
    process.ask(messages.Opening(spec, "configured", True, False, 1 << 30))
    assert process.answer(60) == {"frame": "Ready"}
    yield process
    process.close()


ENDLESS, BROKEN, HUGE = (
    struct.pack(">I", 100) + b"{",
    struct.pack(">I", 5) + b"{nope",
    struct.pack(">I", 1 << 31),
)


@pytest.mark.parametrize(
    ("running", "data"),
    [(True, ENDLESS), (True, BROKEN), (True, HUGE), (False, BROKEN), (False, HUGE)],
)
def test_the_worker_ends_when_its_client_cannot_be_understood(process, monkeypatch, running, data):
    """A frame that never ends held up the clock of the run that was in progress."""
    if running:
        process.ask(messages.RunRequest("token", run_spec(HANGING, 60)))
    written = "coe_lsp.execution.worker_process.send"
    monkeypatch.setattr(written, lambda fd, message, deadline: os.write(fd, data))
    process.ask(messages.Cancel())
    with pytest.raises(EOFError):
        process.answer(10)


def test_a_process_that_is_closed_is_not_asked(process):
    """It was a ValueError, in whichever thread cancelled just then."""
    process.close()
    with pytest.raises(EOFError):
        process.ask(messages.Cancel())


def test_a_run_that_the_worker_does_not_even_read_can_be_cancelled(tmp_path, interpreter):
    """The request is larger than a pipe: whoever cancelled waited for it as well."""
    others = below(os.getpid())
    with Worker(project(tmp_path, ""), interpreter, Sandbox("off"), LIMITS) as worker:
        assert worker.run(GOOD).passed == 1
        for pid in below(os.getpid()) - others:
            os.kill(pid, signal.SIGSTOP)
        with ThreadPoolExecutor(1) as pool:
            run = pool.submit(worker.run, GOOD + b"#" * (1 << 20))
            time.sleep(0.5)
            worker.cancel()
            assert run.result(30).status == "cancelled"
        assert worker.run(GOOD).passed == 1


@pytest.mark.parametrize("command", ["exec sleep 60", "exit 3"])
def test_a_spawned_child_that_never_reads_is_left_to_the_clock(tmp_path, command):
    """The zygote waited for it before it looked at any clock, or fell over it."""
    child = tmp_path / "python"
    child.write_text(f"#!/bin/sh\n{command}\n")
    child.chmod(0o755)
    code = (
        f"import sys\nsys.path.insert(0, {str(Path(wire.__file__).parent.parent)!r})\n"
        "from coe_worker.messages import RunSpec, SuiteSpec\nfrom coe_worker.spawn import Pipes\n"
        f"sys.executable = {str(child)!r}\n"
        "pipes = Pipes(SuiteSpec('asserts', '/', None, [], '', []),"
        " RunSpec('#' * (1 << 20), None, False, None, ''))\n"
        "pipes.wait(0.5)\npipes.kill()\nprint('ended')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.stdout, done.stderr) == ("ended\n", "")


def pipe_with(data: bytes):
    reader, writer = os.pipe()
    threading.Thread(target=lambda: (os.write(writer, data), os.close(writer))).start()
    return reader


@pytest.mark.timing
def test_frames_are_bounded_and_awaited_by_the_clock():
    with pytest.raises(wire.FrameError, match="not ours"):
        wire.read_frame(pipe_with(struct.pack(">I", wire.MAX_FRAME + 1)))
    with pytest.raises(wire.FrameError, match="not JSON"):
        wire.read_frame(pipe_with(struct.pack(">I", 60000) + b"[" * 60000))
    reader, writer = os.pipe()
    os.write(writer, struct.pack(">I", 100) + b"{")
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        wire.read_frame(reader, time.monotonic() + 0.2)
    assert time.monotonic() - started < 2
    # A reader that does not read is not waited for either.
    with pytest.raises(TimeoutError):
        wire.write_frame(writer, {"x": "y" * (1 << 20)}, time.monotonic() + 0.2)


def test_what_json_cannot_say_is_not_sent():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    for wrong in (deep, {1, 2}, b"bytes"):
        with pytest.raises(wire.FrameError, match="cannot be written"):
            wire.write_frame(1, {"x": wrong})


@pytest.mark.parametrize(
    "frame",
    [
        {},
        {"frame": 7},
        {"frame": "Cancel"},
        {"frame": "RunRequest"},
        {"frame": "RunRequest", "token": "t", "run": None},
        {"frame": "RunRequest", "token": "t", "run": {"source": None}},
        {"frame": "RunRequest", "token": "t", "run": {}, "more": 1},
    ],
)
def test_messages_that_may_not_come(frame):
    with pytest.raises(wire.FrameError):
        messages.decode(frame, messages.RunRequest)


def events_of(target, code: str, limits: Limits | None = None):
    """A candidate that writes to the pipe on which results are reported."""
    body = (
        "import gc, json, struct\n"
        "child = next(o for o in gc.get_objects() if type(o).__name__ == 'Child')\n"
        "fd = child._events\n"
        f"{code}"
    )
    return target.act(body, limits)


def test_flood_of_forged_results(target):
    code = (
        "for n in range(100_000):\n    data = json.dumps({'frame': 'TestResult', 'id': str(n) * 2000,"
        " 'outcome': 'passed', 'detail': '', 'line': None, 'seconds': 0.0}).encode()\n"
        "    os.write(fd, struct.pack('>I', len(data)) + data)"
    )
    run, _ = events_of(target, code, Limits(wall_seconds=30, test_seconds=30))
    assert run.status == "crashed" and "reported nonsense (more than" in run.detail


@pytest.mark.parametrize(
    "data",
    ["b'{nope'", "b'[]'", "json.dumps({'frame': 'Finished', 'modules': 7}).encode()",
     "json.dumps({'frame': 'Finished', 'modules': [['a']]}).encode()",
     "json.dumps({'frame': 'Ready'}).encode()", "b'null'", "json.dumps({'frame': 'TestResult'}).encode()", "b'[' * 60000",
     "json.dumps({'frame': 'LinesRan', 'id': [], 'lines': [], 'entries': []}).encode()", "b'{\"frame\": \"TestStarted\", \"id\": {}}' * 2"],
)  # fmt: skip
def test_reports_of_the_wrong_form(target, data):
    code = f"data = {data}\nos.write(fd, struct.pack('>I', len(data)) + data)\ntime.sleep(0.3)"
    run, _ = events_of(target, code)
    assert run.status == "crashed" and "reported nonsense" in run.detail


def test_forged_results_name_an_outcome_that_is_none(target):
    code = (
        "data = json.dumps({'frame': 'TestResult', 'id': 'x', 'outcome': 'splendid', 'detail': '',"
        " 'line': None, 'seconds': 0}).encode()\nos.write(fd, struct.pack('>I', len(data)) + data)"
    )
    run, _ = events_of(target, code)
    assert run.status == "crashed" and "could not be read" in run.detail


def test_output_markers_are_bounded():
    splitter = OutputSplitter("n", 4000)
    splitter.feed(b"\x00coe:n:" + b"x" * (1 << 20))  # a name that never ends
    for n in range(300_000):
        splitter.feed(marker("n", f"forged {n}") + b"y" * 100)
    kept = splitter.sections()
    assert sum(len(text) + len(name) for name, text in kept.items()) < 40 << 20


@pytest.mark.parametrize("place", ["conftest", "module"])
def test_flood_on_the_worker_s_error_stream(tmp_path, worker_for, place):
    """It was 600 MB in the host's temporary folder: now only the end of it is kept, in memory."""
    flood = "import os\nfor _ in range(600):\n    os.write(2, b'z' * (1 << 20))\n"
    suite = project(tmp_path, flood if place == "conftest" else "")
    if place == "module":
        (tmp_path / "mod.py").write_bytes(flood.encode() + GOOD)
    before = free_space()
    worker = worker_for(suite, Limits(wall_seconds=30, test_seconds=30))
    run = worker.run(None)
    assert run.passed == 1
    assert before - free_space() < 100 << 20


def test_of_what_a_process_writes_last_only_the_end_is_kept():
    tail = Tail()
    flood = "import os\nfor _ in range(8):\n    os.write(2, b'z' * (1 << 20))\nos.write(2, b'end')"
    with subprocess.Popen([sys.executable, "-c", flood], stderr=tail.writer):
        tail.started()
    text = tail.text(10)
    assert text.endswith("zend") and len(text) == 64 << 10


def free_space() -> int:
    facts = os.statvfs("/tmp")
    return facts.f_bavail * facts.f_frsize


def test_memory_of_the_worker_itself_is_limited(tmp_path, worker_for):
    suite = project(tmp_path, "hoard = [bytearray(1 << 26) for _ in range(200)]\n")
    with pytest.raises(WorkerError, match="MemoryError"):
        worker_for(suite, Limits(memory_bytes=128 << 20)).run(GOOD)


@pytest.mark.parametrize(
    ("conftest", "reason"),
    [
        ("import os, time\nfor _ in range(40):\n    if os.fork() == 0:\n        time.sleep(60)\ntime.sleep(60)\n",
         "more than 32 processes"),
        ("import mmap, time\nx = mmap.mmap(-1, 700 << 20)\nfor i in range(0, len(x), 4096): x[i] = 1\ntime.sleep(60)\n",
         "too much memory"),
        ("import threading, time\nthreading.stack_size(1 << 16)\n"
         "for _ in range(100): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\ntime.sleep(60)\n",
         "more than 60 threads"),
    ],
)  # fmt: skip
@pytest.mark.timing
def test_the_worker_itself_is_watched(tmp_path, worker_for, conftest, reason):
    """Code of a `conftest.py` runs in the worker, which only watches what it runs."""
    limits = Limits(memory_bytes=128 << 20, processes=16, threads=30)
    started = time.monotonic()
    with pytest.raises(WorkerError, match=reason):
        worker_for(project(tmp_path, conftest), limits).run(GOOD)
    assert time.monotonic() - started < 30


# -- what is left when the client goes


CLIENT = """
import sys, time
from pathlib import Path
from coe_lsp.execution.interpreter import probe
from coe_lsp.execution.sandbox import find_sandbox
from coe_lsp.execution.suite import Limits, Suite
from coe_lsp.execution.worker import Worker
root = Path(sys.argv[1])
sandbox = find_sandbox(sys.argv[2])
suite = Suite("pytest", root, root / "mod.py", ("test_mod.py",))
limits = Limits(wall_seconds=60, test_seconds=60)
worker = Worker(suite, probe(Path(sys.executable), root, sandbox), sandbox, limits)
print("starting", flush=True)
worker.run()
"""


def below(pid: int) -> set[int]:
    found, todo = set(), [pid]
    while todo:
        parent = todo.pop()
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent and int(entry.name) not in found:
                found.add(int(entry.name))
                todo.append(int(entry.name))
    return found


@pytest.mark.parametrize("place", ["conftest.py", "mod.py"])
@pytest.mark.parametrize(
    ("number", "mode"),
    [(signal.SIGKILL, "auto"), (signal.SIGTERM, "auto"), (signal.SIGKILL, "off")],
)
def test_no_orphans_and_no_folders(tmp_path, place, number, mode):
    """The client is ended while a `conftest.py` hangs in the worker, or a test in its child."""
    project(tmp_path, "")
    scratch = tmp_path / "temporary"
    scratch.mkdir()
    (tmp_path / place).write_text("import time\ntime.sleep(300)\n")
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT, tmp_path, mode], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(scratch)},
    )  # fmt: skip
    assert client.stdout.readline() == "starting\n"
    end = time.monotonic() + 20
    wanted = (1 if mode == "off" else 2) + (place == "mod.py")
    while len(below(client.pid)) < wanted and time.monotonic() < end:
        time.sleep(0.05)
    started = below(client.pid)
    assert started
    client.send_signal(number)
    client.wait(10)
    client.stdout.close()
    end = time.monotonic() + 5
    while (
        left := [pid for pid in started if Path(f"/proc/{pid}").exists()]
    ) and time.monotonic() < end:
        time.sleep(0.02)
    assert left == []
    if mode == "auto":
        assert list(scratch.iterdir()) == []


def test_folders_of_dead_programs_are_removed(tmp_path, monkeypatch):
    from coe_lsp.execution.sandbox import scratch_folder

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead = subprocess.Popen(["true"])
    dead.wait()
    (tmp_path / f"coe-{dead.pid}-x").mkdir()
    (tmp_path / f"coe-{os.getpid()}-y").mkdir()
    others = ["coe-mine", "coe-1abc-x", "coe-2²-x", "coe-0-x", f"coe-{'9' * 200}-x"]
    for name in others:
        (tmp_path / name).mkdir()
    with scratch_folder() as made:
        assert Path(made).is_dir()
        assert {p.name for p in tmp_path.iterdir()} == {
            f"coe-{os.getpid()}-y", *others, Path(made).name}  # fmt: skip


def test_frame_reader_takes_pieces_of_any_size():
    data = b"".join(
        struct.pack(">I", len(d)) + d for d in (json.dumps({"n": n}).encode() for n in range(9))
    )
    reader = wire.FrameReader()
    found = [message for n in range(len(data)) for message in reader.feed(data[n : n + 1])]
    assert found == [{"n": n} for n in range(9)]
