"""Intervals over seeds and images, and tests without a normality assumption."""

# S seeds, N items (images or judgments), R image roles in an item, K contrasts

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from perceptinit.analysis.statistics import Estimate
from perceptinit.judgments.scoring import MIN_UNITS, binomial_stderr, jackknife_stderrs, leave_out_units
from perceptinit.seeding import generator

MIN_SEEDS_SIGN_FLIP = 6
"""With fewer seeds, the smallest possible p-value of a sign-flip test exceeds 0.05."""
MIN_LABELINGS = 40
"""With fewer ways to label the runs of two arms, the p-value of a permutation test can always exceed 0.05."""
MOST_PATTERNS = 1 << 12
MIN_PEOPLE = 5
"""Fewer people do not represent other people."""
TINY = 1e-300


@dataclass(frozen=True, slots=True)
class Components:
    """Variance components of a mean difference over seeds, images and people.

    Attributes:
        mean: Mean difference.
        seeds: Variance over seeds, including their interactions; an array in simulations.
        images: Variance over images, including the interaction; 0 if there are no values by image.
        both: Variance of the interactions with seeds.
        num_seeds: Number of seeds.
        num_images: Number of images, of the role with the fewest.
        people: Variance over people beyond that of their items.
        num_people: Number of people; 0 if unknown.
        floor: Lower bound on the variance; that of independent items for a single run.
        seed_degrees: Degrees of freedom of `seeds`. Default (0): `num_seeds` - 1.
    """

    mean: float
    seeds: Any
    images: float
    both: float
    num_seeds: int
    num_images: int
    people: float = 0.0
    num_people: int = 0
    floor: float = 0.0
    seed_degrees: int = 0

    @property
    def units(self) -> tuple[str, ...]:
        """Units over which the mean is replicated, such as seeds and images."""
        numbers = {"seeds": self.num_seeds, "images": self.num_images, "people": self.num_people}
        return tuple(unit for unit, num in numbers.items() if num > 1)

    @property
    def variance(self) -> Any:
        """Variance of the mean over seeds, images and people.

        The variances over seeds and over images both include the interaction, so it is subtracted once from
        their sum. The result is never below either variance.
        """
        return np.maximum(self._combined, self.floor)

    @property
    def _combined(self) -> Any:
        combined = np.maximum(self.seeds + self.images - self.both, self.images) + self.people
        return np.maximum(combined, self.seeds)

    @property
    def degrees(self) -> Any:
        """Degrees of freedom of the variance: Satterthwaite's, and at least those of the smallest sample.

        A single seed is not a sample: the degrees are then those over images and people alone.
        """
        seeds = self.seed_degrees or self.num_seeds - 1
        images = self.num_images - 1
        least = seeds or images
        squares = self.seeds**2 / seeds if seeds else 0.0
        if images > 0:
            squares = squares + self.images**2 / images
            squares = squares + self.both**2 / (seeds * images) if seeds else squares
        if self.people:
            least = min(least, self.num_people - 1)
            squares = squares + (self.people + self.images) ** 2 / (self.num_people - 1)
        return np.maximum(self._combined**2 / np.maximum(squares, TINY), least)


def find_components(
    differences: np.ndarray,
    places: np.ndarray,
    weights: np.ndarray | None = None,
    people: np.ndarray | None = None,
) -> Components | None:
    """Return the variance components; None for one seed or few images.

    Few are fewer than `MIN_UNITS` images in a role, or one image in all items.

    Variances over images and over people are jackknife estimates that leave out all items of an image, in any
    role, or of a person. Fewer than `MIN_PEOPLE` people do not represent other people, so they are ignored.

    Args:
        differences: Arm minus reference, shape (S, N), in the unit of the score.
        places: Image indices of each item, shape (N, R), from 0 without gaps. R is 1 for classification.
        weights: Weight of each item, shape (N,). Default: equal weights.
        people: Person of each item, shape (N,), from 0 without gaps; None if unknown.

    Source: Owen 2007, "The pigeonhole bootstrap" (variance of crossed random effects).
    """
    num_seeds = len(differences)
    num_images = _count_images(places)
    if num_seeds < 2 or num_images < MIN_UNITS:
        return None
    by_seed = np.average(differences, axis=1, weights=weights)
    by_item = differences.mean(axis=0)
    mean = float(by_seed.mean())
    centred = differences - by_seed[:, None] - by_item + mean

    def leave_out(groups: np.ndarray) -> np.ndarray | None:
        """Return the variances over groups of items, shape (R, N): of the mean, and of the interaction."""
        errors = jackknife_stderrs(np.vstack([by_item, centred]), groups, weights)
        if errors is None:
            return None
        return np.array([errors[0] ** 2, np.square(errors[1:]).sum() / num_seeds / (num_seeds - 1)])

    of_seeds = float(by_seed.var(ddof=1)) / num_seeds
    if people is None or people.max() + 1 < MIN_PEOPLE:
        of_images = leave_out(places.T)
        if of_images is None:
            return None
        over_images, both = of_images.tolist()
        return Components(mean, of_seeds, over_images, both, num_seeds, num_images)
    found = leave_out_units(leave_out, places, people)
    if found is None:
        return None
    images, of_people = found
    return Components(
        mean,
        of_seeds,
        float(images[0]),
        max(float(images[1] + of_people[1]), 0.0),
        num_seeds,
        num_images,
        people=max(float(of_people[0]), 0.0),
        num_people=int(people.max()) + 1,
    )


