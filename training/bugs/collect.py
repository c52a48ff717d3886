"""Collects real bugs from a package's releases or a repository's commits, a version at a time.

Newest versions first, at most some changes of each, drawn at random, so that no version and no file
outweighs the others. What a version gave is kept when a kill interrupts the work.
"""

from __future__ import annotations

import itertools
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random

from attrs import evolve, field, frozen

from coe_lsp.errors import CoeError
from coe_lsp.execution.interpreter import Interpreter, find_interpreter, probe
from coe_lsp.execution.sandbox import Sandbox
from training.bugs.bugs import Bug, BugError, Origin
from training.bugs.changes import Change, find_changes, whole_change
from training.bugs.environments import link_environment, make_environment, packages_of
from training.bugs.harvest import NoUseError, find_bugs, read_sources, run_suite
from training.bugs.history import find_commits, read_texts, write_tree
from training.bugs.releases import fetch_release, find_releases, requirements

NOTHING_CHANGED = "nothing changed that runs"
_MOST_IN_VAIN = 3
#: Told what is being done, in words.
Progress = Callable[[str], None]


@frozen
class Bounds:
    """How much is taken: faults and features of a package, faults and tries of a version.

    `versions` of a package are looked at, newest first.
    """

    faults: int = 16
    features: int = 4
    faults_of_version: int = 5
    tries_of_version: int = 40
    versions: int = 14


@frozen
class Collected:
    """Bugs, and why other changes, or whole versions, gave none."""

    bugs: tuple[Bug, ...]
    dropped: Counter[str]
    versions: Mapping[str, str] = field(factory=dict[str, str])


def collect_releases(
    package: str,
    needs: Sequence[str],
    store: Path,
    sandbox: Sandbox,
    bounds: Bounds,
    *,
    seed: int = 0,
    progress: Progress = lambda text: None,
) -> Collected:
    """Bugs between successive releases. `store` keeps what is fetched and installed.

    `needs` is what the tests need besides what the package itself asks for. BugError if there are
    no releases or what they need cannot be installed.
    """
    releases = find_releases(package)
    pairs = list(itertools.pairwise(releases))[::-1][: bounds.versions]
    gather = _Gathering(bounds, Random(f"{package}{seed}"))
    for old, new in pairs:
        if gather.enough or gather.hopeless:
            break
        progress(f"{package} {new.version}")
        origin = Origin(package, new.version, old.version)
        try:
            then = read_sources(fetch_release(old, package, store / "trees"))
            with _copied(fetch_release(new, package, store / "trees")) as tree:
                now = read_sources(tree)
                changes = list(find_changes(then, now))
                if not changes:
                    raise NoUseError(NOTHING_CHANGED)
                packages = make_environment(
                    package, [*needs, *requirements(tree)], store / "environments"
                )
                beside = tree.parent / "environment"
                python = link_environment(tree, [packages], Path(sys.executable), beside)
                interpreter = probe(python, tree, sandbox)
                gather.add(tree, origin, changes, then, now, interpreter, sandbox)
        except (NoUseError, CoeError) as error:
            gather.give_up(new.version, str(error))
    return gather.collected


def collect_history(
    repository: Path,
    python: str | None,
    store: Path,
    sandbox: Sandbox,
    bounds: Bounds,
    *,
    name: str | None = None,
    needs: Sequence[str] | None = None,
    seed: int = 0,
    progress: Progress = lambda text: None,
) -> Collected:
    """Bugs that commits of a repository mended.

    The tests run in `python`, or in the interpreter that repairs of the repository would use; if
    `needs` is given, in an environment made of that, in `store`. BugError if there is no history.
    """
    commits = find_commits(repository)
    if not commits:
        raise BugError(f"No commit of {repository} changes both code and tests: nothing to learn.")
    package = name or repository.resolve().name
    if needs is None:
        own = find_interpreter(repository, python, sandbox)
        packages, made_from = packages_of(own), own.executable.resolve()
        if made_from.is_relative_to(repository.resolve()):
            raise BugError(f"{made_from} came with the repository: name another with --python.")
    else:
        packages = [make_environment(package, needs, store / "environments")]
        made_from = Path(sys.executable)
    gather = _Gathering(bounds, Random(f"{package}{seed}"))
    for commit in commits[: bounds.versions]:
        if gather.enough or gather.hopeless:
            break
        progress(f"{package} {commit.commit[:10]}")
        origin = Origin(package, commit.commit, commit.parent, name or "")
        with tempfile.TemporaryDirectory(prefix="coe-tree-") as folder:
            tree = Path(folder).resolve() / package.rpartition("/")[2]
            try:
                write_tree(repository, commit.commit, tree)
                now = read_sources(tree)
                paths = tuple(path for path in commit.sources if path in now)
                then = {**now, **read_texts(repository, commit.parent, paths)}
                whole = whole_change(then, now)
                changes = list(find_changes(then, now))
                if whole is None:
                    raise NoUseError(NOTHING_CHANGED)
                if whole.digest not in {change.digest for change in changes}:
                    changes.append(whole)
                beside = link_environment(tree, packages, made_from, tree.parent / "environment")
                interpreter = probe(beside, tree, sandbox)
                gather.add(tree, origin, changes, then, now, interpreter, sandbox)
            except (NoUseError, CoeError) as error:
                gather.give_up(commit.commit, str(error))
    return gather.collected


