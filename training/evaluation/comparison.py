"""Intervals of shares and exact tests of paired results. Pure, standard library only.

Use `wilson` for "how many of these tasks were solved", `sign_test` for "which of two policies
solved more of the same tasks". Means of other values have a bootstrap interval (`metrics.py`).
P-values are of single comparisons: nothing here corrects for how many were made.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from attrs import frozen

from training.evaluation.metrics import Interval

_NORMAL_QUANTILE = 1.959963984540054  # 97.5%: two-sided 95%


def wilson(successes: int, total: int) -> Interval:
    """A share with its 95% score interval (Wilson 1927); not empty where all or none succeed.

    ValueError if there is nothing to take a share of.
    """
    if not 0 <= successes <= total or total == 0:
        raise ValueError(f"{successes} of {total} is no share")
    share, z2 = successes / total, _NORMAL_QUANTILE**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    variance = share * (1 - share) / total + z2 / (4 * total**2)
    half = _NORMAL_QUANTILE * math.sqrt(variance) / (1 + z2 / total)
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))


def sign_test(more: int, fewer: int) -> float:
    """The exact two-sided p-value of `more` against `fewer`, both equally likely by chance.

    With pairs of solved and unsolved tasks this is McNemar's exact test.
    """
    total = more + fewer
    tail = sum(math.comb(total, k) for k in range(min(more, fewer) + 1))
    return min(1.0, 2 * tail / 2**total)


@frozen
class Comparison:
    """Two policies on the same tasks: `more` counts the tasks that the first solved more often."""

    tasks: int
    more: int
    fewer: int

    @property
    def p_value(self) -> float:
        """By `sign_test`; tasks that both solved equally often say nothing."""
        return sign_test(self.more, self.fewer)


def compare(first: Mapping[str, float], second: Mapping[str, float]) -> Comparison:
    """Compare what two policies solved of each task that both were given.

    Values are 0 or 1 for one attempt, or the share of a task's samples that solve it.
    """
    both = first.keys() & second.keys()
    return Comparison(
        len(both),
        sum(first[task] > second[task] for task in both),
        sum(first[task] < second[task] for task in both),
    )


def format_percent(interval: Interval) -> str:
    """`36.6 (27.0 to 47.4)`, in per cent."""
    return f"{100 * interval.mean:.1f} ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def format_p(value: float) -> str:
    """`0.06`, or `< 0.001`."""
    return "< 0.001" if value < 0.001 else f"{value:.2g}"
