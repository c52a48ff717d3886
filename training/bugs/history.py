"""Commits of a git repository and the trees before and after them, without touching the repository.

Only git's own files are read; no hook, filter or other command that a repository names is run.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from attrs import frozen

from coe_lsp.execution.test_files import TestNames
from training.bugs.bugs import BugError
from training.bugs.changes import is_source

# What comes before a blob: its name, kind and size.
_HEAD_BYTES = 200
_SAFE = (
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.fsmonitor=false",
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
    """Write all files of a commit into a folder, links as plain files.

    From the stored blobs, since a checkout runs whatever filters the repository's settings name.
    BugError also if a path leads out of the folder.
    """
    target.mkdir(parents=True, exist_ok=True)
    listed = _git_bytes(repository, "ls-tree", "-r", "-z", "--full-tree", commit)
    entries = [entry.partition(b"\t") for entry in listed.split(b"\0") if entry]
    blobs = [(head.split(), os.fsdecode(name)) for head, _, name in entries]
    blobs = [(head, name) for head, name in blobs if head[1] == b"blob"]
    asked = b"".join(head[2] + b"\n" for head, _ in blobs)
    left = memoryview(_git_bytes(repository, "cat-file", "--batch", given=asked))
    for (mode, _, _), name in blobs:
        line, _, _ = bytes(left[:_HEAD_BYTES]).partition(b"\n")
        start, length = len(line) + 1, line.rpartition(b" ")[2]
        if not length.isdigit():  # "missing", in a clone that has not fetched everything
            raise BugError(f"{repository} has not all of its files here: fetch them.")
        size = int(length)
        path = target / name
        if ".." in path.parts or not path.is_relative_to(target):
            raise BugError(f"{repository} has a file that leads out of it: {name!r}.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(left[start : start + size])
        if mode == b"100755":
            path.chmod(0o755)
        left = left[start + size + 1 :]


def _git(repository: Path, *arguments: str) -> str:
    return _git_bytes(repository, *arguments).decode("utf-8", "replace")


def _git_bytes(repository: Path, *arguments: str, given: bytes = b"") -> bytes:
    command = ["git", *_SAFE, "-C", str(repository), *arguments]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            check=False,
            input=given,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except OSError as error:
        raise BugError(f"git cannot be run: {error.strerror}.") from error
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise BugError(f"{repository} has no usable git history ({(lines or ['?'])[-1]}).")
    return done.stdout
