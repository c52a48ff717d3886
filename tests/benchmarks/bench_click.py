"""Milliseconds from "Repair with CoE" to the first program tested, after a check of the same text.

    python tests/benchmarks/bench_click.py [ROUNDS]

Prints one JSON object with the median, least and most. Without a model: mutations begin at once.
Run it from another checkout to measure that one; compare within one run.
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import textwrap
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from editor_client import Editor
from samples import CLAMP, TEST_CLAMP


async def click(editor, uri):
    start = len(editor.log)
    began = time.perf_counter()
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    tested = lambda s: s.state == "repairing" and "tests pass" in s.message  # noqa: E731
    await editor.wait("status", tested, seconds=60, after=start)
    seconds = time.perf_counter() - began
    await editor.wait("preview", seconds=60, after=start)
    await editor.wait("status", lambda s: s.state == "idle", seconds=60, after=start)
    return 1000 * seconds


async def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        os.environ["XDG_STATE_HOME"] = str(project / ".state")
        (project / "tests").mkdir()
        (project / "pyproject.toml").touch()
        (project / "ranges.py").write_text(textwrap.dedent(CLAMP).lstrip())
        (project / "tests/test_ranges.py").write_text(textwrap.dedent(TEST_CLAMP).lstrip())
        editor = Editor([sys.executable, "-m", "coe_lsp", "serve"])
        editor.configuration = {"model": "none", "budget": 20}
        editor.accept = None  # looked at and not taken: the text stays
        await editor.start(project)
        uri = editor.open(project / "ranges.py")
        await editor.diagnostics(uri)
        times = []
        for _ in range(rounds):
            times.append(await click(editor, uri))
            await asyncio.sleep(0.5)
        await editor.stop()
    found = {"median": statistics.median(times), "least": min(times), "most": max(times)}
    print(json.dumps({name: round(value) for name, value in found.items()}))


asyncio.run(main())
