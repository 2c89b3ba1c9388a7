"""Power of a recipe's seeds, and probable mistakes in `[verdict]`, before any run.

Probabilities are simulated. The noise over seeds is taken from the recipe or from pilot runs.
"""

# P simulated experiments
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import scipy

from perceptinit.analysis.comparison import Comparison, Difference
from perceptinit.analysis.decisions import NUM_PATHS, POINTS, Rule, rule_of, simulate_looks
from perceptinit.analysis.intervals import share_confirmed
from perceptinit.analysis.statistics import half_width, noncentrality
from perceptinit.errors import Problem
from perceptinit.recipe.recipe import Recipe
from perceptinit.registry import nearest
from perceptinit.results.measures import is_diagnostic, may_ask_people, measure_names, split_name
from perceptinit.seeding import generator
from perceptinit.verdict.yardsticks import find_odd_expectations, find_unmeasured

SMALL_DELTA = 0.05  # points; a smaller value is probably a share
MOST_SEEDS = 200
LEAST_POWER = 0.2  # to detect a difference of delta


def prospects(recipe: Recipe) -> Iterator[str]:
    """Yield lines on delta and, if the noise is known, on the power of the recipe's seeds."""
    plan = recipe.verdict
    if plan.delta is None:
        yield (
            "verdict: without [verdict] delta, arms cannot be called equivalent. Set it to the largest "
            "difference that does not matter, in points"
        )
        return
    looks = f", with interim analyses from {len(recipe.seeds)} seeds" if plan.max_seeds else ""
    seeds = f"{num_looked_at(recipe)} seeds{looks}"
    yield f"verdict: differences within {plan.delta:g} points do not matter; {seeds}"
    yield from (f"  {line}" for line in findings(recipe))


def findings(recipe: Recipe) -> Iterator[str]:
    """Yield the power of the recipe's seeds, if `[verdict]` has `delta` and `noise`."""
    plan = recipe.verdict
    num = num_looked_at(recipe)
    if plan.delta is not None and plan.noise is not None and num > 1:
        rule = rule_of(plan, len(recipe.seeds))
        found = noncentrality(num - 1, 1 - rule.confidence) * plan.noise / math.sqrt(num)
        noise = plan.noise / POINTS
        power = 100 * chances(replace(rule, delta=None), num, found / POINTS, noise).better
        equal = 100 * chances(rule, num, 0.0, noise).equivalent
        yield (
            f"with a noise of {plan.noise:g} points, {num} seeds detect a true difference of {found:.2g} "
            f"points with {power:.0f} % probability, and call equal arms equivalent with {equal:.0f} %"
        )


def find_weakness(recipe: Recipe, pilot: Comparison | None = None) -> str:
    """Return a sentence if the power to detect a true difference of delta is low; empty otherwise.

    The noise is taken from the first contrast of the pilot runs, or else from `[verdict] noise`. If neither
    exists, the result is empty.
    """
    plan = recipe.verdict
    num = num_looked_at(recipe)
    score = pilot.primary if pilot else None
    known = next((d for d in score.differences if d.value.num > 1), None) if score else None
    noise = deviation_of(known) if known else plan.noise and plan.noise / POINTS
    if plan.delta is None or noise is None or num < 2:
        return ""
    power = chances(rule_of(plan, len(recipe.seeds)), num, plan.delta / POINTS, noise).better
    found = f"a true difference of delta ({plan.delta:g} points) with only {100 * power:.0f} % probability"
    return f"{num} seeds detect {found}" if power < LEAST_POWER else ""


def doubts(recipe: Recipe) -> Iterator[Problem]:
    """Yield a problem for each setting that makes a verdict impossible or misleading."""
    plan = recipe.verdict
    num = num_looked_at(recipe)
    yield from find_odd_expectations(recipe)
    yield from _find_odd_primary(recipe)
    if num == 1 and len(recipe.arms) > 1:
        yield Problem("seeds", "one seed cannot decide anything. Use at least 2, preferably 5")
    if plan.delta is None:
        return
    if plan.delta < SMALL_DELTA:
        share = f"{plan.delta:g} points are a share of {plan.delta / POINTS:g}"
        yield Problem("verdict.delta", f"{share}. If {plan.delta:g} is a share, set {POINTS * plan.delta:g}")
    if plan.published_effect is not None and plan.delta > plan.published_effect / 2:
        effect = f"half of the smallest published effect ({plan.published_effect:g}, {plan.source})"
        message = f"{plan.delta:g} points exceed {effect}, so such an effect could be called equivalent"
        yield Problem("verdict.delta", message)
    if plan.noise is not None and num > 1:
        yield from _find_noise_above(plan.delta, plan.noise, rule_of(plan, len(recipe.seeds)), num)
        if weak := find_weakness(recipe):
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


