"""Compare arms at equal numbers of samples seen, paired by seed, and list excluded results."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, product
from statistics import fmean
from typing import Any, Literal, get_args

import numpy as np

from perceptinit.analysis.at_best import Resampled, resample_searches
from perceptinit.analysis.comparison import ArmScore, Comparison, ScoreComparison
from perceptinit.analysis.contrasts import Contrast, find_contrasts, find_control_contrasts, taught_by
from perceptinit.analysis.decisions import Rule, rule_of
from perceptinit.analysis.environments import differ_in_precision, refuse_mixed_settings
from perceptinit.analysis.numbers import counts
from perceptinit.analysis.over_items import MIN_IMAGES_OF_DIFFERENCE, Cell, ItemScores, ItemsOf
from perceptinit.analysis.over_sets import averages, over_sets
from perceptinit.analysis.pairing import are_paired, compare_arms, read_mean, score_arm
from perceptinit.analysis.pooling import spread_within
from perceptinit.analysis.statistics import widen
from perceptinit.errors import DataError, UsageError
from perceptinit.grouping import group
from perceptinit.judgments.baselines import Baseline, from_extra
from perceptinit.registry import unknown
from perceptinit.results.items import read_items
from perceptinit.results.measures import (
    FACTS,
    SEEN,
    family_of,
    incomplete,
    is_correlation,
    is_diagnostic,
    is_share,
    may_ask_people,
    measure_names,
    rank,
    split_name,
)
from perceptinit.results.runs import LoadedRun, RunSet
from perceptinit.types import Split

Budget = Literal["equal", "unequal"] | int
SPLITS = get_args(Split)
LARGEST = 1e100  # accepted absolute value of a score
DIGITS = 3  # decimals of scores that are not shares
FEW_ITEMS = "one score each on too few images for an interval"
FEW_IMAGES = (
    "{} has no interval of a difference: with fewer than "
    f"{MIN_IMAGES_OF_DIFFERENCE} images, those of correlations are too wide"
)
Rows = dict[Cell, dict[str, dict[str, Any]]]  # score name -> row


def compare(runs: RunSet, budget: Budget = "equal", baseline: str | None = None) -> Comparison:
    """Compare the arms of a set of runs.

    Args:
        runs: Runs of all arms.
        budget: "equal" compares final scores and refuses runs that saw different numbers of samples.
            "unequal" compares final scores and reports that budgets differ. An int compares the scores at
            this number of samples seen.
        baseline: Reference arm. Default: the baseline of the recipe.

    Raises:
        UsageError: If budgets differ, the runs differ in more than `init` and `posthoc`, no run has scores at
            the requested number, or the baseline is unknown.
    """
    baseline = baseline or runs.baseline
    if baseline != runs.baseline and baseline not in runs.arms:
        raise UsageError(unknown("no arm called", baseline, runs.arms))
    refuse_mixed_settings(runs)
    rows, problems = _choose_rows(runs, budget)
    runs = replace(runs, baseline=baseline or _find_best(runs, rows), is_baseline_best=not baseline)
    contrasts = tuple(find_contrasts(runs))
    items, unreadable = _read_items(runs)
    names = dict.fromkeys(chain(*rows.values()))
    scores = [_score(runs, rows, name, contrasts, items) for name in names]
    if runs.earlier_runs and not any(score.rule.spread for score in scores):
        raise UsageError(
            f"[verdict] spread_from, {runs.rule.spread_from}: no arm has two runs with a score of the "
            "compared runs. Choose runs with the same measure"
        )
    cover = partial(_cover_searches, resample_searches(runs))
    excluded = [*_excluded_values(scores, rows), *_incomplete_sets(rows)]
    excluded += _report_missing_intervals(runs, scores, items)
    return Comparison(
        runs=runs,
        contrasts=contrasts,
        scores=tuple(map(cover, scores)),
        averages=tuple(map(cover, averages(runs, scores, contrasts))),
        over_sets=tuple(over_sets(scores, [c for c in contrasts if not c.barred])),
        problems=tuple(dict.fromkeys([*problems, *unreadable, *excluded])),
        replaced=tuple(compare(other, budget) for other in runs.replaced),
        later=compare(runs, "unequal") if isinstance(budget, int) and runs.finished else None,
    )


def _excluded_values(scores: Sequence[ScoreComparison], rows: Rows) -> Iterator[str]:
    """Yield a sentence for each run without a usable value in a score."""
    for score, ((arm, seed), own) in product(scores, rows.items()):
        if seed not in score.arm(arm).by_seed:
            what = "was not measured"
            if score.name in own:
                is_large = own[score.name]["value"] is not None
                what = f"is larger than {LARGEST:g}" if is_large else "is not a finite number"
            yield f"{arm}, seed {seed}: {score.name} {what}; it is excluded from that mean"


def _cover_searches(resampled: Resampled | None, score: ScoreComparison) -> ScoreComparison:
    """Return the score, with intervals that also cover other searches if it is the tuning measure."""
    if resampled is None or score.measure != resampled[0].measure:
        return score
    config, medians = resampled
    covered = []
    for d in score.differences:
        gaps = medians[d.contrast.arm] - medians[d.contrast.reference]
        over_searches = widen(d.tested, float(gaps.var(ddof=1)), config.searches, d.confidence)
        covered.append(replace(d, over_searches=over_searches))
    return replace(score, differences=tuple(covered))


def _choose_rows(runs: RunSet, budget: Budget) -> tuple[Rows, list[str]]:
    """Return the score rows to compare, and sentences about excluded runs."""
    if isinstance(budget, int):
        return _choose_rows_at(runs, budget)
    problems = list(_report_unfinished(runs, {}))
    by_arm = group((run.arm, run.samples_seen) for run in runs.finished)
    if len(set().union(*by_arm.values())) > 1:
        unit = runs.source.progress.unit
        seen = "; ".join(f"{arm}: {counts(numbers, ', ')} {unit}" for arm, numbers in by_arm.items())
        if budget == "equal" and not runs.source.one_run_decides:
            common = set.intersection(*map(_measured_at, runs.finished))
            at = f"--at {max(common)}" if common else "--at N"
            raise UsageError(
                f"the runs ended after different numbers of {unit}, so their final scores are not "
                f"comparable. {seen}. Compare at a number at which all runs have scores ({at}), or compare "
                "final scores with --at end"
            )
        problems.append(f"Budgets differ: the arms are not equally trained. {seen}")
    return {(r.arm, r.seed): _rows_at(r, r.samples_seen) for r in runs.finished}, problems


def _choose_rows_at(runs: RunSet, num: int) -> tuple[Rows, list[str]]:
    """Return the score rows at a number of samples seen, and sentences about runs without any."""
    rows = {(run.arm, run.seed): _rows_at(run, num) for run in runs.runs}
    used = {cell: of_run for cell, of_run in rows.items() if of_run}
    if not used:
        available = "; ".join(f"{run.title}: {_available(run)}" for run in runs.runs)
        raise UsageError(f"no run has scores at {num:,} samples seen. Available: {available}")
    late = [run for run in runs.finished if (run.arm, run.seed) not in used]
    lines = [f"{run.title}: no scores at {num:,} samples (it has {_available(run)})" for run in late]
    return used, [*_report_unfinished(runs, used), *lines]


def _report_unfinished(runs: RunSet, used: Rows) -> Iterator[str]:
    for run in runs.unfinished:
        reason = f" ({run.reason})" if run.reason else ""
        reached = f" after {run.samples_seen:,} samples" if run.samples_seen else ""
        use = "it is excluded from every mean"
        if (run.arm, run.seed) in used:
            use = "its scores at the requested number are used"
        yield f"{run.title}: {run.state}{reached}{reason}; {use}"


def _rows_at(run: LoadedRun, num: int) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in run.scores if row["samples_seen"] == num}


def _measured_at(run: LoadedRun) -> set[int]:
    return {row["samples_seen"] for row in run.scores}


def _available(run: LoadedRun) -> str:
    return counts(_measured_at(run), ", ") or "none"


def _read_items(runs: RunSet) -> tuple[ItemsOf, list[str]]:
    """Return the items of final scores by run, and sentences about damaged files."""
    items = {}
    problems = []
    for run in runs.finished:
        try:
            items[run.arm, run.seed] = run.items or read_items(run.folder)
        except DataError as error:
            problems.append(f"{error}. Intervals are over seeds alone")
    return items, problems


def _score(
    runs: RunSet, rows: Rows, name: str, contrasts: Sequence[Contrast], items: ItemsOf
) -> ScoreComparison:
    found = {cell: scores[name] for cell, scores in rows.items() if name in scores}
    known = {cell: row["value"] for cell, row in found.items() if row["value"] is not None}
    values = {cell: float(value) for cell, value in known.items() if abs(value) < LARGEST}  # for variances
    row = next(iter(found.values()))
    measure, data_set = split_name(name)
    is_shown_as_share = row.get("is_share", is_share(measure, row["chance"]))
    rule = replace(
        rule_of(runs.rule, runs.num_planned, runs.num_listed, len(runs.arms)),
        delta=runs.rule.delta and runs.rule.delta / runs.source.units_of_delta(is_shown_as_share),
        grid=_find_grid(row),
        is_unpaired=runs.is_unpaired or differ_in_precision(runs),
        spread=_find_spread(runs.earlier_runs, name),
        spread_from=runs.rule.spread_from,
        one_run_decides=runs.source.one_run_decides,
        words=runs.source.words,
    )
    arms = tuple(read_mean(score_arm(runs, arm, values), found) for arm in runs.arms)
    # a share of n items is a multiple of 1 / n
    floor = 1 / (row["num_examples"] * 12**0.5) if is_shown_as_share and row["num_examples"] else 0.0
    is_known = measure in measure_names() or is_diagnostic(measure)
    digits = DIGITS if is_known else runs.source.digits or _choose_digits(list(values.values()))
    asked_pairs = _list_paired((*contrasts, *find_control_contrasts(runs)), arms, rule)
    of_items = ItemScores.of(items, name, values, rule.one_run_decides)
    components = dict(of_items.find_components(asked_pairs)) if of_items else {}
    baselines = from_extra(row["extra"], is_correlation(measure))
    if rule.one_run_decides:
        if of_items and not components:
            rule = replace(rule, words=replace(rule.words, single=FEW_ITEMS))
        arms = tuple(_cover_items(arm, of_items, is_shown_as_share, found) for arm in arms)
        baselines = tuple(_cover_trivial(each, of_items, is_shown_as_share) for each in baselines)
    # score names end with the split of the judgments, as in `nights-val`
    names = {data_set, *(data_set.removesuffix(f"-{split}") for split in SPLITS)}
    asked = runs.arms if may_ask_people(measure) else ()
    return ScoreComparison(
        name=name,
        measure=measure,
        data_set=data_set,
        family=family_of(data_set),
        is_share=is_shown_as_share,
        higher_is_better=row.get("higher_is_better", True),
        facts={key: row.get(key) for key in FACTS},
        baselines=baselines,
        num_sets=1,
        samples_seen={arm: found[arm, seed]["samples_seen"] for arm, seed in found},
        is_pretrained=runs.progress.column != "samples_seen"
        or any(r["samples_seen"] for r in found.values()),
        taught=frozenset(arm for arm in asked if names & taught_by(runs, arm)),
        seen_in_stage_1={arm: _find_seen(arm, found) for arm in runs.arms},
        arms=arms,
        rule=rule,
        floor=floor,
        components=components,
        differences=compare_arms(arms, contrasts, rule, floor, components),
        incomplete=max(incomplete(row["extra"]) for row in found.values()),
        digits=digits,
        has_direction=row.get("has_direction", True),
    )


def _find_grid(row: Mapping[str, Any]) -> float:
    """Return the step to which a score is rounded; 0 if it is not.

    A share of the stated number of items is a multiple of its part, and not rounded.
    """
    grid: float = row.get("grid", 0.0)
    return grid if grid > 1 / (row["num_examples"] or math.inf) else 0.0


def _find_spread(runs: Sequence[LoadedRun], name: str) -> tuple[float, int] | None:
    """Return the standard deviation of runs within arms and its degrees of freedom; None without two runs."""
    last = ((run.arm, _rows_at(run, run.samples_seen).get(name)) for run in runs)
    by_arm = group((arm, row["value"]) for arm, row in last if row and row["value"] is not None)
    return spread_within(by_arm.values())


def _cover_items(
    arm: ArmScore, of_items: ItemScores | None, is_share: bool, rows: Mapping[Cell, Mapping[str, Any]]
) -> ArmScore:
    """Return a score with its interval over items or, without values by item, its recorded error."""
    value = of_items.estimate(arm.arm, is_share) if of_items else None
    if value is None and arm.value and len(arm.by_seed) == 1:
        (seed,) = arm.by_seed
        value = replace(arm.value, stderr=rows[arm.arm, seed].get("stderr"))
    return replace(arm, value=value or arm.value)


def _cover_trivial(trivial: Baseline, of_items: ItemScores | None, is_share: bool) -> Baseline:
    """Return a trivial model with the interval of models, if its values by item are known."""
    found = of_items.estimate(trivial.name, is_share) if of_items else None
    if found is None:
        return trivial
    return replace(trivial, error=replace(trivial.error, stderr=found.stderr, degrees=found.degrees))


def _choose_digits(values: Sequence[float]) -> int:
    """Return the number of decimals that shows a tenth of the standard deviation of the values."""
    deviation = float(np.std(values)) if values else 0.0
    return min(max(1 - math.floor(math.log10(deviation)), 0), 6) if deviation else DIGITS


def _list_paired(contrasts: Sequence[Contrast], arms: Sequence[ArmScore], rule: Rule) -> list[Contrast]:
    by_name = {arm.arm: arm for arm in arms}
    return [c for c in contrasts if are_paired(by_name[c.arm], by_name[c.reference], rule)]


def _find_seen(arm: str, rows: Mapping[Cell, Mapping[str, Any]]) -> float | None:
    """Return the largest share of images that stage 1 of an arm has seen; None if not recorded."""
    shares = [row["extra"].get(SEEN) for (name, _), row in rows.items() if name == arm]
    return None if None in shares else max(shares, default=None)


def _report_missing_intervals(
    runs: RunSet, scores: Sequence[ScoreComparison], items: ItemsOf
) -> Iterator[str]:
    """Yield a sentence for each score of single runs that has no interval over its items."""
    if any(len(runs.arm_runs(arm)) > 1 for arm in runs.arms) or not runs.source.words.without_items:
        return
    for score in scores:
        if any(arm.is_mean for arm in score.arms):
            continue
        found = next((own[score.name] for own in items.values() if score.name in own), None)
        if found is None:
            yield f"{score.name}: {runs.source.words.without_items}"
        elif score.rule.one_run_decides and all(a.value is None or a.value.low is None for a in score.arms):
            unit = "anchors" if found.images.shape[1] > 1 else "images"
            yield f"{score.name}: too few {unit} for an interval"
        elif is_correlation(score.measure) and score.differences and not score.components:
            yield FEW_IMAGES.format(score.name)


def _find_best(runs: RunSet, rows: Rows) -> str:
    """Return the arm with the best mean over the sets of the first measure, in the order of measures."""
    known: list[tuple[str, str, float]] = []
    for (arm, _), scores in rows.items():
        for name, row in scores.items():
            if row["value"] is not None:
                sign = 1 if row.get("higher_is_better", True) else -1
                known.append((split_name(name)[0], arm, sign * row["value"]))
    first = min((measure for measure, _, _ in known if not is_diagnostic(measure)), key=rank, default="")
    by_arm = group((arm, value) for measure, arm, value in known if measure == first)
    most = max(map(len, by_arm.values()), default=0)
    means = {arm: fmean(values) for arm, values in by_arm.items() if len(values) == most}
    return max(means, key=lambda arm: means[arm]) if means else runs.arms[0]


def _incomplete_sets(rows: Rows) -> Iterator[str]:
    """Yield a sentence for each score of a run on a data set with unreadable images."""
    for (arm, seed), scores in rows.items():
        for name, row in scores.items():
            if note := incomplete(row["extra"]):
                names = row["extra"]["unreadable"]
                num = row["extra"]["num_images_of_set"] - row["extra"]["num_images"]
                first = f"the first {len(names)} of {num:,}: " if len(names) < num else ""
                what = f"{split_name(name)[1]} is {note}; not read: {first}{', '.join(names)}"
                yield f"{arm}, seed {seed}: {what}"
