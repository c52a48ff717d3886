"""Finds real bugs: takes human changes back, one by one, and keeps those that the tests notice.

The tests run in the sandboxed worker, first twice on the version as it is (what fails or changes
its mind then says nothing about a change), then on each change taken back, those tests that run the
lines it concerns. A change is kept if the same tests fail twice.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from coe_lsp.execution.discovery import find_test_files
from coe_lsp.execution.interpreter import Interpreter
from coe_lsp.execution.runner import WHOLE_SUITE
from coe_lsp.execution.sandbox import Sandbox
from coe_lsp.execution.suite import Limits, Run, Suite
from coe_lsp.execution.worker import Worker, WorkerError
from coe_lsp.files import MOST_SOURCE, read_bounded
from coe_lsp.parsing import parse
from training.bugs.bugs import Bug, Origin
from training.bugs.changes import Change, is_source, measure_fix
from training.bugs.names import judge_names

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_TEST_SECONDS = 5.0
_MOST_SECONDS = 45.0
_LEAST_PASSING = 3
_MOST_FAILING_SHARE = 0.5
_MOST_IDS = 40
_TIMEOUTS = 3
# Part of a change taken back alone can leave what nobody ever had: half of the code knows the
# change, half does not. It shows in what is said, and in that next to nothing works.
_HALF_A_CHANGE = re.compile(
    r"(NameError|UnboundLocalError|ImportError|ModuleNotFoundError)\b"
    r"|TypeError: .*(unexpected keyword argument|positional argument)"
)
_MOST_BROKEN_SHARE, _FEW_BROKEN = 0.25, 10


@frozen
class Tested:
    """A tree whose tests have been run: the ids of those that pass, and what they take."""

    passing: frozenset[str]
    files: tuple[str, ...]
    seconds: float


class NoUseError(Exception):
    """The tests of this tree cannot tell anything; `str(error)` says why."""


def read_sources(root: Path) -> dict[str, str]:
    """The texts of all source files of a tree, by path relative to it."""
    found: dict[str, str] = {}
    for file in sorted(root.rglob("*.py")):
        path = file.relative_to(root).as_posix()
        if is_source(path) and not file.is_symlink():
            try:
                found[path] = read_bounded(file, MOST_SOURCE).decode("utf-8")
            except (OSError, UnicodeDecodeError):
                continue
    return found


def run_suite(root: Path, interpreter: Interpreter, sandbox: Sandbox) -> Tested:
    """Run all tests of a tree. NoUseError if too few pass, too many fail, or it takes too long."""
    limits = Limits(wall_seconds=_MOST_SECONDS, test_seconds=_TEST_SECONDS, timeouts=_TIMEOUTS)
    try:
        files, run = run_all_tests(root, interpreter, sandbox, limits)
    except WorkerError as error:
        raise NoUseError(str(error).partition("\n")[0]) from error
    passing = frozenset(r.id for r in run.results if r.outcome == "passed")
    if run.status != "completed":
        raise NoUseError(f"the tests do not come to an end ({run.status})")
    if len(passing) < _LEAST_PASSING:
        first = next((r.detail for r in run.failures), "")
        raise NoUseError(f"fewer than {_LEAST_PASSING} tests pass ({first[:100]})")
    if len(run.failures) > _MOST_FAILING_SHARE * len(run.results):
        raise NoUseError(f"most tests fail ({run.failures[0].detail[:100]})")
    return Tested(passing, files, run.seconds)


def run_all_tests(
    root: Path, interpreter: Interpreter, sandbox: Sandbox, limits: Limits
) -> tuple[tuple[str, ...], Run]:
    """One run of all tests of a tree, and the files that they are in.

    Without files that cannot be imported: pytest runs nothing at all if there is one. NoUseError if
    none is left; WorkerError if no test can be run.
    """
    files = tuple(sorted(p.relative_to(root).as_posix() for p in find_test_files(root)))
    while files:
        with Worker(Suite("pytest", root, root / files[0], files), interpreter, sandbox) as worker:
            run = worker.run(limits=limits)
        broken = {result.id for result in run.failures} & set(files)
        if not broken:
            return files, run
        files = tuple(file for file in files if file not in broken)
    raise NoUseError("no file of tests can be imported")


def find_bugs(
    root: Path,
    origin: Origin,
    changes: Sequence[Change],
    before: Mapping[str, str],
    after: Mapping[str, str],
    tested: Tested,
    interpreter: Interpreter,
    sandbox: Sandbox,
    dropped: Counter[str],
) -> Iterator[Bug]:
    """The changes that tests notice. What is dropped is counted by reason.

    `root` has the version `after`. The other files of a change of several are written while it is
    tried, and put back afterwards.
    """
    by_file: dict[str, list[Change]] = {}
    for change in changes:
        by_file.setdefault(min(change.files), []).append(change)
    for file, some in by_file.items():
        with _Bench(root, file, tested, interpreter, sandbox) as bench:
            for change in some:
                failing, reason = bench.try_change(change, after)
                if reason:
                    dropped[reason] += 1
                    continue
                tests = [text for test in failing for text in test_texts(root, test)]
                kind = judge_names(change, before, after, tests)
                if kind == "misfit":
                    dropped["uses names that only the old version has"] += 1
                    continue
                fix = measure_fix(change, after)
                place = change.function or ("" if change.hunk is None else f"hunk {change.hunk}")
                yield Bug(
                    bug_id=f"{origin.name}/{'+'.join(sorted(change.files))}::{place or 'all'}"
                    f"#{change.digest[:6]}",
                    origin=origin,
                    unit=change.unit,
                    files=sorted(change.files),
                    function=change.function,
                    hunk=change.hunk,
                    kind=kind,
                    size=fix.size,
                    added=fix.added,
                    removed=fix.removed,
                    failing=failing[:_MOST_IDS],
                    failing_count=len(failing),
                    seconds=round(tested.seconds, 1),
                    digest=change.digest,
                    fix=fix.digest,
                )


class _Bench:
    """A worker over one file of a tree that tries changes of it."""

    def __init__(
        self, root: Path, file: str, tested: Tested, interpreter: Interpreter, sandbox: Sandbox
    ) -> None:
        self._root, self._file, self._tested = root, file, tested
        self._limits = Limits(
            wall_seconds=2 * _MOST_SECONDS, test_seconds=2 * _TEST_SECONDS, timeouts=_TIMEOUTS
        )
        suite = Suite("pytest", root, root / file, tested.files)
        self._worker = Worker(suite, interpreter, sandbox, self._limits)
        self._covered: Run | None = None

    def __enter__(self) -> _Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.close()

    def try_change(self, change: Change, after: Mapping[str, str]) -> tuple[list[str], str]:
        """The tests that fail with it, and an empty reason; else why it is of no use."""
        if self._covered is None:
            self._covered = self._worker.run(after[self._file].encode(), coverage=True)
        steady = self._tested.passing & {
            r.id for r in self._covered.results if r.outcome == "passed"
        }
        lines = change.lines[self._file]
        inside = set(range(lines.start, lines.stop))
        if change.function is not None:
            reaching = {t for t, ran in self._covered.lines.items() if not inside.isdisjoint(ran)}
            chosen = sorted(steady & reaching)
        else:
            chosen = sorted(steady)
        if not chosen:
            return [], "no passing test runs it"
        others = {path: text for path, text in change.files.items() if path != self._file}
        source = change.files[self._file].encode()
        try:
            for path, text in others.items():
                (self._root / path).write_bytes(text.encode())
            run = self._worker.run(source, chosen)
            first = _failing(run, steady)
            if not first:
                return [], "no test fails without it"
            if change.unit != "commit" and _is_half(run, first, steady):
                return [], "half of a change"
            again = _failing(self._worker.run(source, sorted(first)), steady)
        finally:
            for path in others:
                (self._root / path).write_bytes(after[path].encode())
        if first != again:
            return [], "tests fail only now and then"
        return sorted(first), ""


def _is_half(run: Run, failing: set[str], steady: frozenset[str]) -> bool:
    if len(failing) > max(_FEW_BROKEN, _MOST_BROKEN_SHARE * len(steady)):
        return True
    said = [r.detail for r in run.failures]
    return 2 * sum(bool(_HALF_A_CHANGE.match(detail)) for detail in said) >= len(said)


def _failing(run: Run, steady: frozenset[str]) -> set[str]:
    """The tests that fail; all whose file does not even import."""
    failed = {r.id for r in run.failures}
    whole = {f for f in failed if "::" not in f}
    if whole & WHOLE_SUITE:
        return set(steady)
    return (failed & steady) | {t for t in steady if t.partition("::")[0] in whole}


def test_texts(root: Path, test: str) -> Iterator[str]:
    """The source of a test by its id; nothing if it is not found."""
    path, *names = test.partition("[")[0].split("::")
    try:
        text = read_bounded(root / path).decode("utf-8")
        body = parse(text).body
    except (OSError, SyntaxError, UnicodeDecodeError):
        return
    for node in find_definitions(body, names):
        yield "\n".join(text.splitlines()[node.lineno - 1 : node.end_lineno])


def find_definitions(body: Sequence[ast.stmt], path: Sequence[str]) -> list[Definition]:
    """All functions or classes of that name, of which the last one counts, below its classes."""
    name, *rest = path
    found = [node for node in body if isinstance(node, Definition) and node.name == name]
    return [n for node in found for n in find_definitions(node.body, rest)] if rest else found
