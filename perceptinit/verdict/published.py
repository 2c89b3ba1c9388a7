"""Compare arms with the published scores in a recipe's `[[expect]]`.

The outcome is determined by two one-sided tests at 5 % (Schuirmann 1987). An arm is equivalent to its
published score if its 90 % interval over seeds is within the tolerance, better or worse if the interval is
outside, and undecided if it is partly outside. If all known reruns are below the published score, the
tolerance extends only downward. Runs in another setting are not judged; their differences from the published
setting are listed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from perceptinit.analysis.comparison import Comparison, ScoreComparison
from perceptinit.analysis.questions import PUBLISHED, Case, Outcome, choose
from perceptinit.analysis.statistics import Estimate, estimate
from perceptinit.errors import Problem, list_some
from perceptinit.recipe.recipe import Recipe
from perceptinit.recipe.settings import ExpectConfig
from perceptinit.registry import unknown
from perceptinit.results.measures import may_ask_people
from perceptinit.results.planned import read_planned
from perceptinit.test_sets.choice import HasChoice
from perceptinit.verdict.claim import Claim
from perceptinit.verdict.conditions import check

PER_CENT = 100
CONFIDENCE = 0.9  # level of an interval that corresponds to two one-sided tests at 5 %
# tolerated relative difference in pairs seen, because some published links are dead
SAME_SAMPLES = 0.01


@dataclass(frozen=True, slots=True)
class PublishedScore:
    """The outcome of an arm against a published score. `case` is why an arm is not judged, if it is not."""

    expected: ExpectConfig
    outcome: Outcome
    sentence: str
    case: Case | None = None


def judge_published(comparison: Comparison) -> list[PublishedScore]:
    """Return the outcome for each `[[expect]]`, in recipe order."""
    return [_judge(comparison, expected) for expected in comparison.runs.expected]


def describe_published(recipe: Recipe) -> Iterator[str]:
    """Yield lines on the published scores and their sources, before any run."""
    left = read_planned(recipe.text, recipe.source, recipe.overrides, recipe.sources).changes
    for e in recipe.expected:
        sides = "up to {:g} below" if e.reruns_are_below else "± {:g}"
        yield f"published score: {e.arm} {e.value:g} {sides.format(e.tolerance)} in {e.score} ({_cite(e)})"
        differs = left.get(e.arm, ())
        if recipe.is_smoke or differs:
            yield f"  not comparable with these runs: {list_some(differs) or 'smoke run'}"


def find_odd_published(recipe: Recipe) -> Iterator[Problem]:
    """Yield probable mistakes in published scores: shares instead of percent, unmeasured data sets."""
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
    """Return a message if no evaluator of a recipe uses a data set, else an empty string.

    Evaluators of other packages and files that do not list their data sets may use any.
    """
    names: list[str] = []
    for slot in recipe.evals:
        evaluator = slot.spec.build()
        if isinstance(evaluator, HasChoice):
            names += map(evaluator.choice.name, evaluator.choice.all)
        elif not slot.spec.entry.is_bundled:
            return ""
    return "" if data_set in names else unknown("no evaluator of the recipe uses", data_set, names)


def _judge(comparison: Comparison, expected: ExpectConfig) -> PublishedScore:
    score = next((s for s in comparison.all_scores if s.name == expected.score), None)
    is_arm = expected.arm in comparison.runs.arms
    value = score.arm(expected.arm).value if score and is_arm else None
    differs = list(_find_differences(comparison, expected, score))
    fields = {"differs": list_some(differs)}
    outcome = Outcome.UNDECIDED
    case: Case | None = Case.OTHER_SETTING if differs else Case.NOT_MEASURED
    if score and value and not differs:
        found = estimate([*score.arm(expected.arm).by_seed.values()], CONFIDENCE, score.floor)
        outcome = decide_published(found, expected, score.higher_is_better)
        case = Case.ONE_SEED if found.low is None else None
        fields = _describe(found, expected, score)
        fields["reason"] = _find_reason(comparison, expected, score)
        if outcome is Outcome.EQUIVALENT and fields["reason"]:
            outcome, case = Outcome.UNDECIDED, Case.NOT_SHOWN
    who = "baseline" if expected.arm == comparison.runs.baseline else expected.arm
    measured = f" {score.number(value.mean)}" if score and value else ""
    published = expected.value if score is None or score.is_share else expected.value / PER_CENT
    against = f"{who}{measured} against {published:g} published ({_cite(expected)})"
    text = choose(PUBLISHED, outcome, case).format(**fields)
    return PublishedScore(expected, outcome, f"{expected.score}: {against}: {text}.", case)


def _find_reason(comparison: Comparison, expected: ExpectConfig, score: ScoreComparison) -> str:
    """Return the most important condition that is not shown; empty if all are."""
    claim = Claim(
        comparison=comparison,
        score=score,
        arm=expected.arm,
        reference=expected.arm,
        outcome=Outcome.EQUIVALENT,
    )
    return next((each.obstacle for each in check("published", claim) if each.obstacle), "")


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


def decide_published(value: Estimate, expected: ExpectConfig, higher_is_better: bool = True) -> Outcome:
    """Return the outcome of an arm, given its mean with a 90 % interval."""
    if value.low is None or value.high is None:
        return Outcome.UNDECIDED
    published = expected.value / PER_CENT
    tolerance = expected.tolerance / PER_CENT
    least = published - tolerance
    most = published + (0 if expected.reruns_are_below else tolerance)
    if least <= value.low and value.high <= most:
        return Outcome.EQUIVALENT
    if value.high >= least and value.low <= most:
        return Outcome.UNDECIDED
    return Outcome.BETTER if (value.low > most) == higher_is_better else Outcome.WORSE


def _describe(value: Estimate, expected: ExpectConfig, score: ScoreComparison) -> dict[str, str]:
    """Return the values of the fields of `questions.PUBLISHED`."""
    allowed = score.magnitude(expected.tolerance / PER_CENT)
    between = " to ".join(score.number(end) for end in (value.low, value.high) if end is not None)
    return {
        "gap": score.magnitude(value.mean - expected.value / PER_CENT),
        "allowed": allowed,
        "within": f"at most {allowed} below" if expected.reruns_are_below else f"within {allowed}",
        "seeds": f"90 % interval {between}, {value.num} seeds",
    }


def _cite(expected: ExpectConfig) -> str:
    reproduced = "; not reproduced by others, whose re-runs are below" if expected.reruns_are_below else ""
    return f"{expected.source}{reproduced}"
