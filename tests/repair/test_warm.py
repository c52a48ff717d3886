"""Test processes and what they said, handed from a check to a repair."""

from unittest.mock import Mock

from coe_lsp.execution.project import Project, ProjectOptions
from coe_lsp.repair.repair import Repair
from coe_lsp.repair.request import Request
from coe_lsp.repair.target.baseline import measure
from coe_lsp.repair.target.source import SourceFile
from coe_lsp.repair.warm import WarmRunners
from coe_lsp.repair.way_in import way_of


def checked(warm, path):
    """What a check does: run the tests and leave the processes with what they said."""
    project = Project.open(path, ProjectOptions())
    with warm.lease(project) as mine:
        mine.keep(measure(mine.runner, SourceFile.read(path)))
    return project, mine


def test_a_repair_starts_from_what_the_check_knows(clamp_project):
    warm = WarmRunners(room=2)
    path = clamp_project / "ranges.py"
    _, mine = checked(warm, path)
    runs = mine.runner.runs
    first = []
    watcher = Mock()
    watcher.target = lambda *_: first.append(mine.runner.runs)
    outcome = Repair(Request(way_of(path), budget=20.0), None, watcher, warm=warm).run()
    assert outcome.status == "repaired"
    assert first[0] == runs  # no test ran before the search
    assert outcome.tests_run == mine.runner.runs - runs > 0
    warm.end()


def test_what_was_said_of_other_texts_is_not_used(clamp_project):
    warm = WarmRunners(room=2)
    path = clamp_project / "ranges.py"
    project, _ = checked(warm, path)
    source = SourceFile.read(path)
    path.write_text("# typed\n" + path.read_text())
    with warm.lease(project) as again:
        assert again.baseline_of(source) is not None
        assert again.baseline_of(SourceFile.read(path)) is None
    tests = clamp_project / "tests/test_ranges.py"
    tests.write_text(tests.read_text() + "\n\ndef test_more():\n    assert True\n")
    with warm.lease(project) as again:
        assert again.baseline_of(source) is None
    warm.end()


def test_what_changes_while_the_tests_run_is_not_what_they_saw(clamp_project):
    warm = WarmRunners(room=2)
    path = clamp_project / "ranges.py"
    project, source = Project.open(path, ProjectOptions()), SourceFile.read(path)
    with warm.lease(project) as mine:
        baseline = measure(mine.runner, source)
        (clamp_project / "helper.py").write_text("x = 1\n")
        mine.keep(baseline)
    with warm.lease(project) as again:
        assert again.baseline_of(source) is None
    warm.end()


def test_only_so_many_wait_and_none_that_was_cancelled(clamp_project, write):
    warm = WarmRunners(room=1)
    path = clamp_project / "ranges.py"
    project, first = checked(warm, path)
    with warm.lease(project) as again:
        assert again is first
        again.runner.cancel()
    with warm.lease(project) as other:
        assert other is not first
    assert warm.close(idle=60.0) is None
    with warm.lease(project) as same:
        assert same is other
    warm.close()
    with warm.lease(project) as new:
        assert new is not other
    warm.end()
