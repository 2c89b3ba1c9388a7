"""Decision rule for differences, its error rates, and the number of seeds that a decision requires.

An interval within ±delta means that arms are equivalent. Otherwise, an interval on one side of 0 means that
one arm is better, and any other interval is undecided. At 95 %, each error occurs in at most 2.5 % of
experiments: a false claim that an arm is better, or that arms are equivalent (two one-sided tests, Schuirmann
1987; region of practical equivalence, Kruschke 2018).

Adding seeds until a difference is decided requires several looks (interim analyses), which increase the
error rates. The intervals are then widened to one constant level, so that *all* of them contain the true
difference in 95 % of experiments (repeated confidence intervals, Jennison and Turnbull 1989; constant level,
Pocock 1977).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

import numpy as np
import scipy

from perceptinit.analysis.statistics import Estimate
from perceptinit.recipe.settings import VerdictConfig
from perceptinit.seeding import generator

CONFIDENCE = 0.95
POINTS = 100  # percentage points per unit of a score
CHANCE = 0.8
MOST_MORE_SEEDS = 20
NUM_PATHS = 100_000
NUM_FUTURES = 4_000

Decision = Literal["equivalent", "above", "below"]  # in order of precedence


@dataclass(frozen=True, slots=True)
class Rule:
    """Decision rule for differences.

    Attributes:
        delta: Largest difference that does not matter, in the unit of the score; None if not stated.
        first: Number of seeds at the first look (interim analysis).
        last: Number of seeds at the last look; None for a single look.
        is_unplanned: Whether seeds were added by hand, without a plan.
    """

    delta: float | None = None
    first: int = 2
    last: int | None = None
    is_unplanned: bool = False

    @property
    def is_repeated(self) -> bool:
        return self.last is not None

    @property
    def confidence(self) -> float:
        """Return the confidence level of each interval."""
        return self.level_for(1)

    def level_for(self, num_family: int) -> float:
        """Return the level of each of `num_family` simultaneous 95 % intervals (Bonferroni)."""
        confidence = 1 - (1 - CONFIDENCE) / num_family
        return confidence if self.last is None else level_of_looks(max(self.first, 2), self.last, confidence)

    def decide(self, value: Estimate) -> Decision | None:
        """Return the decision for an interval; None if it is undecided, or before the first look."""
        if value.low is None or value.high is None or (self.last and value.num < self.first):
            return None
        held = self.classify(value.low, value.high)
        return next((decision for decision in get_args(Decision) if held[decision]), None)

    def classify(self, low: Any, high: Any) -> dict[Decision, Any]:
        """Return, by decision in order of precedence, whether it applies to intervals (floats or arrays)."""
        delta = -math.inf if self.delta is None else self.delta
        return {
            "equivalent": (low >= -delta) & (high <= delta),
            "above": low > 0,
            "below": high < 0,
        }


def rule_of(plan: VerdictConfig, num_planned: int, num_listed: int = 0) -> Rule:
    """Return the decision rule of a recipe's `[verdict]`.

    Args:
        plan: The `[verdict]` table.
        num_planned: Number of seeds at the first look.
        num_listed: Largest number of seeds in a recipe. Without a stopping rule, seeds beyond
            `num_planned` were added by hand, and each number of seeds counts as a look.
    """
    delta = None if plan.delta is None else plan.delta / POINTS
    first = max(num_planned, 2)
    if plan.max_seeds is None and num_listed > first:
        return Rule(delta, first, num_listed, is_unplanned=True)
    return Rule(delta, first, None if plan.max_seeds is None else max(first, plan.max_seeds))


@cache
def level_of_looks(first: int, last: int, confidence: float = CONFIDENCE) -> float:
    """Return the constant level at which Student's intervals of n = first..last values hold jointly.

    The simulation uses 100,000 fixed paths and is accurate to 0.1 points.

    Args:
        first: Number of values at the first look.
        last: Number of values at the last look.
        confidence: Joint confidence level.

    Source: Pocock 1977; Jennison and Turnbull 1989.
    """
    if first == last:
        return confidence
    smallest = np.ones(NUM_PATHS)
    for num, mean, error in simulate_looks("level of looks", first, last):
        smallest = np.minimum(smallest, 2 * scipy.stats.t.sf(np.abs(mean) / error, num - 1))
    return 1 - float(np.quantile(smallest, 1 - confidence))


def simulate_looks(name: str, first: int, last: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield n, means and standard errors of n standard normal values, shape (NUM_PATHS,).

    Each n adds one value to each path. `name` seeds the random values.
    """
    rng = generator(0, name)
    sums = np.zeros(NUM_PATHS)
    squares = np.zeros(NUM_PATHS)
    for num in range(1, last + 1):
        values = rng.standard_normal(NUM_PATHS)
        sums += values
        squares += values**2
        if num >= first:
            mean = sums / num
            yield num, mean, np.sqrt((squares - num * mean**2) / (num - 1) / num)


