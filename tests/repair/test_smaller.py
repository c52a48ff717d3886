"""A repair that does not need all of its changes is told without the others."""

from coe_lsp.repair.search.smaller import smaller_programs


def test_each_change_is_taken_back_alone():
    before = ("a", "b", "c", "d")
    after = ("a", "B", "c", "x", "d")
    assert list(smaller_programs(before, after)) == [
        ("a", "b", "c", "x", "d"),
        ("a", "B", "c", "d"),
    ]
    assert list(smaller_programs(before, ("a", "B", "c", "d"))) == []
