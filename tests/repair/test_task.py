"""What the model is shown of a failing function, pinned on a small project that has everything.

After a wanted change: COE_WRITE_GOLDEN=1 pytest tests/repair/test_task.py.
"""

import os
import time
from pathlib import Path

import pytest

from coe_lsp.chain.prompt import first_message
from coe_lsp.chain.scratchpad import Scratchpad
from coe_lsp.execution.suite import Suite
from coe_lsp.repair.context_pieces import Piece, choose_pieces
from coe_lsp.repair.search.ranking import constants
from coe_lsp.repair.target.source import SourceFile
from coe_lsp.repair.task import describe

GOLDEN = Path(__file__).parent / "golden"

SHOP = '''
import json
import os.path
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from decimal import ROUND_HALF_UP, Decimal

CENT = Decimal("0.01")
UNRELATED = 7


def rounded(amount):
    """To whole cents."""
    return amount.quantize(CENT, rounding=ROUND_HALF_UP)


def parse_price(
    text,
    currency="EUR",
):
    """A price as people write it."""
    number = text.strip()
    number = number.removesuffix(currency)
    number = number.strip()
    number = number.replace(" ", "")
    number = number.replace("'", "")
    if "," in number and "." in number:
        number = number.replace(",", "")
    number = number.replace(",", ".")
    return Decimal(number)


class Item:
    def __init__(self, name, price):
        self.name = name
        self.price = parse_price(price)


class Basket(list):
    """What a customer wants."""

    rebates = {10: Decimal("0.1")}
    limit = 100

    def __init__(self, owner, items=()):
        super().__init__(items)
        self.owner = owner

    def rebate(self):
        return max([share for count, share in self.rebates.items() if len(self) > count], default=0)

    @property
    def total(self):
        # The whole sum, not rebate() but rounded.
        raw = sum(item.price for item in self)
        return rounded(raw * (1 - self.rebate(

    def add(self, name, price):
        self.append(Item(name, price))

    def bill(self, to):
        lines = [f"{item.name}: {item.price}" for item in self]
        lines.append(f"total: {self.total}")
        return json.dumps({"to": to, "lines": lines})


def cheapest(baskets):
    found = min(baskets, key=lambda basket: basket.total)
    return found
'''
TESTS = '''
import pytest

from shop import Basket

PRICES = ["1,50", "2", "1'000.25"]
OTHERS = ["3"]


@pytest.fixture
def small(maker):
    return maker("small", PRICES)


def check(basket, total):
    assert str(basket.total) == total


class TestTotal:
    def setup_method(self):
        self.basket = Basket("me")

    @pytest.mark.parametrize(
        ("count", "total"), [(1, "1.00"), (10, "10.00"), pytest.param(11, "9.90", id="many")]
    )
    def test_count(self, count, total):
        """A rebate from ten on."""
        for number in range(count):
            self.basket.add(str(number), "1")
        check(self.basket, total)

    def test_small(self, small):
        assert str(small.total) == "1003.75"


def test_long():
    basket = Basket("me")
    log = []
    log.append(1)
    log.append(2)
    log.append(3)
    log.append(4)
    log.append(5)
    log.append(6)
    log.append(7)
    log.append(8)
    log.append(9)
    log.append(10)
    log.append(11)
    log.append(12)
    log.append(13)
    log.append(14)
    log.append(15)
    log.append(16)
    log.append(17)
    for number in range(99):
        basket.add(str(number), "1")
        if number == 50:
            log.append(18)
    log.append(19)
    assert basket.total == 89
'''
CONFTEST = """
import pytest

from shop import Basket


@pytest.fixture
def maker():
    def make(owner, prices):
        basket = Basket(owner)
        for number, price in enumerate(prices):
            basket.add(str(number), price)
        return basket

    return make
"""


@pytest.fixture
def project(write, tmp_path):
    write("shop.py", SHOP)
    write("tests/test_shop.py", TESTS)
    write("conftest.py", CONFTEST)
    return tmp_path


def described(root, name, *tests):
    source = SourceFile.read(root / "shop.py")
    function = next(one for one in source.functions() if one.name == name)
    suite = Suite("pytest", root, root / "shop.py", ("tests/test_shop.py",))
    return describe(source, function, [suite], tests), source.scratch_lines(function)


def test_golden(project):
    """A method of a file that does not parse; three of its tests, two cases of one of them."""
    tests = [
        "tests/test_shop.py::TestTotal::test_count[10-10.00]",
        "tests/test_shop.py::TestTotal::test_count[many]",
        "tests/test_shop.py::TestTotal::test_small",
        "tests/test_shop.py::test_long",
    ]
    task, lines = described(project, "Basket.total", *tests)
    text = first_message(task, Scratchpad(lines, "4 of 5 tests fail"))
    path = GOLDEN / "method.txt"
    if os.environ.get("COE_WRITE_GOLDEN"):
        path.write_text(text + "\n", encoding="utf-8")
    assert text + "\n" == path.read_text(encoding="utf-8")


