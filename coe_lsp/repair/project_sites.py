"""Where to search when tests are named: the places of the whole project that make them fail.

Runs the named tests with all of the project's files watched, ranks what they ran, and opens the
first places for a search each in its own file. Nothing is edited, test files least of all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import evolve

from coe_lsp.errors import CoeError
from coe_lsp.execution.discovery import has_doctests, test_files_reaching
from coe_lsp.execution.imports import ImportGraph
from coe_lsp.execution.project import Project, ProjectOptions
from coe_lsp.execution.suite import Run, Suite
from coe_lsp.repair.acceptance import Acceptance, passes
from coe_lsp.repair.deadline import Deadline
from coe_lsp.repair.guards import Guards
from coe_lsp.repair.outcome import Counts, Outcome
from coe_lsp.repair.processes import Processes
from coe_lsp.repair.reasons import Effort, why_no_place, why_no_repair, why_not_the_code
from coe_lsp.repair.request import Watcher
from coe_lsp.repair.reverts import Revert, find_revert
from coe_lsp.repair.scout import Scouted, scout
from coe_lsp.repair.search.ranking import MOST_SHOWN, PassingProgram
from coe_lsp.repair.search.states import State
from coe_lsp.repair.site import Base, Site, overlay_of
from coe_lsp.repair.sites import Weighted
from coe_lsp.repair.target.places import Place, chances
from coe_lsp.repair.target.source import SourceFile, relative
from coe_lsp.repair.verify import Verifier
from coe_lsp.repair.way_in import WayIn

# So many places are searched, in so many files.
_PLACES, _FILES = 8, 4
# How many times more a place weighs that was changed since the tests passed.
_CHANGED = 5.0
# What the tests of other files may take, in seconds, to see what stands guard.
_GUARD_SECONDS = 30.0
# All examples of a file, as what runs them is called.
_DOCTESTS = "doctest"


class ProjectSites:
    """The places of a project that named tests run, most suspect first."""

    def __init__(
        self,
        way: WayIn,
        options: ProjectOptions,
        seconds: float,
        unsaved: Mapping[Path, SourceFile],
    ) -> None:
        """Looking at the way's tests may take so many `seconds`.

        `unsaved` files are taken for what the disk has. CoeError for what the user has to put
        right.
        """
        self._root = way.root
        self._way = way
        files = tuple(dict.fromkeys(test.partition("::")[0] for test in way.tests))
        # What is only remembered may be out of date: then all tests are looked at.
        self._project = Project.of_tests(way.root, () if way.remembered else files, options)
        self._seconds = seconds
        self._unsaved = {relative(path, way.root): source for path, source in unsaved.items()}
        self._passed_before = False
        self._found: Scouted | None = None
        self._graph = ImportGraph(way.root)
        self._guarding: dict[str, list[str]] = {}
        #: What failed at first.
        self.targets: tuple[str, ...] = ()

    def open(
        self, processes: Processes, watcher: Watcher, deadline: Deadline
    ) -> tuple[Outcome, Weighted]:
        """See `Sites.open`."""
        self._processes, self._deadline = processes, deadline
        found = self._first_look()
        self.targets, self._found = found.targets, found
        watcher.scouted(found)
        before = Counts(len(found.passed), len(found.targets))
        outcome = Outcome("failed", self._way.file, None, before=before, after=before)
        if not found.targets and found.missing:
            raise CoeError(
                f"{len(found.missing)} of the tests did not run ({found.detail or 'no time'}), and "
                "the others pass: name those that fail, or one of their files."
            )
        if not found.targets:
            message = "All tests pass; there is nothing to repair."
            return evolve(outcome, status="already_passing", message=message), []
        failures = [found.results[test] for test in found.targets]
        if told := why_not_the_code(failures, self._root):
            return evolve(outcome, message=told), []
        self._passed_before = self._pass_as_committed(found)
        sites = self._sites(found, None)
        if not sites:
            return evolve(outcome, message=why_no_place(failures, self._root)), []
        first = max(sites, key=lambda entry: entry[1])[0]
        return evolve(outcome, file=first.file, function=first.target.name), sites

    def grow(self, site: Site, half: State) -> Weighted:
        """See `Sites.grow`."""
        won = half.verdict.passing
        left = [test for test in self.targets if test not in won]
        return self.beside(Base(site, half.lines, half.commands), left)

    def beside(self, base: Base, left: Sequence[str]) -> Weighted:
        """See `Sites.beside`. CoeError as of `open`."""
        if not left or self._deadline.left() <= 0:
            return []
        found = self._scout(left, base, min(self._seconds, self._deadline.left()))
        return [entry for entry in self._sites(found, base) if _is_apart(entry[0])]

    def confirm(
        self, site: Site, programs: Sequence[PassingProgram]
    ) -> list[tuple[PassingProgram, Run]]:
        """See `Sites.confirm`: so many as are shown, those first that mend most beside as well."""
        select = (*(site.verifier.acceptance.select or ()), *self.targets)
        found: list[tuple[PassingProgram, Run]] = []
        for program in programs:
            if len(found) == MOST_SHOWN:
                break
            run = site.run(program.lines, select)
            if not site.verifier.acceptance.met(run) or self._breaks(site, program.lines):
                continue
            if not found or len(self.left(run)) <= len(self.left(found[0][1])):
                found.append((program, run))
        if not site.beside or len(found) == 1:
            return found
        return sorted(found, key=lambda one: -site.mended_beside(one[0].lines))

    def half(self, site: Site, half: State) -> tuple[str, ...] | None:
        """See `Sites.half`."""
        guarded = evolve(site.verifier.acceptance, target_tests=())
        run = site.run(half.lines, [*(guarded.select or ()), *self.targets])
        broken = not guarded.met(run) or self._breaks(site, half.lines)
        if broken or site.verifier.breaks_elsewhere(half.lines):
            return None
        left = self.left(run)
        # What its tests say alone need not hold beside the others.
        return left if len(left) < len(self.targets) else None

    def left(self, run: Run) -> tuple[str, ...]:
        """See `Sites.left`."""
        results = {result.id: result for result in run.results}
        return tuple(test for test in self.targets if not passes(test, results))

    def accepted(self, site: Site, run: Run) -> tuple[int, Acceptance]:
        """See `Sites.accepted`."""
        return run.passed, Acceptance.seen(run, self.targets)

    def still_failing(self, site: Site, program: PassingProgram) -> tuple[str, ...]:
        """See `Sites.still_failing`: tests of the same files that were not named."""
        assert self._found is not None
        others = tuple(result.id for result in self._found.others)
        if not others:
            return ()
        results = {result.id: result for result in site.run(program.lines, others).results}
        return tuple(test for test in others if not passes(test, results))

    def _breaks(self, site: Site, lines: Sequence[str]) -> bool:
        """Whether a change on top of others breaks what passed before all of them."""
        if site.base is None:  # then that is what it was judged by
            return False
        _, run = self._run_changed(site.patch(lines).apply(site.sources))
        return not evolve(self._whole, target_tests=()).met(run)

    def why_no_repair(self, effort: Effort) -> str:
        """See `Sites.why_no_repair`."""
        assert self._found is not None
        failures = [self._found.results[test] for test in self.targets]
        return why_no_repair(failures, self._root, effort)

    def find_revert(self, deadline: Deadline) -> Revert | None:
        """See `Sites.find_revert`."""
        found = self._found
        if found is None or not self._passed_before:
            return None
        suspect = [place.file for place in found.places()]
        return find_revert(
            found.changes,
            found.sources,
            suspect,
            self._whole,
            self._run_changed,
            self._breaks_elsewhere,
            deadline,
        )

    # -- looking

    def _first_look(self) -> Scouted:
        """What the named tests say; if they were only remembered and none fails, what all say."""
        if self._way.remembered:
            try:
                found = self._scout(self._way.tests, None, self._seconds)
            except CoeError:  # a name that is none any more
                found = None
            if found is not None and found.targets:
                return found
            return self._scout((), None, self._seconds)
        return self._scout(self._way.tests, None, self._seconds)

    def _scout(self, tests: Sequence[str], base: Base | None, seconds: float) -> Scouted:
        changed = self._changed(base)
        project = self._project.with_overlay(overlay_of(changed, self._root))
        runner = self._processes.lease(project).runner
        return scout(self._root, runner, tests, seconds, changed)

    @property
    def _whole(self) -> Acceptance:
        """That all that was named passes, and nothing breaks that passed."""
        assert self._found is not None
        return Acceptance(self.targets, self._found.passed, tuple(self._found.results))

    def _pass_as_committed(self, found: Scouted) -> bool:
        """Whether the targets pass without the changes that are not committed."""
        if not found.changes.before:
            return False
        try:
            _, run = self._run_changed(found.changes.before)
        except CoeError:  # no test can be run with those
            return False
        return Acceptance(found.targets, ()).met(run)

    def _run_changed(self, changed: Mapping[str, SourceFile]) -> tuple[Project, Run]:
        """The tests of the first look with some files changed."""
        assert self._found is not None
        project, source = self._project_with(changed)
        runner = self._processes.lease(project).runner
        return project, runner.run(source.encode(source.lines), tuple(self._found.results))

    def _breaks_elsewhere(self, changed: Mapping[str, SourceFile]) -> bool:
        """Whether changed files break tests that the first look did not run."""
        assert self._found is not None
        project, source = self._project_with(changed)
        file = next(iter(changed))
        before = self._found.sources[file]
        runner = self._processes.lease(project).runner
        tests = self._guarding_tests(file, self._found)
        guards = Guards(runner, before, tests, self._found.results, _GUARD_SECONDS)
        return bool(guards.broken(source.encode(source.lines)))

    def _project_with(self, changed: Mapping[str, SourceFile]) -> tuple[Project, SourceFile]:
        """The project with the first of some files under repair, and the others changed."""
        assert self._found is not None
        file, source = next(iter(changed.items()))
        others = {name: one for name, one in changed.items() if name != file}
        overlay = overlay_of({**self._unsaved, **others}, self._root)
        return self._file(file, self._found).with_overlay(overlay), source

    # -- places

    def _sites(self, found: Scouted, base: Base | None) -> Weighted:
        places: list[Place] = []
        for place in found.places():
            files = {p.file for p in places} | {place.file}
            if len(places) < _PLACES and len(files) <= _FILES:
                places.append(place)
        weights = chances(places)
        if self._passed_before:  # what is not committed is the first suspect
            factors = [_CHANGED if place.features.recent >= 1 else 1.0 for place in places]
            weights = [weight * factor for weight, factor in zip(weights, factors, strict=True)]
        overlay = overlay_of(self._changed(base), self._root)
        guards: dict[str, Guards] = {}
        sites: Weighted = []
        for place, weight in zip(places, weights, strict=True):
            project = self._file(place.file, found).with_overlay(overlay)
            runner = self._processes.lease(project).runner
            baseline = found.baseline(place.file)
            if place.file not in guards:
                tests = self._guarding_tests(place.file, found)
                guards[place.file] = Guards(
                    runner, baseline.source, tests, found.results, _GUARD_SECONDS
                )
            targets = baseline.target_tests(place.function)
            judging = {*targets, *found.passed}
            acceptance = Acceptance(
                targets, found.passed, tuple(test for test in found.results if test in judging)
            )
            verifier = Verifier(
                runner,
                baseline,
                place.function,
                self._deadline,
                acceptance,
                guards[place.file],
                tuple(found.results),
            )
            original = base.site.sources.get(place.file) if base else None
            source = original or found.sources[place.file]
            site = Site(
                place.file,
                source,
                project,
                runner,
                baseline,
                verifier,
                base,
                place.reason,
                found.beside_at(place),
            )
            sites.append((site, weight))
        return sites

    def _file(self, file: str, found: Scouted) -> Project:
        """The project with a file under repair."""
        path = self._root / file
        tests = [*found.results, *self._guarding_tests(file, found)]
        names = (test.partition("::")[0] for test in tests if test != _DOCTESTS)
        args = tuple(dict.fromkeys(names))
        project = self._project.for_file(path)
        suites = tuple(evolve(suite, args=args) for suite in project.suites)
        if _DOCTESTS in tests:
            suites = (*suites, Suite("doctest", self._root, path))
        return evolve(project, suites=suites)

    def _guarding_tests(self, file: str, found: Scouted) -> list[str]:
        """What tests a file besides the tests that ran: files, and tests that had no time."""
        if file not in self._guarding:
            path = self._root / file
            near = test_files_reaching(path, self._root, self._graph)
            self._guarding[file] = [one.relative_to(self._root).as_posix() for one in near]
            if has_doctests(path):
                self._guarding[file].append(_DOCTESTS)
        mine = {test.partition("::")[0] for test in found.results}
        if any(suite.kind != "pytest" for suite in self._project.suites):
            return []  # elsewhere tests are not chosen by their files
        return [*(name for name in self._guarding[file] if name not in mine), *found.missing]

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
