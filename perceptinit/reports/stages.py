"""Page content on stage 1: held-out 2AFC, training loss, and judgments."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np

from perceptinit.analysis.curves import Curve
from perceptinit.files.reading import parse_rows
from perceptinit.grouping import group
from perceptinit.judgments.baselines import Bounds
from perceptinit.reports.figures import Figure, draw_limit, draw_people, drawing, finish, plot_arms
from perceptinit.results.record import describe_stages
from perceptinit.results.runs import LoadedRun, RunSet
from perceptinit.verdict.stage_one import read_rise

_MEASURED = re.compile(r"2afc_(?P<split>\w+?)_(?P<when>before|after|epoch_(?P<epoch>\d+))")
_CEILING = re.compile(r"2afc_\w+_ceiling")


def curves_by_arm(runs: RunSet, read: Callable[[LoadedRun], Curve]) -> dict[str, list[Curve]]:
    """Return the curve of each run of an arm that has one, by arm."""
    curves = ((run.arm, read(run)) for run in runs.runs)
    return group((arm, curve) for arm, curve in curves if curve)


def accuracy_curve(run: LoadedRun) -> Curve:
    """Return held-out 2AFC by epoch in the first stage that reports it; empty if none does."""
    stages = run.record.get("init", [])
    tables = run.record["arm"]["resolved"]["init"] if stages else []
    for stage, table in zip(stages, tables, strict=False):
        kept = int(stage["metrics"].get("kept_epoch") or table.get("epochs", 1))
        values = {}
        for name, value in stage["metrics"].items():
            if (m := _MEASURED.fullmatch(name)) and value is not None:
                values[{"before": 0, "after": kept}.get(m["when"], int(m["epoch"] or 0))] = value
        if len(values) > 1:
            return dict(sorted(values.items()))
    return {}


@lru_cache(maxsize=1)
def held_out_accuracy(runs: RunSet) -> dict[str, tuple[float, float] | None]:
    """Return mean held-out 2AFC by arm, before and after the first stage that reports it, if any."""
    found: dict[str, list[tuple[float, float]]] = {arm: [] for arm in runs.arms}
    for run in runs.finished:
        rise = read_rise(run)
        if not math.isnan(rise.gain):
            found[run.arm].append((rise.before, rise.after))
    return {arm: tuple(np.mean(pairs, axis=0).tolist()) if pairs else None for arm, pairs in found.items()}


def ceiling(runs: RunSet) -> Bounds | None:
    """Return the human ceiling on the held-out judgments; None if no stage reports it."""
    for metrics in _stage_metrics(runs):
        for name, upper in metrics.items():
            if _CEILING.fullmatch(name) and upper is not None:
                return float(metrics.get(f"{name}_lower", upper)), float(upper)
    return None


def _stage_metrics(runs: RunSet) -> list[Mapping[str, Any]]:
    return [stage["metrics"] for stage in chain(*(record["init"] for record in runs.records))]


def find_split(runs: RunSet) -> str:
    """Return the split of the held-out judgments of stage 1; empty if no stage reports 2AFC."""
    found = map(_MEASURED.fullmatch, chain(*_stage_metrics(runs)))
    return next((match["split"] for match in found if match), "")


def loss_curve(run: LoadedRun) -> Curve:
    """Return the loss by step of the first initializer that logs it; empty if none does."""
    file = run.folder / "events.jsonl"
    if not file.is_file():
        return {}
    losses: dict[str, Curve] = {}
    for event in parse_rows(file.read_text(encoding="utf-8", errors="replace").splitlines()):
        if event.get("kind") == "step" and str(event.get("stage", "")).startswith("init."):
            loss = event.get("metrics", {}).get("loss")
            if loss is not None:  # resumed runs repeat steps; the last event applies
                losses.setdefault(event["stage"], {})[event["step"]] = loss
    curve = losses[min(losses)] if losses else {}
    return dict(sorted(curve.items()))


def judgments_in_words(runs: RunSet) -> str:
    """Return the number of judgments that stage 1 learns from; empty if not recorded."""
    metrics = next((m for m in _stage_metrics(runs) if m.get("triplets")), {})
    ties = int(metrics.get("ties_dropped") or 0)
    left_out = f" (without {ties:,} ties)" if ties else ""
    return f"{int(metrics['triplets']):,}{left_out}" if metrics else ""


def stage_reports(runs: RunSet) -> dict[str, list[str]]:
    """Return the lines of the initializers' reports in each arm's first finished run, by arm and seed."""
    first = {run.arm: run for run in reversed(runs.finished) if run.record}
    ordered = [first[arm] for arm in runs.arms if arm in first]
    return {run.title: list(describe_stages(run.record)) for run in ordered}


def stage_one_figures(runs: RunSet) -> Iterator[Figure]:
    """Yield plots of held-out 2AFC over epochs and of loss over steps, if recorded."""
    if accuracies := curves_by_arm(runs, accuracy_curve):
        title = f"Stage 1: agreement with held-out judgments ({find_split(runs)} split)"
        with drawing() as ax:
            plot_arms(ax, accuracies, runs.arms, lambda value: 100 * value, alpha=0.85)
            draw_limit(ax, "chance", 50, "top")
            if people := ceiling(runs):
                draw_people(ax, 100 * people[0], 100 * people[1])
            ax.set(xlabel="epochs of stage 1", ylabel="agreement with held-out votes, %")
            ends = _list_ends(accuracies, lambda value: f"{100 * value:.1f}", " %")
            alt = f"Line chart of held-out 2AFC over epochs of stage 1 (first seed): {ends}."
            yield finish(ax, title, alt)
    if losses := curves_by_arm(runs, loss_curve):
        with drawing() as ax:
            plot_arms(ax, losses, runs.arms, alpha=0.85, marker="", linewidth=1.2)
            ax.set(xlabel="optimizer steps of stage 1", ylabel="loss of the batch")
            ends = _list_ends(losses, "{:.3g}".format)
            alt = f"Line chart of the training loss over steps of stage 1 (first seed): {ends}."
            yield finish(ax, "Stage 1: loss (train split)", alt)


def _list_ends(
    curves: Mapping[str, Sequence[Curve]], in_words: Callable[[float], str], unit: str = ""
) -> str:
    """Return the first and last value of each arm's first curve: `pi from 50.0 to 70.0 %`."""
    ends = {arm: (curve[min(curve)], curve[max(curve)]) for arm, (curve, *_) in curves.items()}
    return "; ".join(f"{arm} from {in_words(a)} to {in_words(b)}{unit}" for arm, (a, b) in ends.items())
