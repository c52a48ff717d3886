"""Ends the process for good: whatever still runs in it or below it ends with it.

Threads may be in the midst of something that cannot be interrupted, a model being loaded say, and
Python would wait for them: so the process leaves without, once it has tried to end in order.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

# Seconds after which an orderly end has failed.
_LONGEST = 3.0


def leave(status: int) -> NoReturn:
    """End all processes below this one, then this one."""
    end_children()
    # Nothing is flushed: whoever writes does that, and may hold a lock while nobody reads.
    os._exit(status)


def leave_at_last(status: int) -> None:
    """From any thread: leave after a while, unless the process has ended in order before.

    A signal calls this, too, maybe in the midst of a thread being started: `threading` would wait
    for its own lock then, for ever.
    """

    def wait() -> None:
        time.sleep(_LONGEST)
        leave(status)

    _thread.start_new_thread(wait, ())


def end_children() -> None:
    """Kill all processes below this one."""
    if sys.platform == "win32":
        return
    for pid in _below(os.getpid()):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def _below(pid: int) -> list[int]:
    parents = dict(_processes())
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def _processes() -> Iterator[tuple[int, int]]:
    """All processes with their parents."""
    if not Path("/proc/self/stat").exists():
        listed = subprocess.run(
            ["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, timeout=2, check=False
        )
        for line in listed.stdout.splitlines():
            pid, parent = line.split()
            yield int(pid), int(parent)
        return
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                # The name of the program is in brackets, and may hold anything.
                stat = (folder / "stat").read_text(errors="replace").rpartition(")")[2]
                yield int(folder.name), int(stat.split()[1])
