"""What `python -m training tasks` does for `--history`, `--releases` and `--package-list`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import attrs
from rich.console import Console

from coe_lsp.errors import CoeError
from coe_lsp.execution.sandbox import Sandbox
from coe_lsp.folders import cache_folder
from training.bugs.bugs import SIZES, Bug, drop_repeated, save_bugs
from training.bugs.collect import Bounds, Collected, collect_history, collect_releases
from training.bugs.packages import Package
from training.files import resume_work


def bug_store() -> Path:
    """Where trees and environments are kept."""
    return cache_folder() / "bugs"


def write_bugs(
    packages: Sequence[Package],
    bounds: Bounds,
    sandbox: Sandbox,
    out: Path,
    console: Console,
    *,
    clones: Path | None = None,
) -> list[Bug]:
    """Collect the bugs of packages into a list; what a kill leaves is used again.

    Repositories are looked for below `clones`, by owner and name.
    """
    store = bug_store()

    def collect(left: Sequence[Package]) -> Generator[Any, None, None]:
        for package in left:
            with console.status("") as status:
                collected = _collect(package, store, sandbox, bounds, clones, status.update)
            if isinstance(collected, str):
                console.print(f"{package.name}: {collected}", markup=False, soft_wrap=True)
                yield []
                continue
            _tell(package.name, collected, console)
            yield [attrs.evolve(bug, split=package.split).dumps() for bug in collected.bugs]

    part = out.with_name(f"{out.name}.part")
    settings = [attrs.asdict(bounds), [attrs.asdict(package) for package in packages]]
    made = list(resume_work(part, settings, packages, collect))
    bugs = drop_repeated(Bug.loads(line) for lines in made for line in lines)
    save_bugs(out, bugs)
    part.unlink()
    return bugs


def write_history(
    repository: Path,
    python: str | None,
    bounds: Bounds,
    sandbox: Sandbox,
    out: Path,
    console: Console,
) -> list[Bug]:
    """The bugs that a user's own repository once had, as a list. BugError if there are none."""
    with console.status("") as status:
        collected = collect_history(
            repository.resolve(), python, bug_store(), sandbox, bounds, progress=status.update
        )
    _tell(repository.resolve().name, collected, console)
    save_bugs(out, collected.bugs)
    return list(collected.bugs)


def _collect(
    package: Package, store: Path, sandbox: Sandbox, bounds: Bounds, clones: Path | None, say: Any
) -> Collected | str:
    try:
        if package.is_repository:
            repository = (clones or Path()) / package.name
            return collect_history(
                repository, None, store, sandbox, bounds,
                name=package.name, needs=package.needs, progress=say,
            )  # fmt: skip
        return collect_releases(package.name, package.needs, store, sandbox, bounds, progress=say)
    except CoeError as error:
        return str(error)


def _tell(name: str, collected: Collected, console: Console) -> None:
    kinds = Counter(bug.kind for bug in collected.bugs)
    reasons = ", ".join(f"{count} {reason}" for reason, count in collected.dropped.most_common())
    console.print(
        f"{name}: {kinds['fault']} faults, {kinds['feature']} features"
        + (f"; left out: {reasons}" if reasons else ""),
        markup=False,
        soft_wrap=True,
    )
    for version, said in collected.versions.items():
        console.print(f"    {version[:12]}: {said[:160]}", markup=False, soft_wrap=True)


def summary(bugs: Sequence[Bug]) -> str:
    """How many there are, by kind, split and size, in Markdown."""
    faults = [bug for bug in bugs if bug.kind == "fault"]
    lines = [
        f"{len(faults)} faults and {len(bugs) - len(faults)} features "
        f"of {len({bug.origin.package for bug in bugs})} packages",
        "",
        "| split | packages | faults | " + " | ".join(SIZES) + " |",
        "| --- " * (3 + len(SIZES)) + "|",
    ]
    for split in dict.fromkeys(bug.split for bug in faults):
        some = [bug for bug in faults if bug.split == split]
        sizes = Counter(bug.size for bug in some)
        shares = " | ".join(f"{sizes[size]} ({sizes[size] / len(some):.0%})" for size in SIZES)
        packages = len({bug.origin.package for bug in some})
        lines.append(f"| {split or 'all'} | {packages} | {len(some)} | {shares} |")
    return "\n".join(lines)
