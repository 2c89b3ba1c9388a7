"""Power of a recipe's seeds, and probable mistakes in `[verdict]`, before any run.

Probabilities are simulated. The noise over seeds is taken from the recipe or from pilot runs.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np

from perceptinit.analysis.comparison import Comparison, Difference, ScoreComparison
from perceptinit.analysis.contrasts import Contrast, find_contrasts
from perceptinit.analysis.decisions import Rule, rule_of
from perceptinit.analysis.intervals import MIN_SEEDS_SIGN_FLIP
from perceptinit.analysis.power import POWER, Noise, chances, find_effect, noise_of
from perceptinit.errors import Problem, count
from perceptinit.judgments.scoring import t_quantile
from perceptinit.recipe.recipe import Recipe
from perceptinit.recipe.settings import Spread, VerdictConfig
from perceptinit.registry import nearest
from perceptinit.results.measures import is_diagnostic, may_ask_people, measure_names, split_name
from perceptinit.results.record import arm_row
from perceptinit.results.run_tables import TablePlan
from perceptinit.results.runs import LoadedRun, RunSet
from perceptinit.results.source import POINTS
from perceptinit.verdict.evidence import LARGEST_DELTA, describe_small
from perceptinit.verdict.plan_text import points
from perceptinit.verdict.published import find_odd_published, find_unmeasured

MOST_SEEDS = 200
LEAST_POWER = 0.2  # to detect a difference of delta
ALIKE = 0.01  # difference of two powers that counts as none


def prospects(recipe: Recipe) -> Iterator[str]:
    """Yield lines on delta and, if the noise is known, on the power of the recipe's seeds."""
    plan = recipe.verdict
    if plan.delta is None:
        yield (
            "verdict: without [verdict] delta, arms cannot be called equivalent. Set it to the largest "
            "difference that does not matter, in points"
        )
        return
    looks = f", with interim analyses from {count(len(recipe.seeds), 'seed')}" if plan.max_seeds else ""
    seeds = f"{count(num_looked_at(recipe), 'seed')}{looks}"
    yield f"verdict: differences within {points(plan.delta)} do not matter; {seeds}"
    yield from (f"  {line}" for line in findings(recipe, _planned_contrasts(recipe)))


def _planned_contrasts(recipe: Recipe) -> list[Contrast]:
    return find_contrasts(planned_runs(recipe, Path(recipe.name)))


def planned_runs(recipe: Recipe, root: Path) -> RunSet:
    """Return the runs of a recipe before they start, with the arm rows that their records will contain."""
    rows = {arm.name: arm_row(recipe, arm) for arm in recipe.arms}
    runs = [
        LoadedRun(arm, seed, root / arm / f"seed{seed}", "not started", about=rows[arm])
        for arm, seed in product(rows, recipe.seeds)
    ]
    return RunSet(
        recipe.name,
        recipe.summary,
        recipe.baseline,
        tuple(rows),
        tuple(runs),
        rule=recipe.verdict,
        num_planned=len(recipe.seeds),
    )


def findings(recipe: Recipe | TablePlan, contrasts: Sequence[Contrast]) -> Iterator[str]:
    """Yield the power of the seeds by family, if `[verdict]` has `delta`, and `noise` or `spread`."""
    plan = recipe.verdict
    num = num_looked_at(recipe)
    is_stated = plan.spread is not None and not plan.max_seeds
    if plan.delta is None or (plan.noise is None and not is_stated) or num < 2:
        return
    rules = {"": _rule_of(recipe)}
    if is_stated:
        both = [replace(plan, spread=spread) for spread in get_args(Spread)]
        rules = {f", with {p.spread} spread": rule_of(p, num, num_arms=len(recipe.arms)) for p in both}
    first_of_family: dict[int, Contrast] = {}
    for contrast in contrasts:
        first_of_family.setdefault(contrast.num_family, contrast)
    for num_family, contrast in first_of_family.items():
        who = f", in each of {num_family} arms" if num_family > 1 else ""
        if len(first_of_family) > 1 and not who:
            who = f", in {contrast.title}"
        for how, rule in rules.items():
            yield from _describe_power(rule, num, plan.noise, num_family, f"{who}{how}")


