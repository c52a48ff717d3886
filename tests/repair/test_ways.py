"""Repairs that begin with a red test: the fault is found in the project, wherever it is."""

import json
import time

import pytest
from red_tests import Told, repair

from coe_lsp.errors import CoeError
from coe_lsp.repair.file_sites import FileSites
from coe_lsp.repair.repair import Repair
from coe_lsp.repair.request import Request
from coe_lsp.repair.way_in import WayIn, WayInError, find_way_in, way_of


def fixed(outcome):
    return {file: source.text for file, source in outcome.repaired.items()}


SHOP = {
    "shop/__init__.py": "",
    "shop/money.py": """
        def discount(price, percent):
            if percent < 0 or percent > 100:
                raise ValueError(percent)
            return price - price * percent // 10


        def with_tax(price, percent):
            return price + price * percent // 100
    """,
    "shop/cart.py": """
        from shop.money import discount, with_tax


        class Cart:
            def __init__(self):
                self.items = []

            def add(self, name, price, count=1):
                self.items.append((name, price, count))

            def total(self, percent=0, tax=0):
                whole = 0
                for _, price, count in self.items:
                    whole += price * count
                return with_tax(discount(whole, percent), tax)
    """,
    "tests/test_cart.py": """
        from shop.cart import Cart


        def filled():
            cart = Cart()
            cart.add("tea", 200, 2)
            cart.add("cup", 100)
            return cart


        def test_plain_total():
            assert filled().total() == 500


        def test_total_with_discount():
            assert filled().total(percent=10) == 450
            assert filled().total(percent=25) == 375
            assert filled().total(percent=100) == 0


        def test_total_with_tax():
            assert filled().total(tax=20) == 600
    """,
}


def test_a_red_test_leads_to_the_file_at_fault(project):
    root = project(SHOP)
    before = (root / "tests/test_cart.py").read_text()
    outcome, log = repair(root, "tests/test_cart.py::test_total_with_discount")
    assert outcome.status == "repaired", outcome.message
    assert (outcome.file, outcome.function) == ("shop/money.py", "discount")
    assert "price * percent // 100" in fixed(outcome)["shop/money.py"]
    assert (root / "tests/test_cart.py").read_text() == before
    assert log.scouted.targets == ("tests/test_cart.py::test_total_with_discount",)
    assert len(log.scouted.passed) == 2  # the other tests of the file stand beside it
    place = outcome.to_json()["places"][0]
    assert place["reason"]
    places = {(p["file"], p["function"]): p for p in outcome.to_json()["places"]}
    assert len(places) == len(outcome.places)
    assert {file for file, _ in places} <= {"shop/money.py", "shop/cart.py"}
    assert places["shop/money.py", "discount"]["failed"] == 0


def test_what_was_not_named_and_still_fails_is_told(project):
    """One fault, two red tests: a caller bent to the one that is named leaves the other red."""
    root = project(
        {
            "bounds.py": """
                def low(value):
                    return value + 1


                def high(value):
                    return value + 2
            """,
            "test_bounds.py": """
                from bounds import high, low


                def test_low():
                    assert low(3) == 2


                def test_high():
                    assert high(3) == 4
            """,
        }
    )
    outcome, _ = repair(root, "test_bounds.py::test_low")
    assert outcome.status == "repaired"
    assert outcome.message.startswith("`low` is repaired: 1 test passed.")
    assert "Not named, and still fails: test_bounds.py::test_high." in outcome.message
    outcome, _ = repair(root, "test_bounds.py")
    assert "still" not in outcome.message, outcome.message


