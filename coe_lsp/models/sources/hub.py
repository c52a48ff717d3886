"""A model file from a hub repository, or from what the hub's own cache already has.

The file grows in place in the working folder and is continued after an interruption. Xet transfer
is not used: plain HTTP serves the same bytes and can be continued.
"""

import hashlib
import io
import re
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from coe_lsp.models.registry import HubSource
from coe_lsp.models.sources.fetch import (
    Fetched,
    Meter,
    SourceFailed,
    disk_is_full,
    file_sha256,
    require_space,
)

_TIMEOUT = 4.0  # seconds until an unreachable hub counts as unreachable


class _MeteredFile(io.BufferedWriter):
    """A file opened for appending that tells how far it has grown."""

    def __init__(self, path: Path, meter: Meter) -> None:
        super().__init__(io.FileIO(path, "ab"))
        self.meter = meter

    def write(self, data: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]
        count = super().write(data)
        self.meter.to(self.tell())
        return count


def from_hub_cache(source: HubSource, folder: Path) -> Fetched | None:
    """Return the file if the hub's own cache on this machine has it; no network."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(source.repo, source.file, revision=source.revision)
    if not isinstance(found, str):
        return None
    blob = Path(found).resolve()
    copy = folder / "from-hub-cache"
    copy.unlink(missing_ok=True)
    try:
        copy.hardlink_to(blob)
    except OSError:  # another disk, or a file system without links
        require_space(folder, blob.stat().st_size)
        shutil.copyfile(blob, copy)
    return Fetched(copy, file_sha256(copy))


def from_hub(source: HubSource, folder: Path, size: int | None, meter: Meter) -> Fetched:
    """Fetch a hub file, continuing an earlier attempt at the same bytes.

    huggingface_hub 2 throws an interrupted download away, hence its lower-level `http_get`, which
    continues one in every version. Raises `SourceFailed`, `NoSpaceError`.
    """
    # Their annotations have bare `dict`s, which strict checking does not like.
    from huggingface_hub import (
        get_hf_file_metadata,  # pyright: ignore[reportUnknownVariableType]
        hf_hub_url,
    )
    from huggingface_hub.file_download import (
        http_get,  # pyright: ignore[reportUnknownVariableType]
    )
    from huggingface_hub.utils import (
        build_hf_headers,  # pyright: ignore[reportUnknownVariableType]
    )

    url = hf_hub_url(source.repo, source.file, revision=source.revision)
    with _quiet_hub():
        try:
            metadata = get_hf_file_metadata(url, timeout=_TIMEOUT)
            etag, total = metadata.etag or "", metadata.size
        except Exception as error:
            raise SourceFailed(_hub_reason(error)) from error
        if size is not None and total is not None and total != size:
            raise SourceFailed(f"it has {total} bytes instead of {size}")
        # Named after the bytes, so that a file that changed on the hub is not continued.
        growing = folder / f"hub-{hashlib.sha256(etag.encode()).hexdigest()[:16]}"
        done = growing.stat().st_size if growing.exists() else 0
        if total is not None:
            if done > total:
                growing.unlink()
                done = 0
            require_space(folder, total - done)
        meter.start(total, f"{source.file} from the hub")
        meter.to(done)
        try:
            with _MeteredFile(growing, meter) as file:
                http_get(
                    url,
                    cast(BinaryIO, file),
                    resume_size=done,
                    headers=build_hf_headers(),
                    expected_size=total,
                )
        except Exception as error:
            if error is meter.raised or (isinstance(error, OSError) and disk_is_full(error)):
                raise
            raise SourceFailed(_hub_reason(error)) from error
    # The hub's entity tag of a large file is its sha256.
    stated = etag if re.fullmatch(r"[0-9a-f]{64}", etag) else None
    return Fetched(growing, file_sha256(growing), stated)


def _hub_reason(error: Exception) -> str:
    from huggingface_hub import errors

    match error:
        case errors.GatedRepoError():
            return "accept its licence on the hub and set HF_TOKEN"
        case errors.RepositoryNotFoundError():
            return "no such repository, or it is private and HF_TOKEN is not set"
        case errors.EntryNotFoundError() | errors.RevisionNotFoundError():
            return "no such file or revision"
        case errors.HfHubHTTPError() if getattr(error, "response", None) is not None:
            return f"it answered with status {error.response.status_code}"
        case _:
            return f"it cannot be reached ({type(error).__name__})"


@contextmanager
def _quiet_hub() -> Generator[None]:
    """Keep huggingface_hub's own bars and retry warnings off the user's terminal."""
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
        logging,
    )

    level, shown = logging.get_verbosity(), not are_progress_bars_disabled()
    logging.set_verbosity_error()
    if shown:
        disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            enable_progress_bars()
