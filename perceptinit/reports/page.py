"""What the page shows of answers and results; see `templates/report.html` for where it stands."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perceptinit.reports.comparison import ALL, Comparison, Difference, ScoreComparison
from perceptinit.reports.contrasts import Contrast
from perceptinit.reports.curves import SamplesEstimate, all_curves, crossover, speed_up
from perceptinit.reports.figures import Figure
from perceptinit.reports.numbers import magnitude, number
from perceptinit.reports.plots import curve_figure, difference_figure
from perceptinit.reports.verdicts import verdict as verdicts
from perceptinit.reports.verdicts.headline import Summary
from perceptinit.reports.verdicts.verdict import Verdict, can_be_derived_from
from perceptinit.results.measures import is_perceptual

MAX_CURVES_PER_MEASURE = 4
# what a record calls a breakdown, what the page calls one of its rows
UNITS = {"by_person": "person", "by_anchor": "anchor"}
ANSWERS = {
    "better": "Better:",
    "worse": "Worse:",
    "equivalent": "No difference that matters:",
    "undecided": "Undecided:",
    "equal": "Equal in every seed:",
    "one seed": "Cannot be said from one seed:",
    "missing": "No seed in common.",
    "barred": "Cannot be said:",
}
YES_OR_NO = {"better": "Yes:", "worse": "No, it is worse:"}


def rule_in_words(score: ScoreComparison) -> str:
    """Return when a difference counts as decided."""
    rule = score.rule
    text = "An interval on one side of 0 is better or worse"
    if rule.delta is None:
        text += "; no [verdict] delta was stated, so that nothing can be called equivalent"
    else:
        text += f", one within ±{magnitude(rule.delta, score.is_share)} (delta, stated in the recipe) is equivalent"
    text += "; any other is undecided."
    if rule.last is not None:
        text += (
            f" Seeds were added after looking, from {rule.first} up to at most {rule.last}: the intervals are wider, "
            f"{100 * rule.confidence:.1f} % each, so that 95 % hold at every look (repeated confidence intervals)."
        )
    return text


def answer_in_words(verdict: Verdict) -> str:
    """Return a yes or a no where the question asks for one side, else the side."""
    words = ANSWERS | YES_OR_NO if verdict.question.asks_for_better else ANSWERS
    return words[verdict.outcome]


def evidence_in_words(verdict: Verdict, difference: Difference, score: ScoreComparison) -> str:
    """Return what stands behind an answer: interval and seeds, or why there is none."""
    if verdict.outcome == "barred":
        return verdict.sentence
    return verdicts.evidence(difference, score) if difference.value.num > 1 else ""


def find_scale(summary: Summary, score: ScoreComparison) -> float:
    """Return how much wider a picture is than its differences, so that all of them fit into it."""
    differences = [d for v in summary.answers if (d := score.difference(v.contrast))]
    ends = [x for d in differences for x in (d.value.low, d.value.high, *d.by_seed.values())]
    widest = max((abs(x) for x in ends if x is not None), default=0.0)
    return 95 / widest if widest else 0.0


def difference_figures(comparison: Comparison) -> list[Figure]:
    """Return one dot plot of differences per reference."""
    by_reference: dict[str, list[Contrast]] = {}
    for contrast in comparison.contrasts:
        by_reference.setdefault(contrast.reference, []).append(contrast)
    figures = (difference_figure(comparison, against) for against in by_reference.values())
    return [figure for figure in figures if figure]


def curve_figures(comparison: Comparison) -> list[Figure]:
    """Return all curves: the measure that speaks first, the perceptual ones beside it, then the rest."""
    first = comparison.primary
    speaks = first.measure if first else None
    scores = [*_curve_scores(comparison, False), *_curve_scores(comparison, True)]
    scores.sort(key=lambda s: (s.measure != speaks, not is_perceptual(s.measure)))
    figures = [curve_figure(comparison, score) for score in scores]
    return [figure for figure in figures if figure]


def _curve_scores(comparison: Comparison, perceptual: bool) -> Iterator[ScoreComparison]:
    """Yield the scores to draw as curves: each set of a measure, or their average when they are many."""
    wanted = [s for s in comparison.scores if is_perceptual(s.measure) == perceptual]
    for measure in dict.fromkeys(s.measure for s in wanted if perceptual or not s.is_diagnostic):
        of_measure = [s for s in wanted if s.measure == measure]
        if len(of_measure) > MAX_CURVES_PER_MEASURE:
            averages = (s for s in comparison.averages if s.measure == measure)
            of_measure = [s for s in averages if s.family == ALL]
        yield from of_measure


def crossing_rows(comparison: Comparison) -> list[tuple[str, str, str]]:
    """Return, in the score that speaks first, where arms begin to lead and what the lead is worth.

    Of differences that are decided by enough seeds only; see `crossings_left_out`.
    """
    score, rows = comparison.primary, []
    for c in comparison.contrasts:
        if score is not None and can_be_derived_from(score, c):
            curves = all_curves(comparison, score)
            pair = curves[c.arm], curves[c.reference], score.higher_is_better
            begins, ratio = crossover(*pair), speed_up(*pair)
            if begins.share is not None or ratio.value is not None:
                rows.append((c.title, crossover_text(begins), speed_up_text(ratio)))
    return rows


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
        f"of differences that are decided by at least {verdicts.MIN_SEEDS_DERIVED} seeds."
    )


def crossover_text(found: SamplesEstimate) -> str:
    """Return where an arm begins to lead, with its interval."""
    text = f"after {found.value:,.0f} pairs" if found.value else "before pretraining"
    if found.value is None:
        text = "it does not lead at the end"
    if found.low is None or found.high is None:
        return text
    if not found.share:
        return f"{text}, in no resample"
    between = _interval(found.low, found.high, ",.0f")
    return f"{text} [{between}; leads at the end in {100 * found.share:.0f} % of resamples]"


def speed_up_text(found: SamplesEstimate) -> str:
    """Return the ratio of pairs for the same score, with its interval."""
    if found.value is None:
        return ""
    text = f"{found.value:.2f} times as many"
    if found.low is None or found.high is None:
        return text
    return f"{text} [{_interval(found.low, found.high, '.2f')}]"


def _interval(low: float, high: float, form: str) -> str:
    return " to ".join(f"{v:{form}}" if math.isfinite(v) else "never" for v in (low, high))


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A score for each person, or for each anchor, lowest first: a table of text, one column per arm.

    A last column has how well the other people predict each person, where it is known.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def find_breakdowns(comparison: Comparison) -> Iterator[Breakdown]:
    """Yield every score of the finished runs that their records break down by person or anchor."""
    for score in comparison.scores:
        for key, unit in UNITS.items():
            by_arm: dict[str, list[Mapping[str, Any]]] = {}
            for run in comparison.runs.finished:
                for row in run.scores:
                    is_end = (row["name"], row["samples_seen"]) == (score.name, run.samples_seen)
                    if is_end and row["extra"].get(key):
                        by_arm.setdefault(run.arm, []).append(row["extra"][key])
            if found := _breakdown(score, unit, by_arm):
                yield found


def _breakdown(
    score: ScoreComparison, unit: str, by_arm: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Breakdown | None:
    every = [rows for seeds in by_arm.values() for rows in seeds]
    shared = [name for name in every[0] if all(name in rows for rows in every)] if every else []
    if not shared:
        return None
    values: dict[str, list[float | None]] = {
        name: [sum(rows[name]["value"] for rows in seeds) / len(seeds) for seeds in by_arm.values()]
        for name in shared
    }
    shared.sort(key=lambda name: sum(value or 0.0 for value in values[name]))
    headings = (unit, *by_arm)
    others = {name: every[0][name].get("others") for name in shared}
    if any(value is not None for value in others.values()):
        headings += ("the other people",)
        values = {name: [*means, others[name]] for name, means in values.items()}
    rows = [
        (name, *("" if v is None else number(v, score.is_share) for v in values[name])) for name in shared
    ]
    return Breakdown(f"Each {unit} in {score.name}", headings, tuple(rows))
