"""How far the image tower's weights moved, block by block."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from perceptinit.files.checkpoints import load_weights
from perceptinit.reports.figures import Figure, drawing, finish, plot_arms
from perceptinit.results.record import recorded_sha256
from perceptinit.results.runs import LoadedRun, RunSet

IMAGE_TOWER = "image."
_BLOCK = re.compile(r"^(.*?(?:blocks|resblocks|layers|layer|stages)\.?\d+)(?:\.|$)")

Weights = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class WeightChange:
    """Numbers per block of the image tower, for the first seed that all arms finished.

    stage_one: arm -> |init - untouched| / |untouched|, where an arm leaves weights as drawn.
    pretraining: arm -> |final - init| / |init|.
    """

    seed: int
    blocks: tuple[str, ...]
    stage_one: Mapping[str, Sequence[float]]
    pretraining: Mapping[str, Sequence[float]]


def weight_change(runs: RunSet) -> WeightChange | None:
    """Return how weights changed, None when no seed has weights of all finished arms."""
    for seed in sorted({run.seed for run in runs.finished}):
        cells = {run.arm: run for run in runs.finished if run.seed == seed}
        weights = {arm: _weights(run) for arm, run in cells.items()}
        known = {arm: pair for arm, pair in weights.items() if pair is not None}
        if known and len(known) == len(cells):
            return _change(seed, runs, known)
    return None


def _weights(run: LoadedRun) -> tuple[Weights, Weights] | None:
    """Return the image tower after `init` and at the end."""
    folder = run.folder / "weights"
    paths: list[Path] = [folder / "init.safetensors", folder / "final.safetensors"]
    if not all(path.is_file() for path in paths):
        return None
    first, last = (load_weights(path, recorded_sha256(run.record, path)) for path in paths)
    image = {k.removeprefix(IMAGE_TOWER): v for k, v in last.items() if k.startswith(IMAGE_TOWER)}
    return _floats(first), _floats(image)


def _floats(weights: Weights) -> Weights:
    return {k: v.float() for k, v in weights.items() if v.is_floating_point()}


def _change(
    seed: int, runs: RunSet, weights: Mapping[str, tuple[Weights, Weights]]
) -> WeightChange:
    untouched = next((w[0] for arm, w in weights.items() if not runs.resolved(arm)["init"]), None)
    names = block_names(next(iter(weights.values()))[0])
    moved = [a for a in weights if runs.resolved(a)["init"] and untouched is not None]
    return WeightChange(
        seed,
        tuple(names),
        {arm: relative_change(untouched, weights[arm][0], names) for arm in moved}
        if untouched is not None
        else {},
        {arm: relative_change(first, last, names) for arm, (first, last) in weights.items()},
    )


def block_names(weights: Weights) -> list[str]:
    """Return the blocks of a tower in the order of its weights: `stem`, `block 0`, ..., `head`.

    What stands before the first numbered block is the stem, what comes after the last the head.
    """
    return list(dict.fromkeys(_block(name, list(weights)) for name in weights))


def _block(name: str, names: Sequence[str]) -> str:
    match = _BLOCK.match(name)
    if match:
        return "block " + re.sub(r"\D+", ".", match[1].lstrip(".")).strip(".")
    numbered = [i for i, other in enumerate(names) if _BLOCK.match(other)]
    return "stem" if numbered and names.index(name) < numbered[0] else "head"


def _by_block(weights: Weights, blocks: Sequence[str]) -> dict[str, list[str]]:
    names = list(weights)
    groups: dict[str, list[str]] = {block: [] for block in blocks}
    for name in names:
        groups[_block(name, names)].append(name)
    return groups


def relative_change(before: Weights, after: Weights, blocks: Sequence[str]) -> list[float]:
    """Return |after - before| / |before| (Frobenius norm) for each block; 0 where nothing is."""
    changes = []
    for names in _by_block(before, blocks).values():
        moved = sum(float((after[n] - before[n]).square().sum()) for n in names)
        size = sum(float(before[n].square().sum()) for n in names)
        changes.append((moved / size) ** 0.5 if size else 0.0)
    return changes


def weight_figures(runs: RunSet) -> list[Figure]:
    """Return what stage 1 and pretraining changed in each block of the image tower, one line per arm."""
    change = weight_change(runs)
    if change is None:
        return []
    lines = (
        ("What stage 1 changed, block by block", "change / size of weights as drawn", change.stage_one),
        ("What pretraining changed, block by block", "change / size after stage 1", change.pretraining),
    )  # fmt: skip
    return [_figure(change, title, label, of, runs.arms) for title, label, of in lines if of]


def _figure(
    change: WeightChange,
    title: str,
    label: str,
    lines: Mapping[str, Sequence[float]],
    arms: Sequence[str],
) -> Figure:
    with drawing(height=3.4) as ax:
        plot_arms(ax, {arm: [dict(enumerate(values))] for arm, values in lines.items()}, arms)
        ax.set_xticks(range(len(change.blocks)), change.blocks, rotation=45, ha="right")
        ax.set_ylabel(label)
        ax.set_ylim(bottom=0)
        alt = "; ".join(
            f"{arm}: "
            + ", ".join(f"{b} {v:.2f}" for b, v in zip(change.blocks, values, strict=True))
            for arm, values in lines.items()
        )
        note = f"Seed {change.seed}; Frobenius norms, all parameters of a block together."
        return finish(ax, title, f"{title}. {alt}.", note)
