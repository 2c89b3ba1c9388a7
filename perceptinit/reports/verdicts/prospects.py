"""What a recipe's `[verdict]` can come to with its seeds, told before anything runs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import count

from perceptinit.errors import Problem
from perceptinit.recipe.recipe import Recipe
from perceptinit.registry import nearest, unknown
from perceptinit.reports.planning.power import chances
from perceptinit.reports.statistics import half_width, noncentrality
from perceptinit.reports.verdicts.decisions import CHANCE, POINTS, Rule, rule_of
from perceptinit.reports.verdicts.yardsticks import measured_sets, odd_expectations
from perceptinit.results.measures import is_diagnostic, may_ask_people, measure_names, split_name

SMALL_DELTA = 0.05  # points; below, a share was probably meant
MOST_SEEDS = 200


def prospects(recipe: Recipe) -> Iterator[str]:
    """Yield what can be decided: the delta, and with a known noise what these seeds would find."""
    plan, num = recipe.verdict, num_looked_at(recipe)
    if plan.delta is None:
        yield (
            "verdict: no [verdict] delta, so that arms can be better, worse or undecided, but not equivalent; "
            "state the points within which a difference does not matter"
        )
        return
    looks = f", looked at from {len(recipe.seeds)} seeds on" if plan.max_seeds else ""
    yield f"verdict: differences within {plan.delta:g} points do not matter; {num} seeds{looks}"
    yield from (f"  {line}" for line in findings(recipe))


def findings(recipe: Recipe) -> Iterator[str]:
    """Yield what the recipe's seeds would find with the delta and the noise that it states; else nothing."""
    plan, num = recipe.verdict, num_looked_at(recipe)
    if plan.delta is not None and plan.noise is not None and num > 1:
        rule = rule_of(plan, len(recipe.seeds))
        found = noncentrality(num - 1, CHANCE, 1 - rule.confidence) * plan.noise / math.sqrt(num)
        chance = chances(rule, num, 0.0, plan.noise / POINTS).equivalent
        yield (
            f"with a noise of {plan.noise:g} points, {num} seeds find a true difference of {found:.2g} points with "
            f"80 % chance, and call equal arms equivalent with {100 * chance:.0f} %"
        )


def doubts(recipe: Recipe) -> Iterator[Problem]:
    """Yield what in the plan makes a verdict impossible or misleading."""
    plan, num = recipe.verdict, num_looked_at(recipe)
    yield from odd_expectations(recipe)
    yield from _odd_primary(recipe)
    if num == 1 and len(recipe.arms) > 1:
        yield Problem("seeds", "one seed decides nothing: 2 are the least, and 5 are better")
    if plan.delta is None:
        return
    if plan.delta < SMALL_DELTA:
        message = f"{plan.delta:g} points are {plan.delta / POINTS:g} of a score between 0 and 1; if a share was meant, write {POINTS * plan.delta:g}"
        yield Problem("verdict.delta", message)
    if plan.published_effect is not None and plan.delta > plan.published_effect / 2:
        yield Problem(
            "verdict.delta",
            f"{plan.delta:g} points are more than half of the smallest published effect "
            f"({plan.published_effect:g}, {plan.source}): an effect of that kind could be called equivalent to none",
        )
    if plan.noise is not None and num > 1:
        yield from _noise_doubts(recipe, plan.noise)


def _odd_primary(recipe: Recipe) -> Iterator[Problem]:
    """Yield that the primary score judges nothing, or will hardly be measured."""
    measure, data_set = split_name(recipe.verdict.primary)
    guess = nearest(measure, measure_names())
    if is_diagnostic(measure):
        yield Problem("verdict.primary", f"{measure} describes a model and does not judge it")
    elif measure not in measure_names() and guess:
        yield Problem("verdict.primary", f"no measure called '{measure}'; did you mean '{guess}'?")
    elif (
        data_set
        and not may_ask_people(measure)
        and data_set not in (sets := [*measured_sets(recipe)])
    ):
        message = unknown("no evaluator of the recipe measures on", data_set, sets)
        yield Problem("verdict.primary", message)


def _noise_doubts(recipe: Recipe, noise: float) -> Iterator[Problem]:
    """Yield that delta is below the A/A noise, with the seeds that would do."""
    num, rule = num_looked_at(recipe), rule_of(recipe.verdict, len(recipe.seeds))
    delta = recipe.verdict.delta or 0.0
    half = _half_width(rule, num, noise)
    if half > delta:
        enough = next(
            n for n in count(num + 1) if _half_width(rule, n, noise) <= delta or n > MOST_SEEDS
        )
        more = (
            f"{enough} seeds would do"
            if enough <= MOST_SEEDS
            else "no number of seeds in reach would do"
        )
        yield Problem(
            "verdict.delta",
            f"{delta:g} points are below the A/A noise: with {num} seeds the interval of two equal arms reaches "
            f"{half:.2g} points to each side, so that they are hardly ever called equivalent; {more}",
        )


def _half_width(rule: Rule, num: int, deviation: float) -> float:
    return half_width(rule.confidence, num) * deviation / math.sqrt(num)


def num_looked_at(recipe: Recipe) -> int:
    """Return the number of seeds at the last look."""
    return max(len(recipe.seeds), recipe.verdict.max_seeds or 0)
