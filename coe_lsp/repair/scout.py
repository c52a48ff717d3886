"""Runs tests as they are, the project's files watched: what localisation over the project goes by.

First the tests that were named. Those of them that fail are the targets; the passing tests of the
same files stand beside them as contrast and as guards, other failing ones are set aside: they say
only which places explain more than what was named. Of all these only some are watched, since
watched ones are slow. Nothing is edited.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from attrs import evolve, frozen

from coe_lsp.errors import CoeError
from coe_lsp.escaping import in_backticks
from coe_lsp.execution.coe_worker.messages import FilesRan
from coe_lsp.execution.dependents import is_ignored
from coe_lsp.execution.discovery import is_among_tests, subjects_of
from coe_lsp.execution.localization import localize
from coe_lsp.execution.runner import SuiteRunner, merge
from coe_lsp.execution.suite import Run, TestResult
from coe_lsp.repair.changes import Changes, find_changes
from coe_lsp.repair.target.baseline import Baseline, without_cut_test
from coe_lsp.repair.target.module_level import module_places
from coe_lsp.repair.target.places import Place, Seen, describe_place, rank_places
from coe_lsp.repair.target.source import Function, SourceError, SourceFile, relative

_WATCHED_FAILING, _WATCHED_PASSING, _WATCHED_BESIDE = 40, 40, 20
_MOST_TEST_FILES = 5
# Seconds for a test that hangs while watched.
_WATCHED_HANGING = 1.0
# A test that is watched is this many times slower, or more.
_SLOWER = 4.0
# What the named tests may take of the time, and what the others of their files.
_NAMED, _BESIDE = 0.4, 0.2
# What half of them may take in seconds, where one is not there.
_SECONDS_OF_HALF = 10.0


@frozen
class Scouted:
    """What the tests said and ran, in the order in which they run.

    `results` are those of the `targets`, which fail and were named, and of the tests that pass.
    `others` fail as well and were not named, or could not be collected, `beside` is what some of
    them ran; `missing` ones did not run in time. `sources` are the project's files that targets
    ran, by their path relative to the root, `changes` what was changed in them lately; `overhead`
    the seconds of imports and collection, `seconds` those of all this.
    """

    results: Mapping[str, TestResult]
    targets: tuple[str, ...]
    others: tuple[TestResult, ...]
    beside: Mapping[str, FilesRan]
    missing: tuple[str, ...]
    seen: Seen
    sources: Mapping[str, SourceFile]
    changes: Changes
    overhead: float
    seconds: float
    detail: str

    def places(self, targets: Sequence[str] | None = None) -> list[Place]:
        """Where the fault of all targets may be, or of some, most suspect first."""
        seen = self.seen
        if targets is not None:
            failures = tuple(one for one in seen.failures if one.id in targets)
            ran = {t: r for t, r in seen.ran.items() if t in targets or t not in self.targets}
            seen = evolve(seen, failures=failures, ran=ran)
        functions = rank_places(seen, self.sources)
        others = module_places(functions, seen, self.sources)
        return sorted([*functions, *others], key=lambda place: -place.score)

    @property
    def passed(self) -> tuple[str, ...]:
        """The tests that pass."""
        return tuple(t for t, result in self.results.items() if result.outcome == "passed")

    def beside_at(self, place: Place) -> tuple[str, ...]:
        """Failing tests that were not named and run a place, too."""
        return tuple(
            test
            for test, ran in self.beside.items()
            if place.function.is_run_by(ran.lines.get(place.file, ()))
        )

    def baseline(self, file: str) -> Baseline:
        """What was seen, of one of the files."""
        results = {
            test: replace(result, line=line, values=result.values if innermost else ())
            for test, result in self.results.items()
            for line, innermost in [_last_line(result, file)]
        }
        none = frozenset[int]()
        lines = {test: ran.lines.get(file, none) for test, ran in self.seen.ran.items()}
        if len(self.targets) > _WATCHED_FAILING:  # what the others run nobody saw
            lines = {**dict.fromkeys(self.targets, none), **lines}
        return Baseline(
            source=self.sources[file],
            results=results,
            lines=lines,
            entries={},
            localization=localize(results.values(), lines),
            seconds=self.overhead + sum(result.seconds for result in results.values()),
            detail=self.detail,
        )


def scout(
    root: Path,
    runner: SuiteRunner,
    named: Sequence[str],
    seconds: float,
    overlay: Mapping[str, SourceFile] | None = None,
) -> Scouted:
    """Run tests, node ids or files, none for all of the runner's, in about so many seconds.

    The runner has no file under repair. `overlay` has the files that it takes for something else
    than what is on the disk. CoeError if no test could be run.
    """
    began = time.monotonic()
    plain = _run(runner, list(named) or None, _NAMED * seconds)
    if not plain.results:
        file, _, test = _absent(runner, named).partition("::")
        if test and not plain.detail:
            raise CoeError(f"There is no test {in_backticks(test)} in {file}.")
        raise CoeError(f"No test could be run: {plain.detail or 'none were collected'}.")
    overhead = max(0.0, plain.seconds - sum(result.seconds for result in plain.results))
    failures = _targets(plain.failures, named)
    targets = [failure.id for failure in failures]
    results = {result.id: result for result in plain.results}
    collected = list(plain.collected)
    if targets and any("::" in name for name in named):
        files = list(dict.fromkeys(test.partition("::")[0] for test in targets))
        beside = _run(runner, files, _BESIDE * seconds)
        order = {result.id: results.pop(result.id, result) for result in beside.results}
        results = {**order, **results}
        collected += beside.collected
    missing = tuple(test for test in dict.fromkeys(collected) if test not in results)
    others = tuple(r for r in results.values() if r.failing and r.id not in targets)
    results = {t: r for t, r in results.items() if not r.failing or t in targets}
    passing = [test for test, result in results.items() if result.outcome == "passed"]
    watched = Run("completed", "", ())
    if targets:
        limits = evolve(
            runner.limits,
            test_seconds=_SLOWER * runner.limits.test_seconds,
            wall_seconds=max(1.0, seconds - (time.monotonic() - began)),
        )
        hanging = [test for test in targets if results[test].outcome == "timeout"]
        ended = [test for test in targets if test not in hanging]
        unnamed = [r.id for r in others if "::" in r.id and r.outcome != "timeout"]
        chosen = {*_some(ended, _WATCHED_FAILING), *_some(passing, _WATCHED_PASSING)}
        select = [test for test in results if test in chosen] + _some(unnamed, _WATCHED_BESIDE)
        runs = [runner.run(None, select, coverage=True, limits=limits)] if select else []
        if hanging:
            limits = evolve(limits, test_seconds=_WATCHED_HANGING)
            runs.append(runner.run(None, hanging[:2], coverage=True, limits=limits))
        watched = merge(runs)
    ran = {test: files for test, files in watched.files.items() if test in results}
    sources = _sources(root, [ran[t].lines for t in targets if t in ran], failures, overlay or {})
    changes = find_changes(root, sources)
    return Scouted(
        results,
        tuple(test for test in results if test in set(targets)),
        others,
        {test: files for test, files in watched.files.items() if test not in results},
        missing,
        Seen(failures, ran, _texts(root, targets), changes.lines),
        sources,
        changes,
        overhead,
        time.monotonic() - began,
        plain.detail,
    )


def reason_in_file(baseline: Baseline, function: Function, file: str, root: Path) -> str:
    """Why a function may be at fault, in a few words, by the tests of its file alone.

    `file` is the baseline's, relative to the root of the project.
    """
    failures = tuple(
        replace(result, stack=((file, result.line),) if result.line else ())
        for result in baseline.failing
    )
    ran = {
        test: FilesRan(
            test, {file: lines}, {file: dict.fromkeys(baseline.entries.get(test, ()), 1)}
        )
        for test, lines in baseline.lines.items()
    }
    sources = {file: baseline.source}
    texts = _texts(root, [failure.id for failure in failures])
    seen = Seen(failures, ran, texts, find_changes(root, sources).lines)
    return Place(file, function, describe_place(file, function, seen, sources), 0.0).reason


def _absent(runner: SuiteRunner, named: Sequence[str]) -> str:
    """Of what was named, if pytest runs nothing because one is not there, that one; '' if none."""
    names = list(named) or [""]
    while len(names) > 1:
        half = names[: len(names) // 2]
        names = names[len(half) :] if _run(runner, half, _SECONDS_OF_HALF).results else half
    return names[0]


def _run(runner: SuiteRunner, select: Sequence[str] | None, seconds: float) -> Run:
    wall = max(1.0, min(runner.limits.wall_seconds, seconds))
    run = runner.run(None, select, limits=evolve(runner.limits, wall_seconds=wall))
    return without_cut_test(run, runner.limits.test_seconds)


def _targets(failures: Sequence[TestResult], named: Sequence[str]) -> tuple[TestResult, ...]:
    """Those that fail, but for files that cannot be collected, unless they were named or are all.

    Who asks for a folder does not ask for what is broken beside it.
    """
    kept = tuple(f for f in failures if "::" in f.id or f.id in named)
    return kept or tuple(failures)


def _some(tests: Sequence[str], count: int) -> list[str]:
    """About so many of the tests, evenly spread."""
    return list(tests[:: max(1, len(tests) // count)])[:count]


def _last_line(result: TestResult, file: str) -> tuple[int | None, bool]:
    """The innermost line of a file in a test's traceback, and whether it is that of all files."""
    line = next((line for name, line in reversed(result.stack) if name == file), None)
    return line, (file, line) in result.stack[-1:]


