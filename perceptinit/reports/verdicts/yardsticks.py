"""Compare arms with the published scores that a recipe expects.

An arm is valid when its mean is within the tolerance and its interval over seeds is at most as wide as the
tolerance on each side. It is below or above when the whole interval is outside. One seed has no interval, so
its value decides. Runs in another setting are not judged, and their differences are listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from perceptinit.errors import Problem
from perceptinit.recipe.recipe import Recipe
from perceptinit.recipe.settings import ALL_SETS, ExpectConfig
from perceptinit.registry import unknown
from perceptinit.reports.comparison import ALL, Comparison, ScoreComparison
from perceptinit.reports.numbers import magnitude, number
from perceptinit.reports.statistics import Estimate
from perceptinit.results.measures import may_ask_people
from perceptinit.results.planned import read_planned
from perceptinit.test_sets.choice import HasChoice

Outcome = Literal["valid", "below", "above", "unclear", "another setting", "not measured"]

PER_CENT = 100
# share by which the pairs seen may differ: a few links of a published list are dead
SAME_SAMPLES = 0.01
MAX_NAMED = 4


@dataclass(frozen=True, slots=True)
class Yardstick:
    """The result for one expected score."""

    expected: ExpectConfig
    outcome: Outcome
    sentence: str


def yardsticks(comparison: Comparison) -> list[Yardstick]:
    """Return one yardstick per `[[expect]]`, in the recipe's order."""
    return [_yardstick(comparison, expected) for expected in comparison.runs.expected]


def expectations(recipe: Recipe) -> Iterator[str]:
    """Yield the expected scores and their sources, before anything runs."""
    left = read_planned(recipe.text, recipe.source, recipe.overrides, recipe.sources).changes
    for e in recipe.expected:
        yield f"expected: {e.arm} {e.value:g} ± {e.tolerance:g} in {e.score} ({e.source})"
        differs = left.get(e.arm, ())
        if recipe.is_smoke or differs:
            yield f"  not comparable with these runs: {_list_differences(differs) or 'smoke run'}"


def find_odd_expectations(recipe: Recipe) -> Iterator[Problem]:
    """Yield probable mistakes in expected scores: shares instead of per cent, unmeasured sets."""
    for expected in recipe.expected:
        value = expected.value
        if 0 < value < 1 and expected.tolerance < 1 / PER_CENT:
            message = f"{value:g} is read as per cent; for a share, write {PER_CENT * value:g}"
            yield Problem("expect.value", message)
        is_test_set = expected.num_sets is None and not may_ask_people(expected.measure)
        if is_test_set and (message := find_unmeasured(recipe, expected.data_set)):
            yield Problem("expect.data_set", message)


def find_unmeasured(recipe: Recipe, data_set: str) -> str:
    """Return an error message if no evaluator of a recipe measures on a data set, else an empty string."""
    evaluators = (slot.spec.build() for slot in recipe.evals)
    choices = [e.choice for e in evaluators if isinstance(e, HasChoice)]
    names = [choice.name(each) for choice in choices for each in choice.all]
    return "" if data_set in names else unknown("no evaluator of the recipe measures on", data_set, names)


def _yardstick(comparison: Comparison, expected: ExpectConfig) -> Yardstick:
    runs, score = comparison.runs, _find_score(comparison, expected)
    who = "baseline" if expected.arm == runs.baseline else expected.arm
    value = score.arm(expected.arm).value if score and expected.arm in runs.arms else None
    differs = list(_find_differences(comparison, expected, score))
    outcome: Outcome = "another setting"
    found = f"another setting ({_list_differences(differs)}), not judged"
    if not differs:
        outcome, found = "not measured", "not measured yet"
        if score and value:
            outcome, found = _judge(value, score, expected)
    measured = f" {number(value.mean, score.is_share)}" if score and value else ""
    published = expected.value if score is None or score.is_share else expected.value / PER_CENT
    against = f"{who}{measured} against {published:g} published ({expected.source})"
    return Yardstick(expected, outcome, f"{expected.score}: {against}: {found}.")


def _find_score(comparison: Comparison, expected: ExpectConfig) -> ScoreComparison | None:
    if expected.data_set != ALL_SETS:
        return next((s for s in comparison.scores if s.name == expected.score), None)
    wanted = (expected.measure, ALL, expected.num_sets)
    means = (s for s in comparison.averages if (s.measure, s.family, s.num_sets) == wanted)
    return next(means, None)


def _find_differences(
    comparison: Comparison, expected: ExpectConfig, score: ScoreComparison | None
) -> Iterator[str]:
    """Yield the differences between the arm's runs and the published setting."""
    runs = comparison.runs
    if any(run.record["recipe"]["smoke"] for run in runs.arm_runs(expected.arm) if run.record):
        yield "smoke run"
    yield from runs.changes.get(expected.arm, ())
    if score is None:
        return
    seen = score.samples_seen.get(expected.arm, 0)
    ends = (run.samples_seen for run in runs.arm_runs(expected.arm))
    wanted = expected.samples_seen or max(ends, default=seen)
    if abs(seen - wanted) > SAME_SAMPLES * wanted:
        yield f"{seen:,} pairs seen instead of {wanted:,}"
    if score.incomplete:
        yield score.incomplete


def _judge(value: Estimate, score: ScoreComparison, expected: ExpectConfig) -> tuple[Outcome, str]:
    published, tolerance = expected.value / PER_CENT, expected.tolerance / PER_CENT
    low = value.mean if value.low is None else value.low
    high = value.mean if value.high is None else value.high
    allowed = magnitude(tolerance, score.is_share)
    between = f"{number(low, score.is_share)} to {number(high, score.is_share)}"
    seeds = f"95 % interval {between}, {value.num} seeds" if value.num > 1 else "1 seed"
    if abs(value.mean - published) <= tolerance and (high - low) / 2 <= tolerance:
        return "valid", f"valid, within {allowed} ({seeds})"
    gap = magnitude(value.mean - published, score.is_share)
    text = f"by {gap}, more than the allowed {allowed} ({seeds});"
    if high < published - tolerance:
        return "below", f"below {text} these runs are weak evidence about PI"
    if low > published + tolerance:
        return "above", f"above {text} the setting may differ from the published one"
    return "unclear", f"unclear, the interval is partly outside the allowed {allowed} ({seeds})"


def _list_differences(differs: list[str] | tuple[str, ...]) -> str:
    more = [f"and {len(differs) - MAX_NAMED} more"] if len(differs) > MAX_NAMED else []
    return ", ".join([*differs[:MAX_NAMED], *more])
