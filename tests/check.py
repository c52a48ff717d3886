"""The usual loop of a developer: lint, format, types, documents, and the quick tests.

    python tests/check.py [PYTEST ARGUMENTS]

Without arguments the tests are those of the pure parts, which need neither sandbox nor weights. Stops
at the first step that fails, with its exit status. `.ci/run` has everything that must hold.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

# The types of training/ need the extra `train`.
TYPED = ("coe_lsp",) if importlib.util.find_spec("torch") is None else ()
QUICK = ("tests/chain", "tests/mutations", "tests/test_docs.py", "tests/repair/test_settings.py")
STEPS = (
    ("-m", "ruff", "check", "."),
    ("-m", "ruff", "format", "."),
    ("-m", "pyright", "--pythonpath", sys.executable, *TYPED),
    ("tests/benchmarks/report.py", "--check"),
    ("-m", "pytest", "-q", *(sys.argv[1:] or QUICK)),
)

if __name__ == "__main__":
    for step in STEPS:
        print("$ python", *step, flush=True)
        done = subprocess.run((sys.executable, *step), cwd=Path(__file__).parents[1])
        if done.returncode:
            sys.exit(done.returncode)