def test_tests_that_were_not_named_guard(project):
    """What makes the named test pass alone is easy: return what it wants."""
    root = project(
        {
            "sign.py": """
                def sign(n):
                    if n > 0:
                        return 1
                    return 1
            """,
            "test_one.py": """
                from sign import sign

                def test_negative():
                    assert sign(-3) == -1

                def test_positive():
                    assert sign(3) == 1
            """,
            "test_two.py": """
                import sign

                def test_nothing():
                    assert sign.sign(0) == 0 or True

                def test_large():
                    assert sign.sign(10**9) == 1
            """,
        }
    )
    outcome, _ = repair(root, "test_one.py::test_negative")
    assert outcome.status == "repaired", outcome.message
    (text,) = fixed(outcome).values()
    scope = {}
    exec(text, scope)
    assert (scope["sign"](-3), scope["sign"](3), scope["sign"](10**9)) == (-1, 1, 1)


def test_tests_of_other_files_guard(project):
    """The only test that sees the other branch is in another file."""
    root = project(
        {
            "level.py": """
                def level(n):
                    low = n < 10
                    return low
            """,
            "test_level.py": """
                from level import level

                def test_ten():
                    assert level(10) is True
            """,
            "test_elsewhere.py": """
                from level import level

                def test_eleven():
                    assert level(11) is False
            """,
        }
    )
    outcome, _ = repair(root, "test_level.py")
    assert outcome.status == "repaired", outcome.message
    for text in [p.patch.apply(outcome.sources)["level.py"].text for p in outcome.patches]:
        scope = {}
        exec(text, scope)
        assert (scope["level"](10), scope["level"](11)) == (True, False)


def test_two_places_in_two_files_make_one_repair(project):
    files = dict(SHOP)
    files["shop/cart.py"] = files["shop/cart.py"].replace("whole += price", "whole = price")
    root = project(files)
    outcome, _ = repair(root, "tests/test_cart.py", budget=60)
    assert outcome.status == "repaired", (outcome.message, outcome.places)
    assert set(fixed(outcome)) == {"shop/money.py", "shop/cart.py"}
    assert outcome.after.failed == 0
    assert "--- a/shop/cart.py" in outcome.diff
    assert "--- a/shop/money.py" in outcome.diff
    words = [link.words for link in outcome.chain]
    assert any(text.startswith("`Cart.total`, line 14 changed to ") for text in words), words
    assert any(text.startswith("`discount`, line 4") for text in words), words


HOPELESS_TOTAL = {
    "prices.py": """
        def fee(price):
            return price - 2


        def total(prices):
            if not prices:
                return None
            whole = 0
            for price in prices:
                whole += fee(price)
            return whole
    """,
    "test_prices.py": """
        from prices import total

        def test_total():
            assert total([3, 4]) == 11

        def test_a_wish():
            assert total([]) == {"wish": list("something else")}
    """,
}


def test_a_part_of_a_repair_is_told_as_one(project):
    root = project(
        {
            "rates.py": """
                def rate(price):
                    return price // 10
            """,
            "test_rates.py": """
                from rates import rate

                def test_rate():
                    assert (rate(500), rate(1000)) == (5, 10)

                def test_a_wish():
                    assert rate(0) == "nothing"
            """,
        }
    )
    outcome, _ = repair(root, "test_rates.py", budget=8)
    assert outcome.status == "failed"
    assert outcome.patches == ()
    assert outcome.partly.repaired == ("test_rates.py::test_rate",)
    assert outcome.partly.left == ("test_rates.py::test_a_wish",)
    assert "+    return price // 100" in outcome.partly.diff
    assert "test_a_wish" in outcome.message
    assert json.loads(json.dumps(outcome.to_json()))["partly"]["left"]


def test_a_part_of_a_repair_is_told_however_one_asks(project):
    root = project(
        {
            "users.py": """
                def display_name(first, last):
                    return last + " " + last
            """,
            "tests/test_users.py": """
                from users import display_name

                def test_both():
                    assert display_name("Ada", "Byron") == "Ada Byron"

                def test_a_wish():
                    assert display_name("Ada", "King") == ["a wish"]
            """,
        }
    )
    path = root / "users.py"
    for way in (way_of(path, "display_name"), way_of(path), WayIn(root, tests=("tests",))):
        outcome = Repair(Request(way, budget=6), None, Told()).run()
        assert (outcome.status, outcome.patches) == ("failed", ()), way
        assert outcome.partly is not None, (way, outcome.message)
        assert outcome.partly.repaired == ("tests/test_users.py::test_both",)
        assert "+    return first + " in outcome.partly.diff
        assert "`display_name` makes 1 of 2 tests pass" in outcome.message


