"""Figures of scores: curves over samples seen, and differences by data set."""

from collections.abc import Collection, Mapping, Sequence
from itertools import product
from textwrap import fill
from typing import Any

import numpy as np

from perceptinit.analysis.compare import SPLITS
from perceptinit.analysis.comparison import Comparison, Difference, ScoreComparison
from perceptinit.analysis.contrasts import Contrast
from perceptinit.analysis.curves import Curves, all_curves, band
from perceptinit.analysis.statistics import Estimate
from perceptinit.grouping import group
from perceptinit.reports.figures import (
    FAINT,
    INK,
    WIDTH_INCHES,
    Figure,
    add_legend,
    arm_colour,
    arm_style,
    draw_limit,
    draw_people,
    drawing,
    finish,
    plot_arms,
    save,
)
from perceptinit.results.measures import measure_title
from perceptinit.verdict.when import When

ROW_INCHES = 0.34
PANELS = 3  # in a row
PANEL_INCHES = 1.3
LEADS = "Bands: intervals of the paired difference at each evaluation. Mark: the lead has emerged."
SEEDS_AND_MEANS = "Large marks: mean over seeds with its 95 % interval. Small dots: single seeds."
OVER_ITEMS = "Differences with simultaneous 95 % intervals."
LONGEST_LABEL = 40  # characters in a line
SAME_INTERVALS = "Intervals are those of the verdict, but for one score alone."
MIN_SEEDS_BAND = 3  # the half-width of a t interval of two values is 13 standard errors


def curve_figure(comparison: Comparison, score: ScoreComparison) -> Figure | None:
    """Return a plot of a score over samples seen for each arm; None with a single measurement.

    Bands are 95 % intervals. Two seeds are plotted as points, because their interval is too wide for a band.
    """
    from matplotlib.ticker import StrMethodFormatter

    curves = all_curves(comparison, score)
    arms = comparison.runs.arms
    bands = {arm: band(of_seeds) for arm, of_seeds in curves.items()}
    bands = {arm: values for arm, values in bands.items() if values}
    if max(map(len, bands.values()), default=0) < 2:
        return None
    factor = 100 if score.is_share else 1
    lines = {arm: [values] for arm, values in bands.items()}
    with drawing() as ax:
        plot_arms(ax, lines, arms, lambda value: factor * value.mean)
        for arm, values in bands.items():
            _spread(ax, score, arm_colour(arms.index(arm)), curves[arm], values)
        _limits(ax, score, factor)
        unit = ", %" if score.is_share else ""
        ax.set(xlabel=comparison.runs.progress.seen, ylabel=f"{score.measure}{unit}")
        ax.locator_params(axis="x", nbins=6)
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        end = score.data_set.rpartition("-")[2]  # of a name without a split: `test`
        split = "" if score.num_sets > 1 else f" ({end if end in SPLITS else 'test'} split)"
        title = f"{measure_title(score.measure)}, {score.data_set}{split}"
        return finish(ax, title[0].upper() + title[1:], _curve_alt(score, bands))


def _spread(
    ax: Any, score: ScoreComparison, colour: str, curves: Curves, band_of: Mapping[int, Estimate]
) -> None:
    if len(curves) >= MIN_SEEDS_BAND:
        low = [_inside(value.low, score) for value in band_of.values()]
        high = [_inside(value.high, score) for value in band_of.values()]
        ax.fill_between(list(band_of), low, high, color=colour, alpha=0.15, lw=0)
    elif len(curves) == 2:
        factor = 100 if score.is_share else 1
        points = [(n, factor * curve[n]) for curve, n in product(curves.values(), band_of)]
        ax.scatter(*zip(*points, strict=True), s=9, color=colour, alpha=0.6, lw=0)


def _inside(edge: float | None, score: ScoreComparison) -> float:
    """Return a band edge in plot units, with shares clipped to [0, 100] %."""
    value = float(edge or 0.0)
    return 100 * min(max(value, 0.0), 1.0) if score.is_share else value


