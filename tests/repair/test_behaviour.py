"""Where repairs that pass all tests differ is told, on inputs like those of the tests."""

import pytest
from attrs import evolve
from red_tests import Told

from coe_lsp.execution.project import ProjectOptions
from coe_lsp.repair.behaviour import tell_apart
from coe_lsp.repair.probes import find_calls, probes
from coe_lsp.repair.repair import Repair
from coe_lsp.repair.request import Request
from coe_lsp.repair.search.settings import SearchSettings
from coe_lsp.repair.way_in import WayIn, way_of


def test_calls_with_literals_are_found():
    text = "import m\ndef test():\n    x = 3\n    assert f([1, 2], key='a') == m.f(-4)\n    f(x); g(1); f()\n"
    assert [*probes(find_calls([text, "not python ("], "f"), "f")][:2] == [
        "f([1, 2], key='a')",
        "f(-4)",
    ]


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        ("f(3)", {"f(4)", "f(2)", "f(0)", "f(-3)"}),
        ("f('ab', True)", {"f('b', True)", "f('', True)", "f('ab', False)"}),
        ("f([1, 2])", {"f([])", "f([2])", "f([2, 1])", "f([2, 2])"}),
        ("f({'a': 1}, n=(0,))", {"f({}, n=(0,))", "f({'a': 2}, n=(0,))", "f({'a': 1}, n=())"}),
    ],
)
def test_inputs_are_changed_a_little(call, wanted):
    made = probes(find_calls([call], "f"), "f")
    assert made[0] == call
    assert wanted <= set(made)


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

    def with_another(site, programs):
        lines = ("def count(n):", "    while n != 2:", "        pass", "    return 4")
        told.extend(tell_apart(site, [programs[0], evolve(programs[0], lines=lines)]))
        return told

    monkeypatch.setattr("coe_lsp.repair.repair.tell_apart", with_another)
    options = ProjectOptions(tests=("assert count(2) == 4",))
    outcome = Repair(Request(way_of(path, None), options=options), None, Told()).run()
    assert outcome.status == "repaired"
    assert "gives no end instead of " in told[1].differs
