"""Finds the Python that runs the user's tests, and what that Python needs to see of the disk.

The interpreter is asked about itself by running it on a short script of ours. One that lies in the
project is as little trusted as the project: it is run in the sandbox, and what it needs is read off
the disk beforehand, not taken from its answer. It is never changed and nothing is installed into
it.
"""

from __future__ import annotations

import ast
import errno
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import cast

import cattrs
from attrs import frozen

from coe_lsp.errors import CoeError
from coe_lsp.execution.mounts import View, covers_home, with_repository
from coe_lsp.execution.sandbox import Sandbox
from coe_lsp.files import read_text_bounded
from coe_lsp.folders import check_temporary_folder

_PROBE_PROGRAM = """
import json, os, site, sys
from importlib.util import find_spec
plain = sys.prefix == sys.base_prefix
user_site = site.getusersitepackages() if plain else None
if user_site and os.path.isdir(user_site):
    site.addsitedir(user_site)
print(json.dumps({
    "executable": sys.executable,
    "version": list(sys.version_info[:3]),
    "prefixes": [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix],
    "path": [p for p in sys.path if p],
    "user_base": site.getuserbase() if plain else None,
    "pytest": find_spec("pytest") is not None,
}))
"""
PROBE_SECONDS = 30
_ENVIRONMENT_FOLDERS = (".venv", "venv")
_STANDARD_LIBRARY = ("lib/python3*/os.py", "lib64/python3*/os.py", "Lib/os.py")
_INSTALLED = (
    "lib/python3*/site-packages",
    "lib64/python3*/site-packages",
    "Lib/site-packages",
)
_PACKAGES = ("site-packages", "dist-packages")
# Files that name folders of packages, and folders that they name.
_MAX_PATH_FILES = 1000
_converter = cattrs.Converter()


@frozen
class _Facts:
    """What a Python says of itself."""

    executable: str
    version: tuple[int, int, int]
    prefixes: list[str]
    path: list[str]
    user_base: str | None
    pytest: bool


class InterpreterError(CoeError):
    """No usable Python for the user's project."""


@frozen
class Interpreter:
    """A Python that can run the worker.

    `folders` are those that it and its packages live in, `sources` those of code that is used from
    where it is written, `links` those on the way to it.
    """

    executable: Path
    version: tuple[int, int, int]
    folders: tuple[Path, ...]
    user_base: str | None
    has_pytest: bool
    sources: tuple[Path, ...] = ()
    links: tuple[tuple[Path, str], ...] = ()


def find_interpreter(root: Path, explicit: str | None, sandbox: Sandbox) -> Interpreter:
    """The named interpreter, or the first that works: the project's own virtual environment, the
    active one, then `python3` on PATH or our own, of these the first that has pytest.
    """
    check_temporary_folder()
    if explicit is not None:
        found = shutil.which(explicit) or explicit
        path = Path(found)
        if path.is_dir():
            path = _in_environment(path) or path
        return probe(path.absolute(), root, sandbox)
    active = [Path(v) for n in ("VIRTUAL_ENV", "CONDA_PREFIX") if (v := os.environ.get(n))]
    for environment in (*(root / name for name in _ENVIRONMENT_FOLDERS), *active):
        # What is missing in the project's environment is missing in its tests: nothing is made up
        # for by another one.
        if path := _in_environment(environment):
            try:
                return probe(path, root, sandbox)
            except InterpreterError:
                continue
    first: Interpreter | None = None
    for path in _elsewhere():
        try:
            interpreter = probe(path, root, sandbox)
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


def _elsewhere() -> Iterator[Path]:
    for name in ("python3", "python"):
        if found := shutil.which(name):
            yield Path(found).absolute()
    yield Path(sys.executable)


def _in_environment(folder: Path) -> Path | None:
    for name in ("bin/python", "bin/python3", "Scripts/python.exe", "python.exe"):
        if (path := folder / name).exists():
            return path
    return None


_probed: dict[tuple[Path, Path, Sandbox], tuple[Interpreter, tuple[int, ...]]] = {}


