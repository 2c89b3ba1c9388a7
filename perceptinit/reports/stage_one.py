"""Stage 1 in the runs' files and on the page: held-out 2AFC over epochs, the training loss, the judgments."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from perceptinit.files.reading import parse_rows
from perceptinit.judgments.ceilings import Bounds
from perceptinit.reports.curves import Curve
from perceptinit.reports.figures import Figure, draw_limit, draw_people, drawing, finish, plot_arms
from perceptinit.results.runs import LoadedRun, RunSet

_MEASURED = re.compile(r"2afc_(?P<split>\w+?)_(?P<when>before|after|epoch_(?P<epoch>\d+))")


def accuracy_curves(runs: RunSet) -> dict[str, list[Curve]]:
    """Return held-out 2AFC over the epochs of stage 1 for each arm and finished seed that has it."""
    return _by_arm(runs, _accuracy)


def _by_arm(runs: RunSet, read: Callable[[LoadedRun], Curve]) -> dict[str, list[Curve]]:
    curves = {arm: [c for run in runs.arm_runs(arm) if (c := read(run))] for arm in runs.arms}
    return {arm: of_seeds for arm, of_seeds in curves.items() if of_seeds}


def _accuracy(run: LoadedRun) -> Curve:
    """Return epoch -> 2AFC of the first stage that reports it; empty when none does."""
    stages = run.record.get("init", [])
    tables = run.record["arm"]["resolved"]["init"] if stages else []
    for stage, table in zip(stages, tables, strict=False):
        kept = int(stage["metrics"].get("kept_epoch") or table.get("epochs", 1))
        values = {
            {"before": 0, "after": kept}.get(m["when"], int(m["epoch"] or 0)): value
            for name, value in stage["metrics"].items()
            if (m := _MEASURED.fullmatch(name)) and value is not None
        }
        if len(values) > 1:
            return dict(sorted(values.items()))
    return {}


def ceiling(runs: RunSet) -> Bounds | None:
    """Return the human ceiling on the held-out judgments, None when no stage reports it."""
    for metrics in (stage["metrics"] for record in runs.records for stage in record["init"]):
        for name, upper in metrics.items():
            if name.startswith("2afc_") and name.endswith("_ceiling") and upper is not None:
                return float(metrics.get(f"{name}_lower", upper)), float(upper)
    return None


def loss_curves(runs: RunSet) -> dict[str, list[Curve]]:
    """Return the loss over steps of the first initializer that logs one, for each arm and seed."""
    return _by_arm(runs, _loss)


def _loss(run: LoadedRun) -> Curve:
    file = run.folder / "events.jsonl"
    if not file.is_file():
        return {}
    losses: dict[str, Curve] = {}
    for event in parse_rows(file.read_text(encoding="utf-8", errors="replace").splitlines()):
        if event.get("kind") == "step" and str(event.get("stage", "")).startswith("init."):
            loss = event.get("metrics", {}).get("loss")
            if loss is not None:  # a continued run writes steps again: the last line counts
                losses.setdefault(event["stage"], {})[event["step"]] = loss
    curve = losses[min(losses)] if losses else {}
    return dict(sorted(curve.items()))


def judgments_in_words(runs: RunSet) -> str:
    """Return how many judgments stage 1 learns from, empty when no arm does."""
    metrics = (stage["metrics"] for record in runs.records for stage in record["init"])
    for numbers in metrics:
        count, ties = numbers.get("triplets"), int(numbers.get("ties_dropped") or 0)
        if count:
            return f"{int(count):,}" + (f" ({ties:,} tied ones left out)" if ties else "")
    return ""


def stage_one_figures(runs: RunSet) -> list[Figure]:
    """Return held-out 2AFC over epochs and the loss over steps, one line per seed; of what the runs recorded."""
    accuracies, losses = accuracy_curves(runs), loss_curves(runs)
    figures = [_accuracy_figure(accuracies, runs)] if accuracies else []
    return [*figures, _loss_figure(losses, runs.arms)] if losses else figures


def _accuracy_figure(curves: Mapping[str, Sequence[Curve]], runs: RunSet) -> Figure:
    people = ceiling(runs)
    with drawing() as ax:
        shares = {a: [{n: 100 * v for n, v in c.items()} for c in of] for a, of in curves.items()}
        plot_arms(ax, shares, runs.arms, alpha=0.85)
        draw_limit(ax, "chance", 50, "top")
        if people is not None:
            draw_people(ax, 100 * people[0], 100 * people[1])
        ax.set_xlabel("epochs of stage 1")
        ax.set_ylabel("agreement with held-out votes, %")
        ends = _list_ends(shares, ".1f", " %")
        alt = f"Line chart of held-out 2AFC over epochs of stage 1 (first seed): {ends}."
        return finish(ax, "Stage 1: agreement with held-out judgments", alt)


def _loss_figure(losses: Mapping[str, Sequence[Curve]], arms: Sequence[str]) -> Figure:
    with drawing() as ax:
        plot_arms(ax, losses, arms, alpha=0.85, marker="", linewidth=1.2)
        ax.set_xlabel("optimiser steps of stage 1")
        ax.set_ylabel("loss of the batch")
        ends = _list_ends(losses, ".3g")
        alt = f"Line chart of the training loss over steps of stage 1 (first seed): {ends}."
        return finish(ax, "Stage 1: training loss", alt)


def _list_ends(curves: Mapping[str, Sequence[Curve]], form: str, unit: str = "") -> str:
    """Return the ends of each arm's first curve: `pi from 50.0 to 70.0 %`."""
    ends = {arm: (curve[min(curve)], curve[max(curve)]) for arm, (curve, *_) in curves.items()}
    return "; ".join(f"{arm} from {a:{form}} to {b:{form}}{unit}" for arm, (a, b) in ends.items())
