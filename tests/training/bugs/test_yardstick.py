"""The yardstick on real bugs: hidden tests, a judge that knows, rows that become tables."""

import itertools
import json
import subprocess
import sys
import types
from pathlib import Path

import pytest
from attrs import evolve

from coe_lsp.errors import CoeError
from coe_lsp.execution.interpreter import probe
from coe_lsp.execution.sandbox import find_sandbox
from coe_lsp.parsing import parse
from training.bugs.bugs import Bug, BugError, Origin
from training.bugs.changes import find_changes, measure_fix
from training.bugs.checkout import Checkout
from training.bugs.packages import Package
from training.bugs.store import Store

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import bug_trials
from arms import Models
from bug_judge import Judge, is_human, places_of_fix
from bug_tables import bug_others, bug_pairs, bug_table, bugs_by_size
from bug_trials import (
    Trial,
    choose_hidden,
    is_list_of_bugs,
    load_trials,
    measure_bug,
    without_tests,
)
from result_files import ResultFile, write_results
from show_repairs import show

PACKAGE = Package("tools", "dev", ())


@pytest.fixture
def store(repository, tmp_path):
    return Store(tmp_path / "store", None, interpreter_here())


def interpreter_here():
    """The test's own, with pytest."""
    return probe(Path(sys.executable), Path(), find_sandbox("auto"))


def bug_of(repository, store, function, tests):
    """The bug of a function as its commit mended it, as if it had been collected."""
    git = ["git", "-C", str(repository), "log", "--reverse", "--format=%H"]
    commits = subprocess.run(git, check=True, capture_output=True, text=True).stdout.split()
    for before, after in itertools.pairwise(commits):
        origin = Origin("tools", after, before, str(repository))
        texts = [store.read(origin, commit, ("tools.py",)) for commit in (before, after)]
        for change in find_changes(*texts):
            if change.function == function:
                fix = measure_fix(change, texts[1])
                return Bug(f"tools/{function}", origin, "function", ["tools.py"], function, None,
                           "fault", fix.size, fix.added, fix.removed, tests, len(tests), 1.0,
                           change.digest, split="dev")  # fmt: skip
    raise LookupError(function)


@pytest.fixture
def bug(repository, store):
    """The guard that `clamp` lacked, which three tests see."""
    names = ("test_low", "test_very_low", "test_lower")
    return bug_of(repository, store, "clamp", [f"test_tools.py::{name}" for name in names])


@pytest.fixture
def trial(bug, store, tmp_path):
    return Trial(bug, PACKAGE, store, tmp_path / "trial")


def test_a_third_of_the_tests_is_not_written_yet(trial):
    assert len(trial.hidden) == 1
    name = trial.hidden[0].partition("::")[2]
    way = trial.named("function")
    assert (way.path.name, way.function) == ("tools.py", "clamp")
    text = (trial.checkout.root / "test_tools.py").read_text()
    assert f"def {name}(" not in text
    assert "def test_inside(" in text
    assert f"def {name}(" in (trial.judge.checkout.root / "test_tools.py").read_text()
    assert "if value < low" not in way.path.read_text()
    tests = trial.named("test").tests
    assert tests
    assert not set(tests) & set(trial.hidden)
    assert {test.partition("::")[0] for test in tests} == {"test_tools.py"}


def test_what_can_be_hidden(tmp_path):
    """A third of three functions and more, of those that some line defines."""
    (tmp_path / "test_a.py").write_text(TESTS)
    bug = a_bug("test_a.py::TestOne::test_one[1]", "test_a.py::TestOne::test_one[2]")
    assert choose_hidden(bug, tmp_path) == []
    inherited = [f"test_a.py::TestOne::test_{name}" for name in ("a", "b")]
    bug = a_bug(*inherited, "test_a.py::TestOne::test_one[1]", "test_a.py::TestOne::test_one[2]")
    assert choose_hidden(bug, tmp_path) == ["test_a.py::TestOne::test_one"]


def a_bug(*failing):
    return Bug("some", Origin("p", "2", "1"), "hunk", ["a.py"], None, 0, "fault", "one line", 1, 1,
               failing, len(failing), 1.0, "")  # fmt: skip


def test_the_judge_runs_hidden_tests_too(trial):
    checkout = trial.checkout
    (file,) = checkout.fixed
    assert trial.judge.is_right({file: checkout.fixed[file].encode()})
    fitted = checkout.faulty[file].replace(
        "    return min(value, high)", "    return {-3: 0, -300: -10}.get(value, min(value, high))"
    )
    assert not trial.judge.is_right({file: fitted.encode()})
    assert not trial.judge.is_right({file: checkout.faulty[file].encode()})
    assert not trial.judge.is_right({file: b"def clamp(:\n"})
    assert (trial.judge.checkout.root / file).read_text() == checkout.faulty[file]


