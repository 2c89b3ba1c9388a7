"""Intervals and tests beyond Student's over seeds: over seeds and pictures, and without a normal distribution."""

# S seeds, N items (pictures, judgments), R roles that pictures have in an item, P pictures, K contrasts

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from perceptinit.reports.statistics import Estimate

if TYPE_CHECKING:
    import numpy as np

MIN_SEEDS_SIGN_FLIP = 6
"""Below, no pattern of signs is rarer than 1 in 20: only a normal distribution supports a side."""
MOST_PATTERNS = 1 << 12


def two_way_estimate(differences: np.ndarray, pictures: np.ndarray, confidence: float = 0.95) -> Estimate:
    """Return the mean difference with an interval for other seeds and other pictures.

    The variance is that over seeds plus that over pictures minus their interaction, which both contain,
    and at least the larger of the two. Pictures vary by a jackknife that leaves out one picture with all
    items that show it, so that a picture may have several roles. Degrees of freedom are Satterthwaite's,
    at least those of the seeds.

    Args:
        differences: Arm minus reference, shape (S, N), in the score's unit.
        pictures: Pictures of each item, shape (N, R), int; R = 1 for classification.
        confidence: In (0, 1).

    Returns:
        Mean, standard error and interval; without an interval below two seeds or two pictures.

    Source: Owen 2007, "The pigeonhole bootstrap" (variance of crossed random effects); Satterthwaite 1946.
    """
    import numpy as np
    from scipy import stats

    num_seeds, num_pictures = len(differences), len(np.unique(pictures))
    mean = float(differences.mean())
    if num_seeds < 2 or num_pictures < 2:
        return Estimate(mean, None, None, None, num_seeds)
    by_seed = differences.mean(axis=1)
    seeds = float(by_seed.var(ddof=1)) / num_seeds
    items = jackknife_variance(differences.mean(axis=0), pictures)
    centred = differences - by_seed[:, None] - differences.mean(axis=0) + mean
    both = sum(jackknife_variance(row, pictures) for row in centred) / num_seeds / (num_seeds - 1)
    variance = max(seeds + items - both, seeds, items)
    if not variance:
        return Estimate(mean, 0.0, mean, mean, num_seeds)
    parts = ((seeds, num_seeds - 1), (items, num_pictures - 1), (both, (num_seeds - 1) * (num_pictures - 1)))
    degrees = max(variance**2 / sum(part**2 / df for part, df in parts), num_seeds - 1)
    stderr = math.sqrt(variance)
    reach = float(stats.t.ppf(0.5 + confidence / 2, degrees)) * stderr
    return Estimate(mean, stderr, mean - reach, mean + reach, num_seeds)


def jackknife_variance(values: np.ndarray, pictures: np.ndarray) -> float:
    """Return the variance of a mean over other pictures, by leaving out one picture at a time.

    Args:
        values: One for each item, shape (N,).
        pictures: Pictures of each item, shape (N, R), int.
    """
    import numpy as np

    names, places = np.unique(pictures, return_inverse=True)
    places = places.reshape(len(values), -1)
    sums, counts = np.zeros(len(names)), np.zeros(len(names))
    for role in range(places.shape[1]):
        # a picture that has two roles in an item is left out with it once
        is_new = ~(places[:, :role] == places[:, role : role + 1]).any(axis=1)
        np.add.at(sums, places[is_new, role], values[is_new])
        np.add.at(counts, places[is_new, role], 1)
    left = len(values) - counts
    means = (values.sum() - sums)[left > 0] / left[left > 0]
    num = len(means)
    return float((num - 1) / num * ((means - means.mean()) ** 2).sum()) if num > 1 else 0.0


def sign_flip_p(differences: Sequence[float]) -> float:
    """Return the two-sided p of the sign-flip test: no distribution is assumed but symmetry around 0.

    The share of all patterns of signs whose mean is at least as far from 0. Its least value is 2 / 2^S.
    """
    return max_t_p([differences])[0]


def max_t_p(differences: Sequence[Sequence[float]]) -> list[float]:
    """Return a p for each of K contrasts, corrected for their number by the largest |t| over them.

    All contrasts of a seed get the same sign, so that what they share, such as the baseline, is kept.

    Args:
        differences: K contrasts, each with one value for each of the same S seeds.

    Source: Westfall and Young 1993, single-step max-T.
    """
    import numpy as np

    values = np.asarray(differences, dtype=np.float64)
    largest = np.array([_t(values * signs).max() for signs in _patterns(values.shape[1])])
    return [float((largest >= t - 1e-9).mean()) for t in _t(values)]


def _t(values: np.ndarray) -> np.ndarray:
    """Return |t| of each row, very large where all values of a row are equal."""
    import numpy as np

    spread = values.std(axis=-1, ddof=1) / math.sqrt(values.shape[-1])
    return np.abs(values.mean(axis=-1)) / np.maximum(spread, 1e-12)


def _patterns(num_seeds: int) -> np.ndarray:
    """Return patterns of signs: all, up to the sign of the first, or 4,096 drawn ones for many seeds."""
    import numpy as np

    from perceptinit.seeding import generator

    if 1 << (num_seeds - 1) <= MOST_PATTERNS:
        return np.array([(1, *rest) for rest in itertools.product((1, -1), repeat=num_seeds - 1)])
    drawn = generator(0, "sign flips").choice((-1, 1), (MOST_PATTERNS, num_seeds))
    drawn[0] = 1  # as observed
    return drawn
