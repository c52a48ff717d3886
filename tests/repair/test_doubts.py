"""Which repairs are told as doubtful, and that they come last."""

import pytest
from red_tests import repair

from coe_lsp.repair.search.doubts import find_doubts
from coe_lsp.repair.search.ranking import PassingProgram, rank, with_size

BEFORE = """
def f(items, limit):
    if not items:
        raise ValueError
    total = 0
    for item in items:
        total += item
    if total > limit:
        return limit
    return total
"""


@pytest.mark.parametrize(
    ("old", "new", "doubt"),
    [
        ("    total = 0\n", "", "takes a statement away"),
        ("    if not items:\n        raise ValueError\n", "", "takes something away"),
        (
            "    if total > limit:\n        return limit\n",
            "    return limit\n",
            "takes a check away",
        ),
        (
            "    if not items:\n        raise ValueError\n",
            "    if not items:\n        pass\n",
            "takes a check away",
        ),
        ("    total = 0\n", "    return 0\n    total = 0\n", "leaves code that never runs"),
        (
            "    return total\n",
            "    return total\n    return limit\n",
            "leaves code that never runs",
        ),
        ("return total\n", "return 7\n", "returns the same whatever it is given"),
        ("return limit", "return None", "returns the same whatever it is given"),
        (
            "return total\n",
            "try:\n        return total + limit\n    except TypeError:\n        return 0\n",
            None,
        ),
        ("if not items", "if items", "turns a condition round"),
        ("total > limit", "total <= limit", "turns a condition round"),
        ("if total > limit", "if total + 1", "asks a sum for its truth"),
        ("if total > limit", "if check(total) or total > limit", None),
        (
            "    total = 0\n",
            "    try:\n        total = 0\n    except KeyError:\n        return None\n",
            "hides KeyError",
        ),
        (
            "    total = 0\n",
            "    try:\n        total = 0\n    except KeyError:\n        total = limit\n",
            None,
        ),
        ("total > limit", "total >= limit", None),
        ("total = 0", "total = limit", None),
        ("if total > limit", "if limit and total > limit", None),
        ("    total = 0\n", "    if limit is None:\n        return None\n    total = 0\n", None),
    ],
)
def test_shapes_that_are_doubtful(old, new, doubt):
    assert old in BEFORE
    after = BEFORE.replace(old, new, 1)
    found = find_doubts(BEFORE.splitlines(), after.splitlines())
    assert found == ((doubt,) if doubt else ())


def test_what_is_asked_instead_of_a_check_is_doubtful():
    before = ["def f(value):", "    return is_low(value) or is_high(value)"]
    after = ["def f(value):", "    return value or is_high(value)"]
    assert find_doubts(before, after) == ("asks a value for its truth where it was checked",)
    assert find_doubts(after, before) == ()
    before = ["def f(text):", "    if WORD.search(text):", "        return 1"]
    after = ["def f(text):", "    if WORD:", "        return 1"]
    assert find_doubts(before, after) == ("asks a value for its truth where it was checked",)


def test_literals_of_tests_are_doubtful_even_where_nothing_parsed():
    assert find_doubts(["def f(:"], ["def f():", "    return 7"], ["7"]) == (
        "spells out 7 of the tests",
    )


CLIP = {
    "clip.py": """
        def clip(value, high):
            if value < high:
                return value
            return value
    """,
    "tests/test_clip.py": """
        from clip import clip


        def test_clip():
            assert clip(15, 10) == 10
    """,
}


TWO = {
    "rates.py": """
        RATES = {"de": 19, "ch": 8}


        def rate(country):
            if country not in RATES:
                raise KeyError(country)
            return RATES.get(country, 0)
    """,
    "pay.py": """
        from rates import rate


        def pay(net, country):
            return net + net * rate(country) // 10
    """,
    "tests/test_pay.py": """
        from pay import pay
        from rates import rate


        def test_none():
            assert pay(100, "none") == 100


        def test_nowhere():
            assert rate("nowhere") == 0


        def test_no():
            assert rate("no") == 0


        def test_home():
            assert pay(100, "de") == 119


        def test_there():
            assert pay(200, "ch") == 216
    """,
}


def test_a_doubtful_repair_is_ranked_after_a_larger_one():
    before = ("def f(n):", "    n = n + 1", "    return n")
    lines = (
        ("def f(n):", "    return n"),
        ("def f(n):", "    n = n - 1", "    return n + 1"),
    )
    programs = [PassingProgram(text, (), "mutation", n) for n, text in enumerate(lines)]
    ranked = rank(with_size(program, before, ()) for program in programs)
    assert [bool(program.doubts) for program in ranked] == [False, True]
    assert ranked[1].reason.startswith("doubtful: takes a statement away")


def test_a_doubtful_repair_comes_after_others_and_says_so(project):
    outcome, _ = repair(project(CLIP), "tests/test_clip.py")
    assert outcome.status == "repaired"
    doubts = [bool(patch.doubt) for patch in outcome.patches]
    assert doubts == sorted(doubts)
    assert not outcome.patches[0].doubt
    assert "doubtful" not in outcome.message
    assert all("doubtful" in patch.reason for patch in outcome.patches if patch.doubt)


def test_a_doubt_about_either_of_two_changes_is_told(project):
    """Which of the two comes first is a matter of time."""
    outcome, _ = repair(project(TWO), "tests/test_pay.py", budget=40)
    assert outcome.status == "repaired", outcome.message
    (patch, *_) = outcome.patches
    assert set(patch.patch.files) == {"rates.py", "pay.py"}
    assert "takes something away" in patch.doubt
    assert "but doubtful" in outcome.message
