"""Decision rule for differences, and its error rates.

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
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy.special import stdtr

from perceptinit.analysis.questions import Outcome
from perceptinit.analysis.statistics import Estimate
from perceptinit.recipe.settings import VerdictConfig
from perceptinit.results.source import POINTS, RECORDS, Words
from perceptinit.seeding import generator

CONFIDENCE = 0.95
NUM_PATHS = 100_000


@dataclass(frozen=True, slots=True)
class Rule:
    """Decision rule for differences.

    Attributes:
        delta: Largest difference that does not matter, in the unit of the score; None if not stated.
        first: Number of seeds at the first look (interim analysis).
        last: Number of seeds at the last look; None for a single look.
        grid: Step to which scores are visibly rounded, in the unit of the score; 0 if they are not.
        is_unplanned: Whether seeds were added by hand, without a plan.
        is_unpaired: Whether arms are never paired by seed.
        num_pooled: Number of arms over which the spread over seeds is pooled; 0 if it is not pooled.
        spread: Standard deviation of earlier runs and its degrees of freedom, for single runs; None without.
        spread_from: Name of these runs.
        one_run_decides: Whether single runs are compared over items alone.
        words: Words of the source of the runs.
    """

    delta: float | None = None
    first: int = 2
    last: int | None = None
    grid: float = 0.0
    is_unplanned: bool = False
    is_unpaired: bool = False
    num_pooled: int = 0
    spread: tuple[float, int] | None = None
    spread_from: str = ""
    one_run_decides: bool = False
    words: Words = RECORDS.words

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

    def decide(self, value: Estimate, sign: int = 1) -> Outcome:
        """Return the outcome of an interval, which is undecided before the first look.

        Args:
            value: Difference.
            sign: -1 if a negative difference is better.
        """
        if value.low is None or value.high is None or (self.last and value.num < self.first):
            return Outcome.UNDECIDED
        held = self.classify(*sorted((sign * value.low, sign * value.high)))
        return next((outcome for outcome in held if held[outcome]), Outcome.UNDECIDED)

    def classify(self, low: Any, high: Any) -> dict[Outcome, Any]:
        """Return, by outcome in order of precedence, whether intervals (floats or arrays) decide it."""
        delta = -math.inf if self.delta is None else self.delta
        return {
            Outcome.EQUIVALENT: (low >= -delta) & (high <= delta),
            Outcome.BETTER: low > 0,
            Outcome.WORSE: high < 0,
        }


def rule_of(plan: VerdictConfig, num_planned: int, num_listed: int = 0, num_arms: int = 0) -> Rule:
    """Return the decision rule of a recipe's `[verdict]`.

    Args:
        plan: The `[verdict]` table.
        num_planned: Number of seeds at the first look.
        num_listed: Largest number of seeds in a recipe. Without a stopping rule, seeds beyond
            `num_planned` were added by hand, and each number of seeds counts as a look.
        num_arms: Number of arms, whose spread is pooled if the plan states it.
    """
    delta = None if plan.delta is None else plan.delta / POINTS
    first = max(num_planned, 2)
    if plan.max_seeds is None and num_listed > first:
        return Rule(delta, first, num_listed, is_unplanned=True)
    last = None if plan.max_seeds is None else max(first, plan.max_seeds)
    return Rule(delta, first, last, num_pooled=num_arms if plan.spread == "pooled" else 0)


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
    rng = generator(0, "level of looks")
    sums = np.zeros(NUM_PATHS)
    squares = np.zeros(NUM_PATHS)
    smallest = np.ones(NUM_PATHS)
    for num in range(1, last + 1):
        values = rng.standard_normal(NUM_PATHS)
        sums += values
        squares += values**2
        if num >= first:
            mean = sums / num
            error = np.sqrt((squares - num * mean**2) / (num - 1) / num)
            smallest = np.minimum(smallest, 2 * stdtr(num - 1, -np.abs(mean) / error))
    return 1 - float(np.quantile(smallest, 1 - confidence))


def probabilities(value: Estimate, delta: float) -> tuple[float, float, float] | None:
    """Return the probabilities of a difference below, within and above ±delta; None for one seed.

    With flat priors on the mean and the log standard deviation, the posterior of a normal mean is Student's
    t (Benavoli et al. 2017, section 4.1, with independent seeds).
    """
    if value.stderr is None:
        return None
    if value.stderr:
        below = float(stdtr(value.degrees, (-delta - value.mean) / value.stderr))
        above = float(stdtr(value.degrees, (value.mean - delta) / value.stderr))
    else:
        below = float(value.mean < -delta)
        above = float(value.mean > delta)
    return below, 1 - below - above, above
