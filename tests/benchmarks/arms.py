"""The arms that `bench_repair.py` compares, and what watches a repair without getting in its way."""

from __future__ import annotations

import time

from coe_lsp.repair.search.search import SearchSettings

ALL = SearchSettings()
MODEL_ALONE = SearchSettings(mutations=False)
ARMS = {
    "all": ALL,
    "mutations": ALL,  # without a model
    "chain": SearchSettings(
        samples=1, mutations=False, rescoring=False, best_first=False, branch_points=False
    ),
    "search": SearchSettings(mutations=False, rescoring=False),
    "adapter": MODEL_ALONE,
    "untrained": MODEL_ALONE,  # the same without adapter
    "all untrained": ALL,
    "no rescoring": SearchSettings(rescoring=False),
    "no branch points": SearchSettings(branch_points=False),
    "no best-first": SearchSettings(best_first=False),
    "no deduplication": SearchSettings(deduplicate=False),
    "no suspiciousness": SearchSettings(suspiciousness=False),
    "naive": ALL,  # with a model of its own
}
WITHOUT_MODEL = {"mutations", "naive"}
UNTRAINED = {"untrained", "all untrained"}


class Timed:
    """A policy that remembers when it was asked first."""

    def __init__(self, policy):
        self._policy = policy
        self.first = None

    def __getattr__(self, name):
        if name in ("read", "ask", "step", "logprob_ratios", "likelihoods"):
            self.first = self.first or time.monotonic()
        return getattr(self._policy, name)


class Quiet:
    """Watches nothing."""

    def baseline(self, baseline, suites):
        pass

    def target(self, function, target_tests):
        pass

    def step(self, step):
        pass