def probe(executable: Path, root: Path, sandbox: Sandbox) -> Interpreter:
    """Ask a Python about itself, in the sandbox if it lies in the project or its repository.

    Raises InterpreterError if it cannot be used. An answer is remembered until packages are
    installed for it or removed.
    """
    key = executable, root, sandbox
    known = _probed.get(key)
    if known is not None and known[1] == _stamps(known[0]):
        return known[0]
    if _came_with(root, executable):
        interpreter = _probe_inside(executable, root, sandbox)
    else:
        interpreter = _probe_outside(executable)
    _probed[key] = interpreter, _stamps(interpreter)
    return interpreter


def _came_with(root: Path, executable: Path) -> bool:
    """Whether it lies in the project at `root`, or its repository, by any of its names."""
    plain = Path(os.path.normpath(executable.absolute()))
    names = (plain, executable.parent.resolve() / executable.name, executable.resolve())
    places = [p for folder in with_repository(root) for p in (folder.absolute(), folder.resolve())]
    return any(name.is_relative_to(place) for name in names for place in places)


def _stamps(interpreter: Interpreter) -> tuple[int, ...]:
    found: list[int] = []
    for folder in interpreter.folders:
        try:
            found.append(folder.stat().st_mtime_ns)
        except OSError:
            found.append(0)
    return tuple(found)


