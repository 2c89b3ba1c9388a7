"""Differences between arms, paired by seed or not.

Arms are paired if they share enough of their planned seeds, whatever their scores are. Otherwise, Welch's t
interval and a permutation of labels take the place of Student's t interval and the sign-flip test.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from perceptinit.analysis.comparison import ArmScore, Difference, joint_key
from perceptinit.analysis.contrasts import Contrast
from perceptinit.analysis.decisions import Rule
from perceptinit.analysis.intervals import Components, estimate_two_way, max_t_p, max_t_p_unpaired
from perceptinit.analysis.statistics import (
    Estimate,
    differences,
    estimate,
    estimate_unpaired,
    p_value,
    subtract_means,
)
from perceptinit.results.runs import RunSet
from perceptinit.results.table_reading import share_enough

Arms = Mapping[str, ArmScore]  # by name


def score_arm(runs: RunSet, arm: str, values: Mapping[tuple[str, int], float]) -> ArmScore:
    """Return one arm's values in a score, selected from the `values` of all arms and seeds."""
    by_seed = {seed: value for (name, seed), value in values.items() if name == arm}
    missing = tuple(run.seed for run in runs.arm_runs(arm) if run.seed not in by_seed)
    value = estimate(list(by_seed.values())) if by_seed else None
    return ArmScore(arm=arm, by_seed=by_seed, value=value, missing=missing, planned=runs.planned_seeds(arm))


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
        return estimate(list(by_seed.values()), confidence, floor) if by_seed else None
    if not arm.by_seed or not reference.by_seed:
        return None
    if arm.is_mean and reference.is_mean and arm.value and reference.value:
        return subtract_means(arm.value, reference.value, confidence, floor)
    return estimate_unpaired(list(arm.by_seed.values()), list(reference.by_seed.values()), confidence, floor)


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
    found = (_find_difference(c, by_name, rule, floor, parts.get(c)) for c in contrasts)
    return tuple(_with_exact_tests(list(filter(None, found)), by_name))


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
    return Difference(
        contrast=contrast,
        by_seed=by_seed,
        value=value,
        two_way=two_way,
        confidence=confidence,
        relative=value.mean / level if level else None,
        p_value=p_value(estimate_difference(arm, reference, rule)),  # without the floor
        is_of_means=arm.is_mean and reference.is_mean,
        num_runs=None
        if by_seed or not arm.value or not reference.value
        else (arm.value.num, reference.value.num),
    )


def _with_exact_tests(found: Sequence[Difference], arms: Arms) -> Iterator[Difference]:
    """Yield the differences with p-values of sign flips or permuted labels.

    The tests are joint for contrasts of a family with the same reference and, if paired, the same seeds.
    """
    groups: dict[Hashable, list[Difference]] = {}
    for difference in found:
        groups.setdefault(joint_key(difference), []).append(difference)
    p_values: dict[Contrast, float] = {}
    for group in groups.values():
        tested = [d for d in group if d.value.stderr is not None and not d.is_of_means]
        if tested:
            p_values.update(zip((d.contrast for d in tested), _test(tested, arms), strict=True))
    yield from (replace(difference, p_signs=p_values.get(difference.contrast)) for difference in found)


def _test(group: Sequence[Difference], arms: Arms) -> list[float]:
    if group[0].num_runs is None:
        return max_t_p([list(d.by_seed.values()) for d in group])
    reference = arms[group[0].contrast.reference]
    values = [list(arms[d.contrast.arm].by_seed.values()) for d in group]
    return max_t_p_unpaired(values, list(reference.by_seed.values()))
