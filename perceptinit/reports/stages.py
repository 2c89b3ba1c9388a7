"""Stage 1 and pretraining in the runs: held-out 2AFC, training loss, judgments, and change of weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from perceptinit.files.checkpoints import load_weights
from perceptinit.files.reading import parse_rows
from perceptinit.judgments.ceilings import Bounds
from perceptinit.reports.curves import Curve
from perceptinit.reports.figures import Figure, draw_limit, draw_people, drawing, finish, plot_arms
from perceptinit.results.record import recorded_sha256
from perceptinit.results.runs import LoadedRun, RunSet

_MEASURED = re.compile(r"2afc_(?P<split>\w+?)_(?P<when>before|after|epoch_(?P<epoch>\d+))")
_CEILING = re.compile(r"2afc_\w+_ceiling")
IMAGE_TOWER = "image."
_BLOCK = re.compile(r"^(.*?(?:blocks|resblocks|layers|layer|stages)\.?\d+)(?:\.|$)")

Weights = Mapping[str, torch.Tensor]


def accuracy_curves(runs: RunSet) -> dict[str, list[Curve]]:
    """Return held-out 2AFC over the epochs of stage 1 for each arm and seed that recorded it."""
    return _by_arm(runs, _accuracy)


def _by_arm(runs: RunSet, read: Callable[[LoadedRun], Curve]) -> dict[str, list[Curve]]:
    curves = {arm: [c for run in runs.arm_runs(arm) if (c := read(run))] for arm in runs.arms}
    return {arm: of_seeds for arm, of_seeds in curves.items() if of_seeds}


def _accuracy(run: LoadedRun) -> Curve:
    """Return epoch -> 2AFC of the first stage that reports it, empty without one."""
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
    for metrics in _stage_metrics(runs):
        for name, upper in metrics.items():
            if _CEILING.fullmatch(name) and upper is not None:
                return float(metrics.get(f"{name}_lower", upper)), float(upper)
    return None


def _stage_metrics(runs: RunSet) -> Iterable[Mapping[str, Any]]:
    return (stage["metrics"] for record in runs.records for stage in record["init"])


def find_split(runs: RunSet) -> str:
    """Return the split of the held-out judgments of stage 1, empty when no stage reports 2AFC."""
    found = (_MEASURED.fullmatch(name) for metrics in _stage_metrics(runs) for name in metrics)
    return next((match["split"] for match in found if match), "")


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
            if loss is not None:  # a resumed run repeats steps, and the last line counts
                losses.setdefault(event["stage"], {})[event["step"]] = loss
    curve = losses[min(losses)] if losses else {}
    return dict(sorted(curve.items()))


def judgments_in_words(runs: RunSet) -> str:
    """Return the number of judgments that stage 1 learns from, empty for none."""
    metrics = next((m for m in _stage_metrics(runs) if m.get("triplets")), {})
    ties = int(metrics.get("ties_dropped") or 0)
    left_out = f" (without {ties:,} ties)" if ties else ""
    return f"{int(metrics['triplets']):,}{left_out}" if metrics else ""


def stage_one_figures(runs: RunSet) -> list[Figure]:
    """Return held-out 2AFC over epochs and the loss over steps, with a line per seed, as far as recorded."""
    figures = []
    if accuracies := accuracy_curves(runs):
        shares = {a: [{n: 100 * v for n, v in c.items()} for c in of] for a, of in accuracies.items()}
        title = f"Stage 1: agreement with held-out judgments ({find_split(runs)} split)"
        with drawing() as ax:
            plot_arms(ax, shares, runs.arms, alpha=0.85)
            draw_limit(ax, "chance", 50, "top")
            if people := ceiling(runs):
                draw_people(ax, 100 * people[0], 100 * people[1])
            ax.set_xlabel("epochs of stage 1")
            ax.set_ylabel("agreement with held-out votes, %")
            ends = _list_ends(shares, ".1f", " %")
            alt = f"Line chart of held-out 2AFC over epochs of stage 1 (first seed): {ends}."
            figures.append(finish(ax, title, alt))
    if losses := loss_curves(runs):
        with drawing() as ax:
            plot_arms(ax, losses, runs.arms, alpha=0.85, marker="", linewidth=1.2)
            ax.set_xlabel("optimizer steps of stage 1")
            ax.set_ylabel("loss of the batch")
            ends = _list_ends(losses, ".3g")
            alt = f"Line chart of the training loss over steps of stage 1 (first seed): {ends}."
            figures.append(finish(ax, "Stage 1: loss (train split)", alt))
    return figures


def _list_ends(curves: Mapping[str, Sequence[Curve]], form: str, unit: str = "") -> str:
    """Return the ends of each arm's first curve: `pi from 50.0 to 70.0 %`."""
    ends = {arm: (curve[min(curve)], curve[max(curve)]) for arm, (curve, *_) in curves.items()}
    return "; ".join(f"{arm} from {a:{form}} to {b:{form}}{unit}" for arm, (a, b) in ends.items())


