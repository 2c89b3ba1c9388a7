"""Arms against a number: whether their mean is better than `[verdict] target`."""

from collections.abc import Iterator
from dataclasses import replace

from perceptinit.analysis.comparison import ScoreComparison
from perceptinit.analysis.contrasts import Contrast
from perceptinit.analysis.pairing import compare_arms
from perceptinit.analysis.power import MOST_MORE_SEEDS, seeds_to_decide
from perceptinit.analysis.questions import BETTER_MODEL, Case, Outcome, choose
from perceptinit.results.source import POINTS
from perceptinit.verdict.verdict import count_runs, decide


def describe_target(score: ScoreComparison, target: float) -> Iterator[str]:
    """Yield a sentence for each arm on its mean and a target, with the number of runs that would show a lead.

    The test is one-sided at 2.5 %, and over all arms jointly (Bonferroni).

    Args:
        score: Primary score.
        target: Value in percent for shares, and otherwise in the unit of the score.
    """
    if score.is_share and not 1 < target <= POINTS:
        yield f"Target {target:g} % is not compared: expected percent, more than 1 and at most 100."
        return
    rule = replace(score.rule, delta=None, num_pooled=0, spread=None)
    goal = target / POINTS if score.is_share else target
    measured = [arm for arm in score.arms if arm.value]
    for arm in measured:
        value = arm.value and replace(arm.value, mean=goal, stderr=0.0)
        number = replace(arm, arm="", by_seed=dict.fromkeys(arm.by_seed, goal), value=value)
        contrast = Contrast(arm.arm, number.arm, num_family=len(measured))
        (difference,) = compare_arms(
            (arm, number), [contrast], replace(rule, is_unpaired=arm.is_mean), score.floor
        )
        outcome = decide(difference, rule, score.sign)
        case = None if difference.has_interval else Case.ONE_RUN
        gain = score.improvement(difference.value)
        end = gain.high if outcome is Outcome.WORSE else gain.low
        kind = "simultaneous one-sided" if len(measured) > 1 else "one-sided"
        shown = [
            f"mean {score.number(goal + difference.value.mean)}",
            "" if end is None else f"{kind} 97.5 % limit {score.number(goal + score.sign * end)}",
            count_runs(difference).replace("seed", "run"),
        ]
        is_open = outcome is Outcome.UNDECIDED and case is None and not arm.is_mean
        values = tuple(score.sign * value for value in difference.by_seed.values())
        said = choose(BETTER_MODEL.readings, outcome, case).format(
            arm=arm.arm, reference="the target", single="one run"
        )
        more = _count_more(values, score, len(measured)) if is_open else ""
        yield f"Target {target:g}{score.unit}: {said} ({', '.join(filter(None, shown))}).{more}"


def _count_more(values: tuple[float, ...], score: ScoreComparison, num_family: int) -> str:
    """Return a sentence on how many more runs would show that the mean of `values` is above 0."""
    if sum(values) <= 0:
        return " The mean is not better, so more runs are not expected to show it."
    rule = replace(score.rule, delta=None)
    more = seeds_to_decide((values,), rule, num_family=num_family, is_one_sided=True)
    many = f"{more} more run{'s' if more and more > 1 else ''} would"
    return f" {many if more else f'Even {MOST_MORE_SEEDS} more runs would not'} show it with 80 % chance."
