"""A place to search: a function of a text, and what tests say of that text.

Knows how the user's text becomes that text and how a search there is begun. It decides nothing:
which places there are is said by `file_sites` and `project_sites`, how long each is searched by
`portfolio`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import evolve, frozen

from coe_lsp.chain.commands import Command
from coe_lsp.chain.prompt import TaskDescription
from coe_lsp.execution.project import Project
from coe_lsp.execution.runner import SuiteRunner
from coe_lsp.execution.suite import Run, Suite
from coe_lsp.mutations.surroundings import surroundings
from coe_lsp.repair.deadline import Deadline
from coe_lsp.repair.patch import Patch
from coe_lsp.repair.search.search import Search
from coe_lsp.repair.search.settings import SearchSettings
from coe_lsp.repair.search.step import Step
from coe_lsp.repair.target.baseline import Baseline
from coe_lsp.repair.target.hints import RepairHints, literals, read_clues
from coe_lsp.repair.target.importing import imports_elsewhere
from coe_lsp.repair.target.source import Function, SourceFile
from coe_lsp.repair.task import describe
from coe_lsp.repair.verify import Verifier


@frozen
class Site:
    """Where one search looks.

    `source` is the user's text of `file`, which is named as in diffs; what is searched is the text
    of the `baseline`, with the `base` in place if there is one. `project` is what the `runner` runs
    the tests of; `reason` says why the place is suspect. The tests `beside` run it and fail, too,
    but nobody asked for them.
    """

    file: str
    source: SourceFile
    project: Project
    runner: SuiteRunner
    baseline: Baseline
    verifier: Verifier
    base: Base | None = None
    reason: str = ""
    beside: tuple[str, ...] = ()

    @property
    def target(self) -> Function:
        """The function that is searched."""
        return self.verifier.function

    @property
    def explains(self) -> frozenset[str]:
        """All failing tests whose fault may be here."""
        return frozenset((*self.verifier.target_tests, *self.beside))

    def mended_beside(self, lines: Sequence[str]) -> int:
        """How many of the failing tests beside pass with these lines of the function."""
        return self.run(lines, self.beside).passed if self.beside else 0

    @property
    def first(self) -> Site:
        """Where the first of the changes is made."""
        return self.base.site.first if self.base else self

    @property
    def sources(self) -> dict[str, SourceFile]:
        """The user's texts of the files that a repair here changes."""
        before = self.base.site.sources if self.base else {}
        return {**before, self.file: self.source}

    def patch(self, lines: Sequence[str]) -> Patch:
        """What makes the user's texts those with these lines of the function."""
        patch = self.verifier.patch(self.file, lines)
        return self.base.patch.then(patch) if self.base else patch

    def run(self, lines: Sequence[str], select: Sequence[str] | None = None) -> Run:
        """These tests, or all, with these lines of the function."""
        text = self.baseline.source
        return self.runner.run(text.encode(text.replace(self.target, lines)), select)

    def search(
        self,
        settings: SearchSettings,
        deadline: Deadline,
        watch: Callable[[Step], None],
        cancelled: Callable[[], bool],
    ) -> Search:
        """A search of the function, to be entered as a context."""
        suites, lines = self.runner.suites, self.baseline.source.scratch_lines(self.target)
        task = describe(self.baseline.source, self.target, suites, self.verifier.target_tests)
        hints = self._hints(task, suites)
        return Search(self.verifier, task, lines, hints, settings, deadline, watch, cancelled)

    def _hints(self, task: TaskDescription, suites: Sequence[Suite]) -> RepairHints:
        """What the tests and the file say of where the mistake may be."""
        baseline, target = self.baseline, self.target
        lines = baseline.localization.within(target.first, target.last)
        statements = [statement for suite in suites for statement in suite.statements]
        in_tests = {literal for text in [*task.tests, *statements] for literal in literals(text)}
        enclosing = surroundings(baseline.source.text, target.owner)
        failures = [baseline.results[test] for test in baseline.target_tests(target)]
        here = [f for f in failures if f.line and target.first <= f.line <= target.last]
        values = [pair for failure in here for pair in failure.values]
        clues = read_clues([failure.detail for failure in failures], in_tests, values)
        path = self.project.root / self.file
        imports = imports_elsewhere(clues.undefined, self.project.root, path)
        return RepairHints(lines, evolve(enclosing, imports=imports), clues)


@frozen
class Base:
    """A change that is in place while another is looked for: these `lines` at a `site`."""

    site: Site
    lines: tuple[str, ...]
    commands: tuple[Command, ...]

    @property
    def patch(self) -> Patch:
        """What makes the user's texts those with the change."""
        return self.site.patch(self.lines)

    @property
    def changed(self) -> dict[str, SourceFile]:
        """The files that are changed, as they are now."""
        return self.patch.apply(self.site.sources)


def commands_to(site: Site) -> tuple[Command, ...]:
    """All commands that led to the text which is searched at a place."""
    return (*commands_to(site.base.site), *site.base.commands) if site.base else ()


def overlay_of(changed: Mapping[str, SourceFile], root: Path) -> dict[Path, bytes]:
    """Changed files as a project takes them."""
    return {root / file: source.encode(source.lines) for file, source in changed.items()}
