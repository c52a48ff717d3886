"""Which processes there are below another one."""

import time
from pathlib import Path


def below(pid):
    """All processes that descend from `pid` now."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(folder.name)] = int(stat[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def left(pids, seconds=2.0):
    """Those that still run after a moment: what was killed takes one to go."""
    end = time.monotonic() + seconds
    while (found := _alive(pids)) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def _alive(pids):
    found = []
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z":  # else nobody has waited for it yet
            found.append(pid)
    return found
