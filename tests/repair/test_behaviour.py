"""Where repairs that pass all tests differ is told, on inputs like those of the tests."""

from http import HTTPStatus

import pytest
from attrs import evolve
from red_tests import Told

from coe_lsp.execution.coe_worker.calls import variants
from coe_lsp.execution.observation import Call
from coe_lsp.execution.project import ProjectOptions
from coe_lsp.repair import behaviour
from coe_lsp.repair.behaviour import tell_apart
from coe_lsp.repair.repair import Repair
from coe_lsp.repair.request import Request
from coe_lsp.repair.search.ranking import PassingProgram
from coe_lsp.repair.search.settings import SearchSettings
from coe_lsp.repair.way_in import WayIn, way_of


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (3, [4, 2, 0, -3]),
        (True, [False]),
        ("ab", ["b", "a", "", "AB"]),
        (b"ab", [b"b", b""]),
        ([1, 2], [[], [2], [2, 1], [2, 2]]),
        ((0,), [()]),
        ({"a": 1}, [{}, {"a": 2}]),
        (HTTPStatus.OK, []),
        (object(), []),
    ],
)
def test_arguments_are_changed_a_little(value, wanted):
    made = list(variants(value))
    assert all(new in made for new in wanted)
    assert wanted or not made


def test_what_tests_leave_open_is_told(project):
    """`n + 2`, `n * 2` and others please the one test."""
    root = project(
        {
            "twice.py": "def twice(n):\n    return n - 2\n",
            "test_twice.py": "from twice import twice\n\ndef test():\n    assert twice(2) == 4\n",
        }
    )
    way = WayIn(root, tests=("test_twice.py",))
    outcome = Repair(Request(way, search=SearchSettings(candidates=300)), None, Told()).run()
    assert outcome.status == "repaired"
    told = [patch.reason for patch in outcome.patches[1:]]
    assert told and all(" gives " in reason and " instead of " in reason for reason in told), told
    assert "Another repair differs: twice(" in outcome.message


def test_a_program_that_does_not_end_elsewhere_is_told(write, monkeypatch):
    """It passes the test, and loops for ever on what is beside it: that costs a moment only."""
    path = write("count.py", "def count(n):\n    return n - 2\n")
    told = []

    def with_another(site, programs, cancelled):
        lines = ("def count(n):", "    while n != 2:", "        pass", "    return 4")
        told.extend(tell_apart(site, [programs[0], evolve(programs[0], lines=lines)], cancelled))
        return told

    monkeypatch.setattr("coe_lsp.repair.repair.tell_apart", with_another)
    options = ProjectOptions(tests=("assert count(2) == 4",))
    outcome = Repair(Request(way_of(path, None), options=options), None, Told()).run()
    assert outcome.status == "repaired"
    assert "gives no end instead of " in told[1].differs


def test_where_methods_differ_is_told_with_the_test_that_calls_them(project):
    """What the object was is not in the call, but the test knows."""
    root = project(
        {
            "cart.py": """
                class Cart:
                    def __init__(self, prices):
                        self.prices = prices

                    def total(self, discount):
                        return sum(self.prices) + discount
            """,
            "test_cart.py": """
                from cart import Cart


                def test_one():
                    assert Cart([2]).total(1) == 1
            """,
        }
    )
    way = WayIn(root, tests=("test_cart.py",))
    outcome = Repair(Request(way, search=SearchSettings(candidates=300)), None, Told()).run()
    assert outcome.status == "repaired"
    told = [patch.reason for patch in outcome.patches[1:]]
    assert any("Cart.total(2) in test_one gives " in reason for reason in told), told


def test_a_program_that_answers_nothing_hides_no_other(monkeypatch):
    """Only what answers all calls as one before it did is said to do nothing new."""
    call = Call("test_f", "f(1)", 1, True)
    answers = {("a",): {call: "1"}, ("b",): {}, ("c",): {call: "3"}, ("d",): {call: "3"}}
    monkeypatch.setattr(behaviour, "observe", lambda site, lines, tests: answers[tuple(lines)])
    monkeypatch.setattr(behaviour, "_tests", lambda site: [])
    programs = [PassingProgram(lines, (), "mutation", n) for n, lines in enumerate(answers)]
    told = tell_apart(None, programs, lambda: False)
    assert [program.lines for program in told] == [("a",), ("b",), ("c",), ("d",)]
    assert [bool(program.differs) for program in told] == [False, False, True, True]
    answers["b",] = {call: "1"}
    assert [program.lines[0] for program in tell_apart(None, programs, lambda: False)] == [
        "a",
        "c",
        "b",
        "d",
    ]
