"""Lists of real bugs, and the tasks made of them, for the command line and for whole runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import attrs
from rich.console import Console

from coe_lsp.execution.sandbox import Sandbox
from coe_lsp.folders import cache_folder
from training.bugs.bugs import (
    SIZES,
    Bug,
    BugError,
    drop_repeated,
    load_bugs,
    projects,
    save_bugs,
)
from training.bugs.collect import (
    Bounds,
    Collected,
    Progress,
    collect_history,
    collect_releases,
)
from training.bugs.packages import Package, read_packages
from training.bugs.store import Store, own_store
from training.bugs.tasks import bug_tasks
from training.files import resume_work
from training.tasks.tasks import Cleaned

# For the commits of a user's own history.
_OWN_SECONDS = 1800.0


def bug_store() -> Path:
    """Where trees and environments are kept."""
    return cache_folder() / "bugs"


def write_bugs(
    packages: Sequence[Package],
    store: Store,
    bounds: Bounds,
    sandbox: Sandbox,
    out: Path,
    console: Console,
) -> list[Bug]:
    """Collect the bugs of packages into a list; what a kill leaves is used again."""

    def collect(left: Sequence[Package]) -> Generator[Any, None, None]:
        for package in left:
            with console.status("") as status:
                try:
                    collected = _collect(package, store, sandbox, bounds, status.update)
                except BugError as error:
                    console.print(f"{package.name}: {error}", markup=False, soft_wrap=True)
                    yield []
                    continue
            console.print(_told(package.name, collected), markup=False, soft_wrap=True)
            yield [attrs.evolve(bug, split=package.split).dumps() for bug in collected.bugs]

    part = out.with_name(f"{out.name}.part")
    settings = [attrs.asdict(bounds), [attrs.asdict(package) for package in packages]]
    made = list(resume_work(part, settings, packages, collect))
    bugs = drop_repeated(Bug.loads(line) for lines in made for line in lines)
    save_bugs(out, bugs)
    part.unlink()
    return bugs


def _collect(
    package: Package, store: Store, sandbox: Sandbox, bounds: Bounds, progress: Progress
) -> Collected:
    if package.is_repository:
        clone = store.clone(package.name)
        return collect_history(clone, package, store, sandbox, bounds, progress=progress)
    return collect_releases(package, store, sandbox, bounds, progress=progress)


def collect_own(
    repository: Path,
    store: Store,
    bounds: Bounds,
    sandbox: Sandbox,
    say: Callable[[str], None],
    progress: Progress,
) -> tuple[Package, Collected]:
    """The bugs that a user's own repository once had, and what it is called; says what was found.

    `store` is an `own_store`. BugError if there is no history.
    """
    package = Package(repository.resolve().name, "", ())
    collected = collect_history(
        repository.resolve(), package, store, sandbox, bounds, progress=progress
    )
    say(_told(package.name, collected))
    return package, collected


def own_bug_tasks(
    repository: Path,
    python: str | None,
    sandbox: Sandbox,
    say: Callable[[str], None],
    *,
    seconds: float,
    max_lines: int,
    progress: Progress,
) -> Cleaned:
    """The mended functions of a user's own history, as tasks. BugError if there is no history.

    Commits are looked at for half an hour, or so many `seconds` if they are less.
    """
    store = own_store(bug_store(), repository, python, sandbox)
    bounds = Bounds(faults=100, versions=200, seconds=min(_OWN_SECONDS, seconds))
    package, collected = collect_own(repository, store, bounds, sandbox, say, progress)
    faults = [bug for bug in collected.bugs if bug.kind == "fault"]
    return bug_tasks(faults, {package.name: package}, store, sandbox, max_lines=max_lines)


def listed_bug_tasks(
    name: str,
    clones: str | None,
    sandbox: Sandbox,
    *,
    max_lines: int,
    progress: Callable[[int, int], None],
) -> Cleaned:
    """The tasks of a list of bugs, named `path` or `path#split`."""
    path, _, split = name.partition("#")
    faults = [bug for bug in load_bugs(Path(path), split=split) if bug.kind == "fault"]
    packages = {package.name: package for package in read_packages()}
    store = Store(bug_store(), Path(clones) if clones else None)
    return bug_tasks(faults, packages, store, sandbox, max_lines=max_lines, progress=progress)


def _told(name: str, collected: Collected) -> str:
    """What was found in a package, in lines: how much, what was left out, and by version."""
    kinds = Counter(bug.kind for bug in collected.bugs)
    reasons = ", ".join(f"{count} {reason}" for reason, count in collected.dropped.most_common())
    head = f"{name}: {kinds['fault']} faults, {kinds['feature']} features"
    versions = [f"    {v[:12]}: {said[:160]}" for v, said in collected.versions.items()]
    return "\n".join([head + (f"; left out: {reasons}" if reasons else ""), *versions])


def summary(bugs: Sequence[Bug]) -> str:
    """How many there are, by kind, split and size, in Markdown."""
    faults = [bug for bug in bugs if bug.kind == "fault"]
    lines = [
        f"{len(faults)} faults and {len(bugs) - len(faults)} features "
        f"of {len(projects(bugs))} packages",
        "",
        "| split | packages | faults | " + " | ".join(SIZES) + " |",
        "| --- " * (3 + len(SIZES)) + "|",
    ]
    for split in dict.fromkeys(bug.split for bug in faults):
        some = [bug for bug in faults if bug.split == split]
        sizes = Counter(bug.size for bug in some)
        shares = " | ".join(f"{sizes[size]} ({sizes[size] / len(some):.0%})" for size in SIZES)
        packages = len(projects(some))
        lines.append(f"| {split or 'all'} | {packages} | {len(some)} | {shares} |")
    return "\n".join(lines)
