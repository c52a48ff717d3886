"""Latency and memory of the language server, with a real model at work.

    python tests/benchmarks/bench_server.py [MODEL]

Prints one JSON object: seconds to the answer to `initialize` (median of 5 starts), milliseconds of
a code action's answer while a repair is decoding (p50, p99 of 200), milliseconds from cancel to the
end of a repair (median, worst of 5), and resident memory in MB: idle, with the model, and after the
model was freed; then milliseconds of each answer (p50, p99, worst) while a person types in a file
of 2,000 lines whose tests run, beside a repair in another project. Compare within one run: absolute
times hang on what else the machine does.
"""

import asyncio
import json
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
from lsprotocol import types
from samples import CLAMP, TEST_CLAMP

# Mutations begin at once; after so many seconds the model is in memory and at work, too.
_LOADING = 10.0
# What a repair says of a program that it has tested.
TESTED = re.compile(r"\d/\d+ tests")
COMMAND = [sys.executable, "-m", "coe_lsp", "serve"]


# It keeps the search going.
IMPOSSIBLE = "\ndef test_impossible():\n    assert clamp(1, 0, 2) == 3 and clamp(1, 0, 2) == 4\n"


def write_example(project, more):
    """A project with a fault, and more tests."""
    (project / "tests").mkdir(parents=True)
    (project / "pyproject.toml").touch()
    (project / "ranges.py").write_text(textwrap.dedent(CLAMP).lstrip())
    (project / "tests/test_ranges.py").write_text(textwrap.dedent(TEST_CLAMP).lstrip() + more)


def memory(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return round(int(line.split()[1]) / 1024)


KEYS = 200
FUNCTION = """
def step_{n}(value):
    # What this one adds.
    first = value + {n}
    second = first - {n}
    if second != value:
        return None
    return second


"""


async def typing(folder):
    """Milliseconds of the answers while somebody types, two projects being at work."""
    write_example(folder / "one", IMPOSSIBLE)
    long = folder / "two/long.py"
    (long.parent / "tests").mkdir(parents=True)
    (long.parent / "pyproject.toml").touch()
    long.write_text("".join(FUNCTION.format(n=n) for n in range(200)))  # 2,000 lines
    (long.parent / "tests/test_long.py").write_text(
        "import long, pytest, time\n\n@pytest.mark.parametrize('n', range(100))\n"
        "def test_step(n):\n    time.sleep(0.02)\n    assert getattr(long, f'step_{n}')(1) == n % 9\n"
    )
    editor = Editor(COMMAND)
    editor.configuration = {"model": "none", "budget": 300}
    await editor.start(folder)
    other, uri = editor.open(folder / "one/ranges.py"), editor.open(long)
    await editor.diagnostics(other)
    (diagnostic, *_) = await editor.diagnostics(uri)
    await editor.execute("coe.repair", {"uri": other, "function": "clamp"})
    await editor.wait("status", lambda s: s.state == "repairing", seconds=120)
    document = types.TextDocumentIdentifier(uri)
    times = []
    for number in range(KEYS):
        editor.change(uri, "x" * number + "\n" + long.read_text())
        if number % 20 == 0:
            editor.save(uri)  # the tests run while it is typed on
        for ask in (
            lambda: editor.actions(uri, 1000, [diagnostic]),
            lambda: editor.hover(uri, 1000),
            lambda: editor.lsp.text_document_code_lens_async(types.CodeLensParams(document)),
        ):
            began = time.perf_counter()
            await ask()
            times.append(1000 * (time.perf_counter() - began))
        await asyncio.sleep(0.05)
    await editor.execute("coe.cancel")
    await editor.stop()
    times.sort()
    return {"p50": times[len(times) // 2], "p99": times[99 * len(times) // 100], "worst": times[-1]}


async def start_seconds(project):
    editor = Editor(COMMAND)
    started = time.perf_counter()
    await editor.start(project)
    seconds = time.perf_counter() - started
    await editor.stop()
    return seconds


async def main():
    model = sys.argv[1] if len(sys.argv) > 1 else "smollm2-135m"
    found = {"model": model}
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        os.environ["XDG_STATE_HOME"] = str(project / ".state")
        write_example(project, IMPOSSIBLE)
        found["initialize_s"] = statistics.median([await start_seconds(project) for _ in range(5)])
        editor = Editor(COMMAND)
        editor.configuration = {"model": model, "budget": 300, "idleMinutes": 0.1}
        await editor.start(project)
        pid = editor.lsp._server.pid
        uri = editor.open(project / "ranges.py")
        (diagnostic, *_) = await editor.diagnostics(uri)
        found["memory_idle_mb"] = memory(pid)

        async def repairing():
            start = len(editor.log)
            await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
            await editor.wait(
                "status", lambda s: s.state == "repairing" and TESTED.search(s.message),
                seconds=120, after=start,
            )  # fmt: skip

        async def cancelled():
            start = len(editor.log)
            began = time.perf_counter()
            await editor.execute("coe.cancel")
            await editor.wait("progress", lambda p: p.value["kind"] == "end", after=start)
            return 1000 * (time.perf_counter() - began)

        await repairing()
        await asyncio.sleep(_LOADING)
        found["memory_with_model_mb"] = memory(pid)
        times = []
        for number in range(200):
            began = time.perf_counter()
            await editor.actions(uri, 0, [diagnostic])
            times.append(1000 * (time.perf_counter() - began))
            if number % 20 == 0:
                await asyncio.sleep(0.1)
        times.sort()
        found["code_action_ms"] = {"p50": times[100], "p99": times[197]}
        stops = [await cancelled()]
        for _ in range(4):
            await repairing()
            stops.append(await cancelled())
        found["cancel_ms"] = {"median": statistics.median(stops), "worst": max(stops)}
        await asyncio.sleep(15)
        found["memory_after_idle_mb"] = memory(pid)
        await editor.stop()
    with tempfile.TemporaryDirectory() as folder:
        found["typing_ms"] = await typing(Path(folder))
    print(json.dumps(found, indent=1))


asyncio.run(main())
