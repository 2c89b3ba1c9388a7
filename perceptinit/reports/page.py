"""The values of the page's summary and results; see `templates/report.html` for where they stand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from perceptinit.reports.comparison import ALL, Comparison, Difference, ScoreComparison
from perceptinit.reports.curves import (
    SamplesEstimate,
    all_curves,
    contrast_curves,
    power_law,
)
from perceptinit.reports.figures import Figure
from perceptinit.reports.numbers import number, signed
from perceptinit.reports.plots import curve_figure, difference_figure
from perceptinit.reports.tables import (
    BESIDE,
    baselines_in_words,
    cells,
    limits,
    references,
    trained_on,
)
from perceptinit.reports.verdicts.headline import headline_arms
from perceptinit.reports.verdicts.verdict import MIN_SEEDS_DERIVED, can_be_derived_from
from perceptinit.results.measures import is_perceptual, measure_title

MAX_CURVES_PER_MEASURE = 4


def score_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the results table: averages first, diagnostics last."""
    ordered = [*comparison.averages, *comparison.scores]
    ordered.sort(key=lambda s: s.is_diagnostic)
    return [
        {
            "name": score.name,
            "note": _note(score),
            "rows": [{"arm": a.arm, "cells": cells(comparison, score, a)} for a in score.arms],
        }
        for score in ordered
    ]


def _note(score: ScoreComparison) -> str:
    parts = [measure_title(score.measure), *limits(score)]
    parts += [f"{score.num_examples:,} examples"] if score.num_examples else []
    parts += trained_on(score)
    parts += [score.incomplete] if score.incomplete else []
    parts += [f"{BESIDE} {line}" for line in [baselines_in_words(score)] if line]
    parts += [] if score.higher_is_better else ["lower is better"]
    parts += ["describes, does not judge"] if score.is_diagnostic else []
    return ", ".join(parts)


def statistics_rows(comparison: Comparison) -> list[dict[str, str]]:
    """Return bootstrap, p-values and detectable differences of every difference."""
    return [
        {
            "score": score.name,
            "contrast": d.contrast.title,
            "difference": signed(d.value.mean, score.is_share),
            "relative": _relative(score, d),
            "bootstrap": _bootstrap(d, score.is_share),
            "p": _p(d.p_value),
            "q": _p(d.q_value),
            "detectable": number(d.detectable, score.is_share) if d.detectable is not None else "",
        }
        for score in (*comparison.averages, *comparison.scores)
        for d in score.differences
    ]


def _relative(score: ScoreComparison, difference: Difference) -> str:
    if difference.relative is None or not can_be_derived_from(score, difference.contrast):
        return ""
    return f"{100 * difference.relative:+.1f} %"


def _bootstrap(difference: Difference, is_share: bool) -> str:
    if difference.bootstrap is None:
        return ""
    return " to ".join(signed(v, is_share).replace(" points", "") for v in difference.bootstrap)


