"""The page's figures: curves, differences, stage 1, weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from perceptinit.judgments.ceilings import Bounds
from perceptinit.reports.comparison import Comparison, ScoreComparison
from perceptinit.reports.contrasts import Contrast
from perceptinit.reports.curves import Curve, Curves, all_curves, band
from perceptinit.reports.figures import (
    FAINT,
    INK,
    Figure,
    arm_colour,
    arm_style,
    drawing,
    finish,
)
from perceptinit.reports.numbers import interval, number, signed
from perceptinit.reports.statistics import Estimate
from perceptinit.results.measures import measure_title

ROW_INCHES = 0.34
MIN_SEEDS_BAND = 3  # the t interval of two values is 13 standard errors wide to each side


def curve_figure(comparison: Comparison, score: ScoreComparison) -> Figure | None:
    """Return a score over samples seen per arm; None when it was measured once.

    With 95 % bands, or each seed's values as points where two seeds would make a band of any width.
    """
    curves = all_curves(comparison, score)
    bands = {arm: band(of_seeds) for arm, of_seeds in curves.items()}
    if max((len(b) for b in bands.values()), default=0) < 2:
        return None
    factor = 100 if score.is_share else 1
    with drawing() as axes:
        for index, (arm, values) in enumerate(bands.items()):
            if not values:
                continue
            counts = list(values)
            means = [factor * v.mean for v in values.values()]
            axes[0].plot(counts, means, label=arm, **arm_style(index))
            _spread(axes[0], score, index, curves[arm], values)
        _limits(axes[0], score, factor)
        axes[0].set_xlabel(f"{comparison.runs.samples} seen")
        axes[0].set_ylabel(f"{score.measure}, %" if score.is_share else score.measure)
        axes[0].xaxis.set_major_formatter(_thousands())
        _legend(axes[0])
        title = f"{measure_title(score.measure)}, {score.data_set}"
        return finish(axes, title[0].upper() + title[1:], _curve_alt(score, bands))


def _spread(
    ax: Any, score: ScoreComparison, index: int, curves: Curves, band_of: Mapping[int, Estimate]
) -> None:
    counts = list(band_of)
    if len(curves) >= MIN_SEEDS_BAND:
        low, high = (
            [_inside(edge, score) for edge in side]
            for side in zip(*((v.low, v.high) for v in band_of.values()), strict=True)
        )
        ax.fill_between(counts, low, high, color=arm_colour(index), alpha=0.15, lw=0)
    elif len(curves) == 2:
        factor = 100 if score.is_share else 1
        points = [(n, factor * curve[n]) for curve in curves.values() for n in counts]
        ax.scatter(*zip(*points, strict=True), s=9, color=arm_colour(index), alpha=0.6, lw=0)


def _inside(edge: float | None, score: ScoreComparison) -> float:
    """Return an edge of a band as it is drawn: a share has no values below 0 and above 100 %."""
    value = float(edge or 0.0)
    return 100 * min(max(value, 0.0), 1.0) if score.is_share else value


def _thousands():
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda value, _: f"{value:,.0f}")


def _limits(ax, score: ScoreComparison, factor: int) -> None:
    """Draw chance and the best trivial baseline as lines, the human ceiling as a band between its bounds.

    Their names stand beside the axes, where no curve is.
    """
    if score.chance is not None:
        _limit(ax, "chance", factor * score.chance, "top")
    if score.baselines:
        best = max(score.baselines, key=lambda baseline: baseline.value)
        is_high = best.value > ((score.chance or 0.0) + (score.ceiling or 1.0)) / 2
        name = best.name.replace(" ", "\n", 1)
        _limit(ax, name, factor * best.value, "top" if is_high else "bottom")
    if score.ceiling is not None:
        lower = score.ceiling if score.lower_ceiling is None else score.lower_ceiling
        _people(ax, factor * lower, factor * score.ceiling)


def _people(ax: Any, lower: float, upper: float) -> None:
    ax.axhspan(lower, upper, color=FAINT, alpha=0.15, linewidth=0)
    _limit(ax, "human\nceiling", upper, "bottom")


def _limit(ax: Any, name: str, value: float, side: str) -> None:
    """Draw a line with its name beside the axes, on the side ("top": below it) where no other name is."""
    ax.axhline(value, color=FAINT, linewidth=1, linestyle=":")
    place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    ax.annotate(name, (1, value), (4, 0), va=side, color=FAINT, fontsize=8, **place)


def _legend(ax: Any) -> None:
    """Put the arms' names above the axes, where no curve is."""
    ax.figure.legend(loc="outside upper left", ncols=4, fontsize=9)


