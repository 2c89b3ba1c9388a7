"""How many times as many samples does the baseline need for the score of an arm? For docs/results/pairs.md.

Curves are interpolated linearly between measurements. Intervals are percentile bootstraps over paired seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from perceptinit.analysis.curves import Curve, Curves
from perceptinit.seeding import generator

NUM_RESAMPLES = 999


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of samples for the mean curves, with its interval over seeds; None if it is undefined."""

    value: float | None
    low: float | None = None
    high: float | None = None


def ratio_of_samples(arm: Curves, reference: Curves) -> Ratio:
    """Return the number of samples that the reference needs to reach a score, divided by that of the arm.

    The score is the lower of the two final scores. The value is None if a curve starts at least as good.
    """
    seeds = sorted(arm.keys() & reference.keys())
    own = [arm[seed] for seed in seeds]
    others = [reference[seed] for seed in seeds]
    counts = sorted(set.intersection(*map(set, [*own, *others])))

    def at(chosen: Sequence[int]) -> float | None:
        return _divide(_mean([own[i] for i in chosen], counts), _mean([others[i] for i in chosen], counts))

    drawn = generator(0, "curves").integers(len(seeds), size=(NUM_RESAMPLES, len(seeds)))
    values = [at(chosen) for chosen in drawn.tolist()]
    found = sorted(math.inf if value is None else value for value in values)
    last = len(found) - 1
    # no interpolation between order statistics, because values can be inf
    return Ratio(at(range(len(seeds))), found[math.floor(0.025 * last)], found[math.ceil(0.975 * last)])


def _mean(curves: Sequence[Curve], counts: Sequence[int]) -> Curve:
    return {n: math.fsum(curve[n] for curve in curves) / len(curves) for n in counts}


def _divide(arm: Curve, reference: Curve) -> float | None:
    target = min(arm[max(arm)], reference[max(reference)])
    own = _find_reach(arm, target)
    others = _find_reach(reference, target)
    return others / own if own and others else None


def _find_reach(curve: Curve, target: float) -> float | None:
    """Return the number of samples at which a curve first reaches `target`; None if it starts there."""
    points = sorted(curve.items())
    if points[0][1] >= target:
        return None
    ends = next((pair for pair in pairwise(points) if pair[1][1] >= target), None)
    if ends is None:
        return None
    (left, below), (right, above) = ends
    return left + (right - left) * (target - below) / (above - below)
