"""Long work in pieces, each on disk whole: a kill loses one piece at most.

For stages that sample from a model; training has its own checkpoints. Knows nothing of the lines.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from coe_lsp.files import replacing

T = TypeVar("T")


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a file of lines, all at once or not at all. OSError if the disk is full."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part, part.open("w", encoding="utf-8") as file:
        for line in lines:
            file.write(line + "\n")


def cut_back(log: Path, step: int) -> None:
    """Leave of a `metrics.jsonl` what is not after a step, and no line that a kill left half."""
    lines = log.read_text(encoding="utf-8").split("\n") if log.exists() else []
    write_lines(log, [x for x in lines if x.endswith("}") and json.loads(x)["step"] <= step])


def make_shards(
    items: Sequence[T],
    folder: Path,
    make: Callable[[Sequence[T]], Iterable[str]],
    *,
    size: int,
    enough: float = float("inf"),
    deadline: float = float("inf"),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[str] | None:
    """The lines that `make` gives, `size` items at a time: of all, or until there are `enough`.

    Pieces that are in `folder` already are not made again, so `make` must give the same lines for
    the same items. With another `size` others are made. None if the deadline (a time of
    `time.monotonic`) came first; the next call goes on.
    """
    lines: list[str] = []
    for first in range(0, len(items), size):
        if len(lines) >= enough:
            break
        path = folder / f"{first}-{min(first + size, len(items))}.jsonl"
        if not path.exists():
            if time.monotonic() > deadline:
                return None
            write_lines(path, make(items[first : first + size]))
        lines += path.read_text(encoding="utf-8").split("\n")[:-1]
        progress(min(first + size, len(items)), len(items))
    return lines
