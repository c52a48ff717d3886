"""`coe-lsp demo`: repairs the example project's bugs one after the other and tells how it went.

The project is copied to a temporary folder. The model is loaded once. Repairs are applied to the
copy; a bug that resists stays, and the table says so.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from importlib import resources
from pathlib import Path

from attrs import frozen
from rich.console import Console
from rich.table import Column, Table

from coe_lsp.cli.progress import BarProgress
from coe_lsp.cli.repair import run, write
from coe_lsp.cli.settings import settings_for
from coe_lsp.cli.view import RepairView, plain_console, plural, show_outcome
from coe_lsp.errors import CoeError
from coe_lsp.repair.outcome import Outcome
from coe_lsp.repair.policy.loading import ModelOptions, llama_policy
from coe_lsp.repair.policy.protocol import LoadedPolicy
from coe_lsp.repair.policy.second import rewriter, second_model
from coe_lsp.repair.repair import Repair
from coe_lsp.repair.way_in import way_of
from coe_lsp.settings import Settings

# A test that needs two functions may have had the second one repaired along with the first.
_DONE = {"repaired": "[green]yes[/]", "already_passing": "[green]with another[/]"}


@frozen
class Bug:
    """One of the project's bugs: where it is (FILE::FUNCTION) and of what kind."""

    target: str
    kind: str


def demo(options: argparse.Namespace) -> int:
    """Run the demo; exit status 0 if at least one bug was repaired."""
    console = plain_console()
    settings = settings_for(options, None)
    model = settings.model_options(options.seed)
    with (
        resources.as_file(resources.files("coe_lsp") / "demo") as folder,
        tempfile.TemporaryDirectory(prefix="coe-demo-") as copy,
    ):
        bugs = [Bug(**entry) for entry in json.loads((folder / "bugs.json").read_text())]
        bugs = [bug for bug in bugs if (options.only or "") in bug.target]
        if not bugs:
            raise CoeError(f"No bug of the demo has {options.only!r} in its name.")
        project = Path(copy) / "project"
        shutil.copytree(folder / "project", project, ignore=shutil.ignore_patterns("__pycache__"))
        with BarProgress() as progress, _loaded(model, progress) as loaded:
            name = loaded.model.name if loaded else "no model"
            console.print(f"{plural(len(bugs), 'bug')}, {name}, up to {settings.budget:g} s each")
            rows = [
                (bug, _repair(console, project, bug, loaded, settings, progress)) for bug in bugs
            ]
    show_summary(console, rows)
    return 0 if any(outcome.status == "repaired" for _, outcome in rows) else 1


@contextmanager
def _loaded(model: ModelOptions, progress: BarProgress) -> Generator[LoadedPolicy | None]:
    if model.without_model:
        yield None
    else:
        with llama_policy(model, progress) as loaded:
            yield loaded


def _repair(
    console: Console,
    project: Path,
    bug: Bug,
    loaded: LoadedPolicy | None,
    settings: Settings,
    progress: BarProgress,
) -> Outcome:
    file, _, function = bug.target.partition("::")
    console.rule(f"{bug.target}")
    request = settings.request(way_of(project / file, function))
    second = second_model(settings.model_options())
    load_second = None if second is None else lambda: rewriter(second)

    started = time.monotonic()
    with RepairView(console) as view:
        load = loaded and (lambda: nullcontext(loaded))
        outcome = run(Repair(request, load, view, load_second=load_second), progress)
    show_outcome(console, outcome)
    if outcome.patches:
        write(outcome)
    console.print(f"{time.monotonic() - started:.1f} s in all", style="dim", highlight=False)
    return outcome


def show_summary(console: Console, rows: list[tuple[Bug, Outcome]]) -> None:
    """Which bugs were repaired, and what that took."""
    names = [bug.target.partition("::")[2] for bug, _ in rows]
    function = Column("function", min_width=max(map(len, names)))  # the others may be narrow
    table = Table(function, "bug", "repaired", "seconds", "programs", title="coe-lsp demo")
    for name, (bug, outcome) in zip(names, rows, strict=True):
        table.add_row(
            name,
            bug.kind,
            _DONE.get(outcome.status, "[red]no[/]"),
            f"{outcome.seconds.total:.1f}",
            str(outcome.attempts),
        )
    console.print(table)
    repaired = sum(outcome.status in _DONE for _, outcome in rows)
    console.print(f"{repaired} of {len(rows)} repaired, each proved by the project's own tests.")
