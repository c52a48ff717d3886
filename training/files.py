"""Long work that a kill may interrupt: results are kept as they come, logs fit their checkpoints.

`resume_work` is the only way to go on with work that makes results one by one; what moves weights
has checkpoints instead (`training.model.checkpoint`). Knows nothing of what the results are.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from coe_lsp.files import replacing

T = TypeVar("T")


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a file of lines, all at once or not at all. OSError if the disk is full."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part, part.open("w", encoding="utf-8") as file:
        for line in lines:
            file.write(line + "\n")


def read_whole_lines(path: Path) -> list[str]:
    """The lines of a file that was appended to; without the last one if a kill left it half."""
    return path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []


def resume_work(
    path: Path,
    settings: Any,
    items: Sequence[T],
    work: Callable[[Sequence[T]], Generator[Any, None, None]],
    *,
    deadline: float = float("inf"),
    accept: Callable[[Any], bool] | None = None,
) -> Iterator[Any]:
    """One result for each item, in order: first those that `path` has, then what `work` makes.

    `work` gets the items that are left and gives a JSON value for each. A result is in the file
    before it is handed out, so a kill loses at most the one that was being made. After `deadline`
    (a time of `time.monotonic`) one new result is made, so that each call gets further; whoever
    was given fewer results than items calls again.

    The file's first line has the settings. Work with other settings begins anew, unless `accept`,
    which gets those of the file, says that they will do; it may raise instead.
    """
    lines = read_whole_lines(path)
    wanted = json.loads(json.dumps(settings))
    same = accept or (lambda found: found == wanted)
    if not lines or not same(json.loads(lines[0])):
        lines = [json.dumps(settings)]
    write_lines(path, lines)
    yield from map(json.loads, lines[1:])
    left = items[len(lines) - 1 :]
    if not left:
        return
    with path.open("a", encoding="utf-8") as file, closing(work(left)) as results:
        for result in results:
            file.write(json.dumps(result, ensure_ascii=False) + "\n")
            file.flush()
            yield result
            if time.monotonic() > deadline:
                return


class MetricsLog:
    """A stage's `metrics.jsonl`, one line a step, cut back to where the stage goes on."""

    def __init__(self, path: Path, step: int) -> None:
        self._path = path
        cut_back(path, step)

    def write(self, entry: dict[str, Any]) -> None:
        """Append a step; `entry` has its number as `step`."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def cut_back(log: Path, step: int) -> None:
    """Leave of a `metrics.jsonl` what is not after a step, and no line that a kill left half."""
    write_lines(log, [x for x in read_whole_lines(log) if json.loads(x)["step"] <= step])
