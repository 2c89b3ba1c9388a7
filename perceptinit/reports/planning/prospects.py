"""What a recipe's `[verdict]` can come to with its seeds, and what makes it misleading, before anything runs.

The chances are simulated; the noise of seeds is stated in the recipe, or is that of pilot runs.
"""

from __future__ import annotations

# P simulated experiments
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perceptinit.errors import Problem
from perceptinit.recipe.recipe import Recipe
from perceptinit.registry import nearest
from perceptinit.reports.comparison import Comparison, Difference
from perceptinit.reports.numbers import magnitude
from perceptinit.reports.statistics import half_width, noncentrality
from perceptinit.reports.verdicts.decisions import NUM_PATHS, POINTS, Rule, rule_of, simulate_looks
from perceptinit.reports.verdicts.yardsticks import find_odd_expectations, find_unmeasured
from perceptinit.results.measures import is_diagnostic, may_ask_people, measure_names, split_name
from perceptinit.seeding import generator

if TYPE_CHECKING:
    import numpy as np

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
        found = noncentrality(num - 1, 1 - rule.confidence) * plan.noise / math.sqrt(num)
        chance = chances(rule, num, 0.0, plan.noise / POINTS).equivalent
        yield (
            f"with a noise of {plan.noise:g} points, {num} seeds find a true difference of {found:.2g} points with "
            f"80 % chance, and call equal arms equivalent with {100 * chance:.0f} %"
        )


def doubts(recipe: Recipe) -> Iterator[Problem]:
    """Yield what in the plan makes a verdict impossible or misleading."""
    plan, num = recipe.verdict, num_looked_at(recipe)
    yield from find_odd_expectations(recipe)
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
    message = ""
    if is_diagnostic(measure):
        message = f"{measure} describes a model and does not judge it"
    elif measure not in measure_names() and guess:
        message = f"no measure called '{measure}'; did you mean '{guess}'?"
    elif data_set and not may_ask_people(measure):
        message = find_unmeasured(recipe, data_set)
    if message:
        yield Problem("verdict.primary", message)


def _noise_doubts(recipe: Recipe, noise: float) -> Iterator[Problem]:
    """Yield that delta is below the A/A noise, with the seeds that would do."""
    num, rule = num_looked_at(recipe), rule_of(recipe.verdict, len(recipe.seeds))
    delta = recipe.verdict.delta or 0.0
    half = _half_width(rule, num, noise)
    if half > delta:
        numbers = range(num + 1, MOST_SEEDS + 1)
        enough = next((n for n in numbers if _half_width(rule, n, noise) <= delta), None)
        more = f"{enough or 'no number of'} seeds{'' if enough else ' in reach'} would do"
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


@dataclass(frozen=True, slots=True)
class Chances:
    """How probably an arm is called better, and equivalent, by the last look."""

    better: float
    equivalent: float


def chances(rule: Rule, num: int, effect: float, deviation: float | np.ndarray) -> Chances:
    """Return what `num` seeds come to where the true difference is `effect`, at the looks of the rule.

    deviation: of the difference over seeds, in the unit of the rule's delta; shape (P,) where it is itself uncertain,
    with P = NUM_PATHS. Simulated with normal seeds, always the same ones: right to 0.3 points.
    """
    import numpy as np
    from scipy import stats

    first = max(rule.first, 2) if rule.is_repeated else num
    better, equivalent = np.zeros(NUM_PATHS, bool), np.zeros(NUM_PATHS, bool)
    for n, means, errors in simulate_looks("power", first, num):
        mean = effect + deviation * means
        half = stats.t.ppf(0.5 + rule.confidence / 2, n - 1) * deviation * errors
        is_open = ~(better | equivalent)
        equivalent |= is_open & (np.abs(mean) + half <= (rule.delta or 0.0))
        better |= is_open & ~equivalent & (mean > half)
    return Chances(float(better.mean()), float(equivalent.mean()))


def deviation_of(pilot: Difference) -> np.ndarray:
    """Return standard deviations over seeds that pilot seeds leave possible, shape (P,).

    The posterior for normal seeds and a flat prior on the logarithm; needs two seeds.
    """
    import numpy as np

    degrees = pilot.value.num - 1
    known = np.std(list(pilot.by_seed.values()), ddof=1)
    return known * np.sqrt(degrees / generator(0, "pilot").chisquare(degrees, NUM_PATHS))


def pilot_lines(pilot: Comparison, rule: Rule, num: int) -> Iterator[str]:
    """Yield for each contrast what `num` seeds that vary as those of the pilot runs would find."""
    score = pilot.primary
    found = [d for d in score.differences if d.value.num > 1] if score else []
    if score is None or not found:
        yield "not known from the runs there: no two arms have two seeds in common"
        return
    for d in found:
        between = deviation_of(d)
        # without a delta: as large a difference as the pilot's seeds vary by
        unit = rule.delta or float(d.value.stderr or 0) * d.value.num**0.5
        name = "" if rule.delta else ", as much as its seeds vary"
        once, twice, none = (chances(rule, num, k * unit, between) for k in (1, 2, 0))
        equal = f"; equal arms equivalent with {100 * none.equivalent:.0f} %" if rule.delta else ""
        yield (
            f"{d.contrast.title} in {score.name}, where seeds vary as {d.value.num} pilot seeds do: {num} seeds call a "
            f"true difference of {magnitude(unit, score.is_share)}{name} better with {100 * once.better:.0f} % chance, and one of "
            f"{magnitude(2 * unit, score.is_share)} with {100 * twice.better:.0f} %{equal}."
        )