def test_a_file_of_tests_that_cannot_be_imported_does_not_silence_the_judge(trial, tmp_path):
    checkout = trial.judge.checkout
    (checkout.root / "test_broken.py").write_text("import no_such_module\n")
    judge = Judge(checkout, tmp_path / "kept")
    (file,) = checkout.fixed
    assert judge.is_right({file: checkout.fixed[file].encode()})
    assert not judge.is_right({file: checkout.faulty[file].encode()})
    other = evolve(checkout, bug=evolve(trial.bug, failing=("test_tools.py::test_elsewhere",)))
    with pytest.raises(BugError, match="do not all pass with the human fix"):
        Judge(other, tmp_path / "kept")


def test_what_people_did_is_known_by_its_tree():
    checkout = checkout_of("def f(a):\n    return a\n", 'def f(a):\n    """It."""\n    return -a\n')
    assert is_human({"a.py": b"def f(a: int):  # less\n    return -a\n"}, checkout)
    assert not is_human({"a.py": b"def f(a):\n    return a\n"}, checkout)
    assert not is_human({"a.py": b"def f(a:\n"}, checkout)
    assert not is_human({"a.py": checkout.fixed["a.py"].encode(), "b.py": b""}, checkout)


def checkout_of(faulty, fixed):
    return Checkout(a_bug(), Path(), Path(), {"a.py": fixed}, {"a.py": faulty})


def test_places_of_a_fix():
    faulty = "class A:\n    def f(self):\n        x = 1\n\n    def g(self):\n        return 2\n\n\ny = 3\n"
    for old, new, places in (
        ("x = 1", "x = 2", {"A.f"}),
        ("x = 1\n", "x = 1\n        return x\n", {"A.f"}),
        ("        x = 1\n", "        if self:\n            x = 1\n", {"A.f"}),
        ("return 2\n", "return 2\n\n    def h(self):\n        pass\n", set()),
        ("y = 3", "y = 4", set()),
    ):
        found = places_of_fix(checkout_of(faulty, faulty.replace(old, new)))
        assert found == {("a.py", name) for name in places}, new
    both = faulty.replace("x = 1", "x = 2").replace("return 2", "return 3")
    assert {name for _, name in places_of_fix(checkout_of(faulty, both))} == {"A.f", "A.g"}


TESTS = """import pytest


class TestOne:
    @pytest.mark.parametrize(
        'n', [1, 2]
    )
    def test_one(self, n):
        assert n


class TestTwo:
    def test_one(self):
        assert 1

    @staticmethod
    def test_two():
        assert 2


def test_two():
    assert 1


async def test_two():
    assert 2


def test_three():
    assert 3
"""


def test_tests_are_taken_out_by_their_lines():
    left = without_tests(TESTS, [["TestOne", "test_one"], ["TestTwo", "test_two"], ["test_two"]])
    one, two, three = parse(left).body[1:]
    assert [type(node).__name__ for node in one.body] == ["Pass"]
    assert [node.name for node in two.body] == ["test_one"]
    assert three.name == "test_three"
    for gone in ("parametrize", "staticmethod", "async"):
        assert gone not in left
    assert without_tests(TESTS, [["TestTwo", "test_three"], ["test_four"]]) == TESTS


def test_samples_take_packages_in_turn(tmp_path):
    many = [
        evolve(a_bug(), bug_id=f"{name}{n}", origin=Origin(name, f"{n}.1", f"{n}.0"), split="dev")
        for name in ("a", "b", "c")
        for n in range(5)
    ]
    path = tmp_path / "bugs.jsonl"
    path.write_text("".join(each.dumps() + "\n" for each in many))
    assert is_list_of_bugs(f"{path}#dev")
    chosen = load_trials(str(path), 6, 0)
    assert sorted(bug.origin.package for bug in chosen) == ["a", "a", "b", "b", "c", "c"]
    assert chosen == load_trials(str(path), 6, 0)
    # Of a change in parts and as a whole one is taken; of two functions of a version both.
    parts = [evolve(each, origin=Origin("d", "2", "1"), function=name)
             for each, name in zip(many, ("f", "f", "g"), strict=False)]  # fmt: skip
    path.write_text("".join(each.dumps() + "\n" for each in parts))
    assert {bug.function for bug in load_trials(str(path), 6, 0)} == {"f", "g"}
    assert len(load_trials(str(path), 6, 0)) == 2
    parts[2] = evolve(parts[2], function=None)
    path.write_text("".join(each.dumps() + "\n" for each in parts))
    assert len(load_trials(str(path), 6, 0)) == 1


