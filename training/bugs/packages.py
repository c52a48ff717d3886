"""The list of packages that bugs and functions are taken from, by split, with what they need.

A TOML file has a table for each split; a key is a package on the index, or `owner/name` for a git
repository, and its value what the tests need besides what the package asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from coe_lsp.files import read_text_bounded
from coe_lsp.parsing import parse_toml
from training.bugs.bugs import BugError

PACKAGES = Path(__file__).parent / "packages.toml"


@frozen
class Package:
    """A package, or a repository if there is a slash in its name."""

    name: str
    split: str
    needs: tuple[str, ...]

    @property
    def is_repository(self) -> bool:
        """Whether bugs come from its commits."""
        return "/" in self.name


def read_packages(path: Path = PACKAGES) -> list[Package]:
    """All packages of a list, in its order. BugError for a file that is no list."""
    try:
        data: Mapping[str, Any] = parse_toml(read_text_bounded(path))
    except (OSError, ValueError) as error:
        raise BugError(f"The list of packages {path} cannot be read: {error}.") from error
    found: list[Package] = []
    for split, packages in data.items():
        if not isinstance(packages, Mapping) or not all(
            isinstance(needs, list) for needs in packages.values()
        ):
            raise BugError(f"{path}: [{split}] must have lists of requirements by package.")
        found += [Package(name, split, tuple(needs)) for name, needs in packages.items()]
    names = [package.name for package in found]
    if len(set(names)) < len(names):
        raise BugError(f"{path} names a package twice.")
    return found
