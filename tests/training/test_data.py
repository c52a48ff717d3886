"""Tasks: files, harvests, environments, and what of them is left out."""

import json
import re
from contextlib import ExitStack
from random import Random

import pytest
from attrs import evolve

from training.__main__ import main
from training.demonstrations.line_noise import Donors
from training.demonstrations.recipe import Recipe
from training.demonstrations.traces import make_demonstrations
from training.files import cut_back
from training.tasks.environment import TaskEnvironment, open_environments
from training.tasks.harvest import harvest_package, harvest_project
from training.tasks.records import RecordError, read_records, write_records
from training.tasks.tasks import TaskError, clean, load_tasks, save_tasks

PROGRAM = """\
def scale(values, low, high):
    if not values:
        return []
    best = max(values, key=abs)
    result = []
    for value in values[1:]:
        if low <= value and value < high:
            result.append(pow(value - low, 2) - 1)
        value += 1
    return sorted(result, reverse=True)
"""


def test_an_environment_tells_what_serving_tells(task, sandbox):
    broken = task.reference.replace(">", ">=").split("\n")
    with TaskEnvironment(task, sandbox) as environment:
        tests = environment.tests
        environment.hide(tests[:1])
        assert environment.tests == tests[1:]
        environment.hide(())
        assert environment.tests == tests
        assert environment.calibrate()
        found = environment.evaluate(broken)
        assert (found.passed, found.total) == (1, 2)
        assert environment.feedback(found, broken) == (
            "1 of 2 tests fail\nassert 1: assert 2 == 1\n+  where 2 = above([1, 2, 3], 2)"
        )
        assert environment.describe(found, broken).tests == ()
        assert environment.describe(found, broken).context == "import math"
    with TaskEnvironment(task, sandbox, as_pytest=True) as environment:
        found = environment.evaluate(broken)
        assert environment.feedback(found, broken) == (
            "1 of 2 tests fail\ntest_above: assert 2 == 1\n+  where 2 = above([1, 2, 3], 2)"
        )
        assert environment.describe(found, broken).tests == (
            "def test_above():\n    assert above([1, 2, 3], 2) == 1",
        )
        crash = ["def above(values, limit):", "    return undefined"]
        assert "(line 2): NameError" in environment.feedback(environment.evaluate(crash), crash)
        vague = ["def above(values, limit):", "    return object()"]
        assert "where <object object> = above(" in environment.feedback(
            environment.evaluate(vague), vague
        )


def test_task_files(task, tmp_path):
    path = tmp_path / "tasks.jsonl"
    save_tasks(path, [task])
    assert load_tasks(str(path)) == [task]
    with pytest.raises(TaskError, match="no tasks in split test"):
        load_tasks(f"{path}#test")
    with pytest.raises(TaskError, match="cannot be read"):
        load_tasks(str(tmp_path / "none.jsonl"))
    path.write_text(json.dumps({"task_id": "x", "reference": "y", "tests": []}))
    with pytest.raises(TaskError, match="line 1"):
        load_tasks(str(path))
    path.write_text("{")
    with pytest.raises(RecordError, match="line 1"):
        list(read_records(path))


