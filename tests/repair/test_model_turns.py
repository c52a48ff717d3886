"""Which of several places has the model, and that it is there for long enough."""

import contextlib
import time

import pytest
from red_tests import Told

from coe_lsp.repair import model_turns
from coe_lsp.repair.entry import Entry
from coe_lsp.repair.lazy_policy import LazyPolicy
from coe_lsp.repair.model_turns import ModelTurns
from coe_lsp.repair.outcome import ModelUsed
from coe_lsp.repair.policy.protocol import LoadedPolicy, Proposal
from coe_lsp.repair.repair import Repair
from coe_lsp.repair.request import Request
from coe_lsp.repair.search.settings import SearchSettings
from coe_lsp.repair.way_in import WayIn


class Work:
    """As much of a model's work as turns know of."""

    def __init__(self):
        self.preparing, self.answers, self.released = True, 0, 0
        self.refused = set()
        self.has_ideas = True

    def refuses(self, loaded):
        return loaded.model.name in self.refused

    def asks(self, loaded):
        return self.has_ideas and not self.refuses(loaded)

    def release(self):
        self.released += 1


class Searching:
    """And of a search."""

    def __init__(self):
        self.model = Work()

    def halfway(self):
        return None


class Loaded(LazyPolicy):
    def __init__(self, name, commands_a_turn=None):
        super().__init__(None)
        self.name, self.commands_a_turn = name, commands_a_turn

    def arrive(self):
        model = ModelUsed(self.name, "", None)
        self.loaded = LoadedPolicy(None, model, True, commands_a_turn=self.commands_a_turn)


@pytest.fixture
def first():
    one = Loaded("small")
    one.arrive()
    return one


def places(*weights):
    return [Entry(None, weight, Searching()) for weight in weights]


def test_it_stays_until_it_has_read_and_written(first, monkeypatch):
    monkeypatch.setattr(model_turns, "_WRITING", 0.2)
    turns, (one, two) = ModelTurns(first, Loaded("large")), places(2.0, 1.0)
    turns.choose([two, one])
    assert turns.holder is one
    one.with_model = 100.0  # another would be chosen by now
    time.sleep(0.3)
    turns.choose([two, one])
    assert turns.holder is one
    one.search.model.preparing = False
    turns.choose([two, one])
    assert turns.holder is one
    time.sleep(0.3)
    turns.choose([two, one])
    assert turns.holder is two
    assert one.search.model.released == 1


def test_whole_functions_are_counted(first):
    larger = Loaded("large", commands_a_turn=2)
    turns, (one, two) = ModelTurns(first, larger), places(2.0, 1.0)
    larger.arrive()
    turns.choose([one, two])
    one.search.model.preparing, one.with_model = False, 100.0
    one.search.model.answers = 1
    turns.choose([one, two])
    assert turns.holder is one
    one.search.model.answers = 2
    turns.choose([one, two])
    assert turns.holder is two


def test_a_place_that_does_not_fit_the_larger_keeps_the_smaller(first):
    larger = Loaded("large")
    turns, (one, two) = ModelTurns(first, larger), places(2.0, 1.0)
    assert turns.loaded_for(one).model.name == "small"
    larger.arrive()
    one.search.model.refused.add("large")
    assert [turns.loaded_for(e).model.name for e in (one, two)] == ["small", "large"]
    one.search.model.refused.add("small")
    assert not turns.has_ideas(one)
    turns.choose([one, two])
    assert turns.holder is two
    two.over = True
    turns.choose([one, two])
    assert turns.holder is None
    assert not turns.ask()


SHOP = {
    "shop.py": """
        def share(price):
            return price


        def total(prices):
            return sum(prices)


        def bill(prices):
            return [share(price) for price in prices], total(prices)
    """,
    "tests/test_shop.py": """
        from shop import bill


        def test_bill():
            assert bill([10, 20]) == ([9, 18], 27)
    """,
}


class Slow:
    """Takes long to read a task, anew each time that it reads another one in between."""

    def __init__(self, seconds, answer):
        self.seconds, self.answer = seconds, answer
        self.task, self.left, self.asked = None, 0.0, []

    def read(self, start):
        if self.task is not start:
            self.task, self.left = start, self.seconds
        time.sleep(0.1)
        self.left -= 0.1
        return self.left <= 0

    def ask(self, request):
        self.asked.append(request.id)
        return True

    def step(self):
        time.sleep(0.05)
        asked, self.asked = self.asked, []
        return [Proposal(id, self.answer, -1.0) for id in asked]

    def forget(self, id): ...

    def interrupt(self): ...


def test_a_model_that_reads_slowly_gets_to_write_at_one_of_several_places(project):
    """It takes longer to read than to write."""
    root = project(SHOP)
    answer = "### REPL 2 >>>    return [p * 9 // 10 for p in prices], total(prices) * 9 // 10"
    loaded = LoadedPolicy(Slow(3.0, answer), ModelUsed("slow", "", None), trained=True)
    search = SearchSettings(mutations=False, grace=0.1)
    way = WayIn(root, tests=("tests/test_shop.py",))
    load = lambda: contextlib.nullcontext(loaded)  # noqa: E731
    outcome = Repair(Request(way, budget=60.0, search=search), load, Told()).run()
    assert outcome.status == "repaired", outcome.message
    assert outcome.function == "bill"
