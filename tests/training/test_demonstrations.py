"""Demonstrations: faults of each kind, the way back that tests suggest, traces that tell the truth."""

from random import Random

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from coe_lsp.chain.commands import AddBlock, DeleteLine, ReplaceBlock, ReplaceLine, ReplaceWords
from training.demonstrations.generate import generate_demonstrations
from training.demonstrations.line_noise import Donors, code_lines, corrupt
from training.demonstrations.mistakes import make_mistakes
from training.demonstrations.recipe import Mix, Recipe
from training.demonstrations.structural import take_away
from training.demonstrations.traces import make_demonstrations
from training.demonstrations.unaided import is_found_unaided
from training.demonstrations.undo import Judged, plan_undo, undo_commands
from training.meaning import does_parse
from training.tasks.environment import TaskEnvironment
from training.tasks.harvest import harvest_project
from training.tasks.records import Record, read_records
from training.tasks.tasks import clean

PROGRAM = """\
def scale(values, low, high):
    if not values:
        return []
    best = max(values, key=abs)
    low = abs(low)
    result = []
    for value in values[1:]:
        if low <= value and value < high:
            result.append(pow(value - low, 2) - 1)
        value += 1
    return sorted(result, reverse=True)
"""

LINES = st.lists(st.text(st.characters(exclude_characters="\n\r"), max_size=12), max_size=8)
DOCUMENTED = """\
def pick(values: list, low: int = 0) -> list:
    \"\"\"Convert the values that are not too low.

    >>> pick([1, 2], 1)
    [2]
    \"\"\"
    # from here on
    if not values:
        raise ValueError("no values")
    count: int = 0
    if any(value > low for value in values):
        return values
    return [max(value, low) for value in values if value > low + count]
"""


def judge(*checks, hidden=()):
    """Programs are lists of words here: each check is a word that must be there, or not (`-`)."""

    def say(lines):
        words = set(" ".join(lines).split())

        def holds(check):
            return check.strip("-") in words if check[0] != "-" else check[1:] not in words

        failing = [check for check in checks if not holds(check)]
        right = not failing and all(map(holds, hidden))
        return Judged(not failing, right, len(failing), frozenset(), " ".join(failing))

    return say


def lines_of(text):
    """`~` stands for three lines, long enough not to be written once more within a block."""
    return tuple(text.replace("~", "\n".join([f"    # {'far ' * 9}"] * 3)).split("\n"))


def way_back(start, goal, *checks, hidden=(), whole=False, blocks=True, most=8):
    start, goal = lines_of(start), lines_of(goal)
    judged = judge(*checks, hidden=hidden)
    way = plan_undo(start, goal, judged, whole=whole, blocks=blocks, most=most)
    return None if way is None else undo_commands(way, words=False, blocks=blocks)


def test_the_edit_that_mends_most_comes_first_and_what_tests_do_not_need_is_left_out():
    start = "a = 1\n~\nb = 1\n~\nc = 1"
    goal = "a = good\n~\nb = fine\n~\nc = right"
    both = way_back(start, goal, "fine", "right", "right")
    assert both == [ReplaceLine(9, "c = right"), ReplaceLine(5, "b = fine")]
    assert way_back(start, goal, "fine") == [ReplaceLine(5, "b = fine")]
    assert way_back(start, goal, "nowhere") is None
    assert way_back(start, goal, "good", "fine", "right", most=2) is None


def test_of_equals_the_edit_of_the_line_that_the_feedback_names_comes_first():
    start, goal = lines_of("a\n~\nb"), lines_of("A\n~\nB")

    def say(lines):
        right = {"A", "B"} <= set(lines)
        return Judged(right, right, 1 - right, frozenset({5}), "")

    way = plan_undo(start, goal, say, whole=False, blocks=True, most=3)
    commands = undo_commands(way, words=False, blocks=True)
    assert commands == [ReplaceLine(5, "B"), ReplaceLine(1, "A")]


