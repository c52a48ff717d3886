"""What a function does where tests call it is seen, whatever it is called on, and changes nothing."""

import textwrap

import pytest

from coe_lsp.execution.observation import OUTPUT_BYTES, answers_of, with_observer
from coe_lsp.execution.suite import Limits, Suite

CART = """
    class Item:
        def __init__(self, price):
            self.price = price


    class Cart:
        def __init__(self):
            self.items = []

        def add(self, item, times=1):
            self.items.extend([item] * times)

        def total(self, discount):
            return sum(item.price for item in self.items) - discount

        @property
        def mean(self):
            return self.total(0) // len(self.items)

        @staticmethod
        def prices(items):
            return (item.price for item in items)

        async def later(self, n):
            return n

        def pairs(self, n):
            yield n, n

        def first(self, file):
            return file.readline()

        def drop(self, n):
            self.items = self.items[n:]

        def spin(self, n):
            while n:
                pass

        def depth(self, n):
            return n and 1 + self.depth(n - 1)

        def leave(self, code):
            if code:
                raise SystemExit(code)
            print("left")
"""
TESTS = """
    from cart import Cart, Item


    def cart():
        cart = Cart()
        cart.add(Item(10), times=2)
        return cart


    def test_total():
        assert cart().total(10) == 10
        assert cart().total(discount=0) == 20


    def test_mean():
        assert cart().mean == 10


    def test_prices():
        assert list(Cart.prices(cart().items)) == [10, 10]


    def test_drop():
        dropped = cart()
        dropped.drop(0)
        assert len(dropped.items) == 2


    def test_later():
        cart().later(1).close()


    def test_pairs():
        assert list(cart().pairs(1)) == [(1, 1)]


    def test_first(tmp_path):
        (tmp_path / "a.txt").write_text("one")
        with open(tmp_path / "a.txt") as file:
            assert cart().first(file) == "one"


    def test_spin():
        cart().spin(0)


    def test_depth():
        assert cart().depth(3) == 3


    def test_leave(capfd):
        cart().leave(0)
        assert capfd.readouterr().out.endswith("left\\n")
"""


@pytest.fixture
def see(write, tmp_path, worker_for):
    """The answers of one method of the cart, as text by call, where one test calls it."""
    path = write("cart.py", CART)
    write("test_cart.py", TESTS)
    worker = worker_for(Suite("pytest", tmp_path, path, ("test_cart.py",)))

    def see(name, change=("", "")):
        lines = textwrap.dedent(CART).strip().replace(*change).split("\n")
        at = next(n for n, line in enumerate(lines) if f"def {name}(" in line)
        lines[at:] = with_observer(lines[at:])
        limits = Limits(output_bytes=OUTPUT_BYTES)
        test = f"test_cart.py::test_{name}"
        run = worker.run("\n".join(lines).encode(), [test], limits=limits)
        assert [result.outcome for result in run.results] == ["passed"], run
        return {f"{call} {call.nth}": answer for call, answer in answers_of(run).items()}

    return see


def test_calls_of_a_method_and_calls_like_them(see):
    seen = see("total")
    assert seen["Cart.total(10) in test_total 1"] == "10"
    assert seen["Cart.total(11) in test_total 1"] == "9"
    assert seen["Cart.total(discount=0) in test_total 1"] == "20"
    assert seen["Cart.total(discount=1) in test_total 1"] == "19"
    assert see("mean") == {"Cart.mean() in test_mean 1": "10"}


def test_what_is_given_need_not_be_a_literal(see):
    seen = see("prices")
    assert seen["Cart.prices([]) 1"] == "[]"
    assert "[10]" in seen.values() and "[10, 10]" in seen.values()


def test_what_a_call_makes_of_an_object_is_seen_but_not_kept(see):
    seen = see("drop")
    assert seen["Cart.drop(0) in test_drop 1"] == "None"
    answer = seen["Cart.drop(1) in test_drop 1"]
    assert answer == "self = Cart(items=[<cart.Item object>])"


def test_what_does_not_end_or_leaves_the_process_is_an_answer(see):
    assert see("spin")["Cart.spin(1) in test_spin 1"] == "no end"
    assert see("leave")["Cart.leave(1) in test_leave 1"] == "SystemExit"


def test_only_calls_from_outside_are_seen(see):
    seen = see("depth")
    assert seen["Cart.depth(3) in test_depth 1"] == "3"
    assert seen["Cart.depth(-3) in test_depth 1"] == "RecursionError"
    assert "Cart.depth(2) in test_depth 2" not in seen


@pytest.mark.parametrize("name", ["later", "pairs", "first"])
def test_of_what_cannot_be_tried_nothing_is_seen(see, name):
    """A coroutine, a generator, and a call that is given a file, which a fork would read from."""
    assert see(name) == {}


def test_lines_without_a_function_have_no_observer():
    assert with_observer(["LIMIT = 3"]) is None
    assert with_observer(["@cache", "def f():", "    def g(): ..."])[1].startswith("@__import__")


def test_lines_of_another_form_are_left_out(write, tmp_path, worker_for):
    """A program can print what it likes."""
    path = write(
        "code_.py", "def f(): print('\\x1ecoe saw [1]\\x1ecoe saw x\\x1ecoe saw ' + '[' * 9999)\n"
    )
    write("test_code.py", "from code_ import f\n\ndef test_it(): f()\n")
    run = worker_for(Suite("pytest", tmp_path, path, ("test_code.py",))).run()
    assert run.results[0].output.count("coe saw") == 3
    assert answers_of(run) == {}
