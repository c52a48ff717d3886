"""What a person forgets, taken away: which faults there are, and what is never touched."""

from __future__ import annotations

import ast
from collections import Counter
from random import Random

import pytest

from training.demonstrations.faults import Faults
from training.demonstrations.line_noise import Donors
from training.demonstrations.recipe import Mix, Recipe
from training.demonstrations.structural import take_away

PROGRAM = '''\
def collect(rows: list, low: int = 0, *, key=None, limit=None):
    """Collect the int list of rows.

    >>> collect([])
    []
    """
    if rows is None:
        raise ValueError("rows", low)
    seen = set()
    found = []
    for row in rows:
        if row in seen:
            continue
        seen.add(row)
        try:
            value = int(row.strip(), 10)
        except AttributeError:
            value = row
        except ValueError:
            value = None
        if value is None:
            found.append(low)
        elif value >= low and not value < 0:
            found.append([value, str(value)])
        else:
            found.append(low)
    with LOCK:
        rest = sorted((x for x in found if x), key=key)
    return rest if limit is None else rest[:limit]'''
ALL = {found.text: found.kind for found in take_away(PROGRAM, Random(0), 1000)}


@pytest.mark.parametrize(
    ("kind", "gone"),
    [
        ("guard", "        if row in seen:\n            continue\n"),
        ("branch", "        else:\n            found.append(low)\n"),
        ("argument", ", key=key"),
        ("argument", ", 10"),
        ("operand", " and not value < 0"),
        ("operator", "not "),
        ("element", ", str(value)"),
        ("line", "        seen.add(row)\n"),
        ("call", ".strip()"),
        ("filter", " if x"),
    ],
)
def test_it_is_gone_and_nothing_else_has_changed(kind: str, gone: str) -> None:
    wanted = PROGRAM.replace(gone, "", 1) if gone != ", 10" else PROGRAM.replace(", 10)", ")", 1)
    if kind == "branch":
        wanted = PROGRAM.replace(gone, "")
    assert ALL.get(wanted) == kind


def test_what_stood_in_a_try_or_with_is_left_there() -> None:
    texts = {kind: text for text, kind in ALL.items()}
    assert "\n        value = int(row.strip(), 10)\n        if value is None" in texts["try"]
    assert "\n    rest = sorted(" in texts["with"] and "LOCK" not in texts["with"]


def test_the_lines_of_a_variable_go_together() -> None:
    """Its first value, its update and the guard."""
    (text,) = [text for text, kind in ALL.items() if kind == "coupled lines"]
    guard = "        if row in seen:\n            continue\n        seen.add(row)\n"
    assert text == PROGRAM.replace("    seen = set()\n", "").replace(guard, "")


def test_what_is_left_parses_and_signature_docstring_and_errors_are_as_they_were() -> None:
    kept = PROGRAM.partition("    if rows")[0], 'raise ValueError("rows", low)'
    assert len(ALL) > 20
    for text, kind in ALL.items():
        ast.parse(text)
        assert text.startswith(kept[0]), kind
        assert kept[1] in text or kind == "guard", kind


def test_a_first_value_is_left_out_but_not_what_a_name_stands_for() -> None:
    """A line without which the rest has no meaning is no line that a person forgets."""
    program = """\
def f(rows, key):
    order = sorted(rows, key=key)
    count = 0
    for row in order:
        count += row
    return count"""
    gone = {found.text for found in take_away(program, Random(0), 100) if found.kind == "line"}
    assert program.replace("    count = 0\n", "") in gone
    assert program.replace("    order = sorted(rows, key=key)\n", "") not in gone


def test_of_a_function_more_than_half_is_left() -> None:
    program = ("def f(a):", "    r = 0", "    for n in a:", "        r += n", "    return r")
    recipe = Recipe(depths=(0.5, 0.5), mix=Mix(structural=1.0))
    donors, random = Donors.of([]), Random(0)
    faults = Faults(program, None, [], donors, recipe, random, Counter())
    made = [faults.make("structural", program) for _ in range(60)]
    sizes = {len(fault[0]) for fault in made if fault is not None}
    assert sizes == {4, 5}


def test_a_program_that_does_not_parse_has_none() -> None:
    assert take_away("def f(:\n", Random(0), 5) == []