def test_edits_of_neighbouring_lines_are_one_command():
    start = "def f():\n    a = 1\n    b = 2\n    return a"
    goal = "def f():\n    a = 10\n    b = 20\n    return b"
    (command,) = way_back(start, goal, "10", "20", "b")
    assert command == ReplaceBlock(2, 4, ("    a = 10", "    b = 20", "    return b"))
    singles = way_back(start, goal, "10", "20", "b", blocks=False)
    assert sorted(one.line for one in singles) == [2, 3]  # a test wants `b`, which is there
    (added,) = way_back("x", "x\ny\nz", "y", "z")
    assert added == AddBlock(2, ("y", "z"))
    (gone,) = way_back("x\ny", "x", "-y")
    assert gone == DeleteLine(2)


def test_no_step_leads_to_what_does_not_parse_or_passes_the_shown_tests_alone():
    start = "def f():\n    a = (1,\n    2)\n~\n    b = 3"
    goal = "def f():\n    a = 1\n    2\n~\n    b = 4"
    commands = way_back(start, goal, "4", "-(1,", blocks=False)
    assert commands is None  # either line of the two alone breaks it
    assert way_back(start, goal, "4", "-(1,") is not None
    # `fine` alone would end the episode, with the hidden test failing.
    start, goal = "a\n~\nb", "good\n~\nfine"
    assert way_back(start, goal, "fine", hidden=["good"]) == [
        ReplaceLine(1, "good"),
        ReplaceLine(5, "fine"),
    ]


def test_a_persons_mend_stays_whole_unless_one_piece_is_enough():
    start = "a\n~\nb\n~\nc"
    goal = "A\n~\nB\n~\nC"
    assert len(way_back(start, goal, "B", whole=True)) == 1
    whole = way_back(start, goal, "A", "B", whole=True)
    assert {command.line for command in whole} == {1, 5, 9}
    assert len(way_back(start, goal, "A", "B")) == 2


def test_docstrings_and_annotations_are_no_targets():
    start = 'def f(a):\n    """Old."""\n    b = 1\n~\n    return b'
    goal = 'def f(a: int):\n    """New."""\n    b: int = 1\n~\n    return a'
    assert way_back(start, goal, "a", whole=True) is not None
    (command,) = way_back(start, goal, "-b", "int):", whole=True) or (None,)
    assert command is None  # what the test wants is the annotation
    assert way_back(start + "\n    bad", goal, "-bad", whole=True) == [
        ReplaceBlock(7, 8, ("    return a",))
    ]


@given(LINES, LINES, st.booleans())
def test_the_way_leads_from_one_program_to_the_other(old, new, blocks):
    old, new = tuple(old), tuple(new)

    def say(lines):
        return Judged(lines == new, lines == new, lines != new, frozenset(), "")

    way = plan_undo(old, new, say, whole=False, blocks=blocks, most=20)
    if way is not None:  # it may not parse in between, or differ in nothing that counts
        assert way[0] == old and way[-1] == new
        from coe_lsp.chain.scratchpad import Scratchpad

        pad = Scratchpad(old)
        for command in undo_commands(way, words=True, blocks=blocks):
            pad = pad.apply(command)
        assert pad.lines == new


@given(st.randoms(use_true_random=False))
def test_noise_touches_and_draws_code_only(random):
    donors = Donors.of([DOCUMENTED])
    assert not any("Convert" in line or ">>>" in line for line in donors.lines)
    lines = tuple(DOCUMENTED.split("\n"))
    new, kind = corrupt(lines, donors, random)
    assert [line for line in lines if line in new or lines.index(line) in code_lines(lines)] == [
        *lines
    ]
    assert lines[0] in new  # the signature
    assert kind in ("add", "delete", "replace", "word")


