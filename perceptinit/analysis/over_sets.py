"""Statistics over data sets: averages, wins and losses."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from perceptinit.analysis.comparison import (
    ALL,
    ArmScore,
    ScoreComparison,
    SetsComparison,
)
from perceptinit.analysis.contrasts import Contrast, find_control_contrasts
from perceptinit.analysis.intervals import Components, mean_of
from perceptinit.analysis.pairing import compare_arms, score_arm
from perceptinit.analysis.statistics import differences
from perceptinit.grouping import group
from perceptinit.results.runs import RunSet


def _group_by_measure(scores: Sequence[ScoreComparison]) -> list[list[ScoreComparison]]:
    """Return the scores of each measure with several data sets, except descriptive measures."""
    by_measure = group((score.measure, score) for score in scores if not score.is_diagnostic)
    return [of_measure for of_measure in by_measure.values() if len(of_measure) > 1]


def averages(
    runs: RunSet, scores: Sequence[ScoreComparison], contrasts: Sequence[Contrast]
) -> Iterator[ScoreComparison]:
    """Yield averages over each family and over all data sets, for measures with several data sets."""
    for of_measure in _group_by_measure(scores):
        for family, own in group((score.family, score) for score in of_measure).items():
            if 1 < len(own) < len(of_measure):
                yield _average(runs, family, own, contrasts)
        yield _average(runs, ALL, of_measure, contrasts)


def _average(
    runs: RunSet,
    family: str,
    scores: Sequence[ScoreComparison],
    contrasts: Sequence[Contrast],
) -> ScoreComparison:
    """Return the unweighted mean over data sets. Runs that lack a data set have no average."""
    values: dict[tuple[str, int], float] = {}
    num = len(scores)
    for arm in runs.arms:
        by_set = [score.arm(arm).by_seed for score in scores]
        for seed in set.intersection(*map(set, by_set)):
            values[arm, seed] = sum(of_set[seed] for of_set in by_set) / num
    arms = tuple(score_arm(runs, arm, values) for arm in runs.arms)
    components = dict(_mean_components(arms, scores, (*contrasts, *find_control_contrasts(runs))))
    chances = [s.facts["chance"] for s in scores if s.facts["chance"] is not None]
    rule = replace(scores[0].rule, grid=max(score.rule.grid for score in scores) / num**0.5)
    num_incomplete = sum(bool(score.incomplete) for score in scores)
    return replace(
        scores[0],
        name=f"{scores[0].measure}/mean of {num} {'' if family == ALL else family + ' '}sets",
        data_set=f"mean of {num} sets",
        family=family,
        facts={  # other facts, such as the human ceiling, apply to one set only
            **dict.fromkeys(scores[0].facts),
            "chance": sum(chances) / num if len(chances) == num else None,
            "num_examples": sum(score.facts["num_examples"] for score in scores),
        },
        baselines=(),
        num_sets=num,
        taught=frozenset().union(*(score.taught for score in scores)),
        seen_in_stage_1={arm: _find_seen(arm, scores) for arm in runs.arms},
        arms=arms,
        rule=rule,
        components=components,
        differences=compare_arms(arms, contrasts, rule, scores[0].floor / num**0.5, components),
        incomplete=f"{num_incomplete} of {num} sets incomplete" if num_incomplete else "",
    )


def _find_seen(arm: str, scores: Sequence[ScoreComparison]) -> float | None:
    """Return the largest share over data sets; None if it is not recorded for one of them."""
    shares = [score.seen_in_stage_1[arm] for score in scores]
    return max((share for share in shares if share is not None), default=None) if None not in shares else None


def _mean_components(
    arms: Sequence[ArmScore], scores: Sequence[ScoreComparison], contrasts: Sequence[Contrast]
) -> Iterator[tuple[Contrast, Components]]:
    """Yield variance components of the mean, if the components of all data sets are known."""
    by_name = {arm.arm: arm.by_seed for arm in arms}
    for contrast in contrasts:
        parts = [score.components.get(contrast) for score in scores]
        by_seed = differences(by_name[contrast.arm], by_name[contrast.reference])
        if all(parts) and by_seed:
            yield contrast, mean_of([part for part in parts if part], list(by_seed.values()))


def over_sets(scores: Sequence[ScoreComparison], contrasts: Sequence[Contrast]) -> Iterator[SetsComparison]:
    """Yield wins, ties and losses of each contrast for each measure with several data sets."""
    for of_measure in _group_by_measure(scores):
        for contrast in contrasts:
            found = [(score.sign, score.difference(contrast)) for score in of_measure]
            gains = [sign * difference.value.mean for sign, difference in found if difference]
            if gains:
                yield SetsComparison(
                    measure=of_measure[0].measure,
                    contrast=contrast,
                    num_sets=len(gains),
                    wins=sum(gain > 0 for gain in gains),
                    ties=gains.count(0.0),
                    losses=sum(gain < 0 for gain in gains),
                )
