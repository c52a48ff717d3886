"""Where to search when tests are named: the places of the whole project that make them fail.

Runs the named tests with all of the project's files watched, ranks what they ran, and opens the
first places for a search each in its own file. Nothing is edited, test files least of all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import evolve

from coe_lsp.execution.discovery import test_files_for
from coe_lsp.execution.project import Project, ProjectOptions
from coe_lsp.execution.suite import Run
from coe_lsp.repair.acceptance import Acceptance
from coe_lsp.repair.deadline import Deadline
from coe_lsp.repair.guards import Guards
from coe_lsp.repair.outcome import Counts, Outcome
from coe_lsp.repair.processes import Processes
from coe_lsp.repair.reasons import Effort, why_no_place, why_no_repair, why_not_the_code
from coe_lsp.repair.request import Watcher
from coe_lsp.repair.reverts import Revert, find_revert
from coe_lsp.repair.scout import Scouted, scout
from coe_lsp.repair.search.states import State
from coe_lsp.repair.site import Base, Site, overlay_of
from coe_lsp.repair.target.places import Place, chances
from coe_lsp.repair.target.source import SourceFile, relative
from coe_lsp.repair.verify import Verifier

# So many places are searched, in so many files.
_PLACES, _FILES = 8, 4
# How many times more a place weighs that was changed since the tests passed.
_CHANGED = 5.0
# What the tests of other files may take, in seconds, to see what stands guard.
_GUARD_SECONDS = 30.0


class ProjectSites:
    """The places of a project that named tests run, most suspect first."""

    def __init__(
        self,
        root: Path,
        tests: Sequence[str],
        options: ProjectOptions,
        seconds: float,
        unsaved: Mapping[Path, SourceFile],
    ) -> None:
        """`tests` are node ids, files and folders relative to the root, none for all there are.

        Looking at them may take so many `seconds`. `unsaved` files are taken for what the disk
        has. CoeError for what the user has to put right.
        """
        self._root = root
        self._tests = tuple(tests)
        files = tuple(dict.fromkeys(test.partition("::")[0] for test in tests))
        self._project = Project.of_tests(root, files, options)
        self._seconds = seconds
        self._unsaved = {relative(path, root): source for path, source in unsaved.items()}
        self._passed_before = False
        self._found: Scouted | None = None
        #: What failed at first.
        self.targets: tuple[str, ...] = ()

    def open(
        self, processes: Processes, watcher: Watcher, deadline: Deadline
    ) -> tuple[Outcome, list[tuple[Site, float]]]:
        """Run the tests; the outcome so far, and the places, none if all tests pass.

        The places are searched until the `deadline`. CoeError if no test could be run.
        """
        self._processes, self._deadline = processes, deadline
        found = self._scout(self._tests, None)
        self.targets, self._found = found.targets, found
        self._passed_before = self._pass_as_committed(found)
        watcher.scouted(found)
        before = Counts(len(found.passed), len(found.targets))
        named = self._tests[0] if len(self._tests) == 1 else ""
        outcome = Outcome("failed", named.partition("::")[0], None, before=before, after=before)
        if not found.targets:
            message = "All tests pass; there is nothing to repair."
            return evolve(outcome, status="already_passing", message=message), []
        failures = [found.results[test] for test in found.targets]
        if told := why_not_the_code(failures, self._root):
            return evolve(outcome, message=told), []
        sites = self._sites(found, None)
        if not sites:
            return evolve(outcome, message=why_no_place(failures, self._root)), []
        first = max(sites, key=lambda entry: entry[1])[0]
        return evolve(outcome, file=first.file, function=first.target.name), sites

    def grow(self, site: Site, half: State, deadline: Deadline) -> list[tuple[Site, float]]:
        """Places that the tests run which `half`, a better version of one, leaves failing."""
        base = Base(site, half.lines, half.commands)
        won = half.verdict.passing
        return self.beside(base, [test for test in self.targets if test not in won])

    def beside(self, base: Base, left: Sequence[str]) -> list[tuple[Site, float]]:
        """With a change in place, places for the targets that are `left`."""
        if not left:
            return []
        found = self._scout(left, base)
        return [entry for entry in self._sites(found, base) if _is_apart(entry[0])]

    def why_no_repair(self, effort: Effort) -> str:
        """Why nothing was found, if that is known; else ''."""
        assert self._found is not None
        failures = [self._found.results[test] for test in self.targets]
        return why_no_repair(failures, self._root, effort)

    def find_revert(self, deadline: Deadline) -> Revert | None:
        """What repairs it by taking back the user's own changes, if they are at fault."""
        found = self._found
        if found is None or not self._passed_before:
            return None
        suspect = [place.file for place in found.places()]
        changes, sources = found.changes, found.sources
        return find_revert(changes, sources, suspect, self._whole, self._run_changed, deadline)

    @property
    def _whole(self) -> Acceptance:
        """That all that was named passes, and nothing breaks that passed."""
        assert self._found is not None
        passed = self._found.passed
        return Acceptance(self.targets, passed, tuple(self._found.results))

    def _pass_as_committed(self, found: Scouted) -> bool:
        """Whether the targets pass without the changes that are not committed."""
        if not found.changes.before:
            return False
        _, run = self._run_changed(found.changes.before)
        return Acceptance(found.targets, ()).met(run)

    def _run_changed(self, changed: Mapping[str, SourceFile]) -> tuple[Project, Run]:
        """The tests with some files changed."""
        assert self._found is not None
        file, source = next(iter(changed.items()))
        project, _ = self._file(file, self._found, None)
        others = {name: one for name, one in changed.items() if name != file}
        overlay = overlay_of({**self._unsaved, **others}, self._root)
        runner = self._processes.lease(project.with_overlay(overlay)).runner
        return project, runner.run(source.encode(source.lines), tuple(self._found.results))

    def _scout(self, tests: Sequence[str], base: Base | None) -> Scouted:
        changed = self._changed(base)
        project = self._project.with_overlay(overlay_of(changed, self._root))
        runner = self._processes.lease(project).runner
        return scout(self._root, runner, tests, self._seconds, changed)

    def _sites(self, found: Scouted, base: Base | None) -> list[tuple[Site, float]]:
        places: list[Place] = []
        for place in found.places():
            files = {p.file for p in places} | {place.file}
            if len(places) < _PLACES and len(files) <= _FILES:
                places.append(place)
        weights = chances(places)
        if self._passed_before:  # what is not committed is the first suspect
            factors = [_CHANGED if place.features.recent >= 1 else 1.0 for place in places]
            weights = [weight * factor for weight, factor in zip(weights, factors, strict=True)]
        opened = {file: self._file(file, found, base) for file in {p.file for p in places}}
        sites: list[tuple[Site, float]] = []
        for place, weight in zip(places, weights, strict=True):
            project, guarding = opened[place.file]
            runner = self._processes.lease(project).runner
            baseline = found.baseline(place.file)
            data = baseline.source
            guards = Guards(runner, data, guarding, found.results, _GUARD_SECONDS)
            tests = tuple(found.results)
            targets = baseline.target_tests(place.function)
            acceptance = Acceptance(
                targets,
                found.passed,
                tuple(t for t in tests if t in {*targets, *found.passed}),
            )
            verifier = Verifier(
                runner,
                baseline,
                place.function,
                self._deadline,
                acceptance,
                guards,
                tests,
            )
            original = base.site.sources.get(place.file) if base else None
            source = original or found.sources[place.file]
            site = Site(place.file, source, project, runner, baseline, verifier, base, place.reason)
            sites.append((site, weight))
        return sites

    def _file(self, file: str, found: Scouted, base: Base | None) -> tuple[Project, list[str]]:
        """The project with a file under repair, and the files of tests that stand guard for it."""
        path = self._root / file
        mine = {test.partition("::")[0] for test in found.results}
        wanted = [f.relative_to(self._root).as_posix() for f in test_files_for(path, self._root)]
        guarding = [name for name in wanted if name not in mine]
        args = tuple(dict.fromkeys([*mine, *wanted]))
        project = self._project.for_file(path)
        project = evolve(project, suites=tuple(evolve(s, args=args) for s in project.suites))
        return project.with_overlay(overlay_of(self._changed(base), self._root)), guarding

    def _changed(self, base: Base | None) -> dict[str, SourceFile]:
        """What differs from the disk."""
        return {**self._unsaved, **(base.changed if base else {})}


def _is_apart(site: Site) -> bool:
    """Whether a place is none of those that are changed already."""
    try:
        site.patch(site.baseline.source.scratch_lines(site.target))
    except ValueError:
        return False
    return True