def _describe_power(rule: Rule, num: int, noise: float | None, num_family: int, who: str) -> Iterator[str]:
    """Yield the true difference that `num` seeds detect, and better numbers of seeds if there are any.

    Args:
        rule: Decision rule.
        num: Number of seeds at the final analysis.
        noise: Standard deviation over seeds, in points; None for a difference in standard deviations.
        num_family: Number of contrasts with simultaneous intervals.
        who: Clause on the contrasts and their spread.
    """
    unit = 1.0 if noise is None else noise / POINTS
    known = Noise(unit)
    side = replace(rule, delta=None)

    def power(effect: float, seeds: int = num) -> float:
        return chances(side, seeds, effect, known, num_family).better

    found = find_effect(power, unit)
    if noise is None:
        yield (
            f"{num} seeds detect a true difference of {found:.2g} standard deviations over seeds with 80 % "
            f"probability{who}"
        )
        return
    equal = chances(rule, num, 0.0, known, num_family).equivalent
    yield (
        f"with a noise of {points(noise)}, {num} seeds detect a true difference of {found * POINTS:.2g} "
        f"points with 80 % probability{who}, and call equal arms equivalent with {100 * equal:.0f} %"
    )
    fewer = next((n for n in range(2, num) if power(found, n) >= POWER), None)
    if fewer and not rule.is_repeated:
        least = power(found, fewer) + ALIKE
        more = next(n for n in range(num + 1, MOST_SEEDS) if power(found, n) >= least)
        yield (
            f"{fewer} seeds suffice for this, because the sign-flip test applies from {MIN_SEEDS_SIGN_FLIP} "
            f"seeds on. {more} seeds detect it with {100 * power(found, more):.0f} %"
        )


def find_weakness(
    recipe: Recipe | TablePlan, contrasts: Sequence[Contrast], pilot: Comparison | None = None
) -> str:
    """Return a sentence if the power to detect a true difference of delta is low; empty otherwise.

    The power is that of the first contrast, which a plan may leave out of the family. The noise is taken from
    the first contrast of the pilot runs, or else from `[verdict] noise`. If neither exists, the result is
    empty.
    """
    plan = recipe.verdict
    num = num_looked_at(recipe)
    score = pilot.primary if pilot else None
    known = next((d for d in score.differences if len(d.by_seed) > 1), None) if score else None
    noise = _noise_in(score, known) if score and known else plan.noise and Noise(plan.noise / POINTS)
    if plan.delta is None or not noise or num < 2:
        return ""
    rule = _rule_of(recipe)
    rule = replace(rule, delta=score.rule.delta) if score else rule  # in the unit of the score
    num_family = contrasts[0].num_family if contrasts else 1
    power = chances(rule, num, rule.delta or 0.0, noise, num_family).better
    found = f"a true difference of delta ({points(plan.delta)}) with only {100 * power:.0f} % probability"
    return f"{num} seeds detect {found}" if power < LEAST_POWER else ""


def doubts(recipe: Recipe) -> Iterator[Problem]:
    """Yield a problem for each setting that makes a verdict impossible or misleading."""
    plan = recipe.verdict
    num = num_looked_at(recipe)
    yield from find_odd_published(recipe)
    yield from _find_odd_primary(recipe)
    if num == 1 and len(recipe.arms) > 1:
        yield Problem("seeds", "one seed cannot decide anything. Use at least 2, preferably 5")
    if plan.delta is None:
        return
    if small := describe_small(plan.delta):
        yield Problem("verdict.delta", small)
    published = [
        POINTS / 2 + abs(each.value - POINTS / 2) for each in recipe.expected if each.arm == recipe.baseline
    ]
    most = LARGEST_DELTA * min(published, default=POINTS)
    if plan.delta > most:
        large = f"{points(plan.delta)} are more than a quarter of the possible difference"
        yield Problem("verdict.delta", f"{large}, so no arm can be called equivalent. Set at most {most:g}")
    if plan.noise is not None and num > 1:
        contrasts = _planned_contrasts(recipe)
        num_family = max((contrast.num_family for contrast in contrasts), default=1)
        yield from _find_noise_above(_rule_of(recipe), plan, num_family, num)
        if weak := find_weakness(recipe, contrasts):
            yield Problem("seeds", f"{weak}. Add seeds")


