"""Figures of models: scores with intervals beside trivial models, and curves over the layers of a model."""

from collections.abc import Iterator
from textwrap import fill
from typing import Any

from perceptinit.analysis.comparison import Comparison, ScoreComparison
from perceptinit.reports import figures

ROW_INCHES = 0.36
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


def _draw_forest(score: ScoreComparison) -> figures.Figure:
    factor = 100 if score.is_share else 1
    points = [(arm.arm, arm.value.mean, (arm.value.low, arm.value.high)) for arm in score.arms if arm.value]
    num_models = len(points)
    points += [(trivial.name, trivial.value, trivial.interval or (None, None)) for trivial in score.baselines]
    with figures.drawing(height=1.0 + ROW_INCHES * len(points)) as ax:
        _draw_limits(ax.axvline, ax.axvspan, score)
        for place, (_, value, (low, high)) in enumerate(points):
            colour = figures.arm_colour(1) if place < num_models else figures.FAINT
            ax.plot(factor * value, place, "o", color=colour)
            if low is not None and high is not None:
                ax.plot([factor * low, factor * high], [place, place], color=colour)
        ax.set_yticks(range(len(points)), [fill(name, LONGEST) for name, _, _ in points], fontsize=9)
        ax.set_ylim(len(points) - 0.5, -0.5)
        ax.set_xlabel(_unit(score))
        alt = "; ".join(f"{name} {score.number(value)}" for name, value, _ in points)
        return figures.finish(ax, f"Scores of models: {score.name}", alt, CAPTION)


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
