"""What a project's files were like in its last commits, read from git's own objects.

A repository can name commands that git runs for it (filters, hooks, monitors, transports): what is
called here runs none of them, and writes nothing.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from coe_lsp.files import MOST_SOURCE

_SAFE = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")
_SECONDS = 5.0
_MOST_FILES = 300
# Where others' work comes together, the most telling name first.
_MAIN_BRANCHES = ("origin/HEAD", "origin/main", "origin/master", "main", "master")


def committed(root: Path, files: Sequence[str], revision: str) -> Mapping[str, bytes]:
    """Files, named relative to the root, as they are in a commit; those that it does not have are
    left out, and all if there is no repository, no such commit, or no git.
    """
    asked = [name for name in files if "\n" not in name][:_MOST_FILES]
    if not asked:
        return {}
    sizes = _ask(root, "--batch-check", asked, revision)
    small = [
        name
        for name, line in zip(asked, sizes.splitlines(), strict=False)
        if (head := line.split())[1:2] == [b"blob"] and int(head[2]) <= MOST_SOURCE
    ]
    return _blobs(_ask(root, "--batch", small, revision), small) if small else {}


def fork_point(root: Path) -> str | None:
    """The commit at which the current branch left the main one; None if that is not known.

    On the main branch itself it is the newest one that others have.
    """
    for name in _MAIN_BRANCHES:
        found = _git(root, "merge-base", "HEAD", name, given="").strip().decode("ascii", "replace")
        if found:
            return found
    return None


def _ask(root: Path, how: str, names: Sequence[str], revision: str) -> bytes:
    """What `git cat-file` says of some files, b'' if it fails."""
    return _git(root, "cat-file", how, given="".join(f"{revision}:./{name}\n" for name in names))


def _git(root: Path, *command: str, given: str) -> bytes:
    """What a command that only reads objects answers, b'' if it fails."""
    try:
        done = subprocess.run(
            ["git", *_SAFE, "-C", str(root), *command],
            input=os.fsencode(given),
            capture_output=True,
            check=False,
            timeout=_SECONDS,
            env=_environment(),
        )
    except (OSError, subprocess.TimeoutExpired):
        return b""
    return done.stdout if done.returncode == 0 else b""


def _environment() -> dict[str, str]:
    """Ours, but nothing is fetched and no other repository is meant."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {**kept, "GIT_ALLOW_PROTOCOL": "", "GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0"}


def _blobs(output: bytes, names: Sequence[str]) -> dict[str, bytes]:
    """The answers of `git cat-file --batch`, in the order in which they were asked for."""
    found: dict[str, bytes] = {}
    start = 0
    for name in names:
        end = output.find(b"\n", start)
        if end < 0:
            break
        head = output[start:end].split()
        start = end + 1
        if len(head) != 3 or not head[2].isdigit():  # "missing"
            continue
        size = int(head[2])
        if head[1] == b"blob":
            found[name] = output[start : start + size]
        start += size + 1
    return found
