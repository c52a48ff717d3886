"""Commits of a git repository and the trees before and after them, without touching the repository.

Only git's own files are read; no hook, filter or other command that a repository names is run.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from attrs import frozen

from coe_lsp.execution.test_files import TestNames
from training.bugs.bugs import BugError
from training.bugs.changes import is_source

_SAFE = (
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.symlinks=false",
)


@frozen
class Commit:
    """A commit with one parent that changes source files and files of tests."""

    commit: str
    parent: str
    sources: tuple[str, ...]


def find_commits(repository: Path, *, most: int = 1000) -> list[Commit]:
    """Of the newest `most` commits those that can be taken back, newest first.

    BugError if there is no history.
    """
    log = _git(repository, "log", f"-{most}", "--no-merges", "--no-renames", "--name-status",
               "--diff-filter=ACDMT", "--format=%x00%H %P")  # fmt: skip
    names = TestNames(Path("/"))
    found: list[Commit] = []
    for entry in log.split("\0")[1:]:
        head, *lines = [line for line in entry.split("\n") if line]
        commit, *parents = head.split()
        if len(parents) != 1:
            continue
        changed = [line.split("\t", 1) for line in lines]
        sources = [path for status, path in changed if status == "M" and is_source(path)]
        tests = [path for _, path in changed if names.fits(Path("/") / path)]
        if sources and tests:
            found.append(Commit(commit, parents[0], tuple(sources)))
    return found


def read_texts(repository: Path, commit: str, paths: tuple[str, ...]) -> dict[str, str]:
    """Files as they are in a commit; those that are not UTF-8 are left out."""
    texts: dict[str, str] = {}
    for path in paths:
        data = _git_bytes(repository, "cat-file", "blob", f"{commit}:{path}")
        try:
            texts[path] = data.decode("utf-8")
        except UnicodeDecodeError:
            continue
    return texts


def write_tree(repository: Path, commit: str, target: Path) -> None:
    """Write all files of a commit into a folder, links as plain files."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="coe-index-") as scratch:
        index = {
            "GIT_DIR": _git(repository, "rev-parse", "--absolute-git-dir").strip(),
            "GIT_WORK_TREE": str(target),
            "GIT_INDEX_FILE": str(Path(scratch) / "index"),
        }
        _git(repository, "read-tree", commit, environment=index)
        _git(repository, "checkout-index", "--all", "--force", f"--prefix={target}/",
             environment=index)  # fmt: skip


def _git(repository: Path, *arguments: str, environment: dict[str, str] | None = None) -> str:
    return _git_bytes(repository, *arguments, environment=environment).decode("utf-8", "replace")


def _git_bytes(
    repository: Path, *arguments: str, environment: dict[str, str] | None = None
) -> bytes:
    command = ["git", *_SAFE, "-C", str(repository), *arguments]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", **(environment or {})},
        )
    except OSError as error:
        raise BugError(f"git cannot be run: {error.strerror}.") from error
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise BugError(f"{repository} has no usable git history ({(lines or ['?'])[-1]}).")
    return done.stdout
