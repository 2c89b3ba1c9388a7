"""From runs to a comparison: arms at equal samples seen, paired by seed, with everything left out named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from perceptinit.errors import UsageError
from perceptinit.recipe.recipe import fingerprint_difference
from perceptinit.registry import unknown
from perceptinit.reports.comparison import (
    ALL,
    ArmScore,
    Comparison,
    Difference,
    ScoreComparison,
    SetsComparison,
)
from perceptinit.reports.contrasts import Contrast, contrasts_of
from perceptinit.reports.statistics import (
    bootstrap_interval,
    compare_over_sets,
    correct_for_many,
    detectable_difference,
    differences,
    estimate,
    paired_p_value,
)
from perceptinit.results.measures import family_of, is_share, split_name
from perceptinit.results.runs import LoadedRun, RunSet

Budget = Literal["equal", "unequal"] | int
Rows = dict[tuple[str, int], dict[str, dict[str, Any]]]  # (arm, seed) -> score name -> row


def compare(runs: RunSet, budget: Budget = "equal", baseline: str | None = None) -> Comparison:
    """Compare the arms of a set of runs.

    budget: "equal" takes every run's end and refuses ends at different samples seen; a number takes
    the scores at that many samples; "unequal" puts the ends side by side and says so.

    Raises UsageError when budgets differ, when runs differ in more than `init` and `posthoc`, when
    no run has scores at the number asked for, and for a baseline that does not exist.
    """
    runs = _with_baseline(runs, baseline)
    _refuse_mixed_settings(runs)
    rows, problems = _chosen_rows(runs, budget)
    contrasts = tuple(contrasts_of(runs))
    names = list(dict.fromkeys(name for scores in rows.values() for name in scores))
    scores = [_score(runs, rows, name, contrasts) for name in names]
    problems += [p for score in scores for p in _missing_values(runs, rows, score)]
    averages = list(_averages(runs, scores, contrasts))
    return Comparison(
        runs=runs,
        contrasts=contrasts,
        scores=tuple(_with_q_values(scores)),
        averages=tuple(averages),
        over_sets=tuple(_over_sets(scores, contrasts)),
        problems=tuple(problems),
    )


def _with_baseline(runs: RunSet, baseline: str | None) -> RunSet:
    if baseline is None or baseline == runs.baseline:
        return runs
    if baseline not in runs.arms:
        raise UsageError(unknown("no arm called", baseline, runs.arms))
    return replace(runs, baseline=baseline)


def _refuse_mixed_settings(runs: RunSet) -> None:
    """Raise UsageError when the runs differ in the backbone, pretraining or evaluation."""
    shared = [
        (run, {k: run.record["arm"]["resolved"].get(k) for k in ("backbone", "pretrain", "eval")})
        for run in runs.runs
        if run.record
    ]
    for run, settings in shared[1:]:
        first, expected = shared[0]
        if settings != expected:
            raise UsageError(
                f"{first.folder} and {run.folder} differ in more than how they start, so their "
                f"difference has no single cause:\n{fingerprint_difference(expected, settings)}"
            )


def _chosen_rows(runs: RunSet, budget: Budget) -> tuple[Rows, list[str]]:
    """Return the score rows to compare, and sentences on the runs that are not among them."""
    if isinstance(budget, int):
        candidates = [run for run in runs.runs if _rows_at(run, budget)]
        problems = [_unfinished(run, run in candidates) for run in runs.unfinished]
        problems += [
            f"{run.title}: no scores at {budget:,} samples (it has {_counts(run)})"
            for run in runs.finished
            if run not in candidates
        ]
        if not candidates:
            raise UsageError(f"no run has scores at {budget:,} samples seen. {_all_counts(runs)}")
        return {(r.arm, r.seed): _rows_at(r, budget) for r in candidates}, problems
    problems = [_unfinished(run, False) for run in runs.unfinished]
    if budget == "equal":
        _refuse_unequal(runs)
    elif len({run.samples_seen for run in runs.finished}) > 1:
        problems.append(f"Budgets differ, the arms are not equally trained. {_budgets(runs)}")
    return {(r.arm, r.seed): _rows_at(r, r.samples_seen) for r in runs.finished}, problems


def _unfinished(run: LoadedRun, is_used: bool) -> str:
    reason = f" ({run.reason})" if run.reason else ""
    reached = f" after {run.samples_seen:,} samples" if run.samples_seen else ""
    use = "its scores at the number asked for are used" if is_used else "it is in no mean"
    return f"{run.title}: {run.state}{reached}{reason}; {use}"


def _refuse_unequal(runs: RunSet) -> None:
    if len({run.samples_seen for run in runs.finished}) > 1:
        common = set.intersection(*({r["samples_seen"] for r in x.scores} for x in runs.finished))
        at = f"--at {max(common)}" if common else "--at N"
        raise UsageError(
            f"the runs ended at different samples seen, so their ends are not comparable. "
            f"{_budgets(runs)}. Compare at a number that all have ({at}), or the ends as they are "
            "(--unequal)"
        )


def _budgets(runs: RunSet) -> str:
    parts = []
    for arm in runs.arms:
        seen = sorted({r.samples_seen for r in runs.finished if r.arm == arm})
        if seen:
            parts.append(f"{arm}: {' and '.join(f'{n:,}' for n in seen)} samples")
    return "; ".join(parts)


def _rows_at(run: LoadedRun, samples_seen: int) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in run.scores if row["samples_seen"] == samples_seen}


def _counts(run: LoadedRun) -> str:
    return (
        ", ".join(f"{n:,}" for n in sorted({row["samples_seen"] for row in run.scores})) or "none"
    )


def _all_counts(runs: RunSet) -> str:
    return "There are " + "; ".join(f"{run.title}: {_counts(run)}" for run in runs.runs)


def _score(runs: RunSet, rows: Rows, name: str, contrasts: Sequence[Contrast]) -> ScoreComparison:
    found = {cell: scores[name] for cell, scores in rows.items() if name in scores}
    values = {c: float(r["value"]) for c, r in found.items() if r["value"] is not None}
    row = next(iter(found.values()))
    measure, data_set = split_name(name)
    arms = tuple(_arm_score(runs, arm, values) for arm in runs.arms)
    return ScoreComparison(
        name=name,
        measure=measure,
        data_set=data_set,
        family=family_of(data_set),
        is_share=is_share(measure, row["chance"]),
        higher_is_better=row.get("higher_is_better", True),
        chance=row["chance"],
        ceiling=row["ceiling"],
        num_examples=row["num_examples"],
        num_sets=1,
        samples_seen={arm: found[arm, seed]["samples_seen"] for arm, seed in found},
        arms=arms,
        differences=tuple(_differences(arms, contrasts)),
    )


def _arm_score(runs: RunSet, arm: str, values: Mapping[tuple[str, int], float]) -> ArmScore:
    by_seed = {seed: value for (name, seed), value in values.items() if name == arm}
    missing = tuple(run.seed for run in runs.arm_runs(arm) if run.seed not in by_seed)
    value = estimate(list(by_seed.values())) if by_seed else None
    return ArmScore(arm=arm, by_seed=by_seed, value=value, missing=missing)


def _differences(arms: Sequence[ArmScore], contrasts: Iterable[Contrast]) -> Iterable[Difference]:
    by_name = {arm.arm: arm for arm in arms}
    for contrast in contrasts:
        reference = by_name[contrast.reference].by_seed
        by_seed = differences(by_name[contrast.arm].by_seed, reference)
        if by_seed:
            yield _difference(contrast, by_seed, reference)


def _difference(
    contrast: Contrast, by_seed: Mapping[int, float], reference: Mapping[int, float]
) -> Difference:
    values = list(by_seed.values())
    value = estimate(values)
    level = estimate([reference[seed] for seed in by_seed]).mean
    return Difference(
        contrast=contrast,
        by_seed=by_seed,
        value=value,
        bootstrap=bootstrap_interval(values),
        relative=value.mean / level if level else None,
        p_value=paired_p_value(values),
        detectable=detectable_difference(values),
    )


def _missing_values(runs: RunSet, rows: Rows, score: ScoreComparison) -> Iterable[str]:
    """Yield a sentence for each compared run that lacks a score or has one that is not finite."""
    for (arm, seed), scores in rows.items():
        if seed not in score.arm(arm).by_seed:
            what = "is not a finite number" if score.name in scores else "was not measured"
            yield f"{arm}, seed {seed}: {score.name} {what}; it is not in that mean"


def _averages(
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
    arms = tuple(_arm_score(runs, arm, values) for arm in runs.arms)
    chances = [score.chance for score in group if score.chance is not None]
    return replace(
        group[0],
        name=f"{measure}/mean of {len(group)} {'' if family == ALL else family + ' '}sets",
        data_set=f"mean of {len(group)} sets",
        family=family,
        chance=sum(chances) / len(chances) if len(chances) == len(group) else None,
        ceiling=None,
        num_examples=sum(score.num_examples for score in group),
        num_sets=len(group),
        arms=arms,
        differences=tuple(_differences(arms, contrasts)),
    )


def _with_q_values(scores: Sequence[ScoreComparison]) -> list[ScoreComparison]:
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


def _over_sets(
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
