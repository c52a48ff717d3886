"""`coe-lsp tests`: what would run for a file, what fails, and which functions are suspect."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from coe_lsp.cli.view import failure_text
from coe_lsp.errors import CoeError
from coe_lsp.execution.discovery import find_root, suites_for
from coe_lsp.execution.interpreter import find_interpreter
from coe_lsp.execution.sandbox import find_sandbox
from coe_lsp.repair.source import SourceFile
from coe_lsp.repair.verify import TestBench, measure


def tests(path: Path, options: argparse.Namespace) -> int:
    """Run the command; exit status 0 if all tests pass, 1 if some fail."""
    console = Console(highlight=False)
    path = path.resolve()
    if not path.is_file():
        raise CoeError(f"There is no file {options.target}.")
    source = SourceFile.read(path)
    root = find_root(path)
    interpreter = find_interpreter(root, options.python)
    suites = suites_for(path, root, interpreter, options.tests)
    version = ".".join(map(str, interpreter.version))
    console.print(f"{interpreter.executable} (Python {version}), project {root}", style="dim")
    for suite in suites:
        console.print(f"{suite.kind}: {', '.join(suite.args or suite.statements or (path.name,))}")
    with TestBench(suites, interpreter, find_sandbox(options.sandbox)) as bench:
        baseline = measure(bench, source)
    if not baseline.results:
        raise CoeError(f"No test could be run: {baseline.detail or 'none were collected'}.")
    console.print(f"{baseline.passed} passed, {len(baseline.failing)} failed")
    for failure in baseline.failing:
        console.print(failure_text(failure))
    for function in baseline.suspects()[:3]:
        score = baseline.suspicion.score(function.first, function.last)[0]
        console.print(f"  suspect: {function.name} (line {function.first}, score {score:.2f})")
    return 1 if baseline.failing else 0
