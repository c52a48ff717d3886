"""Source distributions of a package's releases, fetched as data: no code of theirs is run.

The index is the one that pip would use. Archives and unpacked trees are kept in a folder.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path

from attrs import frozen
from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version
from pypi_simple import DistributionPackage, NoSuchProjectError, PyPISimple
from requests import RequestException

from coe_lsp.files import read_text_bounded
from training.bugs.bugs import BugError

_MOST_UNPACKED = 200 << 20
_MOST_FILES = 20_000


@frozen
class Release:
    """A source distribution on the index."""

    version: str
    file: DistributionPackage


def find_releases(package: str) -> list[Release]:
    """All final releases that have a source distribution, oldest first; BugError if none has."""
    try:
        with _index() as index:
            files = index.get_project_page(package).packages
    except NoSuchProjectError as error:
        raise BugError(f"The package index has no package {package}.") from error
    except RequestException as error:
        raise BugError(f"The package index cannot be reached ({error}).") from error
    found: dict[Version, Release] = {}
    for file in files:
        if file.package_type != "sdist" or not file.version or file.is_yanked:
            continue
        if not file.filename.endswith((".tar.gz", ".tgz", ".tar.bz2", ".zip")):
            continue
        try:
            version = Version(file.version)
        except InvalidVersion:
            continue
        if not version.is_prerelease and not version.is_devrelease:
            found[version] = Release(file.version, file)
    if not found:
        raise BugError(f"The package {package} has no source distributions.")
    return [found[version] for version in sorted(found)]


def fetch_release(release: Release, package: str, folder: Path) -> Path:
    """The unpacked tree of a release below `folder`; fetched only if it is not there."""
    tree = folder / f"{package}-{release.version}"
    if tree.is_dir():
        return tree
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=folder) as scratch:
        archive = Path(scratch) / release.file.filename
        try:
            with _index() as index:
                index.download_package(release.file, archive)
        except (RequestException, OSError, ValueError) as error:
            raise BugError(f"{release.file.filename} cannot be fetched ({error}).") from error
        unpacked = Path(scratch) / "tree"
        try:
            unpack(archive, unpacked)
        except (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError) as error:
            raise BugError(f"{release.file.filename} cannot be unpacked ({error}).") from error
        tops = list(unpacked.iterdir())
        top = tops[0] if len(tops) == 1 and tops[0].is_dir() else unpacked
        shutil.move(top, tree)
    return tree


def unpack(archive: Path, target: Path) -> None:
    """Unpack without links, devices or names that lead out; BugError if it is far too large."""
    target.mkdir()
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as file:
            members = file.infolist()
            _bound(archive, len(members), sum(member.file_size for member in members))
            file.extractall(target)
        return
    with tarfile.open(archive) as file:
        plain = [member for member in file.getmembers() if member.isfile() or member.isdir()]
        _bound(archive, len(plain), sum(member.size for member in plain))
        file.extractall(target, plain, filter="data")


def requirements(tree: Path) -> list[str]:
    """What the package says it needs to run on this machine, without extras."""
    metadata = tree / "PKG-INFO"
    try:
        headers = HeaderParser().parsestr(read_text_bounded(metadata))
    except (OSError, UnicodeDecodeError):
        return []
    needed: list[str] = []
    for line in headers.get_all("Requires-Dist") or []:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            requirement.marker = None
            needed.append(str(requirement))
    return needed


def _bound(archive: Path, files: int, size: int) -> None:
    if files > _MOST_FILES or size > _MOST_UNPACKED:
        raise BugError(f"{archive.name} is too large: {files} files, {size >> 20} MiB.")


def _index() -> PyPISimple:
    address = os.environ.get("PIP_INDEX_URL")
    return PyPISimple(address) if address else PyPISimple()
