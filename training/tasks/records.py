"""Episodes on disk, one JSON object a line: demonstrations, rollouts and what was kept of them.

Only the commands and what the tests said are stored; states are made again by the chain itself, so
a file cannot disagree with the tool.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import attrs
from attrs import evolve, field, frozen

from coe_lsp.chain.episode import Episode
from coe_lsp.chain.prompt import TaskDescription
from coe_lsp.chain.scratchpad import Scratchpad
from coe_lsp.errors import CoeError
from training.files import write_lines
from training.tasks.tasks import Task

T = TypeVar("T")


class RecordError(CoeError):
    """A file of episodes cannot be used."""


@frozen
class Record:
    """An episode with where it comes from.

    `masked` are turns (0-based) that are shown but not learned. `kinds` are the corruptions that
    were taken back, and `distance` is the edit distance in characters from start to end. `setup`
    is what ran before the program where that is not the task's own.
    """

    task_id: str
    episode: Episode
    masked: frozenset[int] = field(default=frozenset(), converter=frozenset[int])
    kinds: tuple[str, ...] = field(default=(), converter=tuple[str, ...])
    distance: int = 0
    setup: str | None = None

    def dumps(self) -> str:
        """One line of JSON."""
        episode = self.episode
        data = {
            "task_id": self.task_id,
            "task": attrs.asdict(episode.task),
            "start": {**attrs.asdict(episode.start), "hidden": sorted(episode.start.hidden)},
            "max_turns": episode.max_turns,
            "turns": [[t.command_text, t.pad.feedback, t.passed] for t in episode.turns],
            "masked": sorted(self.masked),
            "kinds": self.kinds,
            "distance": self.distance,
            "setup": self.setup,
        }
        return json.dumps(data, ensure_ascii=False)

    @classmethod
    def loads(cls, line: str) -> Record:
        """Read what `dumps` wrote. ValueError, KeyError or TypeError for anything else."""
        data: dict[str, Any] = json.loads(line)
        task = data["task"]
        description = TaskDescription(task["instructions"], task["context"], tuple(task["tests"]))
        pad = data["start"]
        start = Scratchpad(tuple(pad["lines"]), pad["feedback"], frozenset(pad["hidden"]))
        episode = Episode(description, start, max_turns=data["max_turns"])
        for text, feedback, passed in data["turns"]:
            episode = episode.extend(episode.attempt(text), feedback, passed)
        return cls(
            data["task_id"],
            episode,
            data["masked"],
            data["kinds"],
            data["distance"],
            data.get("setup"),
        )


def read_records(path: Path) -> Iterator[Record]:
    """The records of a file. RecordError names the line that cannot be read."""
    return _read(path, Record.loads)


def read_faulty_tasks(path: Path, tasks: Mapping[str, Task]) -> Iterator[Task]:
    """What records of these tasks (by id) begin with: each task with that program as faulty `code`.

    Nothing is replayed. RecordError like `read_records`.
    """

    def load(line: str) -> Task | None:
        data: dict[str, Any] = json.loads(line)
        task = tasks.get(data["task_id"])
        if task is None:
            return None
        setup = task.setup if data.get("setup") is None else data["setup"]
        return evolve(task, code="\n".join(data["start"]["lines"]), setup=setup)

    return (task for task in _read(path, load) if task is not None)


def read_some_records(path: Path, count: int, random: Random) -> list[Record]:
    """As many of a file's records, drawn without replacement; only these are replayed."""
    lines = list(_read(path, lambda line: line))
    random.shuffle(lines)
    return [Record.loads(line) for line in lines[:count]]


def _read(path: Path, load: Callable[[str], T]) -> Iterator[T]:
    try:
        file = path.open(encoding="utf-8")
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}.") from error
    with file:
        for number, line in enumerate(file, 1):
            try:
                yield load(line)
            except (ValueError, KeyError, TypeError) as error:
                raise RecordError(
                    f"{path}, line {number}, is not an episode: {error!r}."
                ) from error


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write a file of records, all at once or not at all."""
    write_lines(path, (record.dumps() for record in records))