def _find_noise_above(delta: float, noise: float, rule: Rule, num: int) -> Iterator[Problem]:
    """Yield a problem, with the number of seeds that suffice, if the noise is too large for delta."""

    def half(num: int) -> float:
        return half_width(rule.confidence, num) * noise / math.sqrt(num)

    if half(num) <= delta:
        return
    enough = next((n for n in range(num + 1, MOST_SEEDS + 1) if half(n) <= delta), None)
    more = f"{enough} seeds suffice" if enough else f"Even {MOST_SEEDS} seeds do not suffice"
    yield Problem(
        "verdict.delta",
        f"{delta:g} points are below the noise: with {num} seeds, the difference between equal arms has "
        f"an interval of ±{half(num):.2g} points, so they are rarely called equivalent. {more}",
    )


def num_looked_at(recipe: Recipe) -> int:
    """Return the number of seeds at the final analysis."""
    return max(len(recipe.seeds), recipe.verdict.max_seeds or 0)


class Chances(NamedTuple):
    """Probabilities that an arm is called better or equivalent by the final analysis."""

    better: float
    equivalent: float


def chances(
    rule: Rule, num: int, effect: float, deviation: float | np.ndarray, num_family: int = 1
) -> Chances:
    """Return how probable each outcome is with `num` seeds if the true difference is `effect`.

    The simulation uses fixed normal samples. It is accurate to 0.3 points, or to 1 point from 6 seeds on.

    Args:
        rule: Decision rule.
        num: Number of seeds at the final analysis.
        effect: True difference, in the unit of the rule's delta.
        deviation: Standard deviation over seeds in the same unit, or posterior samples, shape (NUM_PATHS,).
        num_family: Number of contrasts with simultaneous intervals.
    """
    first = max(rule.first, 2) if rule.is_repeated else num
    level = rule.level_for(num_family)
    better = np.zeros(NUM_PATHS, bool)
    equivalent = np.zeros(NUM_PATHS, bool)
    for n, means, errors in simulate_looks("power", first, num):
        mean = effect + deviation * means
        half = scipy.stats.t.ppf(0.5 + level / 2, n - 1) * deviation * errors
        is_open = ~(better | equivalent)
        found = rule.classify(mean - half, mean + half)
        equivalent |= is_open & found["equivalent"]
        better |= is_open & ~equivalent & found["above"]
    confirmed = 1.0 if rule.is_repeated else share_confirmed(num, effect, deviation, level)
    return Chances(confirmed * float(better.mean()), float(equivalent.mean()))


def deviation_of(pilot: Difference) -> np.ndarray:
    """Return posterior samples of the standard deviation over seeds, shape (P,).

    Requires at least two pilot seeds. Assumes normal values and a flat prior on the log standard deviation.
    """
    degrees = pilot.value.num - 1
    known = np.std(list(pilot.by_seed.values()), ddof=1)
    return known * np.sqrt(degrees / generator(0, "pilot").chisquare(degrees, NUM_PATHS))


def pilot_lines(pilot: Comparison, rule: Rule, num: int) -> Iterator[str]:
    """Yield the power of `num` seeds for each contrast, given the variance of pilot runs."""
    score = pilot.primary
    found = [d for d in score.differences if d.value.num > 1] if score else []
    if score is None or not found:
        yield "unknown from the existing runs: no two arms have two seeds in common"
        return
    for d in found:
        between = deviation_of(d)
        # without delta, the unit is one standard deviation of the pilot seeds
        unit = rule.delta or float(d.value.stderr or 0) * d.value.num**0.5
        name = "" if rule.delta else " (one standard deviation)"
        family = d.contrast.num_family
        at_unit = chances(rule, num, unit, between, family)
        at_twice = chances(rule, num, 2 * unit, between, family)
        equal = ""
        if rule.delta:
            at_zero = chances(rule, num, 0.0, between, family)
            equal = f"; equal arms equivalent with {100 * at_zero.equivalent:.0f} %"
        yield (
            f"{d.contrast.title} in {score.name}, with the variance of {d.value.num} pilot seeds: {num} "
            f"seeds call a true difference of {score.magnitude(unit)}{name} better with "
            f"{100 * at_unit.better:.0f} % chance, and one of {score.magnitude(2 * unit)} with "
            f"{100 * at_twice.better:.0f} %{equal}."
        )