def test_who_has_seen_a_part_need_not_wait_for_the_rest(project):
    """In the second round, which has the first one's repair in place."""
    root = project(HOPELESS_TOTAL)

    class Impatient(Told):
        def target(self, file, function, target_tests):
            if (file, function.name) in self.places:
                settled.append(repair.settle())
            super().target(file, function, target_tests)

    settled = []
    repair = Repair(Request(WayIn(root, tests=("test_prices.py",)), budget=40), None, Impatient())
    began = time.monotonic()
    outcome = repair.run()
    assert settled == [True], outcome.message
    assert time.monotonic() - began < 30
    assert outcome.partly is not None and "+    return price + 2" in outcome.partly.diff


def test_a_repair_that_is_just_confirmed_is_not_lost(project, monkeypatch):
    root = project(HOPELESS_TOTAL)
    confirm = FileSites.confirm

    def interrupted(self, site, programs):
        settled.append(repair.settle())
        return confirm(self, site, programs)

    settled = []
    monkeypatch.setattr(FileSites, "confirm", interrupted)
    request = Request(way_of(root / "prices.py", "fee"), budget=20)
    repair = Repair(request, None, Told())
    outcome = repair.run()
    assert (settled, outcome.status) == ([True], "repaired"), outcome.message


def test_what_fails_beside_the_named_test_is_set_aside(project):
    files = dict(SHOP)
    files["tests/test_cart.py"] += "\n\n        def test_hopeless():\n            assert False\n"
    root = project(files)
    outcome, log = repair(root, "tests/test_cart.py::test_total_with_discount")
    assert outcome.status == "repaired"
    assert [r.id for r in log.scouted.others] == ["tests/test_cart.py::test_hopeless"]


def test_a_test_file_that_cannot_be_imported_leads_to_what_it_imports(project):
    root = project(
        {
            "tools.py": "def double(n)\n    return 2 * n\n",
            "test_tools.py": """
                from tools import double

                def test_double():
                    assert double(4) == 8
            """,
        }
    )
    outcome, _ = repair(root, "test_tools.py")
    assert outcome.status == "repaired", outcome.message
    assert "def double(n):" in fixed(outcome)["tools.py"]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ('SIZES = {"s": 1, "m": 3}', 'SIZES = {"s": 1, "m": 2}'),
        ("LIMIT = 8", "LIMIT = 9"),
        ('WORD = re.compile(r"[a-z]")', 'WORD = re.compile(r"[a-z]+")'),
    ],
)
def test_a_fault_at_the_level_of_the_module(project, wrong, right):
    text = """
        import re

        SIZES = {"s": 1, "m": 2}
        LIMIT = 9
        WORD = re.compile(r"[a-z]+")


        def size(name):
            return SIZES[WORD.search(name).group()]
    """
    root = project(
        {
            "sizes.py": text.replace(right, wrong),
            "test_sizes.py": """
                from sizes import LIMIT, WORD, size

                def test_size():
                    assert (size("-s-"), size("m")) == (1, 2)

                def test_limit():
                    assert LIMIT == 9

                def test_word():
                    assert WORD.search("- abc -").group() == "abc"
            """,
        }
    )
    outcome, _ = repair(root, "test_sizes.py")
    if "re.compile" in wrong:  # no mutation repairs that: it is at least looked at
        assert any(place.function == "WORD" for place in outcome.places), outcome.places
    else:
        assert outcome.status == "repaired", outcome.message
        (fixed_text,) = fixed(outcome).values()
        assert right.split(" = ")[1].rstrip("}")[-1] in fixed_text


