"""Arms against a number: whether their mean is better than `[verdict] target`."""

from collections.abc import Iterator
from dataclasses import replace

from perceptinit.analysis.comparison import ScoreComparison
from perceptinit.analysis.contrasts import Contrast
from perceptinit.analysis.decisions import Rule
from perceptinit.analysis.pairing import compare_arms
from perceptinit.analysis.power import MOST_MORE_SEEDS, seeds_to_decide
from perceptinit.analysis.questions import Outcome
from perceptinit.results.source import POINTS
from perceptinit.verdict.verdict import decide

SAID = {
    Outcome.BETTER: "{arm} is better than {target}",
    Outcome.WORSE: "{arm} is worse than {target}",
    Outcome.UNDECIDED: "Whether {arm} is better than {target} is undecided",
}


def describe_target(score: ScoreComparison, target: float) -> Iterator[str]:
    """Yield a sentence for each arm on its mean and a target, with the number of runs that would decide it.

    The test is one-sided at 2.5 %, and over all arms jointly (Bonferroni).

    Args:
        score: Primary score.
        target: Value in percent for shares, and otherwise in the unit of the score.
    """
    rule = replace(score.rule, delta=None, num_pooled=0, spread=None)
    goal = target / POINTS if score.is_share else target
    measured = [arm for arm in score.arms if arm.value]
    for arm in measured:
        number = replace(arm, arm="", by_seed=dict.fromkeys(arm.by_seed, goal))
        contrast = Contrast(arm.arm, number.arm, num_family=len(measured))
        (difference,) = compare_arms((arm, number), [contrast], rule, score.floor)
        gain = score.improvement(difference.value)
        outcome = decide(difference, rule, score.sign)
        said = SAID[outcome].format(arm=arm.arm, target=f"{target:g}{' %' if score.is_share else ''}")
        runs = f"{gain.num} run{'s' if gain.num > 1 else ''}"
        mean = f"mean {score.number(goal + difference.value.mean)}"
        if gain.low is None or gain.high is None:
            yield f"{said} ({mean}, {runs}): one run has no limit."
            continue
        limit = goal + score.sign * (gain.high if outcome is Outcome.WORSE else gain.low)
        of_family = "simultaneous one-sided" if len(measured) > 1 else "one-sided"
        evidence = f"{mean}, {of_family} 97.5 % limit {score.number(limit)}, {runs}"
        values = tuple(score.sign * value for value in difference.by_seed.values())
        more = _count_more(values, rule, len(measured)) if outcome is Outcome.UNDECIDED else ""
        yield f"{said} ({evidence}).{more}"


def _count_more(values: tuple[float, ...], rule: Rule, num_family: int) -> str:
    """Return a sentence on how many more runs would show that the mean of `values` is above 0."""
    if sum(values) <= 0:
        return " Its mean is not better, so more runs are not expected to show it."
    more = seeds_to_decide((values,), rule, num_family=num_family, is_one_sided=True)
    if more is None:
        return f" Even {MOST_MORE_SEEDS} more runs would not show it with 80 % chance."
    return f" {more} more run{'s' if more > 1 else ''} would show it with 80 % chance."