def probabilities(value: Estimate, delta: float) -> tuple[float, float, float] | None:
    """Return the probabilities of a difference below, within and above ±delta; None for one seed.

    With flat priors on the mean and the log standard deviation, the posterior of a normal mean is Student's
    t (Benavoli et al. 2017, section 4.1, with independent seeds).
    """
    if value.stderr is None:
        return None
    if value.stderr:
        posterior = scipy.stats.t(value.num - 1, value.mean, value.stderr)
        below = float(posterior.cdf(-delta))
        above = float(posterior.sf(delta))
    else:
        below = float(value.mean < -delta)
        above = float(value.mean > delta)
    return below, 1 - below - above, above


@cache
def seeds_to_decide(values: tuple[float, ...], rule: Rule) -> int | None:
    """Return how many more seeds decide a difference with 80 % probability; None if above the maximum.

    The simulation samples means and standard deviations from the posterior of `probabilities`, then results
    of new seeds, and applies the rule to all results. With several looks, a decision at any look counts.
    """
    most = rule.last - len(values) if rule.last is not None else MOST_MORE_SEEDS
    if most < 1 or len(values) < 2:
        return None
    shares = _decide(*_simulate_futures(values, most), rule).mean(axis=0)
    return next((k for k, share in enumerate(shares, start=1) if share >= CHANCE), None)


def _simulate_futures(values: tuple[float, ...], most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return numbers of seeds, shape (K,), and simulated means and standard errors, shape (S, K)."""
    known = np.asarray(values)
    num = len(known)
    rng = generator(0, "seeds to decide")
    deviation = known.std(ddof=1) * np.sqrt((num - 1) / rng.chisquare(num - 1, NUM_FUTURES))
    mean = known.mean() + deviation / math.sqrt(num) * rng.standard_normal(NUM_FUTURES)
    new = mean[:, None] + deviation[:, None] * rng.standard_normal((NUM_FUTURES, most))
    numbers = num + np.arange(1, most + 1)
    # centered for numerical accuracy of the difference of squares
    new = new - known.mean()
    squares = (new**2).cumsum(axis=1) + ((known - known.mean()) ** 2).sum()
    means = new.cumsum(axis=1) / numbers
    variances = np.maximum(squares - numbers * means**2, 0) / (numbers - 1)
    return numbers, known.mean() + means, np.sqrt(variances / numbers)


def _decide(numbers: np.ndarray, means: np.ndarray, errors: np.ndarray, rule: Rule) -> np.ndarray:
    """Return which simulated futures are decided at each number of seeds, shape (S, K)."""
    half = scipy.stats.t.ppf(0.5 + rule.confidence / 2, numbers - 1) * errors
    decided = np.logical_or.reduce([*rule.classify(means - half, means + half).values()])
    return np.logical_or.accumulate(decided, axis=1) if rule.is_repeated else decided
