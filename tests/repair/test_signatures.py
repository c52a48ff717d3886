"""A function that tests call in a way that it does not take is the one to repair."""

import pytest
from red_tests import Told, repair

from coe_lsp.repair.repair import Repair
from coe_lsp.repair.request import Request
from coe_lsp.repair.way_in import way_of

CART = """
    class Cart:
        def __init__(self):
            self.items = []

        def add(self, item):
            self.items.append(item)

        def size(self):
            return len(self.items)
"""
TESTS = """
    from cart import Cart


    def test_add():
        cart = Cart()
        cart.add(1)
        assert cart.size() == 1


    def test_note():
        cart = Cart()
        cart.add(1, note="x")
        assert cart.size() == 1
"""


@pytest.mark.parametrize("named", ["the file", "the test"])
def test_an_argument_that_is_not_taken_is_taken(project, named):
    """Whatever else the test runs before: what it cannot call never runs."""
    root = project({"cart.py": CART, "test_cart.py": TESTS})
    if named == "the test":
        outcome, told = repair(root, "test_cart.py")
    else:
        told = Told()
        outcome = Repair(Request(way_of(root / "cart.py", None), budget=20.0), None, told).run()
        assert told.places == [("cart.py", "Cart.add")]
    assert outcome.status == "repaired", outcome.message
    assert "def add(self, item, note=None):" in outcome.diff
    assert outcome.function == "Cart.add"


def test_a_caller_in_the_file_is_suspected_before_what_it_calls_wrong(project):
    """Its test could call what it wanted."""
    root = project(
        {
            "area.py": """
                def area(width, height):
                    return width * height


                def square(side):
                    return area(side, heigth=side)
            """,
            "test_area.py": """
                from area import area, square


                def test_area():
                    assert area(2, height=3) == 6


                def test_square():
                    assert square(2) == 4
            """,
        }
    )
    told = Told()
    outcome = Repair(Request(way_of(root / "area.py", None), budget=20.0), None, told).run()
    assert told.places[0] == ("area.py", "square")
    assert outcome.status == "repaired"
