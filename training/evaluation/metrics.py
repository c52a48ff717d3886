"""pass@k, bootstrap intervals and edit statistics. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from random import Random

from attrs import frozen

_DRAWS = 2000


def pass_at_k(samples: int, solved: int, k: int) -> float:
    """Unbiased estimate of the chance that one of k samples solves a task (Chen et al. 2021).

    ValueError if there are fewer than k samples.
    """
    if k > samples:
        raise ValueError(f"pass@{k} needs at least {k} samples, not {samples}")
    return 1.0 - math.comb(samples - solved, k) / math.comb(samples, k)


@frozen
class Interval:
    """A mean with its 95% bootstrap interval over tasks."""

    mean: float
    low: float
    high: float


def bootstrap(values: Sequence[float], seed: int = 0) -> Interval:
    """Percentile bootstrap of the mean."""
    if not values:
        return Interval(0.0, 0.0, 0.0)
    random = Random(seed)
    means = sorted(statistics.fmean(random.choices(values, k=len(values))) for _ in range(_DRAWS))
    return Interval(
        statistics.fmean(values), means[int(0.025 * _DRAWS)], means[int(0.975 * _DRAWS) - 1]
    )
