"""Scores over samples seen: values by seed, bands over seeds and paired differences."""

import math
from collections.abc import Iterable, Sequence
from itertools import chain

from perceptinit.analysis.compare import LARGEST
from perceptinit.analysis.comparison import Comparison, ScoreComparison
from perceptinit.analysis.statistics import Estimate, estimate
from perceptinit.results.runs import RunSet

Curve = dict[int, float]  # samples seen -> value
Curves = dict[int, Curve]  # seed -> curve


def curves_of(runs: RunSet, arm: str, score: str) -> Curves:
    """Return the usable values of each seed of an arm, including those of unfinished runs."""
    curves: Curves = {}
    for run in runs.arm_runs(arm):
        named = [r for r in run.scores if r["name"] == score and r["value"] is not None]
        rows = [r for r in named if abs(r["value"]) < LARGEST]
        if rows:
            curves[run.seed] = {row["samples_seen"]: float(row["value"]) for row in rows}
    return curves


def band(curves: Curves) -> dict[int, Estimate]:
    """Return mean and interval over seeds at each common number of samples."""
    found = list(curves.values())
    return {n: estimate([curve[n] for curve in found]) for n in _common_counts(found)}


def _common_counts(curves: Sequence[Curve]) -> list[int]:
    """Return the sorted numbers of samples at which all curves have a value."""
    return sorted(set.intersection(*map(set, curves))) if curves else []


def pair_curves(
    arm: Curves, reference: Curves, seeds: Iterable[int], sign: int = 1
) -> dict[int, list[float]]:
    """Return `sign` times arm minus reference, by seed, at the numbers of samples that all seeds share."""
    pairs = [(arm[seed], reference[seed]) for seed in seeds]
    counts = _common_counts(list(chain(*pairs)))
    return {n: [sign * (own[n] - other[n]) for own, other in pairs] for n in counts}


def _mean(curves: Sequence[Curve]) -> Curve:
    """Return the mean curve at the common numbers of samples."""
    return {n: math.fsum(curve[n] for curve in curves) / len(curves) for n in _common_counts(curves)}


def all_curves(comparison: Comparison, score: ScoreComparison) -> dict[str, Curves]:
    """Return the curves of each arm in a score, or in an average over data sets."""
    return {arm: curves_of_arm(comparison, score, arm) for arm in comparison.runs.arms}


def curves_of_arm(comparison: Comparison, score: ScoreComparison, arm: str) -> Curves:
    """Return the curve of each seed in a score, or its mean curve in the averaged scores if it has all."""
    names = [s.name for s in comparison.sets_of(score) or [score]]
    of_scores = [curves_of(comparison.runs, arm, name) for name in names]
    seeds = sorted(set.intersection(*map(set, of_scores)))
    by_seed = {seed: [curves[seed] for curves in of_scores] for seed in seeds}
    return {seed: _mean(curves) for seed, curves in by_seed.items()}