def _limits(ax: Any, score: ScoreComparison, factor: int) -> None:
    """Draw chance and the best trivial model as lines, and the human ceiling as a band."""
    chance = score.facts["chance"]
    ceiling = score.facts["ceiling"]
    if chance is not None:
        draw_limit(ax, "chance", factor * chance, "top")
    if score.baselines:
        best = max(score.baselines, key=lambda baseline: baseline.value)
        is_high = best.value > ((chance or 0.0) + (ceiling or 1.0)) / 2
        name = best.name.replace(" ", "\n", 1)
        draw_limit(ax, name, factor * best.value, "top" if is_high else "bottom")
    if ceiling is not None:
        lower = score.facts["lower_ceiling"]
        draw_people(ax, factor * (ceiling if lower is None else lower), factor * ceiling)


def _curve_alt(score: ScoreComparison, bands: Mapping[str, Mapping[int, Estimate]]) -> str:
    def at(values: Mapping[int, Estimate], n: int) -> str:
        return f"{score.number(values[n].mean)} at {n:,}"

    ends = [f"{arm} from {at(v, min(v))} samples to {at(v, max(v))}" for arm, v in bands.items()]
    return f"Line chart of {score.name} over samples seen: {'; '.join(ends)}."


def lead_figure(comparison: Comparison, found: Sequence[When]) -> Figure:
    """Return a chart of leads over samples seen: a panel for each score, in the order of emergence.

    Leads over the baseline are shown or, without any, all leads. Bands are intervals at each evaluation. A
    mark shows where a lead emerged.
    """
    shown = [
        each for each in found if each.difference.contrast.reference == comparison.runs.baseline
    ] or found
    in_order = sorted(shown, key=lambda each: each.found.emerged or each.found.end + 1)
    panels = group((each.score.name, each) for each in in_order)
    columns = min(PANELS, len(panels))
    rows = -(-len(panels) // columns)
    with drawing(1.4 + PANEL_INCHES * rows, rows, columns) as axes:
        every = np.atleast_1d(axes).ravel()
        for ax, leads in zip(every, panels.values(), strict=False):
            _panel(ax, leads, comparison.runs.arms, is_first=ax is every[0])
        for ax in every[len(panels) :]:
            ax.set_axis_off()
        first = shown[0].score
        every[0].figure.supxlabel(f"{comparison.runs.progress.unit} seen", fontsize=10)
        every[0].figure.supylabel(f"lead{', points' if first.is_share else ''}", fontsize=10)
        add_legend(every[0])
        alt = f"Line charts of leads over samples seen: {' '.join(each.sentence for each in shown)}"
        return finish(every[0], f"When leads emerge: {measure_title(first.measure)}", alt, LEADS)


def _panel(ax: Any, leads: Sequence[When], arms: Sequence[str], is_first: bool) -> None:
    """Draw the leads of a score with their intervals. The first panel has the labels of the legend."""
    from matplotlib.ticker import StrMethodFormatter

    ax.axhline(0, color=INK, linewidth=1)
    ax.set_title(leads[0].score.data_set, fontsize=9)
    ax.tick_params(labelsize=8)
    ax.locator_params(axis="x", nbins=3)
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    for each in leads:
        style = arm_style(arms.index(each.difference.contrast.arm))
        counts = list(each.found.leads)
        means, lows, highs = (100 if each.score.is_share else 1) * each.found.table
        label = each.difference.contrast.title if is_first else None
        ax.fill_between(counts, lows, highs, color=style["color"], alpha=0.15, linewidth=0)
        ax.plot(counts, means, label=label, **(style | {"marker": "", "linewidth": 1.4}))
        if each.found.emerged is not None:
            mark = style | {"linestyle": "", "markersize": 6}
            ax.plot([each.found.emerged], [means[counts.index(each.found.emerged)]], **mark)


def difference_figure(comparison: Comparison, reference: str) -> Figure | None:
    """Return a dot plot of differences from a reference, with 95 % intervals and seeds; None without shares.

    Each data set has a row. Only shares are plotted.
    """
    contrasts = [c for c in comparison.contrasts if c.reference == reference]
    shares = [s for s in (*comparison.scores, *comparison.averages) if s.is_share]
    scores = [s for s in shares if not s.is_diagnostic and any(map(s.difference, contrasts))]
    if not scores:
        return None
    arms = comparison.runs.arms
    with drawing(height=1.1 + ROW_INCHES * len(scores) * max(1, len(contrasts) * 0.7)) as ax:
        ax.axvline(0, color=INK, linewidth=1)
        for place, contrast in enumerate(contrasts):
            shift = (place - (len(contrasts) - 1) / 2) * 0.8 / max(len(contrasts), 1)
            _dots(ax, scores, contrast, shift, arms.index(contrast.arm))
        ax.set_yticks(range(len(scores)), [s.name for s in scores], fontsize=9)
        ax.set_ylim(len(scores) - 0.5, -0.5)
        ax.set_xlabel(fill(f"points better than {reference}", LONGEST_LABEL))
        add_legend(ax)
        title = f"Difference from {reference}, set by set"
        of_models = comparison.runs.source.one_run_decides
        caption = OVER_ITEMS if of_models else f"{SEEDS_AND_MEANS} {SAME_INTERVALS}"
        return finish(ax, title, _difference_alt(scores, contrasts), caption)


def _dots(ax: Any, scores: Sequence[ScoreComparison], contrast: Contrast, shift: float, index: int) -> None:
    for row, score in enumerate(scores):
        if found := score.difference(contrast):
            _dot(
                ax, row + shift, found, found.tested, _unit(score), index, label=None if row else contrast.arm
            )


def _unit(score: ScoreComparison) -> int:
    """Return the factor from a difference to plot units, in which a positive difference is an improvement."""
    return score.sign * (100 if score.is_share else 1)


def _dot(ax: Any, y: float, found: Difference, value: Estimate, unit: int, index: int, **mark: Any) -> None:
    """Draw the seeds of a difference, and an estimate with its interval, in the style of arm `index`."""
    style = arm_style(index)
    if value.low is not None and value.high is not None:
        ax.plot([unit * value.low, unit * value.high], [y, y], color=style["color"], linewidth=2)
    seeds = [unit * value for value in found.by_seed.values()]
    ax.scatter(seeds, [y] * len(seeds), s=9, color=style["color"], alpha=0.45, linewidths=0)
    ax.plot([unit * value.mean], [y], style["marker"], color=style["color"], **mark)


def draw_answers(
    score: ScoreComparison,
    differences: Sequence[Difference],
    shown: Collection[Contrast],
    arms: Sequence[str],
    format: str,
) -> bytes:
    """Return a dot plot of differences in one score, with the intervals of the verdict, seeds, and ±delta.

    Args:
        score: Score of the differences.
        differences: A row each, from top to bottom.
        shown: Contrasts whose claim has all conditions shown. Their marks are filled, the others are hollow.
        arms: All arms, whose order determines colors.
        format: "pdf" or "svg".
    """
    unit = _unit(score)
    num = len(differences)
    with drawing(1.1 + ROW_INCHES * num) as ax:
        ax.axvline(0, color=INK, linewidth=1)
        if score.rule.delta is not None:
            band = unit * score.rule.delta
            ax.axvspan(-band, band, color=FAINT, alpha=0.15, linewidth=0)
        for row, found in enumerate(differences):
            fill = "full" if found.contrast in shown else "none"
            _dot(ax, row, found, found.tested, unit, arms.index(found.contrast.arm), fillstyle=fill)
        ax.set_yticks(range(num), [found.contrast.title for found in differences], fontsize=9)
        ax.set_ylim(num - 0.5, -0.5)
        unit_name = ", points" if score.is_share else ""
        ax.figure.supxlabel(f"improvement in {score.name}{unit_name} (filled: conditions shown)", fontsize=10)
        longest = max(len(found.contrast.title) for found in differences)
        ax.figure.set_figwidth(WIDTH_INCHES + 0.08 * max(0, longest - 25))
        return save(ax, format)


def _difference_alt(scores: Sequence[ScoreComparison], contrasts: Sequence[Contrast]) -> str:
    parts = []
    for score in scores:
        for found in score.find_differences(contrasts):
            between = score.interval(score.improvement(found.tested)) or "one seed"
            difference = f"{score.signed(score.sign * found.value.mean)} ({between})"
            parts.append(f"{found.contrast.title} in {score.name} {difference}")
    return f"Dot plot of differences with 95 % intervals: {'; '.join(parts)}."
