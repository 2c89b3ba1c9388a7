"""Whether runs of different seeds are copies of each other."""

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations

import numpy as np

from perceptinit.analysis.comparison import ScoreComparison
from perceptinit.analysis.statistics import differences
from perceptinit.verdict.claim import Claim, Finding, judge

LEAST_CHANCE = 0.01  # of equal scores of independent runs, below which equal runs are copies
SEVERAL_ITEMS = 10  # in which other runs differ: equal items then have a chance below 0.01 %
MOST_ITEMS = 10_000  # of an unrounded share
LEAST_STEP = 1e-6  # of scores of two seeds, whose equality says nothing if it is due to a larger step


def find_copies(claim: Claim) -> Finding:
    weights = [(run, run.final_weights) for run in claim.runs.finished if run.arm in claim.pair]
    copies = [
        f"the runs of seeds {one.seed} and {other.seed} of {one.arm} have equal weights"
        for (one, own), (other, theirs) in combinations(weights, 2)
        if one.arm == other.arm and own == theirs != ""
    ]
    for arm in claim.pair:
        values = claim.score.arm(arm).by_seed.values()
        if len(values) > 2 and len(set(values)) == 1:
            copies.append(f"all {len(values)} runs of {arm} have the same score")
    is_known = all(own for _, own in weights)
    if not is_known:
        copies += [*_list_equal_seeds(claim), *_list_equal_items(claim)]
    return judge(copies[:1], [] if is_known else ["the records contain no hash of the final weights"])


def _list_equal_seeds(claim: Claim) -> Iterator[str]:
    """Yield a clause on two seeds with equal scores in all arms, unless rounding makes that likely."""
    by_arm = [arm.by_seed for score in claim.comparison.scores for arm in score.arms]
    pairs = list(combinations(sorted(set().union(*by_arm)), 2))
    chance = len(pairs) * min(map(_find_chance, claim.comparison.scores))
    for one, other in pairs:
        if chance < LEAST_CHANCE and all(own.get(one) == own.get(other) for own in by_arm):
            yield f"the runs of seeds {one} and {other} have equal scores in all arms"


def _find_chance(score: ScoreComparison) -> float:
    """Return the chance that the scores of two independent runs are equal in all arms.

    Two normal values on a grid that is finer than their standard deviation are equal with a probability of
    step / (2 sqrt(pi) deviation). Arms of a seed share noise, so further arms count by their differences.
    """
    known = [arm.by_seed for arm in score.arms if arm.by_seed]
    parts = [*known[:1], *(differences(own, known[0]) for own in known[1:])]
    values = [Fraction(value) for own in known for value in own.values()]
    # shares of a number of items are multiples of its part; other unrounded values have a tiny step
    step = 1 / math.lcm(*(value.limit_denominator(MOST_ITEMS).denominator for value in values))
    step = max(step, score.rule.grid)
    deviations = [float(np.std([*part.values()], ddof=1)) for part in parts if len(part) > 1]
    limits = [step / (2 * math.sqrt(math.pi) * d) if d else step / LEAST_STEP for d in deviations]
    return float(math.prod([min(1.0, limit) for limit in limits]))


def _list_equal_items(claim: Claim) -> Iterator[str]:
    """Yield a clause on two seeds of an arm with equal items, if its other runs differ in several items."""
    for arm in claim.pair:
        runs = [run for run in claim.runs.finished if run.arm == arm and run.items]
        values = {run.seed: np.concatenate([each.values for each in run.items.values()]) for run in runs}
        least = min(map(len, values.values()), default=0)
        pairs = list(combinations(values, 2))
        num_differing = [int((values[i][:least] != values[j][:least]).sum()) for i, j in pairs]
        if 0 in num_differing and min(filter(None, num_differing), default=0) >= SEVERAL_ITEMS:
            seeds = " and ".join(map(str, pairs[num_differing.index(0)]))
            yield f"the runs of seeds {seeds} of {arm} have equal values of every item"
