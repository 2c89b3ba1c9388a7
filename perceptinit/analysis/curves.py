"""Scores over samples seen: bands over seeds, crossover and speed-up.

Curves are interpolated linearly between measurements. Intervals are percentile bootstraps over paired
seeds.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from perceptinit.analysis.comparison import ALL, Comparison, ScoreComparison
from perceptinit.analysis.statistics import Estimate, estimate
from perceptinit.results.runs import RunSet
from perceptinit.seeding import generator

NUM_RESAMPLES = 999

Curve = dict[int, float]  # samples seen -> value
Curves = dict[int, Curve]  # seed -> curve


@dataclass(frozen=True, slots=True)
class SamplesEstimate:
    """A number of samples, or a ratio, with its bootstrap interval over seeds.

    Attributes:
        value: Value for the mean curves; None if undefined.
        low, high: Percentile interval; infinite where the resamples are undefined. None for one seed.
        share: Share of the resamples in which the value is defined; None for one seed.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    share: float | None = None


def curves_of(runs: RunSet, arm: str, score: str) -> Curves:
    """Return the finite values of each seed of an arm, including those of unfinished runs."""
    curves: Curves = {}
    for run in runs.arm_runs(arm):
        rows = [r for r in run.scores if r["name"] == score and r["value"] is not None]
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


def crossover(arm: Curves, reference: Curves, higher_is_better: bool = True) -> SamplesEstimate:
    """Return the number of samples after which the arm leads until the end.

    If the arm always leads, the value is the number of samples at the first measurement. If it does not lead
    at the end, the value is None.
    """
    return _over_seeds(arm, reference, higher_is_better, _find_lead)


def speed_up(arm: Curves, reference: Curves, higher_is_better: bool = True) -> SamplesEstimate:
    """Return the number of samples that the reference needs to reach a score, divided by that of the arm.

    The score is the lower of the two final scores. The value is None if a curve starts at least as good.
    """
    return _over_seeds(arm, reference, higher_is_better, _find_ratio)


def _find_lead(arm: Curve, reference: Curve) -> float | None:
    """Return where the arm's lead over the reference begins; higher values are better."""
    lead = [(n, arm[n] - reference[n]) for n in arm]
    behind = [i for i, (_, value) in enumerate(lead) if value <= 0]
    if not behind:
        return float(lead[0][0])
    if behind[-1] == len(lead) - 1:
        return None
    return _interpolate(lead[behind[-1]], lead[behind[-1] + 1], 0.0)


def _find_ratio(arm: Curve, reference: Curve) -> float | None:
    """Return how many times as many samples the reference needs; higher values are better."""
    target = min(arm[max(arm)], reference[max(reference)])
    own = _find_reach(arm, target)
    others = _find_reach(reference, target)
    return others / own if own and others else None


def _over_seeds(
    arm: Curves,
    reference: Curves,
    higher_is_better: bool,
    statistic: Callable[[Curve, Curve], float | None],
) -> SamplesEstimate:
    """Return a statistic of two mean curves, in which higher values are better, with its interval."""
    seeds = sorted(arm.keys() & reference.keys())
    own = [arm[seed] for seed in seeds]
    others = [reference[seed] for seed in seeds]
    counts = _common_counts([*own, *others])
    if len(counts) < 2:
        return SamplesEstimate(None)
    sign = 1 if higher_is_better else -1

    def at(chosen: Sequence[int]) -> float | None:
        return statistic(
            _mean([own[i] for i in chosen], counts, sign), _mean([others[i] for i in chosen], counts, sign)
        )

    value = at(range(len(seeds)))
    if len(seeds) < 2:
        return SamplesEstimate(value)
    drawn = generator(0, "curves").integers(len(seeds), size=(NUM_RESAMPLES, len(seeds)))
    resampled = map(at, drawn.tolist())
    found = sorted(math.inf if v is None else v for v in resampled)
    share = sum(map(math.isfinite, found)) / len(found)
    last = len(found) - 1
    # no interpolation between order statistics, because values can be inf
    low = found[math.floor(0.025 * last)]
    high = found[math.ceil(0.975 * last)]
    return SamplesEstimate(value, low, high, share)


def _mean(curves: Sequence[Curve], counts: Sequence[int], sign: int = 1) -> Curve:
    return {n: sign * math.fsum(curve[n] for curve in curves) / len(curves) for n in counts}


def _find_reach(curve: Curve, target: float) -> float | None:
    """Return the number of samples at which a curve first reaches `target`; None if it starts there."""
    points = sorted(curve.items())
    if points[0][1] >= target:
        return None
    ends = next((pair for pair in pairwise(points) if pair[1][1] >= target), None)
    return _interpolate(*ends, target) if ends else None


def _interpolate(left: tuple[float, float], right: tuple[float, float], target: float) -> float:
    """Return x at y = `target` on the line through two points (x, y)."""
    return left[0] + (right[0] - left[0]) * (target - left[1]) / (right[1] - left[1])


def all_curves(comparison: Comparison, score: ScoreComparison) -> dict[str, Curves]:
    """Return the curves of each arm in a score, or in an average over data sets."""
    names = [score.name]
    if score.num_sets > 1:
        same = (s for s in comparison.scores if s.measure == score.measure)
        names = [s.name for s in same if score.family in (s.family, ALL)]
    return {arm: _average(comparison.runs, arm, names) for arm in comparison.runs.arms}


def _average(runs: RunSet, arm: str, names: Sequence[str]) -> Curves:
    """Return the mean curve over scores for each seed that has all scores."""
    of_scores = [curves_of(runs, arm, name) for name in names]
    seeds = sorted(set.intersection(*map(set, of_scores)))
    by_seed = {seed: [curves[seed] for curves in of_scores] for seed in seeds}
    return {seed: _mean(curves, _common_counts(curves)) for seed, curves in by_seed.items()}
