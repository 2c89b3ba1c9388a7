"""Intervals over seeds and images, and tests without a normality assumption."""

# S seeds, N items (images or judgments), R image roles in an item, P images, K contrasts

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from perceptinit.analysis.statistics import Estimate, half_width
from perceptinit.judgments.scoring import jackknife_stderrs
from perceptinit.seeding import generator

MIN_SEEDS_SIGN_FLIP = 6
"""With fewer seeds, the smallest possible p-value of a sign-flip test exceeds 0.05."""
MOST_PATTERNS = 1 << 12
NUM_SIMULATED = 2000


@dataclass(frozen=True, slots=True)
class Components:
    """Variance components of a mean difference over seeds and images.

    Attributes:
        mean: Mean difference.
        seeds: Variance over seeds, including the interaction.
        images: Variance over images, including the interaction.
        both: Variance of the interaction.
        num_seeds: Number of seeds.
        num_images: Number of images.
    """

    mean: float
    seeds: float
    images: float
    both: float
    num_seeds: int
    num_images: int


def find_components(
    differences: np.ndarray, places: np.ndarray, weights: np.ndarray | None = None
) -> Components | None:
    """Return the variance components; None for one seed, or if one image is in all items.

    The variance over images is a jackknife estimate that leaves out all items of an image, because images can
    occur in several roles.

    Args:
        differences: Arm minus reference, shape (S, N), in the unit of the score.
        places: Image indices of each item, shape (N, R), from 0 without gaps. R is 1 for classification.
        weights: Weight of each item, shape (N,). Default: equal weights.
    """
    num_seeds = len(differences)
    if num_seeds < 2:
        return None
    by_seed = np.average(differences, axis=1, weights=weights)
    by_item = differences.mean(axis=0)
    mean = float(by_seed.mean())
    centred = differences - by_seed[:, None] - by_item + mean
    errors = jackknife_stderrs(np.vstack([by_item, centred]), places.T, weights)
    if errors is None:
        return None
    over_images, *rest = (errors**2).tolist()
    return Components(
        mean,
        float(by_seed.var(ddof=1)) / num_seeds,
        over_images,
        sum(rest) / num_seeds / (num_seeds - 1),
        num_seeds,
        int(places.max()) + 1,
    )


def mean_of(parts: Sequence[Components], by_seed: Sequence[float]) -> Components:
    """Return the components of a mean over data sets with distinct images and common seeds.

    Args:
        parts: Components of each data set.
        by_seed: Mean difference over data sets, by seed.
    """
    num = len(parts)
    values = np.asarray(by_seed)
    return Components(
        float(values.mean()),
        float(values.var(ddof=1)) / len(values),
        sum(part.images for part in parts) / num**2,
        sum(part.both for part in parts) / num**2,
        len(values),
        sum(part.num_images for part in parts),
    )


def estimate_two_way(parts: Components, confidence: float = 0.95) -> Estimate:
    """Return the mean difference with an interval that generalizes over seeds and images.

    The variances over seeds and over images both include the interaction, so it is subtracted once from their
    sum. The result is never below either variance. Degrees of freedom are Satterthwaite's, and at least those
    of the seeds.

    Source: Owen 2007, "The pigeonhole bootstrap" (variance of crossed random effects); Satterthwaite 1946.
    """
    variance = max(parts.seeds + parts.images - parts.both, parts.seeds, parts.images)
    if not variance:
        return Estimate(parts.mean, 0.0, parts.mean, parts.mean, parts.num_seeds)
    seeds = parts.num_seeds - 1
    images = parts.num_images - 1
    squares = parts.seeds**2 / seeds + parts.images**2 / images + parts.both**2 / (seeds * images)
    degrees = max(variance**2 / squares, seeds)
    stderr = math.sqrt(variance)
    reach = half_width(confidence, degrees + 1) * stderr
    return Estimate(parts.mean, stderr, parts.mean - reach, parts.mean + reach, parts.num_seeds)


def max_t_p(differences: Sequence[Sequence[float]]) -> list[float]:
    """Return two-sided p-values of sign-flip tests of K contrasts, with max-T correction.

    The test assumes only symmetry around 0. The smallest possible value is 2 / 2^S, up to S = 13. The signs
    of a seed are flipped jointly in all contrasts, which preserves the correlation between contrasts with a
    common baseline.

    Args:
        differences: Values of K contrasts, each for the same S seeds.

    Source: Westfall and Young 1993, single-step max-T.
    """
    values = np.asarray(differences, dtype=np.float64)
    largest = _t(values * _patterns(values.shape[1])[:, None, :]).max(axis=1)
    return [float((largest >= t - 1e-9).mean()) for t in _t(values)]


def share_confirmed(num_seeds: int, effect: float, deviation: float | np.ndarray, level: float) -> float:
    """Return the share of decided differences that the sign-flip test confirms; 1 if it does not apply.

    The test covers a single contrast and is not corrected for a family.

    Args:
        num_seeds: Number of seeds. Above 10, the test confirms almost every decision by Student's t.
        effect: True difference.
        deviation: Standard deviation over seeds, or samples of it, shape (P,).
        level: Confidence level of the interval.
    """
    if not MIN_SEEDS_SIGN_FLIP <= num_seeds <= 10:
        return 1.0
    noise = generator(0, "confirmed").standard_normal((NUM_SIMULATED, num_seeds))
    values = effect + np.atleast_1d(deviation)[:NUM_SIMULATED, None] * noise
    values = values[_t(values) > half_width(level, num_seeds)]
    # |t| grows with the absolute sum, because flips keep the sum of squares
    flipped = np.abs(values @ _patterns(num_seeds).T)
    observed = np.abs(values.sum(axis=1))
    p = (flipped >= observed[:, None] - 1e-9).mean(axis=1)
    return float((p <= 0.05).mean()) if len(p) else 1.0


def _t(values: np.ndarray) -> np.ndarray:
    """Return |t| of each row, which is very large if all values of a row are equal."""
    spread = values.std(axis=-1, ddof=1) / math.sqrt(values.shape[-1])
    return np.abs(values.mean(axis=-1)) / np.maximum(spread, 1e-12)


@cache
def _patterns(num_seeds: int) -> np.ndarray:
    """Return all sign patterns with a positive first sign, or 4,096 random patterns for many seeds."""
    if 1 << (num_seeds - 1) <= MOST_PATTERNS:
        return np.array([(1, *rest) for rest in itertools.product((1, -1), repeat=num_seeds - 1)])
    drawn = generator(0, "sign flips").choice((-1, 1), (MOST_PATTERNS, num_seeds))
    drawn[0] = 1  # the observed signs
    return drawn
