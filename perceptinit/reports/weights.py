"""How far the image tower's weights moved, block by block."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import torch

from perceptinit.files.checkpoints import load_weights
from perceptinit.reports.figures import Figure, drawing, finish, plot_arms
from perceptinit.results.record import recorded_sha256
from perceptinit.results.runs import LoadedRun, RunSet

IMAGE_TOWER = "image."
_BLOCK = re.compile(r"^(.*?(?:blocks|resblocks|layers|layer|stages)\.?\d+)(?:\.|$)")

Weights = Mapping[str, torch.Tensor]


def weight_figures(runs: RunSet) -> list[Figure]:
    """Return what stage 1 and pretraining changed in each block of the image tower, one line per arm.

    Of the first seed that all arms finished; empty if no seed has the weights of all finished arms. Stage 1 is
    compared with the weights of an arm that leaves them as drawn.
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
    drawn = next((weights[arm][0] for arm in weights if arm not in started), None)
    note = f"Seed {seed}; Frobenius norms, all parameters of a block together."
    changes = {arm: relative_change(first, last) for arm, (first, last) in weights.items()}
    label = "change / size after stage 1"
    figures = [_figure("What pretraining changed", label, changes, runs.arms, note)]
    if drawn is not None and started:
        changes = {arm: relative_change(drawn, weights[arm][0]) for arm in started}
        label = "change / size of weights as drawn"
        figures.insert(0, _figure("What stage 1 changed", label, changes, runs.arms, note))
    return figures


def group_by_block(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the names of a tower's weights by block, in their order: `stem`, `block 0`, ..., `head`.

    What is before the first numbered block is the stem, what comes after it the head.
    """
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
    """Return |after - before| / |before| (Frobenius norm) for each block; 0 where nothing is."""
    changes = {}
    for block, names in group_by_block(before).items():
        moved = sum(float((after[n] - before[n]).square().sum()) for n in names)
        size = sum(float(before[n].square().sum()) for n in names)
        changes[block] = (moved / size) ** 0.5 if size else 0.0
    return changes


def _figure(
    title: str,
    label: str,
    changes: Mapping[str, Mapping[str, float]],
    arms: Sequence[str],
    note: str,
) -> Figure:
    title = f"{title}, block by block"
    blocks = list(next(iter(changes.values())))
    with drawing(height=3.4) as ax:
        plot_arms(ax, {a: [dict(enumerate(of.values()))] for a, of in changes.items()}, arms)
        ax.set_xticks(range(len(blocks)), blocks, rotation=45, ha="right")
        ax.set_ylabel(label)
        ax.set_ylim(bottom=0)
        values = {
            arm: ", ".join(f"{b} {v:.2f}" for b, v in of.items()) for arm, of in changes.items()
        }
        alt = "; ".join(f"{arm}: {text}" for arm, text in values.items())
        return finish(ax, title, f"{title}. {alt}.", note)