class _Gathering:
    """What has been found of a package so far, and whether that is enough."""

    def __init__(self, bounds: Bounds, random: Random) -> None:
        self._bounds, self._random = bounds, random
        self._bugs: list[Bug] = []
        self._dropped: Counter[str] = Counter()
        self._in_vain = 0  # versions in a row whose tests told nothing
        self.versions: dict[str, str] = {}

    @property
    def enough(self) -> bool:
        return self._count("fault") >= self._bounds.faults

    @property
    def hopeless(self) -> bool:
        """Whether the tests of some versions told nothing, so that older ones will not either."""
        return self._in_vain >= _MOST_IN_VAIN

    def give_up(self, version: str, reason: str) -> None:
        """A version is of no use."""
        self.versions[version] = reason
        self._in_vain += reason != NOTHING_CHANGED

    @property
    def collected(self) -> Collected:
        return Collected(tuple(self._bugs), self._dropped, self.versions)

    def _count(self, kind: str) -> int:
        return sum(bug.kind == kind for bug in self._bugs)

    def add(
        self,
        tree: Path,
        origin: Origin,
        changes: list[Change],
        then: Mapping[str, str],
        now: Mapping[str, str],
        interpreter: Interpreter,
        sandbox: Sandbox,
    ) -> None:
        """Try changes of one version until there are enough."""
        tested = run_suite(tree, interpreter, sandbox)
        self._in_vain = 0
        some = self._drawn(changes)
        found = find_bugs(
            tree, origin, some, then, now, tested, interpreter, sandbox, self._dropped
        )
        faults = 0
        for bug in self._wanted(found):
            self._bugs.append(bug)
            faults += bug.kind == "fault"
            if faults >= self._bounds.faults_of_version or self.enough:
                break
        self.versions[origin.after] = f"{faults} faults of {len(changes)} changes"

    def _drawn(self, changes: list[Change]) -> list[Change]:
        """Some at random, those of one file together, whole commits first."""
        some = [change for change in changes if change.unit != "commit"]
        self._random.shuffle(some)
        whole = [change for change in changes if change.unit == "commit"]
        return [*whole, *some][: self._bounds.tries_of_version]

    def _wanted(self, bugs: Iterator[Bug]) -> Iterator[Bug]:
        """Not too many features, and of a function (or the same lines) not more than two."""
        places: Counter[tuple[object, ...]] = Counter()
        for bug in bugs:
            place = (bug.files, bug.function or bug.hunk)
            places[place] += 1
            if bug.kind == "feature" and self._count("feature") >= self._bounds.features:
                self._dropped["a feature, of which there are enough"] += 1
            elif places[place] > 2:
                self._dropped["of a function that has two already"] += 1
            else:
                yield bug


class _copied:
    """A copy of a tree in a temporary folder, which tests and environments may fill."""

    def __init__(self, tree: Path) -> None:
        self._tree = tree

    def __enter__(self) -> Path:
        self._folder = tempfile.TemporaryDirectory(prefix="coe-tree-")
        copy = Path(self._folder.name).resolve() / self._tree.name
        shutil.copytree(self._tree, copy, symlinks=True)
        return copy

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


def split_of(package: str, splits: Mapping[str, Sequence[str]]) -> str:
    """The split that a package belongs to; BugError if none names it."""
    for split, packages in splits.items():
        if package in packages:
            return split
    raise BugError(f"No split names the package {package}.")


def with_split(bugs: Sequence[Bug], split: str) -> list[Bug]:
    """The bugs, said to be of that split."""
    return [evolve(bug, split=split) for bug in bugs]