def test_what_is_broken_is_code():
    """No annotation, parameter, docstring, keyword's name or raised text."""
    for make in (make_mistakes, take_away):
        found = make(DOCUMENTED, Random(2), 500)
        assert found
        for one in found:
            assert one.text.startswith(DOCUMENTED[: DOCUMENTED.index("= 0")]), one
            assert does_parse(one.text)
            assert DOCUMENTED.split("    # from", maxsplit=1)[0].partition(":\n")[2] in one.text
            if "raise" in one.text:
                assert 'raise ValueError("no values")' in one.text


def test_what_people_forget_is_taken_away():
    program = """\
def total(values, key=None):
    result = 0
    low = limit(values)
    if not values:
        return None
    if key:
        values = sorted(values, key=key)
    elif len(values) > 3:
        values = list(values)
    else:
        values = values[::-1]
    try:
        first = values[0]
    except TypeError:
        first = None
    except IndexError:
        return 0
    for value in values:
        if value > first:
            result += value
    show(result, low)
    return [x for x in values if x] if result else str(result)
"""
    found = {one.kind: one for one in take_away(program, Random(0), 500)}
    assert found.keys() >= {
        "argument", "block", "branch", "call", "condition", "conditional", "filter", "guard",
        "handler", "initial value and update", "try", "value and use",
    }  # fmt: skip
    assert "    result = 1\n" in found["initial value and update"].text
    assert "result *= value" in found["initial value and update"].text
    pair = found["value and use"].text
    assert "low" not in pair and "show(result)" in pair
    assert "    first = values[0]\n    for" in found["try"].text
    assert all(does_parse(one.text) for one in found.values())
    assert take_away("def f(:\n", Random(1), 5) == []


def test_what_the_search_finds_alone_is_told():
    good = ["def f(a, b):", "    if a > b:", "        return a", "    return b"]
    wrong = [*good[:1], "    if a < b:", *good[2:]]
    assert is_found_unaided(wrong, good)
    assert not is_found_unaided(["def f(a, b):", "    return b"], good)


def test_single_tokens_are_those_that_the_search_does_not_undo(task, sandbox):
    hard = evolve(
        task,
        reference="def above(values, limit):\n    seen = [v for v in values if v > limit]\n"
        "    return len(seen) if values and isinstance(values, list) else 0",
    )
    recipe = Recipe(mix=Mix(structural=0, written=0, token=1), wrong_first_edit=0, idle_line=0)
    made = list(make_demonstrations(hard, Donors.of([PROGRAM]), recipe, Random(1), sandbox))
    assert made
    for record in made:
        assert not is_found_unaided(record.episode.start.lines, record.episode.pad.lines)


RICH = """\
def above(values, limit):
    if limit is None:
        return 0
    total = 0
    for value in values:
        if value is None:
            continue
        elif value > limit:
            total += 1
    return total"""


@pytest.fixture
def rich(task):
    """The task with more to take away, and tests that notice."""
    tests = (*task.tests, "assert above([1], None) == 0", "assert above([None, 3], 2) == 1")
    return evolve(task, reference=RICH, tests=tests)


@pytest.mark.parametrize("pytest_share", [0.0, 1.0])
def test_demonstrations_end_in_success_and_say_the_truth(rich, sandbox, pytest_share):
    recipe = Recipe(per_task=8, pytest=pytest_share, wrong_first_edit=0.4, hidden_tests=False)
    donors = Donors.of([PROGRAM])
    made = list(make_demonstrations(rich, donors, recipe, Random(3), sandbox))
    assert 4 <= len(made) <= 8
    assert any(record.masked for record in made)
    with TaskEnvironment(rich, sandbox, as_pytest=bool(pytest_share)) as environment:
        for record in made:
            episode = record.episode
            assert episode.solved and episode.start.feedback
            assert record.distance > 0
            for turn in episode.turns:
                found = environment.evaluate(turn.pad.lines)
                assert turn.passed == found.solved
                if "ran too long" not in turn.pad.feedback:
                    assert turn.pad.feedback == environment.feedback(found, turn.pad.lines)
                assert turn.error is None
            assert Record.loads(record.dumps()) == record