def _probe_outside(executable: Path) -> Interpreter:
    """A Python of the user's own."""
    # Isolated, and in a folder with nothing in it, so that nothing is imported that others put into
    # its way (`/tmp/json.py`).
    with tempfile.TemporaryDirectory(prefix="coe-") as empty:
        try:
            done = subprocess.run(
                [executable, "-I", "-c", _PROBE_PROGRAM],
                capture_output=True,
                text=True,
                timeout=PROBE_SECONDS,
                cwd=empty,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise _useless(executable) from error
    facts = _facts(executable, done.stdout)
    installed = [Path(folder) for folder in facts.prefixes]
    sources = [Path(folder) for folder in facts.path]
    sources += [Path(f) for f in os.environ.get("PYTHONPATH", "").split(os.pathsep) if f]
    sources += _pointed_at(sources)
    # What was named may be a script that only starts the real thing (pyenv's shims).
    executable = Path(facts.executable)
    links, real = _links(executable)
    installed += [path for path in sources if path.name in _PACKAGES]
    installed += [real.parent]
    return Interpreter(
        executable,
        facts.version,
        _showable(installed),
        facts.user_base,
        facts.pytest,
        tuple(p for p in _showable(sources) if not any(p.is_relative_to(i) for i in installed)),
        links,
    )


def _showable(folders: list[Path]) -> tuple[Path, ...]:
    return tuple(f for f in dict.fromkeys(folders) if f.exists() and not covers_home(f))


def _probe_inside(executable: Path, root: Path, sandbox: Sandbox) -> Interpreter:
    """A Python that came with the project, or a link to one that did.

    It is shown itself and the Python that it was made from, nothing that it only names: what is
    installed in it from elsewhere, to be edited there, the user has to name (`coe.show`).
    """
    links, real = _links(executable)
    environment = executable.parent.parent
    homes = [real.parent]
    if home := _configuration(environment).get("home"):
        homes.append(Path(home))
    prefixes = [home.parent for home in homes if _is_python(home.parent, root)]
    allowed = [place.resolve() for place in (*with_repository(root), *prefixes)]
    if not any(real.is_relative_to(place) for place in (*allowed, Path("/usr"))):
        raise InterpreterError(
            f"{executable} leads to {real}, which does not belong to a Python: make the virtual "
            "environment anew, or name another interpreter with --python (editors: coe.python)."
        )
    if _is_environment(environment, root):
        prefixes.append(environment)
        allowed.append(environment.resolve())
    packages = [path for pattern in _INSTALLED for path in environment.glob(pattern)]
    packages = [p for p in packages if any(p.resolve().is_relative_to(a) for a in allowed)]
    folders = tuple(dict.fromkeys((*prefixes, *packages)))
    _pointed_at(packages)  # they are not shown, but Python must come to their end
    try:
        text = sandbox.output(
            [str(executable), "-I", "-c", _PROBE_PROGRAM],
            View(root, folders, links=links),
            PROBE_SECONDS,
        )
    except OSError as error:
        raise _useless(executable) from error
    facts = _facts(executable, text)
    return Interpreter(executable, facts.version, folders, None, facts.pytest, links=links)


def _facts(executable: Path, answer: str) -> _Facts:
    try:
        facts = _converter.structure(json.loads(answer.strip().splitlines()[-1]), _Facts)
    except (ValueError, IndexError, RecursionError, cattrs.BaseValidationError) as error:
        raise _useless(executable) from error
    if facts.version < (3, 9):
        version = ".".join(map(str, facts.version))
        raise InterpreterError(
            f"{executable} is Python {version}; the tests need Python 3.9 or newer."
        )
    return facts


def _useless(executable: Path) -> InterpreterError:
    return InterpreterError(
        f"{executable} does not work as a Python interpreter; name another with --python "
        "(editors: coe.python)."
    )


def _links(path: Path) -> tuple[tuple[tuple[Path, str], ...], Path]:
    """The links that a path itself leads over, one after the other, and where they end."""
    links: list[tuple[Path, str]] = []
    for _ in range(40):
        if not path.is_symlink():
            break
        target = str(path.readlink())
        links.append((path, target))
        path = Path(os.path.normpath(path.parent / target))
    return tuple(links), path.resolve()


def _configuration(environment: Path) -> dict[str, str]:
    """What `pyvenv.cfg` says; nothing if there is none."""
    lines = _text(environment / "pyvenv.cfg").splitlines()
    pairs = (line.partition("=") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _is_python(prefix: Path, root: Path) -> bool:
    """Whether a Python is installed there, and nothing in the project at `root` says so."""
    real = prefix.resolve()
    found = (path.resolve() for pattern in _STANDARD_LIBRARY for path in real.glob(pattern))
    return not root.resolve().is_relative_to(real) and any(
        path.is_relative_to(real) and not path.is_relative_to(root.resolve()) for path in found
    )


def _text(path: Path) -> str:
    """What a file says that Python reads when it starts; nothing if it cannot be read.

    InterpreterError if Python would wait there for ever, or never come to the end.
    """
    try:
        return read_text_bounded(path, errors="replace")
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise InterpreterError(f"{path} is not an ordinary file.") from error
        return ""


def _is_environment(folder: Path, root: Path) -> bool:
    """Whether a folder in the project at `root` is a virtual environment, or a link to one."""
    real = folder.resolve()
    return (real / "pyvenv.cfg").is_file() and not root.resolve().is_relative_to(real)


def _pointed_at(folders: list[Path]) -> list[Path]:
    """The folders that `.pth` files and setuptools' editable installs name."""
    found: list[Path] = []
    for file in islice(_pointers(folders), _MAX_PATH_FILES):
        text = _text(file)
        named = _named_in_pth(text) if file.suffix == ".pth" else _named_in_finder(text)
        found += named[: _MAX_PATH_FILES - len(found)]
    return [path for path in found if path.is_absolute() and _exists(path)]


def _pointers(folders: list[Path]) -> Iterator[Path]:
    for folder in folders:
        if folder.name in _PACKAGES:
            yield from folder.glob("*.pth")
            yield from folder.glob("__editable__*.py")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long
        return False


def _named_in_pth(text: str) -> list[Path]:
    lines = (line.strip() for line in text.splitlines())
    return [Path(line) for line in lines if line and not line.startswith(("import", "#"))]


def _named_in_finder(text: str) -> list[Path]:
    match = re.search(r"^MAPPING\b[^=\n]*= (\{.*\})$", text, re.MULTILINE)
    try:
        mapping: object = ast.literal_eval(match[1]) if match else {}
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return []
    if not isinstance(mapping, dict):
        return []
    places = (Path(str(place)) for place in cast("dict[object, object]", mapping).values())
    return [place.parent if place.suffix == ".py" else place for place in places]
