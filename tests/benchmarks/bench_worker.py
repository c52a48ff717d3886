"""What a warm candidate costs, against `python -m pytest` on the same test, in one run.

    python tests/benchmarks/bench_worker.py [--json OUT] [--rounds N]

Both sides run the same small test file in the same interpreter; they take turns, so that a noisy
machine hits them alike. The table shows medians; compare the ratio, not the times. Hot candidates
are measured besides, in the small file and in one of 3,400 lines; run this from another checkout
(PYTHONPATH) to measure that one.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from coe_lsp.execution.interpreter import probe
from coe_lsp.execution.sandbox import find_sandbox
from coe_lsp.execution.suite import Preforked, Suite
from coe_lsp.execution.worker import Worker

MODULE = "def clamp(value, low, high):\n    return max(low, min(high, value))\n"
TEST = "from ranges import clamp\n\n\ndef test_clamp():\n    assert clamp(15, 0, 10) == 10\n"

# 200 functions of 17 lines: what a candidate of a long file brings along.
LONG = MODULE + "".join(
    f"\n\ndef step_{n}(value):\n" + "    value = (value + 1) * 2 - len(str(value))\n" * 14
    for n in range(200)
)


def hot_seconds(interpreter, root, module, rounds):
    """The median of a candidate that is run hot in a file."""
    (root / "ranges.py").write_text(module)
    suite = Suite("pytest", root, root / "ranges.py", ("test_ranges.py",))
    test = "test_ranges.py::test_clamp"
    program = Preforked(module.encode(), frozenset([test]))
    times = []
    with Worker(suite, interpreter, find_sandbox("auto")) as worker:
        for n in range(rounds + 2):
            candidate = module.replace("min(high, value)", f"min(high, value + {n})").encode()
            started = time.perf_counter()
            run = worker.run(candidate, [test], hot=program)
            times.append(time.perf_counter() - started)
            assert run.hot or n == 0, run.detail
    return statistics.median(times[2:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "ranges.py").write_text(MODULE)
        (root / "test_ranges.py").write_text(TEST)
        suite = Suite("pytest", root, root / "ranges.py", ("test_ranges.py",))
        cold, warm, bare = [], [], []
        interpreter = probe(Path(sys.executable), root, find_sandbox("auto"))
        starts = []
        for _ in range(5):
            started = time.perf_counter()
            with Worker(suite, interpreter, find_sandbox("auto")) as worker:
                worker.run(MODULE.encode())
                starts.append(time.perf_counter() - started)
        with (
            Worker(suite, interpreter, find_sandbox("auto")) as boxed,
            Worker(suite, interpreter, find_sandbox("off")) as open_,
        ):
            for worker in (boxed, open_):
                worker.run(MODULE.encode())
                worker.run(MODULE.encode())
            for _ in range(options.rounds):
                started = time.perf_counter()
                command = [sys.executable, "-m", "pytest", "-q", "test_ranges.py"]
                subprocess.run(command, cwd=root, check=True, capture_output=True)
                cold.append(time.perf_counter() - started)
                for worker, times in ((boxed, warm), (open_, bare)):
                    started = time.perf_counter()
                    run = worker.run(MODULE.encode())
                    times.append(time.perf_counter() - started)
                    assert run.passed == 1
        short, long = (
            hot_seconds(interpreter, root, text, options.rounds) for text in (MODULE, LONG)
        )
    result = {
        "start_ms": 1000 * statistics.median(starts),
        "cold_ms": 1000 * statistics.median(cold),
        "warm_ms": 1000 * statistics.median(warm),
        "warm_without_sandbox_ms": 1000 * statistics.median(bare),
        "hot_ms": 1000 * short,
        "hot_in_a_long_file_ms": 1000 * long,
    }
    result["ratio"] = result["cold_ms"] / result["warm_ms"]
    for name, value in result.items():
        print(f"{name:26} {value:8.1f}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