# -- why nothing is offered


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (
            {"test_a.py": "def test_a():\n    assert undefined == 1\n"},
            "The error is in the test itself (test_a.py, line 2): NameError",
        ),
        (
            {"a.py": "X = 1\n", "test_a.py": "from a import later\n\ndef test_a():\n    later()\n"},
            "test_a.py wants `later`, which `a` does not have: write it first.",
        ),
        (
            {
                "a.py": "def f():\n    return 1\n",
                "test_a.py": "import a\nfrom unittest import mock\n\n@mock.patch('a.g')\n"
                "def test_a(g):\n    a.f()\n",
            },
            "test_a.py::test_a wants `g`, which `a` does not have: write it first.",
        ),
        (
            {"test_a.py": "import no_such_thing\n\ndef test_a():\n    pass\n"},
            "no_such_thing is not installed for the Python that runs the tests",
        ),
        (
            {"test_a.py": "def test_a():\n    assert 1 + 1 == 3\n"},
            "The failing tests run no code of the project that could be repaired",
        ),
        (
            {
                "a.py": "import urllib.request\n\ndef get():\n"
                "    return urllib.request.urlopen('http://example.com').read()\n",
                "test_a.py": "from a import get\n\ndef test_a():\n    assert get()\n",
            },
            "test_a.py::test_a needs the network",
        ),
    ],
)
def test_why_nothing_is_offered(project, files, told):
    root = project(files)
    outcome, _ = repair(root, "test_a.py", budget=3)
    assert outcome.status == "failed"
    assert told in outcome.message


def test_nothing_to_do(project):
    root = project(SHOP)
    outcome, _ = repair(root, "tests/test_cart.py::test_plain_total")
    assert outcome.status == "already_passing"


def test_what_does_not_exist_is_said(project):
    root = project(SHOP)
    with pytest.raises(CoeError, match="There is no test `test_no_such` in tests/test_cart.py"):
        repair(root, "tests/test_cart.py::test_no_such")


# -- what was named


def test_ways_in(project, tmp_path):
    root = project({**SHOP, "tests/conftest.py": "", "tests/unit/test_x.py": "def test_x(): pass"})
    tests = root / "tests"
    assert find_way_in(["test_cart.py"], tests) == WayIn(root, tests=("tests/test_cart.py",))
    named = find_way_in([str(tests / "test_cart.py::TestA::test_b[a::b]")], tmp_path)
    assert named == WayIn(root, tests=("tests/test_cart.py::TestA::test_b[a::b]",))
    assert find_way_in(["tests/unit"], root) == WayIn(root, tests=("tests/unit",))
    assert find_way_in([], root) == find_way_in([], root / "shop") == WayIn(root)
    with pytest.raises(WayInError, match="no files of tests"):
        find_way_in(["shop"], root)
    source = root / "shop/cart.py"
    assert find_way_in(["shop/cart.py"], root) == WayIn(root, source)
    assert find_way_in(["shop/cart.py::Cart.total"], root) == WayIn(root, source, "Cart.total")
    assert find_way_in(["shop/cart.py::Cart::total"], root) == WayIn(root, source, "Cart.total")
    assert way_of(tests / "test_cart.py", "TestA.test_b").tests == (
        "tests/test_cart.py::TestA::test_b",
    )
    several = find_way_in(["tests/test_cart.py::test_b", "tests/unit"], root)
    assert several.tests == ("tests/test_cart.py::test_b", "tests/unit")
    with pytest.raises(WayInError, match="not a test"):
        find_way_in(["tests/test_cart.py", "shop/cart.py"], root)
    with pytest.raises(WayInError, match="only sets tests up"):
        find_way_in(["conftest.py"], tests)


