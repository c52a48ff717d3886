"""What a terminal shows of a repair: each place once, whole sentences, names that fit."""

import io
import json
import re
import subprocess
import sys
from importlib import resources

from rich.console import Console

from coe_lsp.cli.demo import Bug, show_summary
from coe_lsp.cli.view import RepairView, failure_text, lines_text
from coe_lsp.execution.suite import TestResult
from coe_lsp.repair.outcome import Outcome, PlaceTried, merged
from coe_lsp.repair.target.source import Function


def console(width=80):
    return Console(width=width, record=True, file=io.StringIO())


def test_a_place_is_told_once(write):
    """Really: two rounds over the same places, of which nothing makes both tests pass."""
    write("pyproject.toml", "")
    root = write("rates.py", "LIMIT = 3\n\ndef rate(price):\n    return price // 10\n").parent
    write(
        "test_rates.py",
        """
        from rates import LIMIT, rate

        def test_rate():
            assert (rate(500), rate(1000)) == (5, 10)

        def test_limit():
            assert LIMIT == 40

        def test_a_wish():
            assert rate(LIMIT) == "nothing"
        """,
    )
    done = subprocess.run(
        [sys.executable, "-m", "coe_lsp", "repair", "test_rates.py", "--model", "none",
         "--budget", "10"],
        capture_output=True, text=True, timeout=120, check=False, cwd=root,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    repairing = [line for line in lines if line.startswith("repairing ")]
    assert "repairing LIMIT (rates.py, line 1)" in repairing
    assert len(repairing) == len(set(repairing))
    places = [line.split(":")[0] for line in lines if line.endswith(" at the best")]
    assert "  rate (rates.py)" in places and len(places) == len(set(places)), done.stdout


def test_rounds_at_one_place_are_added_up():
    def tried(seconds, passed, failed):
        return PlaceTried("shop.py", "total", "why", seconds, 5, passed, failed)

    other = PlaceTried("shop.py", "price", "", 1.0, 2, 0, 3)
    (total, price) = merged([tried(2.0, 3, 0), other, tried(1.5, 1, 2)])
    assert (total.seconds, total.tested, total.passed, total.failed) == (3.5, 10, 3, 0)
    assert price is other


def test_rounds_say_repairing_once():
    shown = console()
    with RepairView(shown) as view:
        for _ in range(3):
            view.target("shop.py", Function("LIMIT", 11, 11), ())
            view.target("shop.py", Function("total", 15, 20), ())
    assert shown.export_text().splitlines() == [
        "repairing LIMIT (shop.py, line 11)",
        "repairing total (shop.py, lines 15 to 20)",
    ]
    assert lines_text(Function("f", 3, 3)) == "line 3"


def test_a_failure_does_not_end_in_what_it_announces():
    detail = "AssertionError: assert {'a': 1} == {'a': 2}\n\nDiffering items:\n{'a': 1} != {'a': 2}"
    text = failure_text(TestResult("test_a", "failed", detail)).plain
    assert "assert {'a': 1} == {'a': 2}" in text
    assert not text.rstrip().endswith(":")


def test_all_names_of_the_demo_fit(tmp_path):
    text = (resources.files("coe_lsp") / "demo/bugs.json").read_text()
    bugs = [Bug(**entry) for entry in json.loads(text)]
    outcome = Outcome("already_passing", "x.py", attempts=12345)
    shown = console(width=80)
    show_summary(shown, [(bug, outcome) for bug in bugs])
    table = shown.export_text()
    for bug in bugs:
        assert re.search(rf"│ {re.escape(bug.target.partition('::')[2])} +│", table), table
    assert max(map(len, table.splitlines())) <= 80