def _curve_alt(score: ScoreComparison, bands: Mapping[str, Mapping[int, object]]) -> str:
    parts = []
    for arm, values in bands.items():
        if values:
            first, *_, last = [*values.items()] if len(values) > 1 else [*values.items()] * 2
            parts.append(
                f"{arm} from {number(first[1].mean, score.is_share)} at {first[0]:,} samples "  # type: ignore[attr-defined]
                f"to {number(last[1].mean, score.is_share)} at {last[0]:,}"  # type: ignore[attr-defined]
            )
    return f"Line chart of {score.name} over samples seen: {'; '.join(parts)}."


def difference_figure(comparison: Comparison, contrasts: Sequence[Contrast]) -> Figure | None:
    """Return a dot plot of differences per data set with 95 % intervals and each seed; shares only.

    contrasts: all against one reference.
    """
    scores = [s for s in (*comparison.scores, *comparison.averages) if _is_dot(s, contrasts)]
    if not scores:
        return None
    reference = contrasts[0].reference
    arms = comparison.runs.arms
    with drawing(height=1.1 + ROW_INCHES * len(scores) * max(1, len(contrasts) * 0.7)) as axes:
        ax = axes[0]
        ax.axvline(0, color=INK, linewidth=1)
        for place, contrast in enumerate(contrasts):
            shift = (place - (len(contrasts) - 1) / 2) * 0.8 / max(len(contrasts), 1)
            _dots(ax, scores, contrast, shift, arms.index(contrast.arm))
        ax.set_yticks(range(len(scores)), [s.name for s in scores], fontsize=9)
        ax.set_ylim(len(scores) - 0.5, -0.5)
        ax.set_xlabel(f"points better than {reference}")
        _legend(ax)
        return finish(
            axes,
            f"Difference to {reference}, set by set",
            _difference_alt(scores, contrasts),
            "Large marks: mean over seeds with its 95 % interval. Small dots: single seeds.",
        )


def _is_dot(score: ScoreComparison, contrasts: Sequence[Contrast]) -> bool:
    has_any = any(score.difference(contrast) for contrast in contrasts)
    return score.is_share and not score.is_diagnostic and has_any


def _dots(ax, scores, contrast: Contrast, shift: float, index: int) -> None:
    style = arm_style(index)
    for row, score in enumerate(scores):
        found = score.difference(contrast)
        if found is None:
            continue
        sign = 100 if score.higher_is_better else -100
        y = row + shift
        low, high = found.value.low, found.value.high
        if low is not None and high is not None:
            ax.plot([sign * low, sign * high], [y, y], color=style["color"], linewidth=2)
        seeds = [sign * value for value in found.by_seed.values()]
        ax.scatter(seeds, [y] * len(seeds), s=9, color=style["color"], alpha=0.45, linewidths=0)
        label = contrast.arm if row == 0 else None
        ax.plot([sign * found.value.mean], [y], style["marker"], color=style["color"], label=label)


def _difference_alt(scores: Sequence[ScoreComparison], contrasts: Sequence[Contrast]) -> str:
    parts = []
    for score in scores:
        for contrast in contrasts:
            found = score.difference(contrast)
            if found:
                between = interval(found.value, score.is_share)
                parts.append(
                    f"{contrast.title} in {score.name} {signed(found.value.mean, score.is_share)}"
                    + (f" ({between})" if between else " (one seed)")
                )
    return f"Dot plot of differences with 95 % intervals: {'; '.join(parts)}."


