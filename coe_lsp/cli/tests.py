"""`coe-lsp tests`: what would run, what fails, and which functions are suspect, and why."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from coe_lsp.cli import interrupts
from coe_lsp.cli.settings import way_and_settings
from coe_lsp.cli.view import failure_text, missing_text, plain_console, show_scouted
from coe_lsp.errors import CoeError
from coe_lsp.execution.project import Project, ProjectOptions
from coe_lsp.repair.scout import reason_in_file, scout
from coe_lsp.repair.target.baseline import measure
from coe_lsp.repair.target.source import Function, SourceFile, relative
from coe_lsp.repair.way_in import WayIn

_SHOWN = 5


def tests(options: argparse.Namespace) -> int:
    """Run the command; exit status 0 if all tests pass, 1 if some fail."""
    console = plain_console()
    way, settings = way_and_settings(options)
    if way.path is None:
        return _named_tests(console, way, settings.project_options())
    return _tests_of_file(console, way.path, way.function, settings.project_options())


def _named_tests(console: Console, way: WayIn, options: ProjectOptions) -> int:
    """Tests that were named: which fail, and the suspect places of the whole project."""
    files = tuple(dict.fromkeys(test.partition("::")[0] for test in way.tests))
    project = Project.of_tests(way.root, files, options)
    _show_project(console, project)
    with project.start_runner() as runner, interrupts.ending(runner.cancel):
        found = scout(way.root, runner, way.tests, runner.limits.wall_seconds)
    show_scouted(console, found)
    for place in found.places()[:_SHOWN]:
        _show_suspect(console, place.file, place.function, place.reason)
    return 1 if found.targets or found.missing else 0


def _tests_of_file(
    console: Console, path: Path, function: str | None, options: ProjectOptions
) -> int:
    """The tests of a source file: which fail, and its suspect functions.

    Of a function that was named only whether it is there matters: which tests reach it, no one
    knows before they run.
    """
    source = SourceFile.read(path)
    if function is not None:
        source.find(function)
    project = Project.open(path, options)
    _show_project(console, project)
    with project.start_runner() as runner, interrupts.ending(runner.cancel):
        baseline = measure(runner, source)
    if not baseline.results:
        raise CoeError(f"No test could be run: {baseline.detail or 'none were collected'}.")
    console.print(f"{baseline.passed} passed, {len(baseline.failing)} failed")
    if missing := missing_text(baseline):
        console.print(missing, style="yellow", markup=False)
    for failure in baseline.failing:
        console.print(failure_text(failure))
    file = relative(path, project.root)
    for suspect in baseline.suspects()[:3]:
        reason = reason_in_file(baseline, suspect, file, project.root)
        _show_suspect(console, file, suspect, reason)
    return 1 if baseline.failing or baseline.missing else 0


def _show_suspect(console: Console, file: str, function: Function, reason: str) -> None:
    why = f": {reason}" if reason else ""
    console.print(f"  suspect: {function.name} ({file}:{function.first}){why}", markup=False)


def _show_project(console: Console, project: Project) -> None:
    interpreter = project.interpreter
    version = ".".join(map(str, interpreter.version))
    console.print(
        f"{interpreter.executable} (Python {version}), project {project.root}",
        style="dim",
        markup=False,
    )
    for suite in project.suites:
        of_file = (project.path.name,) if project.path else ("all tests",)
        names = ", ".join(suite.args or suite.statements or of_file)
        console.print(f"{suite.kind}: {names}", markup=False)
