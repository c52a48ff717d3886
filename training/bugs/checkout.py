"""Makes a bug's program again: the version's tree with the change taken back, and its interpreter.

Trees and environments come from a store that is filled when they are first asked for. What is made
is checked against the digest in the list, so that a bug is the same everywhere.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from coe_lsp.files import MOST_SOURCE, read_bounded
from training.bugs.bugs import Bug, BugError, Origin
from training.bugs.changes import Change, find_changes, whole_change
from training.bugs.environments import link_environment, make_environment
from training.bugs.history import read_texts, write_tree
from training.bugs.packages import Package
from training.bugs.releases import fetch_release, find_releases, requirements


@frozen
class Store:
    """Where trees and environments are kept, and below which folder clones of repositories are."""

    folder: Path
    clones: Path | None = None

    def write_tree(self, origin: Origin, target: Path) -> None:
        """Write the newer of the two versions into a folder that does not exist. BugError."""
        if origin.repository:
            write_tree(self._clone(origin), origin.after, target)
        else:
            tree = self._release(origin, origin.after)
            shutil.copytree(tree, target, symlinks=True)

    def read_before(self, origin: Origin, files: tuple[str, ...]) -> dict[str, str]:
        """The texts of some files in the older version. BugError."""
        if origin.repository:
            return read_texts(self._clone(origin), origin.before, files)
        return _texts(self._release(origin, origin.before), files)

    def environment(self, package: Package, tree: Path) -> Path:
        """The folder of what a version of the package needs, for the tests too. BugError."""
        needs = [*package.needs, *([] if package.is_repository else requirements(tree))]
        return make_environment(package.name.replace("/", "+"), needs, self.folder / "environments")

    def _release(self, origin: Origin, version: str) -> Path:
        kept = self.folder / "trees" / f"{origin.package}-{version}"
        if kept.is_dir():
            return kept
        for release in find_releases(origin.package):
            if release.version == version:
                return fetch_release(release, origin.package, self.folder / "trees")
        raise BugError(f"The package index has no source of {origin.package} {version} any more.")

    def _clone(self, origin: Origin) -> Path:
        clone = (self.clones or Path()) / origin.repository
        if self.clones is None or not clone.exists():
            raise BugError(
                f"{origin.package} needs a clone of {origin.repository} in a folder of that name: "
                "name the folder above with --clones."
            )
        return clone


@frozen
class Checkout:
    """A bug as a project on disk: the faulty tree in `root`, run by `python`.

    `fixed` and `faulty` are the texts of the files that differ, by path relative to `root`.
    """

    bug: Bug
    root: Path
    python: Path
    fixed: Mapping[str, str]
    faulty: Mapping[str, str]

    def write(self, texts: Mapping[str, str]) -> None:
        """Put texts into the tree."""
        for path, text in texts.items():
            (self.root / path).write_bytes(text.encode())


def check_out(bug: Bug, package: Package, store: Store, folder: Path) -> Checkout:
    """Make the bug's project below an empty `folder`.

    BugError if something cannot be had, or is not what it was when the bug was found.
    """
    # Beside the project's folder, and by a plain name, as a user has it.
    root = folder.resolve() / package.name.rpartition("/")[2]
    store.write_tree(bug.origin, root)
    fixed = _texts(root, bug.files)
    faulty = taken_back(bug, store, fixed).files
    packages = store.environment(package, root)
    python = link_environment(
        root, [packages], Path(sys.executable), folder.resolve() / "environment"
    )
    checkout = Checkout(bug, root, python, fixed, faulty)
    checkout.write(faulty)
    return checkout


def taken_back(bug: Bug, store: Store, fixed: Mapping[str, str]) -> Change:
    """The change that makes the bug, found again. `fixed` are the texts of its files.

    BugError if there is no such change any more.
    """
    before = store.read_before(bug.origin, bug.files)
    whole = whole_change(before, fixed)
    for change in (*find_changes(before, fixed), *([whole] if whole else [])):
        if change.digest == bug.digest:
            return change
    raise BugError(f"{bug.bug_id} is not what it was when it was found: its sources differ.")


def _texts(root: Path, files: tuple[str, ...]) -> dict[str, str]:
    try:
        return {path: read_bounded(root / path, MOST_SOURCE).decode("utf-8") for path in files}
    except (OSError, UnicodeDecodeError) as error:
        raise BugError(f"{root.name} cannot be read: {error}.") from error