def test_pytest_remembers_what_failed(project):
    root = project(SHOP)
    cache = root / ".pytest_cache/v/cache/lastfailed"
    cache.parent.mkdir(parents=True)
    cache.write_text(json.dumps({"tests/test_cart.py::test_b": True, "tests/gone.py::x": True}))
    assert find_way_in([], root).tests == ("tests/test_cart.py::test_b",)
    for spoilt in ("", "[]", "[" * 100_000, '{"tests/test_cart.py": '):
        cache.write_text(spoilt)
        assert find_way_in([], root) == WayIn(root)


def test_a_project_without_tests(project):
    root = project({"shop/__init__.py": "", "shop/money.py": "x = 1\n"})
    with pytest.raises(WayInError, match="no files of tests"):
        find_way_in([], root)


def test_a_red_test_that_writes_into_the_project(project, sandbox):
    if not sandbox.can_copy:
        pytest.skip("needs bubblewrap 0.11")
    root = project(
        {
            "report.py": """
                def write(numbers, path):
                    with open(path, "w") as file:
                        file.write(f"total {sum(numbers) + 1}")
            """,
            "test_report.py": """
                from report import write


                def test_report():
                    write([1, 2], "out.txt")
                    with open("out.txt") as file:
                        assert file.read() == "total 3"


                def test_empty_report():
                    write([], "out.txt")
                    with open("out.txt") as file:
                        assert file.read() == "total 0"
            """,
        }
    )
    outcome, _ = repair(root, "test_report.py", budget=60.0)  # a new process for each program
    assert outcome.status == "repaired"
    assert "+ 1" not in fixed(outcome)["report.py"]
    assert not (root / "out.txt").exists()


TOOLS = {
    "tools/__init__.py": "",
    "tools/text.py": """
        def words(text):
            return text.split()
    """,
    "tools/count.py": """
        \"\"\"Counts words.\"\"\"

        import re


        def most(text):
            return Counter(re.findall(r"\\w+", text)).most_common(1)[0][0]


        class Length:
            def of(self, text):
                return len(words(text))
    """,
    "tests/test_count.py": """
        from tools.count import Length, most


        def test_most():
            assert most("a b a") == "a"


        def test_length():
            assert Length().of("a b a") == 3
    """,
}


@pytest.mark.parametrize(
    ("test", "line"),
    [
        ("test_most", "from collections import Counter"),
        ("test_length", "from tools.text import words"),
    ],
)
def test_an_import_that_is_missing(project, test, line):
    """It goes below the others: as the project, else as the standard library has the name."""
    root = project(TOOLS)
    outcome, _ = repair(root, f"tests/test_count.py::{test}")
    assert outcome.status == "repaired", outcome.message
    before = (root / "tools/count.py").read_text()
    assert fixed(outcome)["tools/count.py"] == before.replace("import re\n", f"import re\n{line}\n")


def test_an_import_that_is_missing_in_a_file_that_is_named(project):
    root = project({"area.py": "def area(r):\n    return math.pi * r * r\n",
                    "test_area.py": "from area import area\n\n\ndef test_area():\n    assert round(area(2)) == 13\n"})  # fmt: skip
    request = Request(way_of(root / "area.py", None), budget=20.0)
    outcome = Repair(request, None, Told()).run()
    assert (
        fixed(outcome)["area.py"] == "import math\n\n\ndef area(r):\n    return math.pi * r * r\n"
    )


def test_what_helps_tests_is_never_changed(project):
    """The easy way out: not to check what is checked."""
    root = project(
        {
            "half.py": """
                def half(n):
                    return n // 3
            """,
            "tests/checking.py": """
                def same(one, two):
                    if one != two:
                        raise AssertionError(f"{one} is not {two}")
            """,
            "tests/test_half.py": """
                from checking import same
                from half import half

                def test_half():
                    same(half(6), 3)
                    same(half(9), 4)
            """,
        }
    )
    outcome, told = repair(root, "tests/test_half.py")
    assert outcome.status == "repaired", outcome.message
    assert outcome.file == "half.py"
    assert {place["file"] for place in outcome.to_json()["places"]} == {"half.py"}
