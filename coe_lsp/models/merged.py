"""Models with their adapters merged in, made once and kept in the cache folder.

`ensure_merged` answers with a file for the pair, making it where it is missing; only the newest few
are kept, since each is as large as a model. It decides nothing about which adapter is wanted, and
knows the pair by the sums of both files: an adapter that was trained anew is another one.

The file's own sum is kept beside it and compared whenever the file is asked for: a second a GB, and
what was read is in memory when it is loaded. A damaged file is made anew, and so is one without a
sum, which a crash may have left.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from coe_lsp.files import UNFINISHED, replace_file
from coe_lsp.models.download import digest, models_folder
from coe_lsp.models.registry import ModelError
from coe_lsp.models.sources.fetch import ProgressSink, file_sha256, require_space

if TYPE_CHECKING:
    from coe_lsp.models.lora_gguf import WeightType

#: What the linear layers become: as good as the adapter beside the model, and faster. Q4_0 is
#: faster still, but was measured to be worse.
KIND: WeightType = "Q8_0"
_KEPT = 2
_POLL = 0.1


class DamagedError(ModelError):
    """A merged file is not what was written."""


def ensure_merged(model: Path, adapter: Path, progress: ProgressSink) -> Path:
    """Return the file of `model` with `adapter` merged in, whole and undamaged.

    The first time for a pair this takes some seconds, up to a minute for a large model. What
    `progress` raises stops it. ModelError where the two do not fit or the disk has no room, OSError
    where the folder cannot be written.
    """
    target = merged_path(model, adapter)
    lock = target.parent / "lock"
    _tidy(target.parent, lock)
    if not is_sound(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock):
            if not is_sound(target):  # another process was faster
                if target.exists():
                    progress.message(f"{target.name} is not what was written and is made anew.")
                _make(model, adapter, target, progress)
    with suppress(OSError):  # when it was used last decides which ones are kept
        os.utime(target)
    return target


def merged_path(model: Path, adapter: Path) -> Path:
    """Where the file of the pair is, or will be."""
    return _folder() / f"{_beginning(model)}{digest(adapter)[:12]}-{KIND}.gguf"


def merged_files(model: Path) -> list[Path]:
    """The files that are here of a model with one adapter or other."""
    return sorted(p for p in _folder().glob("*.gguf") if p.name.startswith(_beginning(model)))


def is_sound(path: Path) -> bool:
    """Whether a merged file is there and is what was written; reads all of it."""
    return _checked(path) is not None


def verify_merged(path: Path, name: str) -> str:
    """The sum of a merged file of the model `name`. DamagedError if it is another than it was."""
    found = _checked(path)
    if found is None:
        raise DamagedError(
            f"{path} ({name} with its adapter) is damaged, or was not finished: it is made anew "
            f"when it is needed next, or now by 'coe-lsp models pull {name}'."
        )
    return found


def mend(model: Path, adapter: Path | None, progress: ProgressSink) -> None:
    """Remove damaged files of a model, and make the one with `adapter` anew if it was damaged."""
    for path in [path for path in merged_files(model) if not is_sound(path)]:
        if adapter is not None and path == merged_path(model, adapter):
            ensure_merged(model, adapter, progress)
        else:
            _discard(path)


def _folder() -> Path:
    return models_folder() / "merged"


def _beginning(model: Path) -> str:
    return f"{model.stem}+{digest(model)[:12]}-"


def _sum(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _checked(path: Path) -> str | None:
    """The file's sum, if it is the one that is kept beside it."""
    try:
        kept, found = _sum(path).read_text(encoding="ascii").strip(), file_sha256(path)
    except (OSError, ValueError):
        return None
    return found if found == kept else None


def _discard(path: Path) -> None:
    for file in (path, _sum(path)):
        with suppress(OSError):  # in use, where that matters
            file.unlink()


def _tidy(folder: Path, lock: Path) -> None:
    """Remove what merging left that was killed: where nobody has the lock, nobody is merging."""
    if not any(folder.glob(f"*{UNFINISHED}")):
        return
    with suppress(Timeout, OSError), FileLock(lock, timeout=0):
        for left in folder.glob(f"*{UNFINISHED}"):
            left.unlink(missing_ok=True)


def _make(model: Path, adapter: Path, target: Path, progress: ProgressSink) -> None:
    from coe_lsp.models.lora_gguf import merge_lora  # brings numpy: the server starts without

    _discard(target)
    others = sorted(target.parent.glob("*.gguf"), key=lambda path: path.stat().st_mtime)
    for old in others[: max(0, len(others) - _KEPT + 1)]:
        _discard(old)
    size = model.stat().st_size
    require_space(target.parent, 2 * size)  # Q8_0 of four bits at least
    progress.start(size, "merging the adapter into the model, once")
    _watched(progress, lambda on_bytes: merge_lora(model, adapter, target, KIND, on_bytes))
    replace_file(_sum(target), file_sha256(target).encode("ascii"))


def _watched(progress: ProgressSink, work: Callable[[Callable[[int], None]], None]) -> None:
    """Do `work` while `progress` is asked often enough to be able to stop it at any time.

    Reading a model's vocabulary alone takes seconds; work that was stopped ends by itself later.
    """
    done = 0
    stopped = threading.Event()
    result: Future[None] = Future()

    def on_bytes(count: int) -> None:
        nonlocal done
        done += count
        if stopped.is_set():
            raise InterruptedError("Merging was stopped.")

    def run() -> None:
        try:
            result.set_result(work(on_bytes))
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=run, name="coe-merge", daemon=True).start()
    told = 0
    try:
        while not wait([result], timeout=_POLL).done:
            now = done
            progress.advance(now - told)
            told = now
        progress.advance(done - told)
    except BaseException:
        stopped.set()
        raise
    result.result()
