"""Limits for one child and the means to end all its processes.

Resource limits hold for each process; the number of processes and the memory of all of them
together are watched by polling `/proc`, because a limit on processes does not bind root. On systems
without `/proc` only the child's own process group can be ended.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from typing import Any, NamedTuple

try:
    import resource as _resource
except ImportError:
    _resource = None  # type: ignore[assignment]
resource: Any = _resource

_LIBC: Any = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
# Pipes and sockets hold memory that counts towards no other limit.
_MAX_OPEN_FILES = 4096
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


# Processes of this one's that belong to no run: neither counted nor ended with one.
_exempt: set[int] = set()


def exempt(pid: int | None) -> None:
    """From now on `descendants` leaves out this child of ours, and all below it; and no other."""
    _exempt.clear()
    if pid is not None:
        _exempt.add(pid)


def become_subreaper() -> None:
    """Orphans of our children are given to us instead of init (Linux; elsewhere nothing)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Have the kernel end this process when the one that forked it ends (Linux only)."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def close_to_others() -> None:
    """Keep the code under test out of this process's memory and descriptors (Linux only)."""
    _prctl(_PR_SET_DUMPABLE, 0)


def open_to_others() -> None:
    """Undo `close_to_others`, in a child, whose own files in /proc would be root's otherwise."""
    _prctl(_PR_SET_DUMPABLE, 1)


def _prctl(option: int, value: int) -> None:
    if _LIBC is not None:
        _LIBC.prctl(option, value, 0, 0, 0)


def apply(memory_bytes: int, cpu_seconds: float, file_bytes: int) -> None:
    """Limit this process and its future children. `memory_bytes` is on top of what it has now."""
    if resource is None:  # Windows: only the deadline holds there
        return
    _limit(resource.RLIMIT_AS, _own_pages(0) * _PAGE_BYTES + memory_bytes)
    _limit(resource.RLIMIT_CPU, int(cpu_seconds) + 1)
    _limit(resource.RLIMIT_FSIZE, file_bytes)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, _MAX_OPEN_FILES)


def limit_memory(memory_bytes: int) -> None:
    """Limit what this process may fill with data of its own; what it only maps does not count."""
    if resource is not None:
        _limit(resource.RLIMIT_DATA, memory_bytes)


def _limit(kind: int, value: int) -> None:
    try:
        hard = resource.getrlimit(kind)[1]
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        resource.setrlimit(kind, (value, value))
    except (ValueError, OSError):
        pass  # e.g. RLIMIT_AS on macOS


def resident_bytes() -> int:
    """How much memory this process has, shared pages included (0 if unknown)."""
    return _own_pages(1) * _PAGE_BYTES


def _own_pages(column: int) -> int:
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[column])
    except OSError:
        return 0


class Process(NamedTuple):
    """A living process; `resident` in bytes."""

    pid: int
    resident: int
    threads: int


def status(pid: int) -> Process | None:
    """One process; None if there is none."""
    found = _stat(pid)
    return found[0] if found else None


def _stat(pid: int) -> tuple[Process, int] | None:
    """A process and its parent."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The command name may hold spaces and brackets: count from the last bracket.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return Process(pid, int(fields[21]) * _PAGE_BYTES, int(fields[17])), int(fields[1])


def little_memory_left() -> bool:
    """Whether the machine is about to run out of memory, whoever took it."""
    try:
        with open("/proc/meminfo", "rb") as file:
            lines = file.read().splitlines()
        kilobytes = {line.split(b":")[0]: int(line.split()[1]) for line in lines}
        return kilobytes[b"MemAvailable"] < kilobytes[b"MemTotal"] // 20
    except (OSError, KeyError, ValueError, IndexError):
        return False


def descendants(root: int) -> list[Process]:
    """All living processes below `root`, but for the one that is exempt."""
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []
    children: dict[int, list[Process]] = {}
    for pid in pids:
        stat = _stat(pid)
        if stat is not None:
            children.setdefault(stat[1], []).append(stat[0])
    found: list[Process] = []
    todo = [root]
    while todo:
        for process in children.get(todo.pop(), ()):
            if process.pid in _exempt:
                continue
            found.append(process)
            todo.append(process.pid)
    return found


def files_in(folder: str) -> tuple[int, int]:
    """How many files the file system of a folder holds, and bytes (zeros if unknown)."""
    try:
        facts = os.statvfs(folder)
    except (OSError, AttributeError):
        return 0, 0
    return facts.f_files - facts.f_ffree, (facts.f_blocks - facts.f_bfree) * facts.f_frsize


def kill_tree(child: int, seconds: float = 1.0) -> bool:
    """End the child, its group, and all that became ours when their parents died.

    Must be called in the process that forked the child. Stopped first, killed second, so that a
    process cannot fork its way past the list. False if something was still alive after `seconds`.
    """
    me = os.getpid()
    end = time.monotonic() + seconds
    _signal_group(child, signal.SIGKILL)
    _signal(child, signal.SIGKILL)
    _wait_briefly(child)
    while True:
        _reap()
        left = [process.pid for process in descendants(me)]
        if not left:
            return True
        for kind in (signal.SIGSTOP, signal.SIGKILL):
            for pid in left:
                _signal(pid, kind)
        if time.monotonic() > end:
            return False
        time.sleep(0.001)


def _wait_briefly(child: int) -> None:
    """Give a process that was killed the milliseconds that it needs to go."""
    try:
        for _ in range(50):
            if os.waitpid(child, os.WNOHANG)[0]:
                return
            time.sleep(0.0002)
    except ChildProcessError:
        pass


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _signal(pid: int, kind: int) -> None:
    try:
        os.kill(pid, kind)
    except OSError:
        pass


def _signal_group(pid: int, kind: int) -> None:
    try:
        os.killpg(pid, kind)
    except OSError:
        pass
