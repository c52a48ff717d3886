"""What people changed, in units, and whether it is a fault, a feature or neither."""

from training.bugs.changes import find_changes, find_hunks, is_source, measure_fix, whole_change
from training.bugs.names import judge_names

OLD = '''import math

FACTOR = 2


def area(radius):
    """Of a circle."""
    return math.pi * radius


def twice(number):
    # the factor
    return number + FACTOR


def total(numbers):
    result = 0
    for number in numbers:
        result = number
    return result
'''
NEW = OLD.replace("pi * radius", "pi * radius**2").replace("number + FACTOR", "number * FACTOR")


def changes(old, new):
    return list(find_changes({"a.py": old}, {"a.py": new}))


def test_each_function_is_taken_back_alone():
    found = changes(OLD, NEW)
    assert [(change.unit, change.function) for change in found] == [
        ("function", "area"),
        ("function", "twice"),
    ]
    area, twice = found
    assert area.files["a.py"] == NEW.replace("pi * radius**2", "pi * radius")
    assert twice.files["a.py"] == NEW.replace("number * FACTOR", "number + FACTOR")
    assert area.lines["a.py"] == range(6, 9)


def test_a_hunk_of_a_function_with_two_is_a_unit_too():
    body = "    one = 1\n    two = 2\n    three = 3\n    four = 4\n    five = 5\n"
    old = f"def f():\n{body}    return five\n"
    new = old.replace("one = 1", "one = 11").replace("five = 5", "five = 55")
    found = changes(old, new)
    assert [(change.unit, change.function, change.hunk) for change in found] == [
        ("function", "f", None),
        ("hunk", "f", 0),
        ("hunk", "f", 1),
    ]
    assert found[1].files["a.py"] == new.replace("one = 11", "one = 1")
    both, one = (measure_fix(change, {"a.py": new}) for change in found[:2])
    assert (both.size, both.added, both.removed) == ("one function", 2, 2)
    assert (one.size, one.added, one.removed) == ("one line", 1, 1)
    assert both.digest != one.digest


def test_what_does_not_run_is_no_change():
    words = OLD.replace("Of a circle.", "Of a circle, in units.").replace("the factor", "a factor")
    assert changes(OLD, words) == []
    typed = OLD.replace("def area(radius):", "def area(radius: float) -> float:")
    assert changes(OLD, typed) == []


def test_a_hunk_that_leaves_no_program_is_no_change():
    old = "def f(x):\n    a = 1\n    b = 2\n    c = 3\n    return x\n"
    new = "def f(x):\n    if x:\n        a = 1\n        b = 2\n        c = 3\n    return x\n"
    assert [change.unit for change in changes(old, new)] == ["function"]


def test_lines_close_together_are_one_hunk():
    assert len(find_hunks(["a\n", "b\n", "c\n"], ["x\n", "b\n", "y\n"])) == 1
    far = ["b\n"] * 3
    assert len(find_hunks(["a\n", *far, "c\n"], ["x\n", *far, "y\n"])) == 2


def test_a_whole_commit_over_two_files():
    before = {"a.py": OLD, "b.py": "def g():\n    return 1\n", "c.py": "C = 1\n"}
    after = {**before, "a.py": NEW, "b.py": "def g():\n    return 2\n"}
    change = whole_change(before, after)
    assert set(change.files) == {"a.py", "b.py"}
    assert change.function is None
    fix = measure_fix(change, after)
    assert (fix.size, fix.added, fix.removed) == ("several", 3, 3)
    one = whole_change({"a.py": OLD}, {"a.py": OLD.replace("result = number", "result += number")})
    assert one.function == "total"


def test_source_files_are_told_from_tests_and_the_rest():
    assert is_source("src/pack/core.py")
    away = ["tests/core.py", "pack/tests/util.py", "test_core.py", "setup.py", "docs/conf.py",
            "pack/core.pyi", "pack/_version.py", ".tox/a.py"]  # fmt: skip
    assert not any(is_source(path) for path in away)


def judged(old, new, test, file="a.py"):
    (change, *_) = changes(old, new)
    return judge_names(change, {file: old}, {file: new}, [test])


def test_a_fault_is_wrong_code_for_tests_that_name_what_there_is():
    assert judged(OLD, NEW, "def test_it():\n    assert area(1) == 3") == "fault"


def test_a_feature_is_what_tests_name_and_nothing_defines():
    new = OLD.replace("def area(radius):", "def area(radius, digits=2):")
    assert judged(OLD, new, "def test_it():\n    assert area(1, digits=3) == 3.142") == "feature"
    assert judged(OLD, new, "def test_it():\n    assert area(1, 3) == 3.142") == "fault"


def test_a_program_that_nobody_had_is_a_misfit():
    renamed = OLD.replace("FACTOR", "SCALE").replace("number + SCALE", "number * SCALE")
    function = next(c for c in changes(OLD, renamed) if c.function == "twice")
    assert judge_names(function, {"a.py": OLD}, {"a.py": renamed}, []) == "misfit"
    helper = "\n\ndef square(x):\n    return x * x\n"
    new = OLD.replace("pi * radius", "pi * square(radius)") + helper
    hunk = next(c for c in changes(OLD, new) if c.unit == "hunk" and "square(x)" not in
                c.files["a.py"])  # fmt: skip
    assert judge_names(hunk, {"a.py": OLD}, {"a.py": new}, []) == "misfit"