def _p(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"


def difference_figures(comparison: Comparison) -> list[Figure]:
    """Return one dot plot of differences per reference."""
    groups = [
        [c for c in comparison.contrasts if c.reference == reference]
        for reference in references(comparison)
    ]
    figures = [difference_figure(comparison, group) for group in groups]
    return [figure for figure in figures if figure]


def curve_scores(comparison: Comparison, perceptual: bool) -> list[ScoreComparison]:
    """Return the scores to draw as curves: each set of a measure, or their average when they are many."""
    chosen: list[ScoreComparison] = []
    wanted = [s for s in comparison.scores if is_perceptual(s.measure) == perceptual]
    for measure in dict.fromkeys(s.measure for s in wanted if perceptual or not s.is_diagnostic):
        of_measure = [s for s in wanted if s.measure == measure]
        if len(of_measure) > MAX_CURVES_PER_MEASURE:
            of_measure = [
                s for s in comparison.averages if s.measure == measure and s.family == ALL
            ]
        chosen += of_measure
    return chosen


def curve_figures(comparison: Comparison) -> list[Figure]:
    """Return all curves: the measure that speaks first, the perceptual ones beside it, then the rest."""
    first = comparison.primary
    scores = [*curve_scores(comparison, False), *curve_scores(comparison, True)]
    scores.sort(
        key=lambda s: (first is None or s.measure != first.measure, not is_perceptual(s.measure))
    )
    figures = [curve_figure(comparison, score) for score in scores]
    return [figure for figure in figures if figure]


def crossing_rows(comparison: Comparison) -> list[dict[str, str]]:
    """Return, in the score that speaks first, where arms begin to lead and what the lead is worth.

    Of differences that are decided by enough seeds only; see `crossings_left_out`.
    """
    score = comparison.primary
    rows = contrast_curves(comparison, score) if score else []
    return [
        {
            "contrast": row.contrast.title,
            "crossover": crossover_text(row.crossover),
            "speed_up": speed_up_text(row.speed_up),
        }
        for row in rows
        if score is not None
        and can_be_derived_from(score, row.contrast)
        and (row.crossover.share is not None or row.speed_up.value is not None)
    ]


def crossings_left_out(comparison: Comparison) -> str:
    """Return which contrasts have no such figures, and why; empty when all have."""
    score = comparison.primary
    titles = [
        c.title
        for c in comparison.contrasts
        if score is not None and score.difference(c) and not can_be_derived_from(score, c)
    ]
    if not titles:
        return ""
    return (
        f"Not said of {', '.join(titles)}: from where on an arm leads, and what its lead is worth, is shown "
        f"of differences that are decided by at least {MIN_SEEDS_DERIVED} seeds."
    )


def crossover_text(found: SamplesEstimate) -> str:
    """Return where an arm begins to lead, with its interval."""
    if found.value is None:
        text = "it does not lead at the end"
    elif found.value == 0:
        text = "before pretraining"
    else:
        text = f"after {found.value:,.0f} pairs"
    if found.low is None or found.high is None:
        return text
    if not found.share:
        return f"{text}, in no resample"
    between = f"{_count(found.low)} to {_count(found.high)}"
    return f"{text} [{between}; leads at the end in {100 * (found.share or 0):.0f} % of resamples]"


def _count(value: float) -> str:
    return f"{value:,.0f}" if math.isfinite(value) else "never"


def speed_up_text(found: SamplesEstimate) -> str:
    """Return the ratio of pairs for the same score, with its interval."""
    if found.value is None:
        return ""
    text = f"{found.value:.2f} times as many"
    if found.low is None or found.high is None:
        return text
    ends = [f"{v:.2f}" if math.isfinite(v) else "never" for v in (found.low, found.high)]
    return f"{text} [{ends[0]} to {ends[1]}]"


def power_law_rows(comparison: Comparison) -> list[dict[str, str]]:
    """Return the exponent of the error over pairs seen for each arm, in the score that speaks first."""
    score = comparison.primary
    if score is None or not score.is_share or not score.higher_is_better:
        return []
    rows = []
    for arm, curves in all_curves(comparison, score).items():
        law = power_law(curves) if len(curves) >= MIN_SEEDS_DERIVED else None
        if law is not None:
            exponent = law.exponent
            between = (
                f" [{exponent.low:.3f} to {exponent.high:.3f}]"
                if exponent.low is not None and exponent.high is not None
                else ""
            )
            rows.append(
                {
                    "arm": arm,
                    "exponent": f"{exponent.mean:.3f}{between}",
                    "num_points": str(law.num_points),
                }
            )
    return rows


def arms_for_examples(comparison: Comparison) -> Sequence[str]:
    """Return the arm that the examples show, and the baseline that it is shown beside."""
    arms = headline_arms(comparison)
    return [*arms[:1], comparison.runs.baseline]
