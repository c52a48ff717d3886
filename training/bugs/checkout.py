"""Makes a bug's program again: the version's tree with the change taken back, and its interpreter.

Trees and environments come from a store that is filled when they are first asked for. What is made
is checked against the digest in the list, so that a bug is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from training.bugs.bugs import Bug, BugError
from training.bugs.changes import Change, find_changes, whole_change
from training.bugs.packages import Package
from training.bugs.store import Store, tree_texts


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
    fixed = tree_texts(root, bug.files)
    faulty = taken_back(bug, store, fixed).files
    python = store.link(package, bug.origin, root, folder.resolve() / "environment")
    checkout = Checkout(bug, root, python, fixed, faulty)
    checkout.write(faulty)
    return checkout


def taken_back(bug: Bug, store: Store, fixed: Mapping[str, str]) -> Change:
    """The change that makes the bug, found again. `fixed` are the texts of its files.

    BugError if there is no such change any more.
    """
    before = store.read(bug.origin, bug.origin.before, bug.files)
    whole = whole_change(before, fixed)
    for change in (*find_changes(before, fixed), *([whole] if whole else [])):
        if change.digest == bug.digest:
            return change
    raise BugError(f"{bug.bug_id} is not what it was when it was found: its sources differ.")
