"""Scores over samples seen: bands over seeds, crossover and speed-up.

Curves are straight between two measurements. What is said of a crossover or a speed-up comes with
a bootstrap over seeds, which are resampled in pairs; few seeds make it coarse.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from perceptinit.reports.comparison import ALL, Comparison, ScoreComparison
from perceptinit.reports.statistics import Estimate, estimate
from perceptinit.results.runs import RunSet
from perceptinit.seeding import generator

NUM_RESAMPLES = 999

Curve = dict[int, float]  # samples seen -> value
Curves = dict[int, Curve]  # seed -> curve


@dataclass(frozen=True, slots=True)
class SamplesEstimate:
    """A number of samples (or a ratio) with its bootstrap interval over seeds.

    value: of the mean curves; None when it does not happen in the runs.
    low, high: percentile interval; `inf` where resamples never get there; None for one seed.
    share: share of the resamples in which it happens at all.
    """

    value: float | None
    low: float | None
    high: float | None
    share: float | None


def curves_of(runs: RunSet, arm: str, score: str) -> Curves:
    """Return the curve of each seed of an arm: one value per number of samples seen, finite ones only.

    Runs that did not finish are in: what they measured holds as far as it goes.
    """
    curves: Curves = {}
    for run in runs.arm_runs(arm):
        rows = [r for r in run.scores if r["name"] == score and r["value"] is not None]
        if rows:
            curves[run.seed] = {row["samples_seen"]: float(row["value"]) for row in rows}
    return curves


def band(curves: Curves) -> dict[int, Estimate]:
    """Return mean and interval at each number of samples that every seed was measured at."""
    return {n: estimate([curve[n] for curve in curves.values()]) for n in common_counts(curves)}


def common_counts(*groups: Curves) -> list[int]:
    """Return the numbers of samples that all seeds of all groups were measured at, in order."""
    counts = [set(curve) for curves in groups for curve in curves.values()]
    return sorted(set.intersection(*counts)) if counts else []


def crossover(arm: Curves, reference: Curves, higher_is_better: bool = True) -> SamplesEstimate:
    """Return the samples at which the arm begins to lead and from where it stays ahead to the end.

    0 or the first measurement when it leads from the start; None when it does not lead at the end.
    """
    sign = 1 if higher_is_better else -1

    def find_lead(arm: Curve, reference: Curve) -> float | None:
        lead = {n: sign * (arm[n] - reference[n]) for n in sorted(arm)}
        behind = [(n, value) for n, value in lead.items() if value <= 0]
        if not behind:
            return float(min(lead))
        ahead = next(((n, value) for n, value in lead.items() if n > behind[-1][0]), None)
        return _between(*behind[-1], *ahead, 0.0) if ahead else None

    return _over_seeds(arm, reference, find_lead)


def speed_up(arm: Curves, reference: Curves, higher_is_better: bool = True) -> SamplesEstimate:
    """Return how many times as many samples the reference needs for the same score.

    Both curves are read at the lower of the two last scores: above 1, the arm gets there with
    fewer samples. None when one of them starts at that score or is there only once.
    """
    sign = 1 if higher_is_better else -1

    def find_ratio(arm: Curve, reference: Curve) -> float | None:
        arm, reference = ({n: sign * v for n, v in curve.items()} for curve in (arm, reference))
        target = min(arm[max(arm)], reference[max(reference)])
        own, others = _find_reach(arm, target), _find_reach(reference, target)
        return others / own if own and others else None

    return _over_seeds(arm, reference, find_ratio)


def _over_seeds(
    arm: Curves, reference: Curves, statistic: Callable[[Curve, Curve], float | None]
) -> SamplesEstimate:
    seeds = sorted(arm.keys() & reference.keys())
    counts = common_counts({s: arm[s] for s in seeds}, {s: reference[s] for s in seeds})
    if len(counts) < 2:
        return SamplesEstimate(None, None, None, None)

    def at(chosen: Sequence[int]) -> float | None:
        return statistic(_mean(arm, chosen, counts), _mean(reference, chosen, counts))

    value = at(seeds)
    if len(seeds) < 2:
        return SamplesEstimate(value, None, None, None)
    found = sorted(_resample(seeds, at))
    share = sum(math.isfinite(v) for v in found) / len(found)
    last = len(found) - 1
    # percentiles as values that occur: inf cannot be interpolated
    low, high = found[math.floor(0.025 * last)], found[math.ceil(0.975 * last)]
    return SamplesEstimate(value, low, high, share)


def _mean(curves: Curves, seeds: Sequence[int], counts: Sequence[int]) -> Curve:
    return {n: math.fsum(curves[s][n] for s in seeds) / len(seeds) for n in counts}


def _resample(seeds: Sequence[int], at: Callable[[Sequence[int]], float | None]) -> list[float]:
    """Return the statistic of each bootstrap resample of seeds; inf where it is None."""
    import numpy as np
    from scipy import stats

    def statistic(indices: np.ndarray) -> float:
        value = at([seeds[int(i)] for i in indices])
        return math.inf if value is None else value

    with np.errstate(invalid="ignore"):  # differences of inf in an interval that is not used
        settings: Any = {"vectorized": False, "n_resamples": NUM_RESAMPLES, "method": "percentile"}
        rng = generator(0, "curves")
        result = stats.bootstrap((np.arange(len(seeds)),), statistic, rng=rng, **settings)
    return [float(v) for v in result.bootstrap_distribution]


def _find_reach(curve: Curve, target: float) -> float | None:
    """Return the samples at which a curve first reaches `target`, None when it starts there."""
    counts = sorted(curve)
    if curve[counts[0]] >= target:
        return None
    for left, right in pairwise(counts):
        if curve[right] >= target:
            return _between(left, curve[left], right, curve[right], target)
    return None


def _between(left: float, low: float, right: float, high: float, target: float) -> float:
    """Return where the straight line from (left, low) to (right, high) is at `target`."""
    return left + (right - left) * (target - low) / (high - low)


def all_curves(comparison: Comparison, score: ScoreComparison) -> dict[str, Curves]:
    """Return the curves of every arm in a score; of an average, where all its data sets were measured."""
    same = [s for s in comparison.scores if s.measure == score.measure]
    members = [s.name for s in same if score.family in (s.family, ALL)]
    names = members if score.num_sets > 1 else [score.name]
    return {arm: _average(comparison.runs, arm, names) for arm in comparison.runs.arms}


def _average(runs: RunSet, arm: str, names: Sequence[str]) -> Curves:
    """Return the mean over scores of each seed's curve; a seed that lacks a score has none."""
    of_scores = [curves_of(runs, arm, name) for name in names]
    seeds = set.intersection(*(set(curves) for curves in of_scores))
    return {
        seed: {
            n: math.fsum(curves[seed][n] for curves in of_scores) / len(names)
            for n in common_counts(*({seed: curves[seed]} for curves in of_scores))
        }
        for seed in sorted(seeds)
    }