def test_a_reference_that_fails_gives_no_demonstrations(task, sandbox):
    wrong = evolve(task, reference="def above(values, limit):\n    return 7")
    assert (
        list(make_demonstrations(wrong, Donors.of([PROGRAM]), Recipe(), Random(0), sandbox)) == []
    )


def test_a_third_of_the_tests_is_hidden_and_passes_at_the_end(rich, sandbox):
    recipe = Recipe(per_task=8, pytest=0.0, wrong_first_edit=0.0)
    made = list(make_demonstrations(rich, Donors.of([PROGRAM]), recipe, Random(3), sandbox))
    totals = {record.episode.start.feedback.split(" tests")[0].split()[-1] for record in made}
    assert totals == {"3"}  # of four
    with TaskEnvironment(rich, sandbox) as environment:
        assert all(environment.evaluate(record.episode.pad.lines).solved for record in made)


def test_a_trace_has_a_form_of_its_own(rich, sandbox):
    documented = RICH.replace(":\n", ':\n    """Count."""\n', 1)
    recipe = Recipe(per_task=8, without_docs=0.5, with_instructions=0.5, pytest=0.5)
    task = evolve(rich, reference=documented)
    made = list(make_demonstrations(task, Donors.of([PROGRAM]), recipe, Random(3), sandbox))
    assert {"Count" in record.episode.start.text for record in made} == {True, False}
    assert {bool(record.episode.task.instructions) for record in made} == {True, False}
    assert {"test_above" in record.episode.start.feedback for record in made} == {True, False}


def test_the_mix_is_as_wished_where_there_are_such_faults(rich, sandbox, tmp_path):
    written = {rich.task_id: [RICH.replace("total += 1", "total += value")] * 9}
    mixes = {}
    for name, mix in {
        "both": Mix(structural=0.5, written=0, token=0, noise=0.5),
        "noise": Mix(human=0, structural=0, written=0, token=0, noise=1),
        "written": Mix(structural=0, written=1, token=0),
        "none": Mix(structural=0, written=0, token=0),
    }.items():
        made = generate_demonstrations(
            [rich],
            Recipe(per_task=6, mix=mix, pytest=0.0, without_docs=0.0),
            tmp_path / f"{name}.jsonl",
            seed=1,
            processes=1,
            sandbox=sandbox,
            written=written,
        )
        mixes[name] = made.summary()["realised_mix"]
    assert mixes["both"].keys() == {"structural", "noise"}
    assert 0.3 <= mixes["both"]["noise"] <= 0.7
    assert mixes["noise"] == {"noise": 1.0}
    assert mixes["written"] == {"written": 1.0}
    assert mixes["none"] == {}


def test_a_persons_fault_is_mended_as_the_person_did(rich, sandbox):
    code = RICH.replace("    if limit is None:\n        return 0\n", "")
    fixed = evolve(rich, task_id="fix", code=code)
    assert clean([rich, fixed, fixed], max_lines=40).tasks == (rich, fixed)
    recipe = Recipe(wrong_first_edit=0.0, words=0.0)
    made = list(make_demonstrations(fixed, Donors.of([PROGRAM]), recipe, Random(3), sandbox))
    assert 1 <= len(made) <= recipe.per_fix
    for record in made:
        assert record.kinds == ("human",)
        (turn,) = record.episode.turns
        assert turn.command == AddBlock(2, ("    if limit is None:", "        return 0"))
    unwanted = evolve(recipe, mix=Mix(human=0))
    assert not list(make_demonstrations(fixed, Donors.of([PROGRAM]), unwanted, Random(3), sandbox))