def _sources(
    root: Path,
    ran: Sequence[Mapping[str, frozenset[int]]],
    failures: Sequence[TestResult],
    overlay: Mapping[str, SourceFile],
) -> dict[str, SourceFile]:
    """The project's own files that ran, are in tracebacks or imported, but for those of tests."""
    names = {file for lines in ran for file in lines}
    names |= {file for failure in failures for file, _ in failure.stack}
    # What a test imports need not run in it: a constant, say.
    tests = {failure.id.partition("::")[0] for failure in failures}
    for path in [root / test for test in sorted(tests)[:_MOST_TEST_FILES]]:
        if path.is_file():
            names |= {relative(file, root) for file in subjects_of(path, root)}
    found: dict[str, SourceFile] = {}
    for name in sorted(names):
        path = root / name
        if path.suffix != ".py" or is_ignored(path, root) or is_among_tests(path, root):
            continue
        try:
            found[name] = overlay.get(name) or SourceFile.read(path)
        except SourceError:
            continue
    return found


def _texts(root: Path, tests: Sequence[str]) -> dict[str, str]:
    """The source of tests, where it can be found by their names."""
    files: dict[str, SourceFile | None] = {}
    texts: dict[str, str] = {}
    for test in tests:
        name, _, inside = test.partition("::")
        if name not in files:
            try:
                files[name] = SourceFile.read(root / name)
            except SourceError:
                files[name] = None
        source = files[name]
        wanted = re.sub(r"\[.*", "", inside).replace("::", ".")
        for function in source.functions() if source else ():
            if function.name == wanted:
                assert source is not None
                texts[test] = "\n".join(source.scratch_lines(function))
    return texts
