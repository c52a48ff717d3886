"""A user's own history gives bugs, each of which can be made again and trained on."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import evolve

from training.bugs.bugs import BugError, load_bugs
from training.bugs.checkout import check_out
from training.bugs.collect import Bounds, collect_history
from training.bugs.functions import write_functions
from training.bugs.history import find_commits, write_tree
from training.bugs.packages import Package
from training.bugs.store import Store, own_store
from training.bugs.tasks import bug_tasks
from training.tasks.environment import TaskEnvironment
from training.tasks.tasks import load_tasks

NAME = "someone/tools-repository"


@pytest.fixture
def collected(repository, tmp_path, sandbox):
    own = own_store(tmp_path / "store", repository, sys.executable, sandbox)
    bugs = collect_history(repository, Package(NAME, "", ()), own, sandbox, Bounds()).bugs
    return [evolve(bug, origin=evolve(bug.origin, repository=NAME)) for bug in bugs]


def test_it_finds_what_people_mended(collected):
    found = {(bug.function, bug.kind, bug.size) for bug in collected}
    assert ("clamp", "fault", "one hunk") in found
    assert ("Words.count", "fault", "one line") in found
    assert any(kind == "feature" for _, kind, _ in found)
    clamp = next(bug for bug in collected if bug.function == "clamp")
    assert set(clamp.failing) == {
        "test_tools.py::test_low", "test_tools.py::test_lower", "test_tools.py::test_very_low",
    }  # fmt: skip
    assert (clamp.added, clamp.removed) == (2, 0)


def test_the_repository_stays_as_it_was(repository, collected):
    status = ["git", "-C", str(repository), "status", "--porcelain"]
    assert subprocess.run(status, capture_output=True, text=True, check=True).stdout == ""
    assert not list(repository.glob("**/__pycache__"))


def test_a_bug_is_made_again_and_is_a_task(repository, collected, tmp_path, sandbox):
    clones = tmp_path / "clones"
    (clones / "someone").mkdir(parents=True)
    (clones / NAME).symlink_to(repository)
    store = Store(tmp_path / "store", clones)
    package = Package(NAME, "train", ())
    clamp = next(bug for bug in collected if bug.function == "clamp")
    # No index is asked: the environment that pip would fill is there already.
    made = offline_environment(tmp_path / "store")
    checkout = check_out(clamp, package, store, tmp_path / "checkout")
    faulty = (checkout.root / "tools.py").read_text()
    assert "if value < low" not in faulty
    assert "split(" in faulty
    assert checkout.fixed["tools.py"].replace("    if value < low:\n        return low\n", "") == (
        faulty.replace("two bounds.", "two bounds, both of them.")
    )
    tasks = bug_tasks(collected, {NAME: package}, store, sandbox, max_lines=40)
    task = next(task for task in tasks.tasks if task.entry_point == "clamp")
    assert made.exists()
    with TaskEnvironment(task, sandbox) as environment:
        assert environment.calibrate()
        wrong = environment.evaluate(task.start.split("\n"))
    assert not wrong.solved
    assert {f.id for f in wrong.failures} == set(clamp.failing)


def offline_environment(store: Path) -> Path:
    """What `make_environment` would find had it been there before: our own packages."""
    stamp = hashlib.sha256(b"pytest").hexdigest()[:8]
    target = store / "environments" / f"{NAME.replace('/', '+')}-{stamp}"
    target.parent.mkdir(parents=True, exist_ok=True)
    site = next(Path(p) for p in sys.path if p.endswith("site-packages"))
    target.symlink_to(site, target_is_directory=True)
    return target


def test_another_version_is_refused(repository, collected, tmp_path):
    (bug, *_) = collected
    (tmp_path / "clones/someone").mkdir(parents=True)
    (tmp_path / "clones" / NAME).symlink_to(repository)
    with pytest.raises(BugError, match="not what it was"):
        check_out(
            evolve(bug, digest="0" * 16),
            Package(NAME, "train", ()),
            Store(tmp_path / "store", tmp_path / "clones"),
            tmp_path / "checkout",
        )


def test_no_history_is_told(tmp_path):
    with pytest.raises(BugError, match="no usable git history"):
        find_commits(tmp_path)


def test_what_a_repository_names_is_not_run(repository, tmp_path):
    trap = tmp_path / "trap"
    hook = repository / ".git/hooks/post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {trap}\n")
    hook.chmod(0o755)
    monitor = repository / "monitor.sh"
    monitor.write_text(f"#!/bin/sh\ntouch {trap}\n")
    monitor.chmod(0o755)
    with (repository / ".git/config").open("a") as config:
        config.write(f"[core]\n\tfsmonitor = {monitor}\n")
        config.write(f'[filter "evil"]\n\tsmudge = touch {trap}; cat\n\trequired = true\n')
    (repository / ".git/info").mkdir(exist_ok=True)
    (repository / ".git/info/attributes").write_text("*.py filter=evil\n")
    (newest, *_) = find_commits(repository)
    write_tree(repository, newest.commit, tmp_path / "tree")
    assert (tmp_path / "tree/tools.py").exists()
    assert not trap.exists()


def test_the_command_says_what_it_found(repository, tmp_path):
    out = tmp_path / "bugs.jsonl"
    command = [sys.executable, "-m", "training", "tasks", "--history", str(repository)]
    done = subprocess.run(
        [*command, "--python", sys.executable, "--out", str(out)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "faults" in done.stdout
    assert "one line" in done.stdout
    assert {bug.function for bug in load_bugs(out)} >= {"clamp", "Words.count"}


def test_functions_of_listed_packages_are_harvested_in_the_newest_version(
    repository, sandbox, tmp_path
):
    (tmp_path / "clones/someone").mkdir(parents=True)
    (tmp_path / "clones" / NAME).symlink_to(repository)
    offline_environment(tmp_path / "store")
    said = []
    tasks = write_functions(
        [Package(NAME, "train", ()), Package("someone/missing", "train", ())],
        Store(tmp_path / "store", tmp_path / "clones"),
        sandbox,
        tmp_path / "functions.jsonl",
        said.append,
        max_lines=64,
        most=80,
    )
    assert load_tasks(str(tmp_path / "functions.jsonl")) == tasks
    assert {task.entry_point for task in tasks} == {"clamp"}  # the others are too short
    assert {(task.source, task.split) for task in tasks} == {(NAME, "train")}
    assert "missing is not cloned" in said[1]
    with TaskEnvironment(tasks[0], sandbox) as environment:
        assert environment.calibrate()
