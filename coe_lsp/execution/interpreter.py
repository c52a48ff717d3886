"""Finds the Python that runs the user's tests, and what that Python needs to see of the disk.

The interpreter is asked about itself by running it on a short script of ours. It is never changed
and nothing is installed into it.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from coe_lsp.errors import CoeError

_PROBE = """
import json, site, sys, sysconfig
from importlib.util import find_spec
print(json.dumps({
    "executable": sys.executable,
    "version": list(sys.version_info[:3]),
    "prefixes": [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix],
    "path": [p for p in sys.path if p],
    "user_base": site.getuserbase() if site.ENABLE_USER_SITE else None,
    "pytest": find_spec("pytest") is not None,
}))
"""


class InterpreterError(CoeError):
    """No usable Python for the user's project."""


@frozen
class Interpreter:
    """A Python that can run the worker; `folders` are those that it and its packages live in."""

    executable: Path
    version: tuple[int, int, int]
    folders: tuple[Path, ...]
    user_base: str | None
    has_pytest: bool


def find_interpreter(root: Path, explicit: str | None = None) -> Interpreter:
    """The named interpreter, or the first that the project offers: its own virtual environment, the
    active one, then `python3` on PATH, then our own, preferring one that has pytest.
    """
    if explicit is not None:
        found = shutil.which(explicit) or explicit
        path = Path(found)
        if path.is_dir():
            path = _in_environment(path) or path
        return probe(path.absolute())
    first: Interpreter | None = None
    for path in _candidates(root):
        try:
            interpreter = probe(path)
        except InterpreterError:
            continue
        if interpreter.has_pytest:
            return interpreter
        first = first or interpreter
    if first is None:
        raise InterpreterError(
            "No Python 3.9 or newer was found; name one with --python (editors: coe.python)."
        )
    return first


def _candidates(root: Path) -> Iterator[Path]:
    environments = [root / ".venv", root / "venv"]
    environments += [Path(v) for n in ("VIRTUAL_ENV", "CONDA_PREFIX") if (v := os.environ.get(n))]
    for environment in environments:
        if path := _in_environment(environment):
            yield path
    for name in ("python3", "python"):
        if found := shutil.which(name):
            yield Path(found).absolute()
    yield Path(sys.executable)


def _in_environment(folder: Path) -> Path | None:
    for name in ("bin/python", "bin/python3", "Scripts/python.exe", "python.exe"):
        if (path := folder / name).exists():
            return path
    return None


@functools.cache
def probe(executable: Path) -> Interpreter:
    """Ask a Python about itself. Raises InterpreterError if it cannot be used."""
    try:
        done = subprocess.run(
            [executable, "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=30,
            cwd=tempfile.gettempdir(),
            check=False,
        )
        facts = json.loads(done.stdout.strip().splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        raise InterpreterError(
            f"{executable} does not work as a Python interpreter; name another with --python "
            "(editors: coe.python)."
        ) from error
    major, minor, micro = facts["version"]
    if (major, minor) < (3, 9):
        raise InterpreterError(
            f"{executable} is Python {major}.{minor}; the tests need Python 3.9 or newer."
        )
    # What was named may be a script that only starts the real thing (pyenv's shims).
    executable = Path(facts["executable"])
    return Interpreter(
        executable,
        (major, minor, micro),
        tuple(_folders(executable, facts)),
        facts["user_base"],
        facts["pytest"],
    )


def _folders(executable: Path, facts: dict[str, list[str]]) -> Iterator[Path]:
    yield from (Path(folder) for folder in dict.fromkeys(facts["prefixes"] + facts["path"]))
    # A virtual environment's python is often a chain of links through other folders.
    step = executable
    for _ in range(40):
        yield step.parent
        if not step.is_symlink():
            return
        step = step.parent / step.readlink()
