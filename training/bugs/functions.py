"""Covered functions of listed packages: the newest version of each, harvested as tasks.

The trees stay in the store, since a task's tests run there. What is broken in the functions is not
decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import attrs
from attrs import evolve

from coe_lsp.errors import CoeError
from coe_lsp.execution.interpreter import probe
from coe_lsp.execution.sandbox import Sandbox
from training.bugs.bugs import BugError, Origin, project_name
from training.bugs.history import find_commits
from training.bugs.packages import Package
from training.bugs.releases import find_releases
from training.bugs.store import Store
from training.files import resume_work
from training.tasks.harvest import HarvestProgress, harvest_project
from training.tasks.tasks import Cleaned, Task, save_tasks


def write_functions(
    packages: Sequence[Package],
    store: Store,
    sandbox: Sandbox,
    out: Path,
    say: Callable[[str], None],
    *,
    max_lines: int,
    most: int,
    progress: HarvestProgress = lambda path, number, files: None,
) -> list[Task]:
    """Write the tasks of all packages, up to `most` each; what a kill leaves is used again.

    A package that cannot be had, or whose tests say nothing, is told of and left out, a repository
    if it is on the list as a package as well.
    """
    released = {project_name(p.name) for p in packages if not p.is_repository}
    packages = [p for p in packages if not p.is_repository or project_name(p.name) not in released]

    def work(left: Sequence[Package]) -> Generator[Any, None, None]:
        for package in left:
            try:
                found = harvest_functions(
                    package, store, sandbox, max_lines=max_lines, most=most, progress=progress
                )
            except CoeError as error:
                say(f"{package.name}: {error}")
                yield []
                continue
            reasons = ", ".join(f"{count} {why}" for why, count in found.dropped.most_common())
            say(f"{package.name}: {len(found.tasks)} functions; left out: {reasons or 'none'}")
            yield [task.dumps() for task in found.tasks]

    part = out.with_name(f"{out.name}.part")
    settings = [max_lines, most, [attrs.asdict(package) for package in packages]]
    made = list(resume_work(part, settings, packages, work))
    tasks = [Task.loads(line) for lines in made for line in lines]
    save_tasks(out, tasks)
    part.unlink()
    return tasks


def harvest_functions(
    package: Package,
    store: Store,
    sandbox: Sandbox,
    *,
    max_lines: int,
    most: int,
    progress: HarvestProgress = lambda path, number, files: None,
) -> Cleaned:
    """Up to `most` functions of a package's newest version.

    BugError or TaskError if there are none.
    """
    origin = _newest(package, store)
    root, python = store.keep_tree(package, origin)
    found = harvest_project(
        root,
        probe(python, root, sandbox),
        sandbox,
        max_lines=max_lines,
        most=most,
        random=Random(package.name),
        progress=progress,
    )
    tasks = [
        evolve(
            task,
            task_id=f"{origin.name}/{task.task_id.partition('/')[2]}",
            source=package.name,
            split=package.split,
        )
        for task in found.tasks
    ]
    return Cleaned(tuple(tasks), found.dropped)


def _newest(package: Package, store: Store) -> Origin:
    if not package.is_repository:
        version = find_releases(package.name)[-1].version
        return Origin(package.name, version, version)
    commits = find_commits(store.clone(package.name))
    if not commits:
        raise BugError(f"The repository {package.name} has no commits with tests.")
    newest = commits[0]
    return Origin(package.name, newest.commit, newest.parent, package.name)