def _find_odd_primary(recipe: Recipe) -> Iterator[Problem]:
    """Yield a problem if the primary score is descriptive, unknown, or not measured."""
    measure, data_set = split_name(recipe.verdict.primary)
    guess = nearest(measure, measure_names())
    message = ""
    if is_diagnostic(measure):
        message = f"{measure} is descriptive and does not rank models"
    elif measure not in measure_names() and guess:
        message = f"no measure called '{measure}'. Did you mean '{guess}'?"
    elif data_set and not may_ask_people(measure):
        message = find_unmeasured(recipe, data_set)
    if message:
        yield Problem("verdict.primary", message)


def _find_noise_above(rule: Rule, plan: VerdictConfig, num_family: int, num: int) -> Iterator[Problem]:
    """Yield a problem, with the number of seeds that suffice, if the noise is too large for delta."""
    noise = plan.noise or 0.0
    half = t_quantile(rule.level_for(num_family), num - 1) * noise / math.sqrt(num)
    if plan.delta is None or half <= plan.delta:
        return

    def is_enough(seeds: int) -> bool:
        return chances(rule, seeds, 0.0, Noise(noise / POINTS), num_family).equivalent >= POWER

    enough = bisect_left(range(MOST_SEEDS + 1), True, lo=num + 1, key=is_enough)
    few = f"Even {MOST_SEEDS} seeds do not suffice"
    yield Problem(
        "verdict.delta",
        f"{points(plan.delta)} {'is' if plan.delta == 1 else 'are'} below the noise: with {num} seeds, the "
        f"difference between equal arms has an interval of ±{half:.2g} points, so they are rarely called "
        f"equivalent. {few if enough > MOST_SEEDS else f'{enough} seeds call them so with 80 % probability'}",
    )


def _rule_of(recipe: Recipe | TablePlan) -> Rule:
    return rule_of(recipe.verdict, len(recipe.seeds), num_arms=len(recipe.arms))


def num_looked_at(recipe: Recipe | TablePlan) -> int:
    """Return the number of seeds at the final analysis."""
    return max(len(recipe.seeds), recipe.verdict.max_seeds or 0)


def pilot_lines(
    recipe: Recipe | TablePlan, pilot: Comparison, contrasts: Sequence[Contrast]
) -> Iterator[str]:
    """Yield the power of the seeds for each contrast, given the variance of pilot runs.

    The size of a contrast's family is the planned one.
    """
    score = pilot.primary
    found = [d for d in score.differences if len(d.by_seed) > 1] if score else []
    if score is None or not found:
        yield "unknown from the existing runs: no two arms have two seeds in common"
        return
    num = num_looked_at(recipe)
    rule = replace(_rule_of(recipe), delta=score.rule.delta)  # in the unit of the score
    families = {c.title: c.num_family for c in contrasts}
    for d in found:
        noise = _noise_in(score, d)
        family = families.get(d.contrast.title, d.contrast.num_family)
        # without delta, the unit is one standard deviation of the pilot seeds
        unit = rule.delta or float(d.value.stderr or 0) * d.value.num**0.5
        name = "" if rule.delta else " (one standard deviation)"
        at_unit, at_twice = (_describe_chance(rule, num, times * unit, noise, family) for times in (1, 2))
        equal = ""
        if rule.delta:
            at_zero = chances(rule, num, 0.0, noise, family)
            equal = f"; equal arms equivalent with {100 * at_zero.equivalent:.0f} %"
        yield (
            f"{d.contrast.title} in {score.name}, with the variance of {d.value.num} pilot seeds [and its "
            f"80 % range]: {num} seeds call a true difference of {score.magnitude(unit)}{name} better with "
            f"{at_unit} chance, and one of {score.magnitude(2 * unit)} with {at_twice}{equal}."
        )


def _describe_chance(rule: Rule, num: int, effect: float, noise: Noise, num_family: int) -> str:
    """Return the probability of "better" in percent, and its range for 80 % of the deviations."""
    high, low = np.quantile(noise.seeds, (0.9, 0.1))
    found = (
        100 * chances(rule, num, effect, Noise(seeds, noise.parts), num_family).better
        for seeds in (noise.seeds, high, low)
    )
    return "{:.0f} % [{:.0f}, {:.0f}]".format(*found)


def _noise_in(score: ScoreComparison, pilot: Difference) -> Noise:
    """Return the noise of a measured difference, over images too if their variance is known."""
    return noise_of(list(pilot.by_seed.values()), score.components.get(pilot.contrast))
