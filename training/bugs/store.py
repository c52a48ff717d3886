"""Where versions of packages come from: trees, texts of the version before, and interpreters.

Releases are fetched and kept, commits are read from a clone. Knows nothing of what is changed.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from attrs import frozen

from coe_lsp.execution.interpreter import Interpreter, find_interpreter
from coe_lsp.execution.sandbox import Sandbox
from coe_lsp.files import MOST_SOURCE, read_bounded
from training.bugs.bugs import BugError, Origin
from training.bugs.environments import link_environment, make_environment, packages_of
from training.bugs.history import read_texts, write_tree
from training.bugs.packages import Package
from training.bugs.releases import fetch_release, find_releases, requirements


@frozen
class Store:
    """Where trees and environments are kept, and below which folder clones of repositories are.

    With an `interpreter`, its packages are what tests need, as in a user's own repository.
    """

    folder: Path
    clones: Path | None = None
    interpreter: Interpreter | None = None

    def write_tree(self, origin: Origin, target: Path) -> None:
        """Write the newer of the two versions into a folder that does not exist. BugError."""
        if origin.repository:
            write_tree(self.clone(origin.repository), origin.after, target)
        else:
            tree = self._release(origin, origin.after)
            shutil.copytree(tree, target, symlinks=True)

    def read(self, origin: Origin, version: str, files: tuple[str, ...]) -> dict[str, str]:
        """The texts of some files in one of the two versions. BugError."""
        if origin.repository:
            return read_texts(self.clone(origin.repository), version, files)
        return tree_texts(self._release(origin, version), files)

    def link(self, package: Package, origin: Origin, tree: Path, folder: Path) -> Path:
        """Make an environment for a tree in `folder`; the interpreter in it. BugError."""
        if self.interpreter is not None:
            packages = packages_of(self.interpreter)
            python = self.interpreter.executable.resolve()
        else:
            needs = [*package.needs, *([] if package.is_repository else requirements(tree))]
            name = package.name.replace("/", "+")
            packages = [make_environment(name, needs, self.folder / "environments")]
            python = Path(sys.executable)
        name = package.name.rpartition("/")[2]
        version = "9999" if origin.repository else origin.after  # new enough for all
        return link_environment(tree, packages, python, folder, name=name, version=version)

    def keep_tree(self, package: Package, origin: Origin) -> tuple[Path, Path]:
        """The tree of the newer version, kept here, and an interpreter for its tests. BugError.

        Made again when the list says that its tests need something else.
        """
        folder = self.folder / "kept" / origin.name.replace("/", "+")
        root = folder / package.name.rpartition("/")[2]
        known = folder / "python"
        needs = json.dumps(package.needs)
        said = known.read_text(encoding="utf-8").split("\n") if known.exists() else []
        if said[1:] != [needs]:
            shutil.rmtree(folder, ignore_errors=True)
            self.write_tree(origin, root)
            python = self.link(package, origin, root, folder / "environment")
            said = [str(python), needs]
            known.write_text("\n".join(said), encoding="utf-8")
        return root, Path(said[0])

    def _release(self, origin: Origin, version: str) -> Path:
        kept = self.folder / "trees" / f"{origin.package}-{version}"
        if kept.is_dir():
            return kept
        for release in find_releases(origin.package):
            if release.version == version:
                return fetch_release(release, origin.package, self.folder / "trees")
        raise BugError(f"The package index has no source of {origin.package} {version} any more.")

    def clone(self, repository: str) -> Path:
        """Where a repository is. BugError if it is not there."""
        clone = (self.clones or Path()) / repository  # which may be a whole path
        if not clone.exists():
            raise BugError(
                f"{repository} is not cloned: put it into a folder of that name, and name the "
                "folder above with --clones."
            )
        return clone


def own_store(folder: Path, repository: Path, python: str | None, sandbox: Sandbox) -> Store:
    """A store for a user's own repository, whose tests run with what its interpreter has.

    BugError if that came with the repository: it is not run outside the sandbox.
    """
    interpreter = find_interpreter(repository, python, sandbox)
    real = interpreter.executable.resolve()
    if real.is_relative_to(repository.resolve()):
        raise BugError(f"{real} came with the repository: name another Python with --python.")
    return Store(folder, None, interpreter)


def tree_texts(tree: Path, files: tuple[str, ...]) -> dict[str, str]:
    """The texts of those files that a tree has. BugError if one is no text in UTF-8."""
    try:
        return {
            path: read_bounded(tree / path, MOST_SOURCE).decode("utf-8")
            for path in files
            if (tree / path).is_file()
        }
    except (OSError, UnicodeDecodeError) as error:
        raise BugError(f"{tree.name} cannot be read: {error}.") from error
