"""A folder as files of a bounded size, and back: what is carried to a rented machine and from it.

The pieces are one tar file, cut; `pieces.json` beside them has their sums, so a piece that is not
there yet, or was cut short, is told.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from coe_lsp.errors import CoeError
from coe_lsp.files import replace_file

_LIST = "pieces.json"
_BLOCK = 1 << 20


class PiecesError(CoeError):
    """Pieces cannot be put together."""


def cut_folder(source: Path, names: Sequence[str], target: Path, piece_bytes: int) -> list[Path]:
    """Write those files and folders of `source` as pieces into `target`; names are relative."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    whole = target / "whole.tar"
    with tarfile.open(whole, "w") as archive:
        for name in names:
            archive.add(source / name, name)
    sums: dict[str, str] = {}
    with whole.open("rb") as file:
        while block := file.read(piece_bytes):
            name = f"piece-{len(sums):03}"
            (target / name).write_bytes(block)
            sums[name] = hashlib.sha256(block).hexdigest()
    whole.unlink()
    replace_file(target / _LIST, json.dumps(sums, indent=1).encode())
    return [target / name for name in sums]


def join_folder(pieces: Path, target: Path) -> None:
    """Put back what `cut_folder` cut; does nothing if it was done. PiecesError names what lacks."""
    try:
        text = (pieces / _LIST).read_text()
    except OSError as error:
        raise PiecesError(f"{pieces} has no {_LIST}: carry that along with the pieces.") from error
    done = target / ".joined"
    if done.exists() and done.read_text() == text:
        return
    sums: dict[str, str] = json.loads(text)
    lacking = [name for name, known in sums.items() if _sum(pieces / name) != known]
    if lacking:
        raise PiecesError(
            f"{len(lacking)} of {len(sums)} pieces are not in {pieces}, or not whole: "
            f"{', '.join(lacking[:8])}. Carry them over and start again."
        )
    target.mkdir(parents=True, exist_ok=True)
    whole = target / "whole.tar"
    with whole.open("wb") as file:
        for name in sums:
            file.write((pieces / name).read_bytes())
    with tarfile.open(whole) as archive:
        archive.extractall(target, filter="data")
    whole.unlink()
    replace_file(done, text.encode())


def _sum(path: Path) -> str:
    """The sum of a file, or nothing where there is none."""
    if not path.exists():
        return ""
    found = hashlib.sha256()
    for block in _blocks(path):
        found.update(block)
    return found.hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block
