"""Many data sets together: averages, interquartile means, tests over sets, and p-values corrected for their number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from perceptinit.reports.comparison import (
    ALL,
    MiddleMean,
    ScoreComparison,
    SetsComparison,
    pair_arms,
    score_arm,
)
from perceptinit.reports.contrasts import Contrast
from perceptinit.reports.statistics import compare_over_sets, correct_for_many, interquartile_mean
from perceptinit.results.runs import RunSet


def averages(
    runs: RunSet, scores: Sequence[ScoreComparison], contrasts: Sequence[Contrast]
) -> Iterable[ScoreComparison]:
    """Yield the mean over each family and over all data sets, of each measure with several sets."""
    for measure in dict.fromkeys(s.measure for s in scores if not s.is_diagnostic):
        of_measure = [s for s in scores if s.measure == measure]
        families = dict.fromkeys(s.family for s in of_measure)
        groups = {family: [s for s in of_measure if s.family == family] for family in families}
        for family, group in groups.items():
            if len(families) > 1 and len(group) > 1:
                yield _average(runs, measure, family, group, contrasts)
        if len(of_measure) > 1:
            yield _average(runs, measure, ALL, of_measure, contrasts)


def _average(
    runs: RunSet,
    measure: str,
    family: str,
    group: Sequence[ScoreComparison],
    contrasts: Sequence[Contrast],
) -> ScoreComparison:
    """Return the unweighted mean over data sets; a run that lacks one of them has no average."""
    values: dict[tuple[str, int], float] = {}
    for run in runs.runs:
        own = [score.arm(run.arm).by_seed.get(run.seed) for score in group]
        known = [value for value in own if value is not None]
        if len(known) == len(group):
            values[run.arm, run.seed] = sum(known) / len(known)
    arms = tuple(score_arm(runs, arm, values) for arm in runs.arms)
    return replace(
        group[0],
        name=f"{measure}/mean of {len(group)} {'' if family == ALL else family + ' '}sets",
        data_set=f"mean of {len(group)} sets",
        family=family,
        facts=_average_facts(group),
        baselines=(),
        num_sets=len(group),
        taught=frozenset().union(*(score.taught for score in group)),
        seen_in_training=max((s.seen_in_training or 0.0 for s in group if s.taught), default=None),
        arms=arms,
        differences=pair_arms(arms, contrasts, group[0].rule),
        incomplete=_incomplete(group),
    )


def _average_facts(group: Sequence[ScoreComparison]) -> dict[str, Any]:
    """Return the facts of a mean over sets; other facts, such as the human ceiling, hold for one set only."""
    chances = [s.facts["chance"] for s in group if s.facts["chance"] is not None]
    chance = sum(chances) / len(chances) if len(chances) == len(group) else None
    num_examples = sum(score.facts["num_examples"] for score in group)
    return {**dict.fromkeys(group[0].facts), "chance": chance, "num_examples": num_examples}


def _incomplete(group: Sequence[ScoreComparison]) -> str:
    count = sum(bool(score.incomplete) for score in group)
    return f"{count} of {len(group)} sets incomplete" if count else ""


def with_q_values(scores: Sequence[ScoreComparison]) -> list[ScoreComparison]:
    """Return the scores with p-values corrected over the data sets of each measure and contrast."""
    places = [(i, j) for i, s in enumerate(scores) for j, _ in enumerate(s.differences)]
    groups: dict[tuple[str, Contrast], list[tuple[int, int]]] = {}
    for i, j in places:
        key = (scores[i].measure, scores[i].differences[j].contrast)
        groups.setdefault(key, []).append((i, j))
    q_values: dict[tuple[int, int], float | None] = {}
    for group in groups.values():
        corrected = correct_for_many([scores[i].differences[j].p_value for i, j in group])
        q_values.update(zip(group, corrected, strict=True))
    return [
        replace(
            score,
            differences=tuple(
                replace(d, q_value=q_values[i, j]) for j, d in enumerate(score.differences)
            ),
        )
        for i, score in enumerate(scores)
    ]


def over_sets(
    scores: Sequence[ScoreComparison], contrasts: Sequence[Contrast]
) -> list[SetsComparison]:
    """Return each contrast over all data sets of each measure that has at least two of them."""
    rows = []
    for measure in dict.fromkeys(s.measure for s in scores if not s.is_diagnostic):
        of_measure = [s for s in scores if s.measure == measure]
        for contrast in contrasts if len(of_measure) > 1 else ():
            found = [(s, s.difference(contrast)) for s in of_measure]
            gains = [d.value.mean * (1 if s.higher_is_better else -1) for s, d in found if d]
            if gains:
                test = compare_over_sets(gains)
                rows.append(SetsComparison(measure=measure, contrast=contrast, test=test))
    q_sign = correct_for_many([row.test.p_sign for row in rows])
    q_wilcoxon = correct_for_many([row.test.p_wilcoxon for row in rows])
    return [replace(row, q_sign=q_sign[i], q_wilcoxon=q_wilcoxon[i]) for i, row in enumerate(rows)]


def middle_means(runs: RunSet, scores: Sequence[ScoreComparison]) -> Iterable[MiddleMean]:
    """Yield the interquartile mean of every arm in each measure that has at least two data sets."""
    for measure in dict.fromkeys(s.measure for s in scores if not s.is_diagnostic):
        of_measure = [s for s in scores if s.measure == measure]
        for arm in runs.arms if len(of_measure) > 1 else ():
            by_set = [score.arm(arm).by_seed for score in of_measure]
            seeds = sorted(set.intersection(*(set(by_seed) for by_seed in by_set)))
            if seeds:
                yield MiddleMean(
                    measure=measure,
                    is_share=of_measure[0].is_share,
                    arm=arm,
                    num_sets=len(by_set),
                    num_seeds=len(seeds),
                    value=interquartile_mean([[values[s] for s in seeds] for values in by_set]),
                )
