"""Compare arms with the published scores in a recipe's `[[expect]]`.

The outcome is determined by two one-sided tests at 5 % (Schuirmann 1987). An arm is "as published" if its
90 % interval over seeds is within the tolerance, "below" or "above" if the interval is outside, and
"undecided" if it is partly outside. If all known reruns are below the published score, the tolerance
extends only downward, and the outcome is "as re-runs" instead of "as published". Runs in another setting are
not judged; their differences from the published setting are listed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from perceptinit.analysis.comparison import Comparison, ScoreComparison
from perceptinit.analysis.questions import Outcome as Equality
from perceptinit.analysis.statistics import estimate
from perceptinit.errors import Problem
from perceptinit.recipe.recipe import Recipe
from perceptinit.recipe.settings import ExpectConfig
from perceptinit.registry import unknown
from perceptinit.results.measures import may_ask_people
from perceptinit.results.planned import read_planned
from perceptinit.test_sets.choice import HasChoice
from perceptinit.verdict.claim import Claim
from perceptinit.verdict.conditions import check

Outcome = Literal[
    "as published", "as re-runs", "below", "above", "undecided", "another setting", "not measured"
]

PER_CENT = 100
CONFIDENCE = 0.9  # level of an interval that corresponds to two one-sided tests at 5 %
# tolerated relative difference in pairs seen, because some published links are dead
SAME_SAMPLES = 0.01
MAX_NAMED = 4


@dataclass(frozen=True, slots=True)
class Yardstick:
    """The outcome for an expected score."""

    expected: ExpectConfig
    outcome: Outcome
    sentence: str


def yardsticks(comparison: Comparison) -> list[Yardstick]:
    """Return the outcome for each `[[expect]]`, in recipe order."""
    return [_yardstick(comparison, expected) for expected in comparison.runs.expected]


def expectations(recipe: Recipe) -> Iterator[str]:
    """Yield lines on the expected scores and their sources, before any run."""
    left = read_planned(recipe.text, recipe.source, recipe.overrides, recipe.sources).changes
    for e in recipe.expected:
        sides = "up to {:g} below" if e.reruns_are_below else "± {:g}"
        yield f"expected: {e.arm} {e.value:g} {sides.format(e.tolerance)} in {e.score} ({_cite(e)})"
        differs = left.get(e.arm, ())
        if recipe.is_smoke or differs:
            yield f"  not comparable with these runs: {_list_differences(differs) or 'smoke run'}"


def find_odd_expectations(recipe: Recipe) -> Iterator[Problem]:
    """Yield probable mistakes in expected scores: shares instead of percent, unmeasured data sets."""
    for expected in recipe.expected:
        value = expected.value
        if 0 < value < 1 and expected.tolerance < 1 / PER_CENT:
            message = f"{value:g} is interpreted as {value:g} %. If it is a share, set {PER_CENT * value:g}"
            yield Problem("expect.value", message)
        is_test_set = expected.num_sets is None and not may_ask_people(expected.measure)
        message = find_unmeasured(recipe, expected.data_set) if is_test_set else ""
        if message:
            yield Problem("expect.data_set", message)


def find_unmeasured(recipe: Recipe, data_set: str) -> str:
    """Return a message if no evaluator of a recipe uses a data set, else an empty string."""
    evaluators = (slot.spec.build() for slot in recipe.evals)
    choices = [e.choice for e in evaluators if isinstance(e, HasChoice)]
    names = list(chain(*(map(choice.name, choice.all) for choice in choices)))
    return "" if data_set in names else unknown("no evaluator of the recipe uses", data_set, names)


def _yardstick(comparison: Comparison, expected: ExpectConfig) -> Yardstick:
    runs = comparison.runs
    score = _find_score(comparison, expected)
    who = "baseline" if expected.arm == runs.baseline else expected.arm
    value = score.arm(expected.arm).value if score and expected.arm in runs.arms else None
    differs = list(_find_differences(comparison, expected, score))
    outcome: Outcome = "another setting"
    found = f"another setting ({_list_differences(differs)}), not judged"
    if not differs:
        outcome = "not measured"
        found = "not measured yet"
        if score and value:
            outcome, found = _judge(score, expected)
            claim = Claim(
                comparison=comparison,
                score=score,
                arm=expected.arm,
                reference=expected.arm,
                outcome=Equality.EQUIVALENT,
            )
            reasons = [each.obstacle for each in check("published", claim) if each.obstacle]
            if outcome in ("as published", "as re-runs") and reasons:
                outcome, found = "undecided", f"undecided, {reasons[0]}"
    measured = f" {score.number(value.mean)}" if score and value else ""
    published = expected.value if score is None or score.is_share else expected.value / PER_CENT
    against = f"{who}{measured} against {published:g} published ({_cite(expected)})"
    return Yardstick(expected, outcome, f"{expected.score}: {against}: {found}.")


def _find_score(comparison: Comparison, expected: ExpectConfig) -> ScoreComparison | None:
    return next((s for s in comparison.all_scores if s.name == expected.score), None)


def _find_differences(
    comparison: Comparison, expected: ExpectConfig, score: ScoreComparison | None
) -> Iterator[str]:
    """Yield differences between the runs of an arm and the published setting."""
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


def _judge(score: ScoreComparison, expected: ExpectConfig) -> tuple[Outcome, str]:
    value = estimate([*score.arm(expected.arm).by_seed.values()], CONFIDENCE, score.floor)
    if value.low is None or value.high is None:
        return "undecided", "undecided, one seed has no interval"
    published = expected.value / PER_CENT
    tolerance = expected.tolerance / PER_CENT
    least = published - tolerance
    most = published + (0 if expected.reruns_are_below else tolerance)
    between = f"{score.number(value.low)} to {score.number(value.high)}"
    seeds = f"90 % interval {between}, {value.num} seeds"
    allowed = score.magnitude(tolerance)
    gap = score.magnitude(value.mean - published)
    is_within = least <= value.low and value.high <= most
    too_low = f"below by {gap}, more than the allowed {allowed} ({seeds})"
    outcomes: dict[Outcome, tuple[bool, str]] = {
        "as re-runs": (
            is_within and expected.reruns_are_below,
            f"as re-runs, at most {allowed} below ({seeds})",
        ),
        "as published": (is_within, f"as published, within {allowed} ({seeds})"),
        "below": (value.high < least, f"{too_low}; these runs are weak evidence about PI"),
        "above": (
            value.low > most,
            f"above by {gap} ({seeds}); the setting may differ from the published one",
        ),
        "undecided": (
            True,
            f"undecided, the interval is partly outside the allowed {allowed} ({seeds})",
        ),
    }
    return next((outcome, text) for outcome, (holds, text) in outcomes.items() if holds)


def _cite(expected: ExpectConfig) -> str:
    reproduced = "; not reproduced by others, whose re-runs are below" if expected.reruns_are_below else ""
    return f"{expected.source}{reproduced}"


def _list_differences(differs: list[str] | tuple[str, ...]) -> str:
    more = [f"and {len(differs) - MAX_NAMED} more"] if len(differs) > MAX_NAMED else []
    return ", ".join([*differs[:MAX_NAMED], *more])