def find_item_components(
    values: np.ndarray,
    places: np.ndarray,
    weights: np.ndarray | None = None,
    people: np.ndarray | None = None,
    are_shares: bool = False,
) -> Components | None:
    """Return the variance components over images and people of a score, or of a difference, measured once.

    The result is None for few images, as in `find_components`. Pooled votes (without people) count as those
    of different people. The variance is at least that of independent items.

    Args:
        values: Value of each item, or a difference of two values, shape (N,).
        places: Image indices of each item, shape (N, R), from 0 without gaps.
        weights: Weight of each item, shape (N,). Default: equal weights.
        people: Person of each item, shape (N,), from 0 without gaps; None if unknown.
        are_shares: Whether values are shares of votes, so that weights are numbers of votes.
    """
    num_images = _count_images(places)
    if num_images < MIN_UNITS:
        return None
    num_people = 0 if people is None else int(people.max()) + 1
    if num_people < MIN_PEOPLE:
        num_people = 0
        people = None

    def leave_out(groups: np.ndarray) -> np.ndarray | None:
        errors = jackknife_stderrs(values[None], groups, weights)
        return None if errors is None else errors**2

    found = leave_out_units(leave_out, places, people)
    if found is None:
        return None
    (images,), (of_people,) = found
    return Components(
        float(np.average(values, weights=weights)),
        0.0,
        float(images),
        0.0,
        1,
        num_images,
        people=max(float(of_people), 0.0),
        num_people=num_people,
        floor=binomial_stderr(values, weights if are_shares else None) ** 2,
    )


def _count_images(places: np.ndarray) -> int:
    """Return the number of images in the role with the fewest."""
    return min(len(np.unique(role)) for role in places.T)


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
        float(values.var(ddof=1)) / len(values) if len(values) > 1 else 0.0,
        sum(part.images for part in parts) / num**2,
        sum(part.both for part in parts) / num**2,
        len(values),
        sum(part.num_images for part in parts),
        sum(part.people for part in parts) / num**2,
        max(part.num_people for part in parts),
        sum(part.floor for part in parts) / num**2,
    )


def estimate_two_way(parts: Components, confidence: float = 0.95) -> Estimate:
    """Return the mean difference with an interval that generalizes over seeds, images and people.

    Source: Owen 2007 for the variance; Satterthwaite 1946 for the degrees of freedom.
    """
    return Estimate.student(
        parts.mean, math.sqrt(parts.variance), float(parts.degrees), confidence, parts.num_seeds
    )


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
    largest = _t(values * sign_patterns(values.shape[1])[:, None, :]).max(axis=1)
    return [float((largest >= t - 1e-9).mean()) for t in _t(values)]


def max_t_p_unpaired(arms: Sequence[Sequence[float]], reference: Sequence[float]) -> list[float]:
    """Return two-sided p-values of permutation tests of K arms with one reference, with max-T correction.

    The labels of all runs are permuted jointly, which preserves the correlation between contrasts with a
    common reference. The statistic is Welch's t.

    Args:
        arms: Values of each arm, at least two.
        reference: Values of the reference, at least two.

    Source: Westfall and Young 1993, single-step max-T.
    """
    samples = list(map(np.asarray, (reference, *arms)))
    pooled = np.concatenate(samples)
    orders = generator(0, "labels").permuted(np.tile(np.arange(len(pooled)), (MOST_PATTERNS, 1)), axis=1)
    orders[0] = np.arange(len(pooled))  # the observed labels
    ends = np.cumsum(list(map(len, samples)))[:-1]
    first, *others = np.split(pooled[orders], ends, axis=1)
    t = np.array([_welch_t(other, first) for other in others])
    largest = t.max(axis=0)
    return [float((largest >= own - 1e-9).mean()) for own in t[:, 0]]


def _t(values: np.ndarray) -> np.ndarray:
    """Return |t| of each row, which is very large if all values of a row are equal."""
    spread = values.std(axis=-1, ddof=1) / math.sqrt(values.shape[-1])
    return np.abs(values.mean(axis=-1)) / np.maximum(spread, 1e-12)


def _welch_t(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return Welch's |t| of each pair of rows, which is very large if all values of a row are equal."""
    variance = values.var(axis=1, ddof=1) / values.shape[1] + others.var(axis=1, ddof=1) / others.shape[1]
    return np.abs(values.mean(axis=1) - others.mean(axis=1)) / np.maximum(np.sqrt(variance), 1e-12)


@cache
def sign_patterns(num_seeds: int) -> np.ndarray:
    """Return all sign patterns with a positive first sign, or 4,096 random patterns for many seeds."""
    if 1 << (num_seeds - 1) <= MOST_PATTERNS:
        return np.array([(1.0, *rest) for rest in itertools.product((1.0, -1.0), repeat=num_seeds - 1)])
    drawn = generator(0, "sign flips").choice((-1.0, 1.0), (MOST_PATTERNS, num_seeds))
    drawn[0] = 1  # the observed signs
    return drawn
