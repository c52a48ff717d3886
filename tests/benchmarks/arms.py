"""The arms that `bench_repair.py` compares: how each one searches, with which weights.

Holds the models of the arms in memory, and what watches a repair without getting in its way.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import Literal

from attrs import frozen

from coe_lsp.cli.progress import BarProgress
from coe_lsp.models.adapters import weights_folder
from coe_lsp.models.registry import resolve
from coe_lsp.repair.policy.loading import ModelOptions, load_model
from coe_lsp.repair.policy.second import load_second
from coe_lsp.repair.search.settings import SearchSettings

ALL = SearchSettings()
MODEL_ALONE = SearchSettings(mutations=False)


@frozen
class Arm:
    """A way to repair. The weights are those of the model with the adapter that the user names (or
    the shipped one), with the first one that was shipped, or with none. `second` is a larger model
    that joins after ten seconds.
    """

    title: str
    search: SearchSettings = ALL
    weights: Literal["adapter", "v1", "untrained"] | None = "adapter"
    second: str | None = None


ARMS = {
    "all": Arm("mutations and model"),
    "mutations": Arm("mutations alone", weights=None),
    "larger": Arm("mutations, model and a larger one", second="qwen2.5-coder-1.5b"),
    "chain": Arm(
        "the model's single chains alone",
        SearchSettings(
            samples=1, mutations=False, rescoring=False, best_first=False, branch_points=False
        ),
    ),
    "search": Arm("the model's search alone", SearchSettings(mutations=False, rescoring=False)),
    "adapter": Arm("the model alone, with its adapter", MODEL_ALONE),
    "v1": Arm("the model alone, with the adapter v1", MODEL_ALONE, "v1"),
    "untrained": Arm("the model alone, untrained", MODEL_ALONE, "untrained"),
    "all untrained": Arm("mutations and the untrained model", ALL, "untrained"),
    "no rescoring": Arm("no rescoring", SearchSettings(rescoring=False)),
    "no branch points": Arm("no branch points", SearchSettings(branch_points=False)),
    "no best-first": Arm("no best-first", SearchSettings(best_first=False)),
    "no deduplication": Arm("no deduplication", SearchSettings(deduplicate=False)),
    "no suspiciousness": Arm("no suspiciousness", SearchSettings(suspiciousness=False)),
    "naive": Arm("the naive loop", weights=None),  # which has a model of its own
}


def title_of(arm):
    """What an arm is, in words."""
    return ARMS[arm].title if arm in ARMS else arm


class Models:
    """The weights of some arms in memory from the start, each but once."""

    def __init__(self, arms, model, adapter):
        """`model` and `adapter` are what the user names."""
        first = weights_folder() / f"{resolve(model).base_key}-coe-v1.gguf"
        named = {"adapter": adapter, "v1": str(first), "untrained": "none"}
        wanted = {ARMS[arm].weights for arm in arms} - {None}
        self._loaded = {
            weights: load_model(ModelOptions(model, named[weights]), BarProgress())
            for weights in sorted(wanted)
        }
        larger = {ARMS[arm].second for arm in arms} - {None}
        self._larger = {name: load_second(resolve(name)) for name in sorted(larger)}

    def of(self, arm):
        """The model of an arm; None for one that needs none."""
        return self._loaded.get(ARMS[arm].weights)

    @contextmanager
    def policy(self, arm):
        """A policy for one repair that has read nothing of the task; None without a model."""
        model = self.of(arm)
        if model is None:
            yield None
            return
        model._opening.truncate(0)  # else an arm would find its prompt read by the one before
        with model.policy() as policy:
            yield policy

    def load_second(self, arm):
        """What loads the larger model of an arm for one repair; None if it has none."""
        model = self._larger.get(ARMS[arm].second)
        return model and model.rewriter

    def close(self):
        """Free the weights."""
        for model in (*self._loaded.values(), *self._larger.values()):
            model.close()


class Timed:
    """A policy that remembers when it was asked first."""

    def __init__(self, policy):
        self._policy = policy
        self.first = None

    def __getattr__(self, name):
        if name in ("read", "ask", "step", "logprob_ratios", "likelihoods"):
            self.first = self.first or time.monotonic()
        return getattr(self._policy, name)


class Clock:
    """Watches when a repair knows what the tests say, and how many there are."""

    def __init__(self):
        self._began = time.monotonic()
        self.baseline_seconds = None
        self.tests = None

    def baseline(self, baseline, suites):
        self.baseline_seconds = round(time.monotonic() - self._began, 2)
        self.tests = len(baseline.results)

    def scouted(self, scouted):
        self.baseline_seconds = round(time.monotonic() - self._began, 2)
        self.tests = len(scouted.results)

    def target(self, file, function, target_tests):
        pass

    def step(self, step):
        pass
