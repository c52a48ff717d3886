"""The same attacks as an ordinary user, when the tests themselves are root's: in a container, say.

That user sees this Python and this checkout at their own places, wherever those are: what lies in a
folder that is closed to others is mounted anew for the duration of the test.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from coe_lsp.execution.sandbox import packaged_bubblewrap

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
USER = 65500
ATTACKS = (
    "test_hostile.py",
    "test_hostile_walls.py",
    "test_hostile_wire.py",
    "test_hostile_project.py",
)
# After this the process is nobody's friend: no groups, no way back.
BECOME = f"import os, sys; os.setgroups([]); os.setgid({USER}); os.setuid({USER}); os.execv(sys.argv[1], sys.argv[1:])"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux" or os.getuid() != 0, reason="only root can become another user"
    ),
]


def opened(folder: Path) -> list[str]:
    """Mounts that let others into a folder, and into those above it."""
    for parent in reversed(folder.parents):
        if not parent.stat().st_mode & 1:
            between = [
                p for p in reversed(folder.parents) if p.is_relative_to(parent) and p != parent
            ]
            made = [item for p in between for item in ("--perms", "0755", "--dir", str(p))]
            bound = ["--ro-bind", str(folder), str(folder)]
            return ["--perms", "0755", "--tmpfs", str(parent), *made, *bound]
    if folder.stat().st_mode & 1:
        return []
    inside = [item for entry in folder.iterdir() for item in ("--ro-bind", str(entry), str(entry))]
    return ["--perms", "0755", "--tmpfs", str(folder), *inside]


@pytest.fixture
def home():
    # Of a short name, which the address of a socket has room for, and where others may pass.
    with tempfile.TemporaryDirectory(prefix="coe-home-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.mark.parametrize("attacks", ATTACKS)
def test_as_an_ordinary_user(home, attacks):
    program = shutil.which("bwrap") or packaged_bubblewrap()
    os.chown(home, USER, USER)
    folders = dict.fromkeys(Path(p).resolve() for p in (sys.base_prefix, sys.prefix, REPOSITORY))
    mounts = [item for folder in folders for item in opened(folder)]
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist",
             f"--rootdir={REPOSITORY}", f"--basetemp={home}/t", str(HERE / attacks)]  # fmt: skip
    done = subprocess.run(
        [program, "--bind", "/", "/", "--dev-bind", "/dev", "/dev", *mounts, "--chdir", str(REPOSITORY), "--",
         sys.executable, "-c", BECOME, *tests],
        capture_output=True, text=True, check=False,
        env={**os.environ, "HOME": str(home), "USER": "somebody", "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 20
