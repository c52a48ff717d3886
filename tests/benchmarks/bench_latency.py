"""How long an editor waits for the server: from opening a file to a mark, from a click to a repair.

    python tests/benchmarks/bench_latency.py [--rounds 9] [--model NAME] [--label TEXT]
        [--machine TEXT] [--out FILE] [--beside OTHER_CHECKOUT]

Prints milliseconds, medians of so many rounds; with `--out` they are kept for the table in
docs/editors.md (`report.py`). With `--beside` another checkout's server is measured in the same
run, round about, and kept as `before`. The repair that a mutation suffices for is made without a
model; the one that the model has to write is made with `--model` and without mutations. Each round
starts a server of its own, so "first" has nothing warm, and loads the model.
"""

import argparse
import asyncio
import os
import re
import statistics
import sys
import tempfile
import textwrap
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from editor_client import Editor
from processes import below, left
from pygls.protocol import default_converter
from pytest_lsp import client_capabilities
from result_files import ResultFile, write_results
from samples import CLAMP, TEST_CLAMP
from wire_client import Wire

ROOT = Path(__file__).parents[2]
# `-P`: of the checkout that PYTHONPATH names, whatever the working directory is.
SERVE = [sys.executable, "-P", "-m", "coe_lsp", "serve"]
# Mutations off: what is measured is the model's way to a repair.
MODEL_ALONE = [
    sys.executable,
    "-P",
    "-c",
    "from coe_lsp.lsp import serve\n"
    "from coe_lsp.lsp.handlers import make_server\n"
    "from coe_lsp.repair.search.search import SearchSettings\n"
    "serve.make_server = lambda: make_server(None, SearchSettings(mutations=False))\n"
    "serve.serve(None)\n",
]
# What a repair says of a program that it has tested; older servers "2 of 3 tests pass".
TESTED = re.compile(r"\d(/| of )\d+ tests")
# No program passes it: the search goes on.
IMPOSSIBLE = "\ndef test_impossible():\n    assert clamp(1, 0, 2) == 3 and clamp(1, 0, 2) == 4\n"


class Session:
    """One server of a checkout, and an editor with the example open."""

    def __init__(self, checkout, project, command, **settings):
        os.environ["PYTHONPATH"] = str(checkout)
        self.project = project
        self.editor = Editor(command)
        self.editor.configuration = settings
        self.editor.accept = None  # looked at and not taken: the text stays

    async def start(self):
        """Start the server."""
        await self.editor.start(self.project)

    async def open(self):
        """Milliseconds from opening the file to its mark."""
        began = time.perf_counter()
        self.uri = self.editor.open(self.project / "ranges.py")
        await self.editor.diagnostics(self.uri)
        milliseconds = _since(began)
        await self.editor.wait("status", lambda s: s.state == "idle")
        return milliseconds

    async def save(self):
        """Milliseconds from saving a changed text to its mark."""
        self.editor.change(self.uri, self.editor.texts[self.uri] + "\n")
        start = len(self.editor.log)
        began = time.perf_counter()
        self.editor.save(self.uri)
        await self.editor.diagnostics(self.uri, after=start)
        milliseconds = _since(began)
        await self.editor.wait("status", lambda s: s.state == "idle", after=start)
        return milliseconds

    async def click(self):
        """Milliseconds from the command to the first progress, first program and preview."""
        start = len(self.editor.log)
        began = time.perf_counter()
        await self.editor.execute("coe.repair", {"uri": self.uri, "function": "clamp"})
        found = {}
        tested = lambda s: s.state == "repairing" and TESTED.search(s.message)  # noqa: E731
        for name, kind, wanted in (
            ("progress", "progress", lambda p: True),
            ("program", "status", tested),
            ("preview", "preview", lambda p: True),
        ):
            await self.editor.wait(kind, wanted, seconds=120, after=start)
            found[name] = _since(began)
        await self.editor.wait("status", lambda s: s.state == "idle", seconds=60, after=start)
        await asyncio.sleep(0.5)
        return found

    async def begin(self):
        """Start a repair that does not end, and return when it is at work."""
        start = len(self.editor.log)
        await self.editor.execute("coe.repair", {"uri": self.uri, "function": "clamp"})
        await self.editor.wait(
            "status", lambda s: s.state == "repairing" and TESTED.search(s.message), after=start
        )
        await asyncio.sleep(0.5)

    async def cancel(self):
        """Milliseconds from cancelling the repair to its end."""
        start = len(self.editor.log)
        began = time.perf_counter()
        await self.editor.execute("coe.cancel")
        await self.editor.wait("progress", lambda p: p.value["kind"] == "end", after=start)
        return _since(began)

    async def quit(self):
        """Milliseconds until the server and all that it has started are gone."""
        children = below(self.editor.lsp._server.pid)
        began = time.perf_counter()
        await self.editor.stop()
        milliseconds = _since(began)
        assert left(children) == []
        return milliseconds


