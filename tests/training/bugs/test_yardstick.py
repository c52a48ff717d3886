"""The yardstick on real bugs: hidden tests, a judge that knows, rows that become tables."""

import json
import sys
from pathlib import Path

import pytest
from attrs import evolve

from training.bugs.collect import Bounds, collect_history
from training.bugs.packages import Package
from training.bugs.store import own_store

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from bug_trials import Trial, is_human, is_list_of_bugs, load_trials, without_tests
from report import bug_pairs, bug_table, bugs_by_size
from result_files import ResultFile, write_results

PACKAGE = Package("tools", "dev", ())


@pytest.fixture
def trial(repository, tmp_path, sandbox):
    """The guard that `clamp` lacked, which three tests see."""
    store = own_store(tmp_path / "store", repository, sys.executable, sandbox)
    bugs = collect_history(repository, PACKAGE, store, sandbox, Bounds()).bugs
    return Trial(next(bug for bug in bugs if bug.function == "clamp"), PACKAGE, store)


def test_a_third_of_the_tests_is_not_written_yet(trial, tmp_path):
    assert len(trial.hidden) == 1
    name = trial.hidden[0].partition("::")[2]
    checkout, path, function = trial.prepare("function", tmp_path / "checkout")
    assert (path.name, function) == ("tools.py", "clamp")
    text = (checkout.root / "test_tools.py").read_text()
    assert f"def {name}(" not in text
    assert "def test_inside(" in text
    assert "if value < low" not in path.read_text()


def test_only_the_test_is_named(trial, tmp_path):
    _, path, function = trial.prepare("test", tmp_path / "checkout")
    assert (path.name, function) == ("test_tools.py", None)


def test_the_judge_runs_hidden_tests_too(trial, tmp_path):
    checkout, *_ = trial.prepare("file", tmp_path / "checkout")
    fixed = {path: text.encode() for path, text in checkout.fixed.items()}
    assert trial.is_right(fixed)
    (file,) = fixed
    fitted = checkout.faulty[file].replace(
        "    return min(value, high)", "    return {-3: 0, -300: -10}.get(value, min(value, high))"
    )
    assert not trial.is_right({file: fitted.encode()})
    assert not trial.is_right({file: checkout.faulty[file].encode()})


def test_what_people_did_is_known_by_its_tree(trial, tmp_path):
    checkout, *_ = trial.prepare("file", tmp_path / "checkout")
    (file,) = checkout.fixed
    spaced = checkout.fixed[file].replace("min(value, high)", "min( value, high )  # bounded")
    assert is_human({file: spaced.encode()}, checkout)
    assert not is_human({file: checkout.faulty[file].encode()}, checkout)


def test_tests_are_taken_out_with_their_decorators():
    text = (
        "import pytest\n\n\n"
        "class TestIt:\n"
        "    @pytest.mark.parametrize(\n        'n', [1, 2]\n    )\n"
        "    def test_one(self, n):\n        assert n\n\n\n"
        "def test_two():\n    assert 2\n"
    )
    left = without_tests(text, [["TestIt", "test_one"]])
    assert "parametrize" not in left
    assert "test_one" not in left
    scope = {}
    exec(left, scope)  # our own text, not a project's
    assert callable(scope["test_two"])
    assert without_tests(text, [["TestIt", "test_three"], ["test_four"]]) == text


def test_samples_take_packages_in_turn(trial, tmp_path):
    many = [
        evolve(trial.bug, bug_id=f"{name}{n}", origin=evolve(trial.bug.origin, package=name))
        for name in ("a", "b", "c")
        for n in range(5)
    ]
    path = tmp_path / "bugs.jsonl"
    path.write_text("".join(bug.dumps() + "\n" for bug in many))
    assert is_list_of_bugs(f"{path}#dev")
    chosen = load_trials(str(path), 6, 0)
    assert sorted(bug.origin.package for bug in chosen) == ["a", "a", "b", "b", "c", "c"]
    assert chosen == load_trials(str(path), 6, 0)


def row(task, arm, status, seconds, right, size="one line"):
    return {"task": task, "arm": arm, "status": status, "seconds": seconds, "right": right,
            "right_any": right, "human": False, "size": size, "tested": 10}  # fmt: skip


def test_rows_become_tables(tmp_path):
    path = tmp_path / "bugs.jsonl"
    rows = [
        row("a", "mutations", "repaired", 3.0, True),
        row("b", "mutations", "repaired", 30.0, False, "one hunk"),
        row("a", "all", "repaired", 12.0, True),
        row("b", "all", "repaired", 5.0, True, "one hunk"),
        row("c", "all", "already_passing", 1.0, None),
    ]
    write_results(path, ResultFile({"budget": 60}, rows))
    lines = bug_table(path).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[2][:4] == ["mutations alone", "2", "1", "2"]
    assert cells[2][5:7] == ["1", "1"]
    assert cells[3][5:7] == ["1", "2"]
    assert "| one hunk | 1 | 1, 0 right | 1, 1 right |" in bugs_by_size(path)
    assert "| mutations alone | mutations and model | 2 | 0 | 1 | 1 |" in bug_pairs(path)
    assert json.loads(path.read_text().splitlines()[0]) == {"budget": 60}