def test_what_calls_a_function_what_it_names_and_what_nobody_does(project):
    (project / "shop.py").write_text(SHOP.lstrip().replace("self.rebate(\n", "self.rebate()))\n"))
    task, _ = described(project, "parse_price")
    assert task.context == "\n".join(
        [
            "import json",
            "import os.path",
            "from collections import Counter, OrderedDict, defaultdict, deque, namedtuple",
            "from decimal import ROUND_HALF_UP, Decimal",
            "class Item:",
            "    def __init__(self, name, price):",
            "        ...",
            "        self.price = parse_price(price)",
        ]
    )
    task, _ = described(project, "Item.__init__")
    assert "class Item:" in task.context
    assert "    def add(self, name, price):\n        self.append(Item(name, price))" in task.context
    folded = 'def parse_price(\n    text,\n    currency="EUR",\n):\n    ...\n'
    assert folded in task.context  # nine lines long
    assert "UNRELATED" not in task.context


@pytest.mark.parametrize(
    ("case", "shown"),
    [
        ("1-1.00", "[(1, '1.00')]"),
        ("many", "[pytest.param(11, '9.90', id='many')]"),
        ("nothing", None),
    ],
)
def test_the_case_of_a_parametrised_test(project, case, shown):
    task, _ = described(
        project, "Basket.total", f"tests/test_shop.py::TestTotal::test_count[{case}]"
    )
    assert ("parametrize" in task.tests[-1]) == (shown is not None)
    assert shown is None or f"parametrize(('count', 'total'), {shown})" in task.tests[-1]
    assert constants(task.tests[-1]) >= ({"'9.90'", "11"} if case == "many" else set())


@pytest.mark.parametrize(
    ("arguments", "case"),
    [
        ("'x', [1.5, None, True], ids=['low', 'mid', 'high']", "mid"),
        ("'x', [[1], None]", "x0"),
        ("'x', CASES", "b c"),
        ("'x,y', [('a', b'b'), ('None', None)]", "None-None"),
        ("'x', [f(1), None]", "None"),
    ],
)
def test_how_pytest_names_cases(write, tmp_path, arguments, case):
    decorator = f"@pytest.mark.parametrize({arguments})"
    write("test_it.py", f"CASES = ['a', 'b c', 'd']\n\n{decorator}\ndef test_it(x): assert x\n")
    source = SourceFile.parse(tmp_path / "it.py", b"def f(x):\n    return x\n")
    suite = Suite("pytest", tmp_path, tmp_path / "it.py")
    task = describe(source, source.find("f"), [suite], [f"test_it.py::test_it[{case}]"])
    right = {"mid": "[None]", "x0": "[[1]]", "b c": "['b c']", "None": "[None]"}
    assert right.get(case, "[('None', None)]") in task.tests[-1]


def test_a_fold_of_a_long_test_parses_where_the_test_does(project):
    task, _ = described(project, "Basket.total", "tests/test_shop.py::test_long")
    assert (
        "        if number == 50:\n            ...\n    assert basket.total == 89" in task.tests[0]
    )
    assert {"89", "'me'"} <= constants(task.tests[0])


def test_where_there_is_no_room_the_most_telling_is_kept():
    long, short = "abc" * 20, "abc"
    pieces = [Piece(3, (long,)), Piece(1, (long, short)), Piece(2, ("de",))]
    assert choose_pieces(pieces, 200) == [long, long, "de"]
    assert choose_pieces(pieces, 70) == ["", long, "de"]
    assert choose_pieces(pieces, 60) == ["", short, "de"]
    assert choose_pieces(pieces, 4) == ["", short, ""]
    assert choose_pieces(pieces, 3) == ["", "", "de"]


def test_a_long_function_leaves_less_room(project):
    names = ("TestTotal::test_small", "TestTotal::test_count", "test_long")
    tests = [f"tests/test_shop.py::{name}" for name in names]
    short, _ = described(project, "Basket.total", *tests)
    long = SHOP.replace("        raw =", "        raw = 0\n" * 200 + "        raw =")
    (project / "shop.py").write_text(long.lstrip())
    task, _ = described(project, "Basket.total", *tests)
    sizes = [len(one.context) + sum(map(len, one.tests)) for one in (short, task)]
    assert sizes[1] <= 1200 < sizes[0]
    assert "class Basket(list):" in task.context and "test_small" in "".join(task.tests)


@pytest.mark.timing
def test_a_file_of_two_thousand_lines_is_read_in_no_time(project):
    more = "".join(f"def more_{n}(x):\n    if x > {n}:\n        return x\n" for n in range(650))
    (project / "shop.py").write_text(SHOP.lstrip() + more)
    seconds = []
    for _ in range(5):
        began = time.process_time()
        described(project, "Basket.bill", "tests/test_shop.py::test_long")
        seconds.append(time.process_time() - began)
    assert min(seconds) < 0.05  # 0.014 where nothing else runs
