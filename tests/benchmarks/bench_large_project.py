"""Seconds from a red test among 1,500 to the first program tested, beside what pytest needs for it.

    python tests/benchmarks/bench_large_project.py [ROUNDS]

Prints one JSON object of medians: pytest with the failing test alone, then, as a repair goes that
was given this test's name in a terminal, when its tests had run, when the first program was tested
and when the first repair was found; and the first program's lead over pytest, by round. Without a
model: mutations begin at once. The project is made anew: 60 modules that import one another, with
25 tests each, one of which fails. Compare within one run.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from coe_lsp.execution.project import ProjectOptions
from coe_lsp.repair.repair import Repair
from coe_lsp.repair.request import Request
from coe_lsp.repair.way_in import WayIn

MODULES, TESTS = 60, 25
AT_FAULT = 41

MODULE = '''"""Stock of aisle {n}."""

from dataclasses import dataclass, field
{imports}

@dataclass
class Aisle:
    items: dict = field(default_factory=dict)
    limit: int = {limit}

    def add(self, name, count=1):
        """Add items; how many there are of this name."""
        if count < 0:
            raise ValueError(f"cannot add {{count}} of {{name}}")
        self.items[name] = self.items.get(name, 0) + count
        return self.items[name]

    def room(self):
        """How many more items fit in."""
        return self.limit - sum(self.items.values())

    def fits(self, count):
        """Whether so many more items fit in, the last one included."""
        return count {operator} self.room()


def weight(aisle, each):
    """The weight of all items, each as the table says."""
    return sum(each.get(name, 1) * count for name, count in aisle.items.items())
'''

TESTS_OF = """import pytest

from stock.aisle{n} import Aisle, weight


@pytest.mark.parametrize("count", range({count}))
def test_add(count):
    assert Aisle().add("nut", count) == count


def test_fits():
    aisle = Aisle()
    assert aisle.fits(aisle.limit)
    assert not aisle.fits(aisle.limit + 1)


def test_weight():
    assert weight(Aisle({{"nut": 2, "bolt": 1}}), {{"nut": 3}}) == 7


def test_negative():
    with pytest.raises(ValueError):
        Aisle().add("nut", -1)
"""


def make_project(folder):
    """Write the project; the id of the one test that fails."""
    package, tests = folder / "stock", folder / "tests"
    package.mkdir()
    tests.mkdir()
    (folder / "pyproject.toml").write_text("[project]\nname = 'stock'\nversion = '1'\n")
    (package / "__init__.py").touch()
    for n in range(MODULES):
        imports = f"from stock import aisle{n - 1}  # noqa: F401\n" if n % 10 else ""
        text = MODULE.format(
            n=n, limit=10 + n, operator="<" if n == AT_FAULT else "<=", imports=imports
        )
        (package / f"aisle{n}.py").write_text(text)
        (tests / f"test_aisle{n}.py").write_text(TESTS_OF.format(n=n, count=TESTS - 3))
    return f"tests/test_aisle{AT_FAULT}.py::test_fits"


class Times:
    """Watches when a repair comes how far, in seconds after its beginning."""

    def __init__(self):
        self.began = time.monotonic()
        self.looked = self.tested = None

    def scouted(self, scouted):
        self.looked = time.monotonic() - self.began

    def target(self, file, function, target_tests):
        pass

    def step(self, step):
        self.tested = self.tested or time.monotonic() - self.began


def measure(root, test):
    """One round: seconds of pytest, and of the repair's stages."""
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test]
    subprocess.run(command, cwd=root, capture_output=True, check=False)
    pytest = time.monotonic() - began
    times = Times()
    options = ProjectOptions(python=sys.executable)
    outcome = Repair(Request(WayIn(root, tests=(test,)), options=options), None, times).run()
    assert outcome.status == "repaired", outcome.message
    return {
        "pytest": pytest,
        "looked": times.looked,
        "tested": times.tested,
        "found": outcome.seconds.first,
        "over_pytest": times.tested - pytest,
    }


def main():
    """Measure, and print what was measured."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory(prefix="coe-runner-") as folder:
        test = make_project(Path(folder))
        rows = [measure(Path(folder), test) for _ in range(rounds)]
    print(json.dumps({key: round(statistics.median(r[key] for r in rows), 2) for key in rows[0]}))


if __name__ == "__main__":
    main()
