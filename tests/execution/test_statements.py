"""Statements that need others: run alone they say what they say in a run of all."""

import ast
import sys
from pathlib import Path

import pytest

import coe_lsp.execution
from coe_lsp.execution.suite import Suite

sys.path.insert(0, str(Path(coe_lsp.execution.__file__).parent))
from coe_worker.statements import needed

PROGRAM = b"""
class Stack(list):
    push = list.append

    def peek(self):
        return self[0]


def double(x):
    return x + x
"""


@pytest.mark.parametrize(
    ("statements", "last"),
    [
        (["assert double(1) == 2", "assert double(2) == 4"], []),
        (["import math", "assert double(math.pi) > 6", "assert double(math.e) > 5"], [0]),
        (["import random", "random.seed(1)", "assert double(random.random()) < 2"], [0, 1]),
        (["from random import Random", "r = Random(1)", "x = r.random()", "assert double(x) < 2"],
         [0, 1, 2]),
        (["s = Stack()", "s.push(1)", "assert s.peek() == 1", "assert s.pop() == 1"], [0, 1, 2]),
        (["r = double(1)", "assert r == 2", "r = double(2)", "assert r == 4"], [2]),
        (["a, b = 1, 2", "a += b", "assert double(a) == 6"], [0, 1]),
        (["for n in [1]: assert double(n)", "for n in [2]: assert double(n)"], []),
        (["x = 1", "assert [x for x in [2]] == [2]"], []),
        (["def check(f):\n    assert f(1) == 2", "check(double)"], [0]),
        (["not a statement", "assert double(1) == 2"], []),
    ],
)  # fmt: skip
def test_what_is_needed(statements, last):
    assert needed(statements)[-1] == last


STATEMENTS = (
    "import math",
    "assert double(1) == 3",
    "s = Stack()",
    "s.push(math.floor(1.5))",
    "s.push(2)",
    "assert s.peek() == 2",
    "r = double(4)",
    "assert r == 9",
)


@pytest.mark.parametrize("select", [["assert 6"], ["assert 8"], ["assert 6", "assert 8"]])
def test_a_selected_statement_says_the_same(select, tmp_path, worker_for):
    worker = worker_for(Suite("asserts", tmp_path, None, statements=STATEMENTS))
    whole = {r.id: (r.outcome, r.detail) for r in worker.run(PROGRAM).results}
    alone = {r.id: (r.outcome, r.detail) for r in worker.run(PROGRAM, select).results}
    assert alone == {test: whole[test] for test in select}
    assert [whole[test][0] for test in select] == ["failed"] * len(select)


@pytest.mark.parametrize("select", [None, ["assert 8"]])
def test_lines_that_ran_in_an_earlier_statement_count(select, tmp_path, worker_for):
    worker = worker_for(Suite("asserts", tmp_path, None, statements=STATEMENTS))
    run = worker.run(PROGRAM, select, coverage=True)
    (double,) = (n for n in ast.parse(PROGRAM).body if isinstance(n, ast.FunctionDef))
    assert run.lines["assert 8"] == {double.lineno + 1}
    assert run.entries["assert 8"] == {double.lineno}
