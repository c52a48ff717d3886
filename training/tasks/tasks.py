"""Tasks: programs with tests, from files, from the hub, or harvested from a project.

A task file has one JSON object a line, UTF-8:

| field | meaning |
| --- | --- |
| `task_id`, `source`, `split`, `licence` | where it comes from |
| `prompt` | what the program should do, in words; may be empty |
| `setup` | Python that runs before the program (imports, helpers) |
| `code` | the faulty program, or null where only a correct one is known |
| `reference` | a correct program: every test passes |
| `tests` | Python statements, run in order in the program's namespace; a failing one raises |
| `entry_point` | the function under test, or null |
| `place` | optional: the function is one of a project (see `Place`); `tests` then holds test ids |

Other fields are ignored. Nothing is executed here.
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import attrs
from attrs import field, frozen

from coe_lsp.errors import CoeError
from coe_lsp.parsing import parse
from training.files import write_lines

_HUB_MBPP = "google-research-datasets/mbpp"


class TaskError(CoeError):
    """A task file cannot be used."""


@frozen
class Place:
    """Where a harvested function lives: the tests run there, on the candidate text of `file`.

    `doctest`: only the file's own doctests count, as for an installed package.
    """

    root: str
    file: str
    function: str
    python: str
    doctest: bool = False


@frozen
class Task:
    """One program with its tests. `reference` may be empty where `code` is all there is."""

    task_id: str
    reference: str
    tests: tuple[str, ...] = field(converter=tuple[str, ...])
    source: str = ""
    split: str = ""
    licence: str = ""
    prompt: str = ""
    setup: str = ""
    code: str | None = None
    entry_point: str | None = None
    place: Place | None = None

    @property
    def start(self) -> str:
        """The program to repair: the faulty one, or the reference where none is known."""
        return self.code if self.code is not None else self.reference

    def dumps(self) -> str:
        """One line of JSON."""
        return json.dumps(attrs.asdict(self), ensure_ascii=False)

    @classmethod
    def loads(cls, line: str) -> Task:
        """Read a line of a task file. ValueError, KeyError or TypeError for anything else."""
        data: Any = json.loads(line)
        if not isinstance(data, dict):
            raise TypeError("a task is an object")
        known: dict[str, Any] = {key: value for key, value in data.items() if key in _FIELDS}
        if known.get("place"):
            known["place"] = Place(**known["place"])
        if not all(isinstance(known[key], str) for key in ("task_id", "reference")):
            raise ValueError("task_id and reference must be text")
        tests = known["tests"]
        if not isinstance(tests, list) or not tests or not all(isinstance(t, str) for t in tests):
            raise ValueError("tests must be a list of statements")
        return cls(**known)


def load_tasks(name: str) -> list[Task]:
    """Tasks from `path` or `path#split`; if the path is `mbpp`, from the hub.

    TaskError for anything unusable.
    """
    path, _, split = name.partition("#")
    from_hub = path == "mbpp" and not Path(path).exists()
    tasks = _mbpp() if from_hub else list(_read(Path(path)))
    if split:
        tasks = [task for task in tasks if task.split == split]
    if not tasks:
        where = f" in split {split}" if split else ""
        raise TaskError(f"{path} has no tasks{where}.")
    return tasks


def save_tasks(path: Path, tasks: Iterable[Task]) -> None:
    """Write a task file, all at once or not at all."""
    write_lines(path, (task.dumps() for task in tasks))


def sample_file(
    name: str, out: Path, *, where: Mapping[str, str], count: int | None, seed: int
) -> int:
    """Write a fixed sample of a task file, all fields kept, in the file's order; how many tasks.

    Only tasks whose fields, as text, are equal to those of `where`. TaskError if there are none.
    """
    load_tasks(name)  # says what is wrong with it
    path, _, split = name.partition("#")
    if not Path(path).is_file():
        raise TaskError("A sample is made of a task file: name it by path.")
    wanted = {**where, **({"split": split} if split else {})}
    lines = [line for line in Path(path).read_text(encoding="utf-8").split("\n") if line.strip()]
    rows = [json.loads(line) for line in lines]
    fitting = [
        index
        for index, row in enumerate(rows)
        if all(str(row.get(field)) == value for field, value in wanted.items())
    ]
    if not fitting:
        raise TaskError(f"{path} has no tasks with {', '.join(map('='.join, where.items()))}.")
    if count is not None and count < len(fitting):
        fitting = sorted(Random(seed).sample(fitting, count))
    write_lines(out, (lines[index] for index in fitting))
    return len(fitting)


def _read(path: Path) -> Iterator[Task]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"The task file {path} cannot be read: {error}.") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield Task.loads(line)
            except (ValueError, KeyError, TypeError) as error:
                raise TaskError(f"{path}, line {number}, is not a task: {error!r}.") from error


_FIELDS = {attribute.name for attribute in attrs.fields(Task)}


def _mbpp() -> list[Task]:
    """MBPP (Austin et al. 2021) from the hub."""
    try:
        from datasets import load_dataset  # type: ignore[import-not-found]

        splits: Any = load_dataset(_HUB_MBPP, "full")
    except ImportError as error:
        raise TaskError("Install the package datasets, or name a task file by path.") from error
    except Exception as error:  # whatever the hub's client raises
        raise TaskError(
            f"{_HUB_MBPP} cannot be fetched from the hub ({error}); name a task file by path."
        ) from error
    return [
        Task(
            task_id=f"mbpp/{row['task_id']}",
            source="mbpp",
            split=split,
            licence="CC-BY-4.0",
            prompt=row["text"],
            setup=row["test_setup_code"],
            reference=row["code"].replace("\r\n", "\n"),
            tests=row["test_list"],
        )
        for split, rows in splits.items()
        for row in rows
    ]


@frozen
class Cleaned:
    """What is left of some tasks, and how many were dropped for which reason."""

    tasks: tuple[Task, ...]
    dropped: Counter[str]


def clean(tasks: Iterable[Task], *, max_lines: int, forbidden: Iterable[Task] = ()) -> Cleaned:
    """Drop duplicates, programs that are too long or do not parse, and what evaluation measures.

    Of several tasks with the same id the first stays.

    Two programs are the same if their syntax trees are, names of functions and all; but what was
    mended from different faulty programs, or from none, differs. `forbidden` are tasks of
    benchmarks, matched also by the names-insensitive shape of the reference.
    """
    dropped: Counter[str] = Counter()
    seen: set[tuple[str, str | None]] = set()
    ids: set[str] = set()
    banned = {_shape(task.reference) for task in forbidden}
    kept: list[Task] = []
    for task in tasks:
        text = _normal(task.reference)
        if text is None:
            dropped["does not parse"] += 1
        elif (text, task.code) in seen:
            dropped["duplicate"] += 1
        elif banned and _shape(task.reference) in banned:
            dropped["also in an evaluation set"] += 1
        elif task.reference.strip().count("\n") + 1 > max_lines:
            dropped[f"more than {max_lines} lines"] += 1
        elif task.task_id in ids:
            dropped["another task's id"] += 1
        else:
            seen.add((text, task.code))
            ids.add(task.task_id)
            kept.append(task)
    return Cleaned(tuple(kept), dropped)


def _normal(program: str) -> str | None:
    try:
        return ast.dump(parse(program))
    except (SyntaxError, RecursionError):
        return None


def _shape(program: str) -> str:
    """The syntax tree with names numbered in order of appearance, docstrings left out."""
    try:
        tree = parse(program)
    except SyntaxError:
        return program
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and (
            ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    numbers: dict[str, str] = {}

    def number(match: re.Match[str]) -> str:
        return numbers.setdefault(match[0], f"'n{len(numbers)}'")

    return re.sub(r"'[A-Za-z_]\w*'", number, ast.dump(tree))
