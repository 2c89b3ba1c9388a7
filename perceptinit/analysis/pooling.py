"""Spread over seeds, pooled over arms: residuals of a table of arms and seeds, and a test of equal spread."""

# A arms, S seeds, K contrasts of arms with one reference
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy.special import chdtri, ndtr, stdtr

from perceptinit.analysis.decisions import CONFIDENCE
from perceptinit.seeding import generator

LEAST_P = 0.2
"""p-value of the test of equal spread below which each difference has its own spread."""
NUM_TABLES = 10_000  # simulated tables of equal arms
NUM_NODES = 64
NUM_SCALES = 400


@dataclass(frozen=True, slots=True)
class Pooling:
    """Spread of a difference of two arms over seeds, pooled over arms. Fields are arrays in simulations.

    Attributes:
        deviation: Standard deviation of the difference of two arms over seeds.
        degrees: Degrees of freedom, (A - 1)(S - 1).
        p_equal: p-value of the test of equal spread.
        num_arms: Number of arms.
    """

    deviation: Any
    degrees: int
    p_equal: Any
    num_arms: int

    @property
    def is_equal(self) -> Any:
        """Whether the test does not reject equal spread."""
        return self.p_equal >= LEAST_P


def pool(values: np.ndarray) -> Pooling:
    """Return the pooled spread of scores without the means of arms and of seeds.

    The statistic of the test is the largest share of an arm in the sum of squares (Cochran's C). Its
    distribution for normal scores of equal spread is simulated.

    Args:
        values: Scores, shape (..., A, S), with at least two arms and seeds.

    Source: Cochran 1941 (largest variance); Miller 1997, ch. 4 (two-way layout).
    """
    num_arms, num_seeds = values.shape[-2:]
    degrees = (num_arms - 1) * (num_seeds - 1)
    squares = _sum_squares(values)
    total = squares.sum(axis=-1)
    share = squares.max(axis=-1) / np.maximum(total, np.finfo(float).tiny)
    shares = _simulate_shares(num_arms, num_seeds)
    p_equal = 1 - np.searchsorted(shares, share * (1 - 1e-9)) / len(shares)
    return Pooling(np.sqrt(2 * total / degrees), degrees, p_equal, num_arms)


def _sum_squares(values: np.ndarray) -> np.ndarray:
    """Return the sum of squared residuals of each arm, shape (..., A)."""
    of_seeds = values - values.mean(axis=-2, keepdims=True)
    return np.square(of_seeds - of_seeds.mean(axis=-1, keepdims=True)).sum(axis=-1)


@cache
def _simulate_shares(num_arms: int, num_seeds: int) -> np.ndarray:
    """Return the sorted largest shares of an arm in the sum of squares of equal arms, shape (NUM_TABLES,)."""
    drawn = generator(0, "equal spread").standard_normal((NUM_TABLES, num_arms, num_seeds))
    squares = _sum_squares(drawn)
    return np.sort(squares.max(axis=1) / squares.sum(axis=1))


@cache
def level_of_family(num_family: int, degrees: int) -> float:
    """Return the level of each of K intervals with one pooled spread that hold jointly with 95 %.

    The contrasts have a common reference, so they correlate by one half. Computed by numerical integration.

    Source: Dunnett 1955.
    """
    from scipy.optimize import brentq

    nodes, weights = np.polynomial.hermite_e.hermegauss(NUM_NODES)
    scales = np.sqrt(chdtri(degrees, (np.arange(NUM_SCALES) + 0.5) / NUM_SCALES) / degrees)

    def excess(critical: float) -> float:
        half = math.sqrt(2) * critical * scales[:, None]
        inside = (ndtr(nodes + half) - ndtr(nodes - half)) ** num_family
        return float((inside @ weights).mean() / weights.sum()) - CONFIDENCE

    return 1 - 2 * float(stdtr(degrees, -brentq(excess, 0.1, 1e3)))


def describe_pooling(pooled: Pooling | None) -> str:
    """Return a sentence on the spread that the intervals use. pooled: None if the arms lack common seeds."""
    if pooled is None:
        return "The spread is not pooled, because the arms are not paired over the same seeds at one look."
    test = f"a test of equal spread has p = {pooled.p_equal:.2g}"
    if pooled.is_equal:
        over = f"{pooled.num_arms} arms ({pooled.degrees} degrees of freedom; {test})"
        return f"The spread over seeds is pooled over {over}."
    return (
        f"The arms differ in spread ({test}, below {LEAST_P:g}), so each difference has its own spread, "
        "and at least the pooled one."
    )


def spread_within(samples: Iterable[Sequence[float]]) -> tuple[float, int] | None:
    """Return the standard deviation within samples and its degrees of freedom; None for single values."""
    known = list(samples)
    degrees = sum(len(values) - 1 for values in known)
    squares = sum(float(np.var(values)) * len(values) for values in known)
    return (math.sqrt(squares / degrees), degrees) if degrees else None