def weight_figures(runs: RunSet) -> list[Figure]:
    """Return the change of weights in each block in stage 1 and in pretraining, with a line per arm.

    The figures show the first seed with the weights of all finished arms. Stage 1 is compared with the
    weights of an arm without initializers. Runs without pretraining have no figure of it.
    """
    for seed in sorted({run.seed for run in runs.finished}):
        found = {run.arm: _load_weights(run) for run in runs.finished if run.seed == seed}
        weights = {arm: pair for arm, pair in found.items() if pair is not None}
        if weights and len(weights) == len(found):
            return _draw(seed, runs, weights)
    return []


def _load_weights(run: LoadedRun) -> tuple[Weights, Weights] | None:
    """Return the image tower after `init` and at the end."""
    paths = [run.folder / "weights" / f"{moment}.safetensors" for moment in ("init", "final")]
    if not all(path.is_file() for path in paths):
        return None
    first, last = (
        {k: v.float() for k, v in weights.items() if v.is_floating_point()}
        for weights in (load_weights(path, recorded_sha256(run.record, path)) for path in paths)
    )
    image = {k.removeprefix(IMAGE_TOWER): v for k, v in last.items() if k.startswith(IMAGE_TOWER)}
    return first, image


def _draw(seed: int, runs: RunSet, weights: Mapping[str, tuple[Weights, Weights]]) -> list[Figure]:
    started = [arm for arm in weights if runs.resolved(arm)["init"]]
    fresh = next((weights[arm][0] for arm in weights if arm not in started), None)
    figures = []
    if fresh is not None and started:
        changes = {arm: relative_change(fresh, weights[arm][0]) for arm in started}
        figures.append(
            _figure("Change in stage 1", "change / size of random weights", changes, seed, runs.arms)
        )
    if any(run.samples_seen for run in runs.finished):
        changes = {arm: relative_change(*pair) for arm, pair in weights.items()}
        figures.append(
            _figure("Change in pretraining", "change / size after stage 1", changes, seed, runs.arms)
        )
    return figures


def group_by_block(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the names of a tower's weights by block, in their order: `stem`, `block 0`, ..., `head`."""
    groups: dict[str, list[str]] = {}
    names = list(names)
    other = "stem" if any(_BLOCK.match(name) for name in names) else "head"
    for name in names:
        match = _BLOCK.match(name)
        if match:
            other = "head"
            block = "block " + re.sub(r"\D+", ".", match[1].lstrip(".")).strip(".")
        groups.setdefault(block if match else other, []).append(name)
    return groups


def relative_change(before: Weights, after: Weights) -> dict[str, float]:
    """Return |after - before| / |before| (Frobenius norm) for each block; 0 for blocks of zeros."""
    changes = {}
    for block, names in group_by_block(before).items():
        moved = sum(float((after[n] - before[n]).square().sum()) for n in names)
        size = sum(float(before[n].square().sum()) for n in names)
        changes[block] = (moved / size) ** 0.5 if size else 0.0
    return changes


def _figure(
    title: str, label: str, changes: Mapping[str, Mapping[str, float]], seed: int, arms: Sequence[str]
) -> Figure:
    title = f"{title}, block by block"
    note = f"Seed {seed}; Frobenius norms, all parameters of a block together."
    blocks = list(next(iter(changes.values())))
    with drawing(height=3.4) as ax:
        plot_arms(ax, {a: [dict(enumerate(of.values()))] for a, of in changes.items()}, arms)
        ax.set_xticks(range(len(blocks)), blocks, rotation=45, ha="right")
        ax.set_ylabel(label)
        ax.set_ylim(bottom=0)
        values = {arm: ", ".join(f"{b} {v:.2f}" for b, v in of.items()) for arm, of in changes.items()}
        alt = "; ".join(f"{arm}: {text}" for arm, text in values.items())
        return finish(ax, title, f"{title}. {alt}.", note)