async def initialize(checkout):
    """Milliseconds from starting the process to the answer to `initialize`."""
    os.environ["PYTHONPATH"] = str(checkout)
    capabilities = default_converter().unstructure(client_capabilities("visual-studio-code"))
    wire = Wire(SERVE)
    began = time.perf_counter()
    await wire.start()
    wire.send("initialize", {"capabilities": capabilities}, id=1)
    await wire.answer(1)
    milliseconds = _since(began)
    wire.process.kill()
    await wire.process.communicate()
    return milliseconds


def _since(began):
    return 1000 * (time.perf_counter() - began)


async def one_round(checkout, model):
    """Every wait once."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        os.environ["XDG_STATE_HOME"] = str(project / ".state")
        (project / "tests").mkdir()
        (project / "pyproject.toml").touch()
        (project / "ranges.py").write_text(textwrap.dedent(CLAMP).lstrip())
        tests = project / "tests/test_ranges.py"
        tests.write_text(textwrap.dedent(TEST_CLAMP).lstrip())
        session = Session(checkout, project, SERVE, model="none", budget=60)
        found["start to the answer to `initialize`"] = await initialize(checkout)
        await session.start()
        found["open to mark"] = await session.open()
        found["save to mark"] = await session.save()
        clicked = await session.click()
        found["click to first progress"] = clicked["progress"]
        found["click to first program"] = clicked["program"]
        found["click to preview, by a mutation"] = clicked["preview"]
        tests.write_text(tests.read_text() + IMPOSSIBLE)
        await session.save()
        await session.begin()
        found["cancel to stopped"] = await session.cancel()
        await session.begin()
        found["quit to gone, in a repair"] = await session.quit()
        tests.write_text(textwrap.dedent(TEST_CLAMP).lstrip())
        if model != "none":
            session = Session(checkout, project, MODEL_ALONE, model=model, budget=60)
            await session.start()
            await session.open()
            for when in ("first", "later"):
                found[f"click to preview, by the model, {when}"] = (await session.click())[
                    "preview"
                ]
            await session.quit()
    return found


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--model", default="none")
    parser.add_argument("--label", default="after")
    parser.add_argument("--machine", default="")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--beside", type=Path)
    options = parser.parse_args()
    checkouts = {options.label: ROOT}
    if options.beside is not None:
        checkouts = {"before": options.beside.resolve(), **checkouts}
    rounds = {name: [] for name in checkouts}
    for _ in range(options.rounds):
        for name, checkout in checkouts.items():
            rounds[name].append(await one_round(checkout, options.model))
    rows = [
        {"version": name, "wait": wait, "ms": [round(one[wait], 1) for one in found]}
        for name, found in rounds.items()
        for wait in found[0]
    ]
    for row in rows:
        median = statistics.median(row["ms"])
        print(f"{row['version']:8} {row['wait']:40} {median:8.0f} ms")
    if options.out is not None:
        load = [round(x, 1) for x in os.getloadavg()] if hasattr(os, "getloadavg") else []
        about = {"model": options.model, "machine": options.machine, "load": load}
        write_results(options.out, ResultFile(about, rows))


if __name__ == "__main__":
    asyncio.run(main())