def test_long_functions_are_folded_as_in_serving(task, sandbox):
    filler = [f"    name_{n} = {n} * {n} + sum(range({n})) if limit else limit" for n in range(90)]
    lines = task.reference.split("\n")
    long = evolve(task, reference="\n".join([*lines[:2], *filler, *lines[2:]]))
    recipe = Recipe(per_task=4, pytest=0.0, wrong_first_edit=0.0)
    made = list(make_demonstrations(long, Donors.of([PROGRAM]), recipe, Random(3), sandbox))
    assert made
    for record in made:
        assert record.episode.start.hidden
        assert "\n...\n" in record.episode.start.render()
        pads = [record.episode.start, *(turn.pad for turn in record.episode.turns)]
        for pad, turn in zip(pads, record.episode.turns, strict=False):
            if isinstance(turn.command, (ReplaceLine, ReplaceWords, DeleteLine)):
                assert turn.command.line not in pad.hidden


def test_a_project_whose_tests_cannot_start_stops_no_others(
    task, clamp_project, write, interpreter, sandbox, tmp_path
):
    write("ranges.py", "def clamp(low, high, x):\n    y = max(x, low)\n    return min(y, high)\n")
    write("tests/test_ranges.py", "from ranges import clamp\n\n\ndef test_clamp():\n"
                                  "    assert clamp(1, 3, 0) == 1 and clamp(1, 3, 5) == 3\n")  # fmt: skip
    (broken,) = harvest_project(clamp_project, interpreter, sandbox, max_lines=40).tasks
    write("conftest.py", "raise ImportError('gone')\n")
    path = tmp_path / "made.jsonl"
    recipe = Recipe(per_task=2, pytest=0.0)
    made = generate_demonstrations(
        [broken, task], recipe, path, seed=5, processes=1, sandbox=sandbox
    )
    assert (made.tasks, made.empty) == (2, 1)
    assert {record.task_id for record in read_records(path)} == {task.task_id}


def test_generation_is_seeded_and_resumes_where_it_was_killed(task, sandbox, tmp_path):
    tasks = [evolve(task, task_id=f"toy/{n}") for n in range(3)]
    recipe = Recipe(per_task=3, pytest=0.0)

    def make(name, **options):
        path = tmp_path / name
        found = generate_demonstrations(
            tasks, recipe, path, seed=5, processes=2, sandbox=sandbox, **options
        )
        return path, found

    whole, statistics = make("whole.jsonl")
    assert 6 <= statistics.records == statistics.summary()["demonstrations"]
    half, stopped = make("half.jsonl", deadline=0.0)
    work = tmp_path / "half.jsonl.part"
    assert stopped is None and work.read_text().count("\n") == 2  # settings, a task
    with work.open("a") as file:  # killed in the middle of a line
        file.write('{"records": ["{')
    _, resumed = make("half.jsonl")
    assert half.read_text() == whole.read_text()
    assert resumed.records == statistics.records
    assert not work.exists()
    before = half.stat()
    _, again = make("half.jsonl")  # killed after the end, before anybody noted it
    assert again.summary() == resumed.summary()
    assert half.stat().st_mtime_ns == before.st_mtime_ns
    assert len(list(read_records(whole))) == statistics.records


def test_tests_that_pytest_would_read_otherwise_are_plain_statements(task, sandbox):
    """Indented, the text in three quotes would be another one."""
    text = evolve(task, tests=(*task.tests, 'assert len("""a\nb""") == above([1] * 3, 0)'))
    made = list(
        make_demonstrations(text, Donors.of([PROGRAM]), Recipe(3, pytest=1.0), Random(0), sandbox)
    )
    assert made
    assert all("test_program" not in record.episode.start.feedback for record in made)


def test_mistakes_of_many_kinds_are_single_and_different():
    found = make_mistakes(PROGRAM, Random(1), 500)
    assert len({mistake.text for mistake in found}) == len(found) > 50
    kinds = {mistake.kind for mistake in found}
    assert kinds >= {
        "comparison", "arithmetic", "boolean", "off by one", "swapped operands", "variable",
        "constant", "missing return", "negated condition", "slice", "missing base case",
        "missing call", "missing line", "missing argument", "swapped arguments", "assignment",
    }  # fmt: skip
    assert make_mistakes(PROGRAM, Random(1), 500) == found
    assert make_mistakes("def f(:\n", Random(1), 5) == []
