"""Collects real bugs from a package's releases or a repository's commits, a version at a time.

Newest versions first, at most some changes of each, drawn at random, so that no version and no file
outweighs the others. What a version gave is kept when a kill interrupts the work.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random

from attrs import field, frozen

from coe_lsp.errors import CoeError
from coe_lsp.execution.interpreter import probe
from coe_lsp.execution.sandbox import Sandbox
from training.bugs.bugs import Bug, BugError, Origin
from training.bugs.changes import Change, find_changes, whole_change
from training.bugs.harvest import NoUseError, find_bugs, read_sources, run_suite
from training.bugs.history import find_commits
from training.bugs.packages import Package
from training.bugs.releases import find_releases
from training.bugs.store import Store

_NOTHING_CHANGED = "nothing changed that runs"
_MOST_IN_VAIN = 3
#: Told what is being done, in words.
Progress = Callable[[str], None]


@frozen
class Bounds:
    """How much is taken: faults and features of a package, faults and tries of a version.

    `versions` of a package are looked at, newest first, for about `seconds`.
    """

    faults: int = 9
    features: int = 2
    faults_of_version: int = 5
    tries_of_version: int = 24
    versions: int = 14
    seconds: float = 240.0


@frozen
class Collected:
    """Bugs, and why other changes, or whole versions, gave none."""

    bugs: tuple[Bug, ...]
    dropped: Counter[str]
    versions: Mapping[str, str] = field(factory=dict[str, str])


def collect_releases(
    package: Package,
    store: Store,
    sandbox: Sandbox,
    bounds: Bounds,
    progress: Progress = lambda text: None,
) -> Collected:
    """Bugs between successive releases. BugError if there are none to be had."""
    pairs = list(itertools.pairwise(find_releases(package.name)))[::-1]
    origins = [(Origin(package.name, new.version, old.version), None) for old, new in pairs]
    return _gather(origins, _Gathering(package, store, sandbox, bounds), progress)


def collect_history(
    repository: Path,
    package: Package,
    store: Store,
    sandbox: Sandbox,
    bounds: Bounds,
    progress: Progress = lambda text: None,
) -> Collected:
    """Bugs that commits of a repository mended. BugError if there is no history."""
    commits = find_commits(repository)
    if not commits:
        raise BugError(f"No commit of {repository} changes both code and tests: nothing to learn.")
    name = package.name if store.interpreter is None else str(repository)
    origins = [
        (Origin(package.name, commit.commit, commit.parent, name), commit.sources)
        for commit in commits
    ]
    return _gather(origins, _Gathering(package, store, sandbox, bounds), progress)


def _gather(
    origins: Sequence[tuple[Origin, tuple[str, ...] | None]],
    gathering: _Gathering,
    progress: Progress,
) -> Collected:
    """Try versions, newest first; beside each the files that it changed, if it is a commit."""
    for origin, sources in origins[: gathering.bounds.versions]:
        if gathering.enough or gathering.hopeless:
            break
        progress(origin.name)
        gathering.add(origin, sources)
    return gathering.collected


class _Gathering:
    """What has been found of a package so far, and whether that is enough."""

    def __init__(self, package: Package, store: Store, sandbox: Sandbox, bounds: Bounds) -> None:
        self._package, self._store, self._sandbox = package, store, sandbox
        self.bounds = bounds
        self._random = Random(package.name)  # the same changes are tried each time
        self._bugs: list[Bug] = []
        self._dropped: Counter[str] = Counter()
        self._end = time.monotonic() + bounds.seconds
        self._in_vain = 0  # versions in a row whose tests told nothing
        self._versions: dict[str, str] = {}

    @property
    def enough(self) -> bool:
        late = time.monotonic() > self._end
        return late or self._count("fault") >= self.bounds.faults

    @property
    def hopeless(self) -> bool:
        """Whether the tests of some versions told nothing, so that older ones will not either."""
        return self._in_vain >= _MOST_IN_VAIN

    @property
    def collected(self) -> Collected:
        return Collected(tuple(self._bugs), self._dropped, self._versions)

    def _count(self, kind: str) -> int:
        return sum(bug.kind == kind for bug in self._bugs)

    def add(self, origin: Origin, sources: tuple[str, ...] | None) -> None:
        """Try changes of one version until there are enough.

        `sources` are the files that a commit changed: then all of it is a change as well.
        """
        with tempfile.TemporaryDirectory(prefix="coe-tree-") as folder:
            beside = Path(folder).resolve()
            tree = beside / self._package.name.rpartition("/")[2]
            try:
                self._store.write_tree(origin, tree)
                self._try(origin, sources, tree, beside)
            except (NoUseError, CoeError) as error:
                self._versions[origin.after] = str(error)
                self._in_vain += str(error) != _NOTHING_CHANGED

    def _try(
        self, origin: Origin, sources: tuple[str, ...] | None, tree: Path, beside: Path
    ) -> None:
        now = read_sources(tree)
        paths = tuple(now) if sources is None else tuple(path for path in sources if path in now)
        then = {**now, **self._store.read(origin, origin.before, paths)}
        changes = list(find_changes(then, now))
        if sources is not None and (whole := whole_change(then, now)):
            known = {change.digest for change in changes}
            changes += [whole] if whole.digest not in known else []
        if not changes:
            raise NoUseError(_NOTHING_CHANGED)
        python = self._store.link(self._package, origin, tree, beside / "environment")
        interpreter = probe(python, tree, self._sandbox)
        tested = run_suite(tree, interpreter, self._sandbox)
        self._in_vain = 0
        faults = 0
        for bug in self._wanted(
            find_bugs(
                tree, origin, self._drawn(changes), then, now, tested, interpreter, self._sandbox,
                self._dropped,
            )
        ):  # fmt: skip
            self._bugs.append(bug)
            faults += bug.kind == "fault"
            if faults >= self.bounds.faults_of_version or self.enough:
                break
        self._versions[origin.after] = f"{faults} faults of {len(changes)} changes"

    def _drawn(self, changes: list[Change]) -> list[Change]:
        """Some at random, those of one file together, whole commits first."""
        some = [change for change in changes if change.unit != "commit"]
        self._random.shuffle(some)
        whole = [change for change in changes if change.unit == "commit"]
        return [*whole, *some][: self.bounds.tries_of_version]

    def _wanted(self, bugs: Iterator[Bug]) -> Iterator[Bug]:
        """Not too many features, and of a function (or the same lines) not more than two."""
        places: Counter[tuple[object, ...]] = Counter()
        for bug in bugs:
            place = (bug.files, bug.function or bug.hunk)
            places[place] += 1
            if bug.kind == "feature" and self._count("feature") >= self.bounds.features:
                self._dropped["a feature, of which there are enough"] += 1
            elif places[place] > 2:
                self._dropped["of a function that has two already"] += 1
            else:
                yield bug
