"""Means, standard errors and paired intervals over seeds (scipy does the distributions)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over `num` values; the interval and the standard error are None for a single value."""

    mean: float
    stderr: float | None
    low: float | None
    high: float | None
    num: int


def estimate(values: Sequence[float], confidence: float = 0.95) -> Estimate:
    """Return mean, standard error and Student's t interval of independent values.

    Raises ValueError for an empty sequence. Source: Student (1908); scipy.stats.t.
    """
    if not values:
        raise ValueError("no values to average")
    num = len(values)
    mean = math.fsum(values) / num
    if num == 1:
        return Estimate(mean, None, None, None, 1)
    from scipy import stats

    variance = math.fsum((v - mean) ** 2 for v in values) / (num - 1)
    stderr = math.sqrt(variance / num)
    half = float(stats.t.ppf(0.5 + confidence / 2, num - 1)) * stderr
    return Estimate(mean, stderr, mean - half, mean + half, num)


def paired_difference(
    arm: Mapping[int, float], baseline: Mapping[int, float], confidence: float = 0.95
) -> Estimate | None:
    """Return arm - baseline over the seeds that both have, None when they share none.

    Pairing by seed removes what the two runs share: data order, crops and the other towers' weights.
    """
    shared = sorted(arm.keys() & baseline.keys())
    if not shared:
        return None
    return estimate([arm[seed] - baseline[seed] for seed in shared], confidence)
