"""Differences between arms, paired by seed or not.

Arms are paired if they share enough of their planned seeds, whatever their scores are. Otherwise, Welch's t
interval and a permutation of labels take the place of Student's t interval and the sign-flip test.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from perceptinit.analysis.comparison import ArmScore, Difference, joint_key
from perceptinit.analysis.contrasts import Contrast
from perceptinit.analysis.decisions import CONFIDENCE, Rule
from perceptinit.analysis.intervals import Components, estimate_two_way, max_t_p, max_t_p_unpaired
from perceptinit.analysis.over_items import Cell
from perceptinit.analysis.pooling import Pooling, level_of_family, pool
from perceptinit.analysis.statistics import (
    Estimate,
    differences,
    estimate,
    estimate_unpaired,
    p_value,
    subtract_means,
)
from perceptinit.grouping import group
from perceptinit.results.runs import RunSet
from perceptinit.results.table_reading import share_enough

Arms = Mapping[str, ArmScore]  # by name


def score_arm(runs: RunSet, arm: str, values: Mapping[tuple[str, int], float]) -> ArmScore:
    """Return one arm's values in a score, selected from the `values` of all arms and seeds."""
    by_seed = {seed: value for (name, seed), value in values.items() if name == arm}
    seeds = [run.seed for run in runs.arm_runs(arm)]
    return ArmScore(
        arm=arm,
        by_seed=by_seed,
        value=estimate(list(by_seed.values())) if by_seed else None,
        missing=tuple(seed for seed in seeds if seed not in by_seed),
        planned=runs.planned.get(arm) or frozenset(seeds),
    )


def are_paired(arm: ArmScore, reference: ArmScore, rule: Rule) -> bool:
    """Return whether two arms are compared by seed."""
    return not rule.is_unpaired and share_enough(arm.planned, reference.planned)


def estimate_difference(
    arm: ArmScore, reference: ArmScore, rule: Rule, confidence: float = 0.95, floor: float = 0.0
) -> Estimate | None:
    """Return the mean difference of two arms; None if paired arms share no seed, or an arm has no score.

    Args:
        arm: Values of the arm.
        reference: Values of the reference.
        rule: Decision rule, which can exclude pairing.
        confidence: Level of the interval.
        floor: Lower bound on the standard deviation of a difference.
    """
    # runs that vary by less than the step of rounding are rounded alike, so their mean is as rounded as one
    floor = max(floor, rule.grid * (min(len(arm.by_seed), len(reference.by_seed)) / 6) ** 0.5)
    if are_paired(arm, reference, rule):
        by_seed = differences(arm.by_seed, reference.by_seed)
        if len(by_seed) != 1 or not rule.spread:
            return estimate(list(by_seed.values()), confidence, floor) if by_seed else None
    if not arm.by_seed or not reference.by_seed:
        return None
    if arm.is_mean and reference.is_mean and arm.value and reference.value:
        return subtract_means(arm.value, reference.value, confidence, floor)
    samples = list(arm.by_seed.values()), list(reference.by_seed.values())
    return estimate_unpaired(*samples, confidence, floor, rule.spread)


def compare_arms(
    arms: Sequence[ArmScore],
    contrasts: Iterable[Contrast],
    rule: Rule,
    floor: float = 0.0,
    components: Mapping[Contrast, Components] | None = None,
) -> tuple[Difference, ...]:
    """Return the difference of each contrast that has one, with intervals at the rule's level.

    Args:
        arms: Values of each arm in the score.
        contrasts: Contrasts to compute.
        rule: Decision rule.
        floor: Lower bound on the standard deviation of a difference.
        components: Variance components of contrasts with per-item values.
    """
    by_name = {arm.arm: arm for arm in arms}
    parts = components or {}
    pooled = find_pooling(arms, rule)
    found = [_find_difference(c, by_name, rule, floor, parts.get(c)) for c in contrasts]
    known = [difference for difference in found if difference]
    if pooled:
        known = [_with_pooled(d, pooled, floor, parts.get(d.contrast)) for d in known]
    return tuple(_with_exact_tests(known, by_name))


