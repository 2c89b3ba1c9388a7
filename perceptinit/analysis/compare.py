"""Compare arms at equal numbers of samples seen, paired by seed, and list excluded results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, Literal, get_args

from perceptinit.analysis.at_best import Resampled, resample_studies, without_tuned
from perceptinit.analysis.comparison import Comparison, Difference, ScoreComparison, pair_arms, score_arm
from perceptinit.analysis.contrasts import Contrast, find_contrasts, taught_by
from perceptinit.analysis.decisions import rule_of
from perceptinit.analysis.intervals import Components, find_components
from perceptinit.analysis.over_sets import averages, middle_means, over_sets, with_q_values
from perceptinit.analysis.statistics import widen
from perceptinit.errors import DataError, UsageError
from perceptinit.judgments.baselines import from_extra
from perceptinit.recipe.recipe import fingerprint_difference
from perceptinit.registry import unknown
from perceptinit.results.items import read_items
from perceptinit.results.measures import FACTS, family_of, incomplete, is_share, may_ask_people, split_name
from perceptinit.results.runs import LoadedRun, RunSet
from perceptinit.types import Items, Split

Budget = Literal["equal", "unequal"] | int
SPLITS = get_args(Split)
LARGEST = 1e100  # accepted absolute value of a score
SAME_MEAN = 1e-5  # tolerance between a score and the mean of its float32 items
Cell = tuple[str, int]  # arm, seed
ItemsOf = Mapping[Cell, Mapping[str, Items]]  # items by name of the score
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
    runs = replace(runs, baseline=baseline)
    _refuse_mixed_settings(runs)
    rows, problems = _choose_rows(runs, budget)
    contrasts = tuple(find_contrasts(runs))
    items, unreadable = _read_items(runs)
    problems += unreadable
    names = list(dict.fromkeys(name for scores in rows.values() for name in scores))
    scores = [_score(runs, rows, name, contrasts, items) for name in names]
    for score, ((arm, seed), own) in product(scores, rows.items()):
        if seed not in score.arm(arm).by_seed:
            what = "was not measured"
            if score.name in own:
                is_large = own[score.name]["value"] is not None
                what = f"is larger than {LARGEST:g}" if is_large else "is not a finite number"
            problems.append(f"{arm}, seed {seed}: {score.name} {what}; it is excluded from that mean")
    problems += _incomplete_sets(rows)
    resampled = resample_studies(runs)
    return Comparison(
        runs=runs,
        contrasts=contrasts,
        scores=tuple(_cover_searches(resampled, with_q_values(scores))),
        averages=tuple(_cover_searches(resampled, averages(runs, scores, contrasts))),
        over_sets=tuple(over_sets(scores, [c for c in contrasts if not c.barred])),
        middle_means=tuple(middle_means(runs, scores)),
        problems=tuple(problems),
    )


def _cover_searches(
    resampled: Resampled | None, scores: Iterable[ScoreComparison]
) -> Iterator[ScoreComparison]:
    """Yield the scores, with intervals of the tuning measure that also cover other searches."""
    if resampled is None:
        yield from scores
        return
    config, medians = resampled

    def cover(d: Difference) -> Difference:
        variance = float((medians[d.contrast.arm] - medians[d.contrast.reference]).var(ddof=1))
        return replace(d, over_searches=widen(d.tested, variance, config.studies, d.confidence))

    for score in scores:
        is_covered = score.measure == config.measure
        yield replace(score, differences=tuple(map(cover, score.differences))) if is_covered else score


def _refuse_mixed_settings(runs: RunSet) -> None:
    """Raise UsageError if the runs differ in backbone, pretraining or evaluation."""
    first: tuple[LoadedRun, dict[str, Any]] | None = None
    for run in (run for run in runs.runs if run.record):
        resolved = without_tuned(run.record["arm"]["resolved"], runs)
        settings = {key: resolved.get(key) for key in ("backbone", "pretrain", "eval")}
        other, expected = first = first or (run, settings)
        if settings != expected:
            raise UsageError(
                f"{other.folder} and {run.folder} differ in more than their initialization, so their "
                f"difference has no single cause:\n{fingerprint_difference(expected, settings)}"
            )


def _choose_rows(runs: RunSet, budget: Budget) -> tuple[Rows, list[str]]:
    """Return the score rows to compare, and sentences about excluded runs."""
    if isinstance(budget, int):
        used = {(run.arm, run.seed): rows for run in runs.runs if (rows := _rows_at(run, budget))}
        if not used:
            counts = "; ".join(f"{run.title}: {_counts(run)}" for run in runs.runs)
            raise UsageError(f"no run has scores at {budget:,} samples seen. Available: {counts}")
        without = [run for run in runs.finished if (run.arm, run.seed) not in used]
        late = [f"{r.title}: no scores at {budget:,} samples (it has {_counts(r)})" for r in without]
        return used, [*_report_unfinished(runs, used), *late]
    problems = _report_unfinished(runs, {})
    if len({run.samples_seen for run in runs.finished}) > 1:
        by_arm = {arm: _join({r.samples_seen for r in runs.finished if r.arm == arm}) for arm in runs.arms}
        seen = "; ".join(f"{arm}: {counts} samples" for arm, counts in by_arm.items() if counts)
        if budget == "equal":
            common = set.intersection(*({r["samples_seen"] for r in x.scores} for x in runs.finished))
            at = f"--at {max(common)}" if common else "--at N"
            raise UsageError(
                "the runs ended after different numbers of samples, so their final scores are not "
                f"comparable. {seen}. Compare at a number at which all runs have scores ({at}), or compare "
                "final scores with --unequal"
            )
        problems.append(f"Budgets differ: the arms are not equally trained. {seen}")
    return {(r.arm, r.seed): _rows_at(r, r.samples_seen) for r in runs.finished}, problems


def _report_unfinished(runs: RunSet, used: Rows) -> list[str]:
    lines = []
    for run in runs.unfinished:
        reason = f" ({run.reason})" if run.reason else ""
        reached = f" after {run.samples_seen:,} samples" if run.samples_seen else ""
        is_used = (run.arm, run.seed) in used
        use = "its scores at the requested number are used" if is_used else "it is excluded from every mean"
        lines.append(f"{run.title}: {run.state}{reached}{reason}; {use}")
    return lines


def _rows_at(run: LoadedRun, samples_seen: int) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in run.scores if row["samples_seen"] == samples_seen}


def _counts(run: LoadedRun) -> str:
    return _join({row["samples_seen"] for row in run.scores}) or "none"


def _join(counts: Iterable[int]) -> str:
    return ", ".join(f"{n:,}" for n in sorted(counts))


def _read_items(runs: RunSet) -> tuple[ItemsOf, list[str]]:
    """Return the items of final scores by run, and sentences about damaged files."""
    items, problems = {}, []
    for run in runs.finished:
        try:
            items[run.arm, run.seed] = read_items(run.folder)
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
    rule = rule_of(runs.plan, runs.num_planned, runs.num_listed)
    arms = tuple(score_arm(runs, arm, values) for arm in runs.arms)
    is_shown_as_share, num_items = is_share(measure, row["chance"]), row["num_examples"]
    # a share of n items is a multiple of 1 / n
    floor = 1 / (num_items * 12**0.5) if is_shown_as_share and num_items else 0.0
    components = dict(_find_components(items, name, values, contrasts))
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
        baselines=from_extra(row["extra"]),
        num_sets=1,
        samples_seen={arm: found[arm, seed]["samples_seen"] for arm, seed in found},
        taught=frozenset(arm for arm in asked if names & taught_by(runs, arm)),
        seen_in_training=row["extra"].get("seen_in_training"),
        arms=arms,
        rule=rule,
        floor=floor,
        components=components,
        differences=pair_arms(arms, contrasts, rule, floor, components),
        incomplete=max(incomplete(row["extra"]) for row in found.values()),
    )


def _find_components(
    items: ItemsOf, name: str, values: Mapping[Cell, float], contrasts: Sequence[Contrast]
) -> Iterator[tuple[Contrast, Components]]:
    """Yield variance components of contrasts and of leads over trivial models, from per-item values."""
    import numpy as np

    own = {}
    for cell, value in values.items():
        found = items.get(cell, {}).get(name)
        # items exist for final scores only, not for scores selected by `--at`
        if found and abs(np.average(found.values, weights=found.weights) - value) < SAME_MEAN:
            own[cell] = found
    if not own:
        return
    trivial = {
        (model, seed): replace(found, values=values_of_model)
        for (_, seed), found in own.items()
        for model, values_of_model in found.baselines.items()
    }
    arms = dict.fromkeys(arm for arm, _ in own)
    leads = [Contrast(*pair) for pair in product(arms, dict.fromkeys(model for model, _ in trivial))]
    cells, own = {*values, *trivial}, own | trivial
    images = next(iter(own.values())).images
    _, places = np.unique(images, return_inverse=True)  # computed once: sets can have 50,000 images
    for contrast in (*contrasts, *leads):
        seeds = sorted(
            {s for a, s in cells if a == contrast.arm} & {s for a, s in cells if a == contrast.reference}
        )
        pairs = [(own.get((contrast.arm, s)), own.get((contrast.reference, s))) for s in seeds]
        known = [(a, b) for a, b in pairs if a and b]
        if len(known) != len(pairs) or not known:
            continue
        if all(np.array_equal(each.images, images) for pair in known for each in pair):
            differences = np.array([a.values - b.values for a, b in known])
            if parts := find_components(differences, places.reshape(images.shape), known[0][0].weights):
                yield contrast, parts


def _incomplete_sets(rows: Rows) -> Iterable[str]:
    """Yield a sentence for each data set and run with unreadable images."""
    found = {
        (split_name(name)[1], cell): row["extra"]
        for cell, scores in rows.items()
        for name, row in scores.items()
        if incomplete(row["extra"])
    }
    for (data_set, (arm, seed)), extra in found.items():
        names, num = extra["unreadable"], extra["num_images_of_set"] - extra["num_images"]
        first = f"the first {len(names)} of {num:,}: " if len(names) < num else ""
        yield f"{arm}, seed {seed}: {data_set} is {incomplete(extra)}; not read: {first}{', '.join(names)}"
