"""Where to search in a file that the user named: its suspect functions.

Runs the tests of the file as they are, and again with a function changed for the better. Other
files are left alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from coe_lsp.errors import CoeError
from coe_lsp.execution.project import Project, ProjectOptions
from coe_lsp.execution.suite import Run
from coe_lsp.mutations.syntax import first_fault
from coe_lsp.repair.acceptance import Acceptance, passes
from coe_lsp.repair.deadline import Deadline
from coe_lsp.repair.outcome import Counts, Outcome
from coe_lsp.repair.processes import Processes
from coe_lsp.repair.reasons import Effort
from coe_lsp.repair.request import Watcher
from coe_lsp.repair.reverts import Revert
from coe_lsp.repair.search.ranking import PassingProgram
from coe_lsp.repair.search.states import State
from coe_lsp.repair.site import Base, Site
from coe_lsp.repair.sites import Weighted
from coe_lsp.repair.target.baseline import Baseline, measure
from coe_lsp.repair.target.choice import choose_targets
from coe_lsp.repair.target.source import Function, SourceFile, relative
from coe_lsp.repair.verify import Verifier
from coe_lsp.repair.warm import WarmRunner

# What the most suspect functions get of the time, if more than one is suspect.
_SHARES = (0.6, 0.25, 0.15)


class FileSites:
    """The places of one file, most suspect first, with what each gets of the time."""

    def __init__(
        self, source: SourceFile, function: str | None, options: ProjectOptions, seconds: float
    ) -> None:
        """`source` is the user's text; running its tests may take so many `seconds`.

        CoeError for whatever the user has to put right first.
        """
        self._source = source
        self._named = source.find(function) if function else None
        self._project = Project.open(source.path, options)
        self._found_by_us = not options.tests
        self._seconds = seconds
        real, root = source.path.resolve(), self._project.root  # what is changed, if it is a link
        #: What a repair of the named function wins, or all that fails.
        self.targets: tuple[str, ...] = ()
        #: As in diffs.
        self.file = relative(real if real.is_relative_to(root) else source.path, root)

    def open(
        self, processes: Processes, watcher: Watcher, deadline: Deadline
    ) -> tuple[Outcome, Weighted]:
        """See `Sites.open`. CoeError also if nothing that failing tests run could be repaired."""
        self._deadline = deadline
        warm = processes.lease(self._project)
        baseline = self._measured(warm)
        if self._found_by_us and not baseline.suspects() and not warm.runner.cancelled:
            warm, baseline = self._from_afar(processes, warm, baseline)
        if warm.runner.cancelled:
            return Outcome("failed", self.file), []
        watcher.baseline(baseline, warm.runner.suites)
        before = Counts(baseline.passed, len(baseline.failing))
        named = self._named
        if not baseline.failing:
            if baseline.missing:
                count, reason = len(baseline.missing), baseline.detail
                raise CoeError(
                    f"{count} of the tests for {self.file} did not run ({reason}), and the others "
                    "pass: name the failing test with --tests (editors: coe.tests)."
                )
            message = "All tests pass; there is nothing to repair."
            name = named.name if named else None
            status = "already_passing"
            return Outcome(
                status, self.file, name, before=before, after=before, message=message
            ), []
        targets = choose_targets(baseline, named, self.file)[: len(_SHARES)]
        sites = [
            Site(
                self.file,
                self._source,
                self._project,
                warm.runner,
                baseline,
                Verifier(warm.runner, baseline, target, deadline),
            )
            for target in targets
        ]
        failing = tuple(result.id for result in baseline.failing)
        self.targets = sites[0].verifier.target_tests if named else failing
        outcome = Outcome("failed", self.file, targets[0].name, before=before, after=before)
        return outcome, list(zip(sites, _shares(len(sites)), strict=True))

    def _from_afar(
        self, processes: Processes, warm: WarmRunner, baseline: Baseline
    ) -> tuple[WarmRunner, Baseline]:
        """With tests that reach the file through others, if they fail and the nearest do not."""
        project = self._project.from_afar()
        if project == self._project or first_fault([self._source.text]) is not None:
            return warm, baseline
        wider = processes.lease(project)
        seen = measure(wider.runner, self._source, self._seconds)
        if not seen.suspects():
            return warm, baseline
        self._project = project
        return wider, seen

    def _measured(self, warm: WarmRunner) -> Baseline:
        baseline = warm.baseline_of(self._source)
        if baseline is None:
            baseline = measure(warm.runner, self._source, self._seconds)
        if not baseline.results and not warm.runner.cancelled:
            raise CoeError(
                f"No test could be run for {self.file}: {baseline.detail or 'none found'}."
            )
        warm.keep(baseline)
        return baseline

    def grow(self, site: Site, half: State) -> Weighted:
        """See `Sites.grow`: both together must do what the first was to do alone."""
        deadline = self._deadline
        names = {function.name for function in _others(site, half)}
        if site.base is not None or not names:
            return []
        base = Base(site, half.lines, half.commands)
        changed = base.changed[site.file]
        baseline = measure(site.runner, changed, max(1.0, deadline.left()))
        others = [f for f in baseline.suspects() if f.name in names][: len(_SHARES)]
        sites = [
            Site(
                site.file,
                site.source,
                site.project,
                site.runner,
                baseline,
                Verifier(
                    site.runner, baseline, other, deadline, acceptance=site.verifier.acceptance
                ),
                base,
            )
            for other in others
        ]
        return list(zip(sites, _shares(len(sites)), strict=True))

    def beside(self, base: Base, left: Sequence[str]) -> Weighted:
        """See `Sites.beside`: a repair of a file leaves nothing that was named."""
        return []

    def confirm(
        self, site: Site, programs: Sequence[PassingProgram]
    ) -> list[tuple[PassingProgram, Run]]:
        """See `Sites.confirm`; those after the first that passes were tested well enough."""
        acceptance = site.verifier.acceptance
        for index, program in enumerate(programs):
            run = site.run(program.lines, acceptance.select)
            if acceptance.met(run):
                run = site.run(program.lines) if acceptance.select else run
                return [(other, run) for other in programs[index:]]
        return []

    def half(self, site: Site, half: State) -> tuple[str, ...] | None:
        """See `Sites.half`: what passed as it was must not break."""
        guarded = evolve(site.verifier.acceptance, target_tests=())
        run = site.run(half.lines, guarded.select)
        results = {result.id: result for result in run.results}
        left = tuple(test for test in self.targets if not passes(test, results))
        return left if guarded.met(run) and len(left) < len(self.targets) else None

    def left(self, run: Run) -> tuple[str, ...]:
        """See `Sites.left`."""
        return ()

    def accepted(self, site: Site, run: Run) -> tuple[int, Acceptance]:
        """See `Sites.accepted`."""
        verifier = site.first.verifier
        return len(verifier.tests), verifier.acceptance

    def still_failing(self, site: Site, program: PassingProgram) -> tuple[str, ...]:
        """See `Sites.still_failing`: `accepted` counts all tests of the file."""
        return ()

    def find_revert(self, deadline: Deadline) -> Revert | None:
        """See `Sites.find_revert`: who names a file wants it mended."""
        return None

    def why_no_repair(self, effort: Effort) -> str:
        """See `Sites.why_no_repair`."""
        return ""


def _shares(count: int) -> Sequence[float]:
    """What each of so many places gets of the time; together 1."""
    return [share / sum(_SHARES[:count]) for share in _SHARES[:count]]


def _others(site: Site, half: State) -> list[Function]:
    """Other suspects, run by tests that `half`, a better target, leaves failing."""
    left = [test for test in site.verifier.target_tests if test not in half.verdict.passing]
    return [
        function
        for function in site.baseline.suspects()
        if function.apart(site.target) and any(site.baseline.runs(t, function) for t in left)
    ]
