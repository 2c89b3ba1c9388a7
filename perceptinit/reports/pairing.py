"""Arms of one score beside each other: means over seeds, and differences paired by seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from perceptinit.reports.comparison import ArmScore, Difference
from perceptinit.reports.contrasts import Contrast
from perceptinit.reports.statistics import (
    bootstrap_interval,
    detectable_difference,
    differences,
    estimate,
    paired_p_value,
)
from perceptinit.reports.verdicts.decisions import Rule
from perceptinit.results.runs import RunSet


def arm_score(runs: RunSet, arm: str, values: Mapping[tuple[str, int], float]) -> ArmScore:
    """Return an arm in a score. values: (arm, seed) -> value of all arms; seeds without one are missing."""
    by_seed = {seed: value for (name, seed), value in values.items() if name == arm}
    missing = tuple(run.seed for run in runs.arm_runs(arm) if run.seed not in by_seed)
    value = estimate(list(by_seed.values())) if by_seed else None
    return ArmScore(arm=arm, by_seed=by_seed, value=value, missing=missing)


def differences_of(
    arms: Sequence[ArmScore], contrasts: Iterable[Contrast], rule: Rule
) -> Iterable[Difference]:
    """Yield each contrast whose arms have a seed in common, with the interval that the rule asks for."""
    by_name = {arm.arm: arm for arm in arms}
    for contrast in contrasts:
        reference = by_name[contrast.reference].by_seed
        by_seed = differences(by_name[contrast.arm].by_seed, reference)
        if by_seed:
            yield _difference(contrast, by_seed, reference, rule.confidence)


def _difference(
    contrast: Contrast,
    by_seed: Mapping[int, float],
    reference: Mapping[int, float],
    confidence: float,
) -> Difference:
    values = list(by_seed.values())
    value = estimate(values, confidence)
    level = estimate([reference[seed] for seed in by_seed]).mean
    return Difference(
        contrast=contrast,
        by_seed=by_seed,
        value=value,
        bootstrap=bootstrap_interval(values),
        relative=value.mean / level if level else None,
        p_value=paired_p_value(values),
        detectable=detectable_difference(values, alpha=1 - confidence),
    )
