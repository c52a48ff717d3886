"""Tasks from real code: every function that passing tests cover, in a project or a package.

The tests run once as they are and once with line coverage, in the project's own interpreter and in
the sandbox. Functions are left out, with a reason that is counted, where no passing test reaches
them, where they are too short or too long, and in files whose tests do not run.
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

from coe_lsp.errors import CoeError
from coe_lsp.execution.discovery import DiscoveryError, is_test_file, suites_for
from coe_lsp.execution.interpreter import Interpreter
from coe_lsp.execution.runner import SuiteRunner
from coe_lsp.execution.sandbox import Sandbox
from coe_lsp.execution.suite import Limits, Suite
from coe_lsp.execution.worker import WorkerError
from coe_lsp.repair.target.source import SourceError, SourceFile
from training.tasks.tasks import Cleaned, Place, Task, TaskError

# A file whose tests are about to run, its number, and how many files there are.
HarvestProgress = Callable[[Path, int, int], None]

# Generous: on a busy machine what is late says nothing about the tests.
_LIMITS = Limits(wall_seconds=180.0, test_seconds=10.0)
_SLOW = 0.25
_SHORTEST = 3
_MOST_TESTS = 20
_MOST_FILES = 40
_MOST_SECONDS = 180.0
_SKIPPED = {"node_modules", "site-packages", "build", "dist", "__pycache__", "venv", "env", "tests"}


def harvest_project(
    root: Path,
    interpreter: Interpreter,
    sandbox: Sandbox,
    *,
    max_lines: int,
    most: int | None = None,
    random: Random | None = None,
    progress: HarvestProgress = lambda path, number, files: None,
) -> Cleaned:
    """Tasks of all functions below `root`. TaskError if its tests cover none.

    With `most` no file is begun when there are so many, nor more than forty, nor after three
    minutes; `random` draws them.
    """
    if not root.is_dir():
        raise TaskError(f"{root} is no folder: name the one that holds the project.")

    def suites(path: Path) -> Sequence[Suite]:
        return suites_for(path, root, interpreter)

    files = list(_sources(root))
    if random is not None:
        random.shuffle(files)
    if most is not None:
        files = files[:_MOST_FILES]
    found = _harvest(files, root, suites, interpreter, sandbox, max_lines, progress, most=most)
    if not found.tasks:
        reasons = ", ".join(f"{reason} ({count})" for reason, count in found.dropped.most_common())
        raise TaskError(
            f"No function of {root} can be trained on: {reasons or 'it has no functions'}. "
            "Training needs tests that pass; name the interpreter that runs them with --python."
        )
    return found


def harvest_package(
    name: str,
    interpreter: Interpreter,
    sandbox: Sandbox,
    *,
    max_lines: int,
    progress: HarvestProgress = lambda path, number, files: None,
) -> Cleaned:
    """Tasks of all functions of an installed package that its doctests cover."""
    try:
        spec = importlib.util.find_spec(name)
    except (ModuleNotFoundError, ValueError):
        spec = None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise TaskError(f"There is no package {name} with Python files in this environment.")
    origin = Path(spec.origin)
    files = sorted(origin.parent.rglob("*.py")) if spec.submodule_search_locations else [origin]
    root = origin.parent.parent if spec.submodule_search_locations else origin.parent
    files = [file for file in files if ">>> " in file.read_text(encoding="utf-8", errors="replace")]

    def suites(path: Path) -> Sequence[Suite]:
        return [Suite("doctest", root, path)]

    found = _harvest(files, root, suites, interpreter, sandbox, max_lines, progress, doctest=True)
    if not found.tasks:
        raise TaskError(f"The package {name} has no functions that passing doctests cover.")
    return found


def _harvest(
    files: Sequence[Path],
    root: Path,
    suites: Callable[[Path], Sequence[Suite]],
    interpreter: Interpreter,
    sandbox: Sandbox,
    max_lines: int,
    progress: HarvestProgress,
    *,
    doctest: bool = False,
    most: int | None = None,
) -> Cleaned:
    dropped: Counter[str] = Counter()
    tasks: list[Task] = []
    began = time.monotonic()
    for number, path in enumerate(files):
        late = time.monotonic() - began > _MOST_SECONDS
        if most is not None and (late or len(tasks) >= most):
            break
        progress(path, number, len(files))
        count = 0
        try:
            source = SourceFile.read(path)
            count = len(source.functions())
            if not count:
                continue
            with SuiteRunner(suites(path), interpreter, sandbox, _LIMITS) as runner:
                tasks += _of_file(source, root, runner, interpreter, max_lines, dropped, doctest)
        except DiscoveryError:
            dropped["no tests"] += count
        except (SourceError, WorkerError) as error:
            dropped[_reason(error)] += 1
    return Cleaned(tuple(tasks[:most]), dropped)


def _reason(error: CoeError) -> str:
    said = str(error).partition("\n")[0]
    return said if isinstance(error, SourceError) else f"tests that cannot be run: {said}"


def _of_file(
    source: SourceFile,
    root: Path,
    runner: SuiteRunner,
    interpreter: Interpreter,
    max_lines: int,
    dropped: Counter[str],
    doctest: bool,
) -> Iterator[Task]:
    data = source.encode(source.lines)
    runner.run(data)  # what is imported late is learned before anything is timed
    run = runner.run(data, coverage=True)
    quick = {result.id: result.seconds for result in run.results if result.outcome == "passed"}
    failing = {result.id for result in run.failures}
    names = Counter(function.name for function in source.functions())
    for function in source.functions():
        inside = range(function.first + 1, function.last + 1)
        touching = [test for test, lines in run.lines.items() if not lines.isdisjoint(inside)]
        reaching = [test for test in touching if test in quick]
        # Slow ones last; by whole fractions, so that the order is the same each time.
        reaching.sort(
            key=lambda t: (function.first not in run.entries.get(t, ()), int(quick[t] / _SLOW))
        )
        lines = source.scratch_lines(function)
        if names[function.name] > 1:
            dropped["more than one of that name"] += 1
        elif not reaching:
            dropped["not covered by passing tests"] += 1
        elif not failing.isdisjoint(touching):
            dropped["reached by failing tests too"] += 1
        elif len(lines) < _SHORTEST:
            dropped[f"fewer than {_SHORTEST} lines"] += 1
        elif len(lines) > max_lines:
            dropped[f"more than {max_lines} lines"] += 1
        else:
            file = source.path.relative_to(root).as_posix()
            yield Task(
                task_id=f"{root.name}/{file}::{function.name}",
                source=root.name,
                reference="\n".join(lines),
                tests=reaching[:_MOST_TESTS],
                entry_point=function.name,
                place=Place(str(root), file, function.name, str(interpreter.executable), doctest),
            )


def _sources(root: Path) -> Iterator[Path]:
    """Python files of a project that are not tests."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(
            name
            for name in folders
            if name not in _SKIPPED
            and not name.startswith(".")
            and not (Path(folder) / name / "pyvenv.cfg").exists()
        )
        for name in sorted(files):
            path = Path(folder) / name
            if path.suffix == ".py" and not is_test_file(path) and name != "conftest.py":
                yield path
