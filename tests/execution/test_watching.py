"""Both ways to watch a project see the same; the newer one needs Python 3.12."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, sys, threading
sys.path[:0] = sys.argv[1:3]
from coe_worker import coverage
import area

def seen(tracer):
    tracer.start()
    area.outer(4)
    list(area.numbers(1))
    thread = threading.Thread(target=area.inner, args=(9,))
    thread.start()
    thread.join()
    lines, depths = tracer.stop()
    return [lines, {file: sorted(found.items()) for file, found in depths.items()}]

root = sys.argv[2]
newer = coverage.project_tracer(root)
found = [seen(coverage.ProjectTracer(root)), seen(newer), seen(newer)]
print(json.dumps([type(newer).__name__, *found]))
"""
AREA = """
import json


def inner(n):
    if n > 1:
        return n
    return json.dumps(n)


def outer(n):
    return [inner(i) for i in range(n)]


def numbers(n):
    yield n
    yield inner(n)
"""


def newer_python():
    """A Python that has `sys.monitoring`, or None."""
    if hasattr(sys, "monitoring"):
        return sys.executable
    kept = sorted(Path.home().glob(".pyenv/versions/3.1[2-9]*/bin/python"))
    named = (shutil.which(f"python3.{minor}") for minor in (12, 13, 14))
    found = [str(path) for path in [*kept, *named] if path]
    # A shim may stand for a version that is not there.
    works = (p for p in found if subprocess.run([p, "-c", ""], check=False).returncode == 0)
    return next(works, None)


@pytest.mark.skipif(newer_python() is None, reason="no Python 3.12 or newer is on this machine")
def test_both_ways_to_watch_see_the_same(tmp_path):
    (tmp_path / "area.py").write_text(AREA)
    ours = Path(__file__).parents[2] / "coe_lsp/execution"
    done = subprocess.run(
        [newer_python(), "-c", SCRIPT, ours, tmp_path],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    name, traced, monitored, again = json.loads(done.stdout)
    assert name == "MonitoringTracer"
    assert traced == monitored == again
    assert traced[0] == {"area.py": [6, 7, 8, 12, 16, 17]}
    assert traced[1] == {"area.py": [[5, 1], [11, 0], [15, 0]]}
