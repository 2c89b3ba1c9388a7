"""Means, intervals and tests over seeds and over data sets.

Verdicts use Student's t interval of the paired differences. Bootstrap intervals are too narrow below about
ten seeds (Efron and Tibshirani 1993, ch. 14).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from scipy.special import stdtr

from perceptinit.judgments.scoring import interval_of_correlation, t_quantile

SAME = 1e-12  # tolerance for values that differ only by rounding


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean of `num` values. Interval and standard error are None for a single value.

    `num` is the smaller number of runs of two unpaired arms, and `degrees` are the degrees of freedom of the
    standard error.
    """

    mean: float
    stderr: float | None
    low: float | None
    high: float | None
    num: int
    degrees: float = 0.0

    @classmethod
    def student(cls, mean: float, stderr: float, degrees: float, confidence: float, num: int) -> Self:
        """Return a mean with Student's t interval."""
        half = t_quantile(confidence, degrees) * stderr
        return cls(mean, stderr, mean - half, mean + half, num, degrees)

    def of_share(self) -> Self:
        """Return the estimate of a share, whose interval is clipped to [0, 1]."""
        if self.low is None or self.high is None:
            return self
        return replace(self, low=max(self.low, 0.0), high=min(self.high, 1.0))

    def of_correlation(self) -> Self:
        """Return the estimate of a correlation, whose interval is that of Fisher's z."""
        if self.high is None:
            return self
        low, high = interval_of_correlation(self.mean, self.high - self.mean)
        return replace(self, low=low, high=high)


def estimate(values: Sequence[float], confidence: float = 0.95, floor: float = 0.0) -> Estimate:
    """Return mean, standard error and Student's t interval of independent values.

    Args:
        values: At least one value.
        confidence: Level of the interval.
        floor: Lower bound on the standard deviation, for rounded values such as shares of few images.

    Raises:
        ValueError: If there are no values.

    Source: Student (1908); scipy.stats.t.
    """
    if not values:
        raise ValueError("no values to average")
    num = len(values)
    mean = math.fsum(values) / num
    if num == 1:
        return Estimate(mean, None, None, None, 1)
    deviation = max(math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (num - 1)), floor)
    return Estimate.student(mean, deviation / math.sqrt(num), num - 1, confidence, num)


def estimate_unpaired(
    values: Sequence[float],
    reference: Sequence[float],
    confidence: float = 0.95,
    floor: float = 0.0,
    spread: tuple[float, int] | None = None,
) -> Estimate:
    """Return the mean difference of two independent samples, with Welch's t interval.

    A single value has the spread of the other sample, so the interval is a prediction interval.

    Args:
        values: At least one value.
        reference: At least one value.
        confidence: Level of the interval.
        floor: Lower bound on the standard deviation of each sample.
        spread: Standard deviation of single values and its degrees of freedom, if it is known from others.

    Source: Welch (1947), with Satterthwaite's (1946) degrees of freedom.
    """
    one = estimate(values, floor=floor)
    other = estimate(reference, floor=floor)
    if one.stderr is not None and other.stderr is not None:
        return subtract_means(one, other, confidence)
    known = [(e.stderr * math.sqrt(e.num), e.num - 1) for e in (one, other) if e.stderr is not None]
    found = spread or next(iter(known), None)
    if found is None:
        return subtract_means(one, other, confidence)
    error = max(found[0], floor) * math.sqrt(1 / one.num + 1 / other.num)
    return Estimate.student(one.mean - other.mean, error, found[1], confidence, min(one.num, other.num))


def subtract_means(one: Estimate, other: Estimate, confidence: float = 0.95, floor: float = 0.0) -> Estimate:
    """Return the difference of two independent means, with Welch's t interval.

    Args:
        one: Mean of at least one value.
        other: Mean that is subtracted.
        confidence: Level of the interval.
        floor: Lower bound on the standard error of the difference.
    """
    mean = one.mean - other.mean
    num = min(one.num, other.num)
    if one.stderr is None or other.stderr is None:
        return Estimate(mean, None, None, None, num)
    stderr = max(math.hypot(one.stderr, other.stderr), floor)
    degrees = float(num - 1)
    if one.stderr or other.stderr:
        degrees = _satterthwaite(one.stderr**2, one.num - 1, other.stderr**2, other.num - 1)
    return Estimate.student(mean, stderr, degrees, confidence, num)


def widen(value: Estimate, variance: float, num: int, confidence: float) -> Estimate:
    """Return `value` with its interval widened by a second variance, estimated from `num` values.

    Degrees of freedom are Satterthwaite's (1946). A single value still has no interval.
    """
    if value.stderr is None or not value.stderr + variance:
        return value
    degrees = _satterthwaite(value.stderr**2, value.num - 1, variance, num - 1)
    stderr = math.sqrt(value.stderr**2 + variance)
    return Estimate.student(value.mean, stderr, degrees, confidence, value.num)


def _satterthwaite(one: float, of_one: int, other: float, of_other: int) -> float:
    """Return the degrees of freedom of the sum of two variances, given theirs."""
    return (one + other) ** 2 / (one**2 / of_one + other**2 / of_other)


def differences(arm: Mapping[int, float], reference: Mapping[int, float]) -> dict[int, float]:
    """Return arm - reference for each common seed.

    Pairing by seed removes shared variance: data order, crops, weights of the other tower.
    """
    return {seed: arm[seed] - reference[seed] for seed in sorted(arm.keys() & reference.keys())}


def p_value(difference: Estimate | None) -> float | None:
    """Return the two-sided p-value of a t test; None for one value, or for values without variance."""
    if difference is None or difference.stderr is None or difference.stderr < SAME:
        return None
    return float(2 * stdtr(difference.degrees, -abs(difference.mean / difference.stderr)))
