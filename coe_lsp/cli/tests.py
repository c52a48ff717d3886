"""`coe-lsp tests`: what would run for a file, what fails, and which functions are suspect."""

from __future__ import annotations

import argparse
from pathlib import Path

from coe_lsp.cli import interrupts
from coe_lsp.cli.settings import settings_for
from coe_lsp.cli.view import failure_text, missing_text, plain_console
from coe_lsp.errors import CoeError
from coe_lsp.execution.discovery import find_root
from coe_lsp.execution.project import Project
from coe_lsp.repair.target.baseline import measure
from coe_lsp.repair.target.source import SourceFile, locate


def tests(path: Path, options: argparse.Namespace) -> int:
    """Run the command; exit status 0 if all tests pass, 1 if some fail."""
    console = plain_console()
    path = locate(path)
    source = SourceFile.read(path)
    root = find_root(path)
    settings = settings_for(options, root)
    project = Project.open(path, settings.project_options())
    interpreter = project.interpreter
    version = ".".join(map(str, interpreter.version))
    console.print(
        f"{interpreter.executable} (Python {version}), project {root}", style="dim", markup=False
    )
    for suite in project.suites:
        names = ", ".join(suite.args or suite.statements or (path.name,))
        console.print(f"{suite.kind}: {names}", markup=False)
    with project.start_runner() as runner, interrupts.ending(runner.cancel):
        baseline = measure(runner, source)
    if not baseline.results:
        raise CoeError(f"No test could be run: {baseline.detail or 'none were collected'}.")
    console.print(f"{baseline.passed} passed, {len(baseline.failing)} failed")
    if missing := missing_text(baseline):
        console.print(missing, style="yellow", markup=False)
    for failure in baseline.failing:
        console.print(failure_text(failure))
    for function in baseline.suspects()[:3]:
        score = baseline.localization.score(function.first, function.last)[0]
        console.print(f"  suspect: {function.name} (line {function.first}, score {score:.2f})")
    return 1 if baseline.failing or baseline.missing else 0