def test_samples_are_fixed_and_keep_all_fields(task, tmp_path, capsys):
    path, out = tmp_path / "all.jsonl", tmp_path / "some.jsonl"
    rows = [json.loads(evolve(task, task_id=f"t/{n}").dumps()) | {"bugs": n % 2} for n in range(20)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["sample", "--tasks", str(path), "--where", "bugs=1", "--out", str(out)]
    assert main([*command, "--count", "4"]) == 0
    some = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(some) == 4
    assert some == [row for row in rows if row in some]
    assert {row["bugs"] for row in some} == {1}
    first = out.read_text()
    assert main([*command, "--count", "4"]) == 0
    assert out.read_text() == first
    assert main([*command, "--count", "4", "--seed", "1"]) == 0
    assert out.read_text() != first
    assert main(command) == 0
    assert len(out.read_text().splitlines()) == 10
    for wrong, said in (("bugs=7", "no tasks with bugs=7"), ("bugs", "FIELD=VALUE")):
        assert main(["sample", "--tasks", str(path), "--where", wrong, "--out", str(out)]) == 2
        assert said in capsys.readouterr().err


def test_cleaning_says_why(task):
    again = evolve(task, task_id="b", reference=task.reference + "\n# the same\n")
    renamed = evolve(task, reference=task.reference.replace("total", "count"))
    broken = evolve(task, task_id="c", reference="def f(:")
    long = evolve(task, task_id="d", reference="x = 1\n" * 50)
    found = clean([task, again, broken, long], max_lines=40)
    assert found.tasks == (task,)
    assert found.dropped == {"duplicate": 1, "does not parse": 1, "more than 40 lines": 1}
    assert clean([task], max_lines=40, forbidden=[renamed]).dropped == {
        "also in an evaluation set": 1
    }


def test_records_are_written_whole_or_not_at_all(tmp_path):
    def failing():
        yield from ()
        raise OSError("no space left")

    with pytest.raises(OSError):
        write_records(tmp_path / "records.jsonl", failing())
    assert not (tmp_path / "records.jsonl").exists()


def test_a_log_is_cut_back_and_stays_the_same_file_to_others(tmp_path):
    """A kill may have left half a line; the log may be a link, with a mode of its own."""
    log = tmp_path / "elsewhere.jsonl"
    log.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    log.chmod(0o664)
    (tmp_path / "metrics.jsonl").symlink_to("elsewhere.jsonl")
    cut_back(tmp_path / "metrics.jsonl", 2)
    assert log.read_text() == '{"step": 1}\n{"step": 2}\n'
    assert log.stat().st_mode & 0o777 == 0o664
    assert (tmp_path / "metrics.jsonl").is_symlink()
    assert len(list(tmp_path.iterdir())) == 2
    cut_back(tmp_path / "new" / "metrics.jsonl", 0)
    assert (tmp_path / "new" / "metrics.jsonl").read_text() == ""


def test_harvest_of_a_project(clamp_project, write, interpreter, sandbox):
    text = (clamp_project / "ranges.py").read_text()
    write(
        "more.py",
        """
        def middle(values):
            ordered = sorted(values)
            return ordered[len(ordered) // 2]


        def unused(values):
            total = sum(values)
            return total


        def short(): return 1
        """,
    )
    write(
        "tests/test_more.py",
        "from more import middle\n\ndef test_middle():\n    assert middle([3, 1, 2]) == 2\n",
    )
    write("alone.py", "def alone():\n    a = 1\n    return a\n")
    found = harvest_project(clamp_project, interpreter, sandbox, max_lines=40)
    assert [task.entry_point for task in found.tasks] == ["middle"]
    assert found.dropped["reached by failing tests too"] == 1  # clamp has a bug
    assert found.dropped["no tests"] == 1
    (middle,) = found.tasks
    made = list(
        make_demonstrations(middle, Donors.of([text]), Recipe(per_task=4), Random(0), sandbox)
    )
    assert made and all(record.episode.solved for record in made)
    (clamp_project / "tests" / "test_more.py").unlink()
    with pytest.raises(TaskError, match="tests that pass"):
        harvest_project(clamp_project, interpreter, sandbox, max_lines=40)


def test_harvest_of_an_installed_package(interpreter, sandbox):
    """inflection is somebody else's, with doctests."""
    found = harvest_package("inflection", interpreter, sandbox, max_lines=40)
    names = {task.entry_point for task in found.tasks}
    assert {"camelize", "dasherize", "ordinal", "tableize"} <= names
    ordinal = next(task for task in found.tasks if task.entry_point == "ordinal")
    with TaskEnvironment(ordinal, sandbox) as environment:
        assert environment.calibrate()
        lines = [line.replace("% 100", "% 10") for line in ordinal.reference.split("\n")]
        assert not environment.evaluate(lines).solved
    with pytest.raises(TaskError, match="no package"):
        harvest_package("no_such_package_here", interpreter, sandbox, max_lines=40)


def test_what_was_edited_after_the_harvest_is_left_out(clamp_project, write, interpreter, sandbox):
    write("more.py", "def first(x):\n    y = x + 1\n    return y\n")
    write("rest.py", "def second(x):\n    y = x + 2\n    return y\n")
    write(
        "tests/test_both.py",
        "from more import first\nfrom rest import second\n\n"
        "def test_both():\n    assert first(1) == 2 and second(1) == 3\n",
    )
    tasks = harvest_project(clamp_project, interpreter, sandbox, max_lines=40).tasks
    assert [task.entry_point for task in tasks] == ["first", "second"]
    write("rest.py", "def second(x):\n    return x + 2\n")
    with ExitStack() as stack:
        (environment,) = open_environments(tasks, sandbox, stack)
        assert environment.task == tasks[0] and environment.calibrate()
    write("more.py", "def first(\n")
    with ExitStack() as stack:
        assert open_environments(tasks, sandbox, stack) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("tasks --package no.such --out x", "no package no.such"),
        ("tasks --package sys --out x", "no package sys"),
        ("tasks --project {tmp}/nowhere --out x", "nowhere is no folder"),
        ("sample --tasks {tmp}/list.jsonl --out x", "line 1, is not a task: .*an object"),
        ("sample --tasks {tmp}/letters.jsonl --out x", "tests must be a list of statements"),
        ("sample --tasks {tmp}/good.jsonl --count 0 --out x", "at least 1, got '0'"),
        ("sample --tasks {tmp}/good.jsonl --count -1 --out x", "at least 1, got '-1'"),
        ("sample --tasks {tmp}/good.jsonl --out {tmp}", "is a folder: name a file"),
        ("sample --tasks {tmp}/good.jsonl --out {tmp}/good.jsonl/x", "cannot be written"),
        ("sample --tasks {tmp}/good.jsonl --out /dev/null/x", "cannot be written"),
        ("evaluate --tasks {tmp}/good.jsonl --policy base --first 0 --out x", "at least 1"),
    ],
)
def test_a_wrong_command_line_is_answered_with_what_to_do(
    arguments, message, task, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.jsonl").write_text("[1, 2]\n")
    (tmp_path / "letters.jsonl").write_text(
        json.dumps({"task_id": "a", "reference": "x = 1", "tests": "assert x"})
    )
    save_tasks(tmp_path / "good.jsonl", [task])
    try:
        code = main(arguments.format(tmp=tmp_path).split())
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "x").exists()


def test_a_file_that_cannot_be_written_is_named(task, tmp_path, capsys):
    save_tasks(tmp_path / "good.jsonl", [task])
    name = "n" * 300
    assert main(["sample", "--tasks", str(tmp_path / "good.jsonl"), "--out", name]) == 2
    assert f"{name}: File name too long." in capsys.readouterr().err