def stage_one_figure(
    curves: Mapping[str, Sequence[Curve]], arms: Sequence[str], ceiling: Bounds | None
) -> Figure | None:
    """Return held-out 2AFC over the epochs of stage 1, one line per seed.

    curves: arm -> for each seed, epoch -> 2AFC in [0, 1]. ceiling: of people, its two bounds.
    """
    if not curves:
        return None
    with drawing() as axes:
        for arm, of_seeds in curves.items():
            for number_of_line, curve in enumerate(of_seeds):
                style = arm_style(arms.index(arm))
                label = arm if number_of_line == 0 else None
                values = [100 * v for v in curve.values()]
                axes[0].plot(list(curve), values, label=label, alpha=0.85, **style)
        _limit(axes[0], "chance", 50, "top")
        if ceiling is not None:
            _people(axes[0], 100 * ceiling[0], 100 * ceiling[1])
        axes[0].set_xlabel("epochs of stage 1")
        axes[0].set_ylabel("agreement with held-out votes, %")
        _legend(axes[0])
        alt = "; ".join(
            f"{arm} from {100 * _first(c):.1f} to {100 * _last(c):.1f} %"
            for arm, of_seeds in curves.items()
            for c in of_seeds[:1]
        )
        return finish(
            axes,
            "Stage 1: agreement with held-out judgments",
            f"Line chart of held-out 2AFC over epochs of stage 1 (first seed): {alt}.",
        )


def loss_figure(losses: Mapping[str, Sequence[Curve]], arms: Sequence[str]) -> Figure | None:
    """Return the loss of stage 1 over optimiser steps, one line per seed.

    losses: arm -> for each seed, step -> loss of that batch.
    """
    if not losses:
        return None
    with drawing() as axes:
        for arm, of_seeds in losses.items():
            style = {**arm_style(arms.index(arm)), "marker": "", "linewidth": 1.2}
            for line, curve in enumerate(of_seeds):
                label = arm if line == 0 else None
                axes[0].plot(list(curve), list(curve.values()), label=label, alpha=0.85, **style)
        axes[0].set_xlabel("optimiser steps of stage 1")
        axes[0].set_ylabel("loss of the batch")
        _legend(axes[0])
        alt = "; ".join(
            f"{arm} from {_first(c):.3g} to {_last(c):.3g}"
            for arm, of_seeds in losses.items()
            for c in of_seeds[:1]
        )
        return finish(
            axes,
            "Stage 1: training loss",
            f"Line chart of the training loss over steps of stage 1 (first seed): {alt}.",
        )


def _first(curve: Curve) -> float:
    return curve[min(curve)]


def _last(curve: Curve) -> float:
    return curve[max(curve)]


def block_figure(
    title: str,
    label: str,
    blocks: Sequence[str],
    lines: Mapping[str, Sequence[float]],
    arms: Sequence[str],
    caption: str = "",
    from_zero: bool = True,
) -> Figure | None:
    """Return a number per block of the image tower, one line per arm.

    blocks: names in the order of the forward pass. lines: arm -> a value per block.
    """
    if not lines:
        return None
    with drawing(height=3.4) as axes:
        for arm, values in lines.items():
            axes[0].plot(range(len(blocks)), values, label=arm, **arm_style(arms.index(arm)))
        axes[0].set_xticks(range(len(blocks)), blocks, rotation=45, ha="right")
        axes[0].set_ylabel(label)
        if from_zero:
            axes[0].set_ylim(bottom=0)
        _legend(axes[0])
        alt = "; ".join(
            f"{arm}: " + ", ".join(f"{b} {v:.2f}" for b, v in zip(blocks, values, strict=True))
            for arm, values in lines.items()
        )
        return finish(axes, title, f"{title}. {alt}.", caption)
