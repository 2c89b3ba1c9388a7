"""Figures of models: scores with intervals beside trivial models, and curves over the layers of a model."""

from collections.abc import Iterator, Sequence
from textwrap import fill
from typing import Any

import numpy as np

from perceptinit.analysis.comparison import Comparison, ScoreComparison
from perceptinit.reports import figures

ROW_INCHES = 0.36
PANELS = 3  # in a row
PANEL_INCHES = 1.9
LABEL_INCHES = 2.0
LONGEST = 34  # characters in a line of a label
CAPTION = "Points: scores with 95 % intervals. Band: human ceiling. Dotted: chance."


def model_figures(comparison: Comparison) -> Iterator[figures.Figure]:
    """Yield a forest plot of each score of models, and a curve if a model was measured at several layers."""
    for score in comparison.scores:
        if score.rule.one_run_decides:
            yield _draw_forest(score)
            curves = _find_layers(comparison, score)
            if max(map(len, curves.values()), default=0) > 1:
                yield _draw_layers(score, curves)


def draw_sets(comparison: Comparison, format: str) -> bytes:
    """Return a figure with a forest plot of the first score of each set, for a paper.

    Args:
        comparison: Comparison of models.
        format: "pdf" or "svg".
    """
    by_set: dict[str, ScoreComparison] = {}
    for score in comparison.scores:
        by_set.setdefault(score.data_set, score)
    trivial = (each.name for score in by_set.values() for each in score.baselines)
    names = list(dict.fromkeys([*comparison.runs.arms, *trivial]))
    columns = min(PANELS, len(by_set))
    rows = -(-len(by_set) // columns)
    height = rows * (1.0 + 0.8 * ROW_INCHES * len(names))
    with figures.drawing(height, rows, columns, shares_x=False) as axes:
        every = np.atleast_1d(axes).ravel()
        for ax, (title, score) in zip(every, by_set.items(), strict=False):
            _plot_forest(ax, score, names, fontsize=9)
            ax.set_title(title)
        for ax in every[len(by_set) :]:
            ax.set_axis_off()
        every[0].figure.set_figwidth(LABEL_INCHES + PANEL_INCHES * columns)
        return figures.save(every[0], format)


def _draw_forest(score: ScoreComparison) -> figures.Figure:
    names = [arm.arm for arm in score.arms if arm.value] + [each.name for each in score.baselines]
    with figures.drawing(height=1.0 + ROW_INCHES * len(names)) as ax:
        values = _plot_forest(ax, score, names)
        alt = "; ".join(f"{name} {score.number(value)}" for name, value in values.items())
        caption = f"{CAPTION} Gray: trivial models." if score.baselines else CAPTION
        return figures.finish(ax, f"Scores of models: {score.name}", alt, caption)


def _plot_forest(
    ax: Any, score: ScoreComparison, names: Sequence[str], fontsize: int = 10
) -> dict[str, float]:
    """Plot the scores of models and trivial models, with a row for each name, and return them by name."""
    factor = 100 if score.is_share else 1
    points = [(arm.arm, arm.value.mean, (arm.value.low, arm.value.high)) for arm in score.arms if arm.value]
    num_models = len(points)
    points += [(trivial.name, trivial.value, trivial.interval or (None, None)) for trivial in score.baselines]
    _draw_limits(ax.axvline, ax.axvspan, score)
    for place, (name, value, (low, high)) in enumerate(points):
        row = names.index(name)
        colour = figures.arm_colour(1) if place < num_models else figures.FAINT
        ax.plot(factor * value, row, "o", color=colour)
        if low is not None and high is not None:
            ax.plot([factor * low, factor * high], [row, row], color=colour)
    ax.set_yticks(range(len(names)), [fill(name, LONGEST) for name in names], fontsize=fontsize)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlabel(_unit(score))
    return {name: value for name, value, _ in points}


def _find_layers(comparison: Comparison, score: ScoreComparison) -> dict[str, dict[int, float]]:
    """Return the scores of the layers of each model, by the number of the layer."""
    curves: dict[str, dict[int, float]] = {}
    for arm in score.arms:
        about = comparison.runs.about(arm.arm)
        if arm.value and about.get("layer"):
            curve = curves.setdefault(about["model"], {})
            curve[len(curve) + 1] = arm.value.mean
    return curves


def _draw_layers(score: ScoreComparison, curves: dict[str, dict[int, float]]) -> figures.Figure:
    factor = 100 if score.is_share else 1
    with figures.drawing() as ax:
        _draw_limits(ax.axhline, ax.axhspan, score)
        lines = {model: [curve] for model, curve in curves.items()}
        figures.plot_arms(ax, lines, list(curves), lambda value: factor * value)
        ax.set(xlabel="layer", ylabel=_unit(score))
        alt = f"Scores of the layers of {', '.join(curves)}, from input to output"
        return figures.finish(ax, f"Layers: {score.name}", alt, f"{alt}.")


def _draw_limits(line: Any, span: Any, score: ScoreComparison) -> None:
    """Draw chance as a line and the human ceiling as a band."""
    factor = 100 if score.is_share else 1
    style = {"color": figures.FAINT, "linewidth": 1}
    if score.facts["chance"] is not None:
        line(factor * score.facts["chance"], linestyle=":", **style)
    if score.facts["ceiling"] is not None:
        lower = score.facts["lower_ceiling"]
        lower = score.facts["ceiling"] if lower is None else lower
        span(factor * lower, factor * score.facts["ceiling"], alpha=0.15, **style)


def _unit(score: ScoreComparison) -> str:
    return f"{score.measure}{', %' if score.is_share else ''}"
