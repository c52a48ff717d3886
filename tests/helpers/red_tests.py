"""Repairs that begin with a red test, without a model."""

from coe_lsp.repair.repair import Repair
from coe_lsp.repair.request import Request
from coe_lsp.repair.search.settings import SearchSettings
from coe_lsp.repair.way_in import WayIn


class Told:
    """A watcher that keeps what it is told of the tests, and of the places in their order."""

    def __init__(self):
        self.places = []

    def baseline(self, baseline, suites): ...

    def scouted(self, scouted):
        self.scouted = scouted

    def target(self, file, function, target_tests):
        self.places.append((file, function.name))

    def step(self, step): ...


def repair(root, *tests, budget=20.0, candidates=None):
    """What becomes of some tests, and the watcher."""
    told = Told()
    settings = SearchSettings(candidates=candidates)
    request = Request(WayIn(root, tests=tests), budget=budget, search=settings)
    outcome = Repair(request, None, told).run()
    return outcome, told