@pytest.fixture
def measured(store, monkeypatch):
    """What the bench says of a bug of the test's own repository."""
    monkeypatch.setattr(bug_trials, "read_packages", lambda: [PACKAGE])
    monkeypatch.setattr(bug_trials, "Store", lambda folder, clones: store)

    def measure(bug, given="file"):
        options = types.SimpleNamespace(clones=None, given=given, budget=60.0)
        models = Models(["mutations"], None, None)
        (measured,) = measure_bug(bug, ["mutations"], models, options)
        return measured

    return measure


def test_a_bug_is_repaired_and_judged(repository, store, measured, tmp_path):
    bug = bug_of(repository, store, "Words.count", ["test_tools.py::TestWords::test_blanks"])
    row, shown = measured(bug)
    assert (row["status"], row["right"]) == ("repaired", True)
    assert row["at_fault"] == (row["function"] == "Words.count")
    assert row["first"] <= row["seconds"]
    assert row["tests"] == 7
    assert '-        return len(self.text.split(" "))\n' in shown["human"]
    assert "--- a/tools.py" in shown["patches"][0]["diff"]
    results = tmp_path / "out.jsonl"
    write_results(results, ResultFile({}, [row]))
    results.with_suffix(".patches.jsonl").write_text(
        json.dumps([row["task"], "mutations", shown]) + "\n"
    )
    assert f"1. {'as people did' if row['human'] else 'right'}" in show(results, [], set())
    assert show(results, ["clamp"], set()) == ""


def test_a_bug_is_repaired_from_its_failing_tests(repository, store, measured):
    bug = bug_of(repository, store, "Words.count", ["test_tools.py::TestWords::test_blanks"])
    row, _ = measured(bug, "test")
    assert (row["status"], row["right"], row["given"]) == ("repaired", True, "test")
    assert row["tests"] == 7


def test_refusals_and_crashes_are_rows(bug, measured, monkeypatch):
    def crash(*_, **__):
        raise error

    monkeypatch.setattr(bug_trials, "Repair", crash)
    error = CoeError("name another file")
    row, shown = measured(bug)
    assert (row["status"], row["message"]) == ("refused", "name another file")
    assert (row["right"], row["patches"], shown["patches"]) == (None, 0, [])
    error = RuntimeError("something odd")
    row, _ = measured(bug)
    assert (row["status"], row["message"]) == ("crashed", "RuntimeError: something odd")


def row(task, arm, status, first, right, size="one line"):
    return {"task": task, "arm": arm, "status": status, "first": first, "seconds": 40.0,
            "right": right, "right_any": right, "human": False, "size": size, "tested": 10,
            "at_fault": right, "baseline": 1.0, "tests": 5}  # fmt: skip


def cells(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]


def test_rows_become_tables():
    rows = [
        row("a", "mutations", "repaired", 3.0, True),
        row("b", "mutations", "repaired", 30.0, False, "one hunk"),
        row("c", "mutations", "already_passing", None, None),
        row("a", "all", "repaired", 12.0, True),
        row("b", "all", "repaired", 5.0, True, "one hunk"),
        row("c", "all", "refused", None, None),
    ]
    files = [ResultFile({"tasks": ["real_bugs#dev"], "budget": 60, "given": "file"}, rows)]
    _, _, mutations, both = cells(bug_table(files))
    assert mutations[:4] == ["the file, 60 s", "mutations alone", "3", "1: 33.3 (6.1 to 79.2)"]
    assert mutations[4:6] == ["2: 66.7 (20.8 to 93.9)", "1: 33.3 (6.1 to 79.2)"]
    assert both[:2] == ["", "mutations and model"]
    assert [cell.partition(":")[0] for cell in both[3:6]] == ["1", "2", "2"]
    assert cells(bug_others(files))[2][2:7] == ["0", "1", "0", "0", "1 of 2"]
    assert cells(bugs_by_size(files))[2][2:4] == ["1 and 1 of 2", "1 and 0 of 1"]
    pairs = cells(bug_pairs(files))[2:]
    assert pairs == [
        [
            "mutations alone, the file, 60 s",
            "mutations and model, the file, 60 s",
            "3",
            "0",
            "1",
            "1",
        ]
    ]
    assert bug_table([]) == "*Not measured yet.*\n"