def find_pooling(arms: Sequence[ArmScore], rule: Rule) -> Pooling | None:
    """Return the pooled spread of arms; None if it is not planned, or arms are not paired over all seeds."""
    seeds = sorted(arms[0].by_seed) if rule.num_pooled else []
    is_paired = all(sorted(arm.by_seed) == seeds and are_paired(arm, arms[0], rule) for arm in arms)
    if not is_paired or min(len(seeds), len(arms)) < 2:
        return None
    return pool(np.array([[arm.by_seed[seed] for seed in seeds] for arm in arms]))


def _with_pooled(own: Difference, pooled: Pooling, floor: float, parts: Components | None) -> Difference:
    """Return a difference with the pooled spread or, if arms differ in spread, with the larger one."""
    num = own.value.num
    deviation = max(float(pooled.deviation), floor)
    num_family = own.contrast.num_family
    is_joint = num_family > 1 and not own.contrast.is_of_pairs
    level = level_of_family(num_family, pooled.degrees) if is_joint else own.confidence
    value = Estimate.student(own.value.mean, deviation / math.sqrt(num), pooled.degrees, level, num)
    two_way = None
    if parts:
        common = replace(parts, seeds=deviation**2 / num, seed_degrees=pooled.degrees)
        two_way = estimate_two_way(common, own.confidence)
    if not pooled.is_equal:
        value = max(value, own.value, key=_half_width)
        two_way = two_way and own.two_way and max(two_way, own.two_way, key=_half_width)
    confidence = level if pooled.is_equal and not parts else own.confidence
    return replace(own, value=value, two_way=two_way, p_value=p_value(value), confidence=confidence)


def _half_width(value: Estimate) -> float:
    return (value.high or value.mean) - value.mean


def _find_difference(
    contrast: Contrast, arms: Arms, rule: Rule, floor: float, parts: Components | None
) -> Difference | None:
    arm = arms[contrast.arm]
    reference = arms[contrast.reference]
    confidence = rule.level_for(contrast.num_family)
    value = estimate_difference(arm, reference, rule, confidence, floor)
    if value is None:
        return None
    by_seed = differences(arm.by_seed, reference.by_seed) if are_paired(arm, reference, rule) else {}
    others = [reference.by_seed[seed] for seed in by_seed or reference.by_seed]
    level = estimate(others).mean
    two_way = estimate_two_way(parts, confidence) if parts else None
    num_runs = None
    if arm.value and reference.value and not by_seed:
        num_runs = arm.value.num, reference.value.num
    return Difference(
        contrast=contrast,
        by_seed=by_seed,
        value=value,
        two_way=two_way,
        confidence=confidence,
        relative=value.mean / level if level else None,
        p_value=p_value(estimate_difference(arm, reference, rule)),  # without the floor
        is_of_means=arm.is_mean and reference.is_mean,
        num_runs=num_runs,
    )


def _with_exact_tests(found: Sequence[Difference], arms: Arms) -> Iterator[Difference]:
    """Yield the differences with p-values of sign flips or permuted labels.

    The tests are joint for contrasts of a family with the same reference and, if paired, the same seeds.
    """
    tested = [d for d in found if d.value.stderr is not None and not (d.is_predicted or d.is_of_means)]
    p_values: dict[Contrast, float] = {}
    for family in group((joint_key(d), d) for d in tested).values():
        p_values.update(zip((d.contrast for d in family), _test(family, arms), strict=True))
    yield from (replace(difference, p_signs=p_values.get(difference.contrast)) for difference in found)


def _test(family: Sequence[Difference], arms: Arms) -> list[float]:
    if family[0].num_runs is None:
        return max_t_p([list(d.by_seed.values()) for d in family])
    reference = arms[family[0].contrast.reference]
    values = [list(arms[d.contrast.arm].by_seed.values()) for d in family]
    return max_t_p_unpaired(values, list(reference.by_seed.values()))


def read_mean(arm: ArmScore, rows: Mapping[Cell, Mapping[str, Any]]) -> ArmScore:
    """Return the score of an arm with the standard error of a mean over runs, if its row states them."""
    stated = next((row["runs"] for (name, _), row in rows.items() if name == arm.arm and "runs" in row), None)
    if stated is None or arm.value is None:
        return arm
    deviation, num = stated
    value = Estimate.student(arm.value.mean, deviation / math.sqrt(num), num - 1, CONFIDENCE, num)
    return replace(arm, value=value, is_mean=True)
