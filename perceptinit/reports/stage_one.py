"""What the runs' files tell of stage 1: held-out 2AFC over epochs, the training loss, the judgments."""

from __future__ import annotations

import re
from pathlib import Path

from perceptinit.files.reading import parse_rows
from perceptinit.judgments.ceilings import Bounds
from perceptinit.reports.curves import Curve
from perceptinit.results.runs import LoadedRun, RunSet

_MEASURED = re.compile(r"2afc_(?P<split>\w+?)_(?P<when>before|after|epoch_(?P<epoch>\d+))")


def accuracy_curves(runs: RunSet) -> dict[str, list[Curve]]:
    """Return held-out 2AFC over the epochs of stage 1 for each arm and finished seed that has it."""
    curves = {arm: [c for r in runs.arm_runs(arm) if (c := _accuracy(r))] for arm in runs.arms}
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
    curves = {arm: [c for r in runs.arm_runs(arm) if (c := _loss(r.folder))] for arm in runs.arms}
    return {arm: of_seeds for arm, of_seeds in curves.items() if of_seeds}


def _loss(folder: Path) -> Curve:
    file = folder / "events.jsonl"
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
