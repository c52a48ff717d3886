"""Models with their adapters merged in, made once and kept in the cache folder.

`merged` answers with a file for the pair, making it where it is missing; only the newest few are
kept, since each is as large as a model. It decides nothing about which adapter is wanted, and knows
the pair by the sums of both files: an adapter that was trained anew is another one.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from coe_lsp.models.download import digest, models_folder
from coe_lsp.models.fetch import ProgressSink, require_space

if TYPE_CHECKING:
    from coe_lsp.models.merging import Kind

#: What the linear layers become: as good as the adapter beside the model, and faster. Q4_0 is
#: faster still, but was measured to be worse.
KIND: Kind = "Q8_0"
_KEPT = 2
_LEFT_BEHIND = 3600.0
_POLL = 0.1


def merged(model: Path, adapter: Path, progress: ProgressSink) -> Path:
    """Return the file of `model` with `adapter` merged in.

    The first time for a pair this takes some seconds, up to a minute for a large model. What
    `progress` raises stops it. ModelError where the two do not fit or the disk has no room, OSError
    where the folder cannot be written.
    """
    target = merged_path(model, adapter)
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.parent / "lock"):
            if not target.is_file():  # another process was faster
                _make(model, adapter, target, progress)
    with suppress(OSError):  # when it was used last decides which ones are kept
        os.utime(target)
    return target


def merged_path(model: Path, adapter: Path) -> Path:
    """Where the file of the pair is, or will be."""
    sums = f"{digest(model)[:12]}-{digest(adapter)[:12]}"
    return models_folder() / "merged" / f"{model.stem}+{sums}-{KIND}.gguf"


def _make(model: Path, adapter: Path, target: Path, progress: ProgressSink) -> None:
    from coe_lsp.models.merging import merge  # brings numpy: the server starts without

    for left in target.parent.glob("*.part"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _LEFT_BEHIND:  # by a process that was killed
                left.unlink()
    others = sorted(target.parent.glob("*.gguf"), key=lambda path: path.stat().st_mtime)
    for old in others[: max(0, len(others) - _KEPT + 1)]:
        with suppress(OSError):  # in use, where that matters
            old.unlink()
    size = model.stat().st_size
    require_space(target.parent, 2 * size)  # Q8_0 of four bits at least
    progress.start(size, "merging the adapter into the model, once")
    _watched(progress, lambda on_bytes: merge(model, adapter, target, KIND, on_bytes))


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
