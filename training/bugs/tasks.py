"""Real bugs as training tasks: the function as people left it wrong, as they mended it, its tests.

Only bugs that lie within one function can be such a task. The mended tree stays in the store, since
a task's tests run there on candidate texts of the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from coe_lsp.errors import CoeError
from coe_lsp.execution.interpreter import probe
from coe_lsp.execution.sandbox import Sandbox
from coe_lsp.execution.suite import Limits, Suite
from coe_lsp.execution.worker import Worker
from coe_lsp.repair.target.source import SourceError, SourceFile
from training.bugs.bugs import Bug
from training.bugs.checkout import taken_back
from training.bugs.packages import Package
from training.bugs.store import Store
from training.tasks.tasks import Cleaned, Place, Task

_MOST_TESTS = 20
_LIMITS = Limits(wall_seconds=90.0, test_seconds=5.0)


def bug_tasks(
    bugs: Sequence[Bug],
    packages: Mapping[str, Package],
    store: Store,
    sandbox: Sandbox,
    *,
    max_lines: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Cleaned:
    """The tasks of bugs, and how many give none, by reason. `packages` by name."""
    dropped: Counter[str] = Counter()
    tasks: list[Task] = []
    for done, bug in enumerate(bugs):
        progress(done, len(bugs))
        try:
            task = _task(bug, packages[bug.origin.package], store, sandbox)
        except KeyError:
            dropped[f"{bug.origin.package} is not in the list of packages"] += 1
        except (CoeError, NotOneFunctionError) as error:
            dropped[str(error).partition(":")[0]] += 1
        else:
            lines = max(text.count("\n") + 1 for text in (task.start, task.reference))
            if lines > max_lines:
                dropped[f"more than {max_lines} lines"] += 1
            else:
                tasks.append(task)
    return Cleaned(tuple(tasks), dropped)


class NotOneFunctionError(Exception):
    """The bug cannot be a task; `str(error)` says why."""


def _task(bug: Bug, package: Package, store: Store, sandbox: Sandbox) -> Task:
    if bug.function is None or len(bug.files) != 1:
        raise NotOneFunctionError("not within one function")
    root, python = store.keep_tree(package, bug.origin)
    interpreter = probe(python, root, sandbox)
    (file,) = bug.files
    source = SourceFile.read(root / file)
    faulty = faulty_function(bug, store, source)
    function = source.find(bug.function)
    with Worker(
        Suite("pytest", root, root / file, _files(bug)), interpreter, sandbox, _LIMITS
    ) as worker:
        run = worker.run(source.encode(source.lines), coverage=True)
    passing = {result.id for result in run.results if result.outcome == "passed"}
    inside = set(range(function.first + 1, function.last + 1))
    reaching = [t for t, lines in run.lines.items() if t in passing and inside & lines]
    failing = [test for test in bug.failing if test in passing]
    if not failing:
        raise NotOneFunctionError("its tests do not pass any more")
    tests = list(dict.fromkeys([*failing[: _MOST_TESTS // 2], *sorted(reaching), *failing]))
    return Task(
        task_id=bug.bug_id,
        source=bug.origin.package,
        split=bug.split,
        reference="\n".join(source.scratch_lines(function)),
        code="\n".join(faulty),
        tests=tests[:_MOST_TESTS],
        entry_point=bug.function,
        place=Place(str(root), file, bug.function, str(python)),
    )


def faulty_function(bug: Bug, store: Store, source: SourceFile) -> Sequence[str]:
    """The function as people left it wrong, in lines. `source` is the file as they mended it.

    NotOneFunctionError if the change goes beyond it, BugError if it cannot be made again.
    """
    (file,) = bug.files
    text = taken_back(bug, store, {file: source.text}).files[file]
    faulty = SourceFile.parse(source.path, text.encode())
    assert bug.function is not None
    try:
        old, new = faulty.find(bug.function), source.find(bug.function)
    except SourceError as error:
        raise NotOneFunctionError("not within one function") from error
    around = faulty.lines[: old.first - 1], faulty.lines[old.last :]
    if around != (source.lines[: new.first - 1], source.lines[new.last :]):
        raise NotOneFunctionError("not within one function")
    return faulty.scratch_lines(old)


def _files(bug: Bug) -> tuple[str, ...]:
    """The files of the tests that fail."""
    return tuple(dict.fromkeys(test.partition("::")[0] for test in bug.failing))
