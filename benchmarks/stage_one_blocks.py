"""CPU time of stage 1 on the last blocks: the frozen part encoded once, and in each step.

    python benchmarks/stage_one_blocks.py --blocks 12 --trained 2 --steps 64

Both sides train the last blocks of a ViT (width 192, 64 px, patch 8) on the same judgments. The sides alternate, and
the command prints the medians of CPU seconds of a step, with the encoding of the frozen part and without evaluations.
With many steps, the ratio for 2 of 12 blocks approaches (12 + 2 * 2) / (3 * 2) = 2.67.
"""

from __future__ import annotations

import time
from typing import Any

import bench
import numpy as np
import timm
import torch

from perceptinit.initializers.frozen_part import encode_frozen_once
from perceptinit.initializers.objectives import Loss, TripletConfig, TripletObjective
from perceptinit.initializers.triplet_training import TripletTraining
from perceptinit.initializers.weights import only_training, trainable_names
from perceptinit.library.adapters import adapt
from perceptinit.types import RunContext, Stimuli, Triplets

SIZE = 64


def draw_judgments(num_images: int, num_judgments: int) -> Triplets:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (num_images, SIZE, SIZE, 3), dtype=np.uint8)
    rows = np.array([rng.permutation(num_images)[:3] for _ in range(num_judgments)])
    stimuli = Stimuli(tuple(map(str, range(num_images))), list(images))
    return Triplets.build(stimuli, *rows.T, rng.integers(0, 2, num_judgments).astype(float))


def train(triplets: Triplets, options: Any, is_once: bool) -> float:
    """Return the CPU seconds of a step."""
    torch.manual_seed(0)
    model = adapt(
        timm.create_model("vit_tiny_patch16_224", img_size=SIZE, patch_size=8, depth=options.blocks)
    )
    pixels = torch.from_numpy(np.stack(list(triplets.stimuli.images))).permute(0, 3, 1, 2).contiguous()
    objective = TripletObjective(triplets, Loss(name="hinge", margin=0.05), "judgments")
    config = TripletConfig(epochs=options.steps, batch_size=len(triplets))
    begin = time.process_time()
    with only_training(model, trainable_names(model, "all", options.trained)):
        training = TripletTraining("triplet-hinge", model, objective, pixels, config, RunContext())
        if is_once:
            encode_frozen_once(model, [training], config, training.norms, RunContext())
        for epoch in range(1, options.steps + 1):
            training.train_epoch(epoch, dict)
    return (time.process_time() - begin) / options.steps


def main() -> None:
    options = bench.parse(
        __doc__,
        blocks=12,
        trained=2,
        steps=64,
        images=60,
        rounds=3,
        tiny={"blocks": 2, "trained": 1, "steps": 1, "images": 6, "rounds": 1},
    )
    triplets = draw_judgments(options.images, 20 * options.images)
    print(
        f"last {options.trained} of {options.blocks} blocks, {options.images} images, {options.steps} steps, "
        f"medians of {options.rounds}; {bench.about('torch', 'timm')}",
        flush=True,
    )
    sides = {
        "frozen part in each step": lambda: train(triplets, options, is_once=False),
        "frozen part once": lambda: train(triplets, options, is_once=True),
    }
    seconds = bench.alternate(sides, options.rounds, warm_up=1)
    for name, values in seconds.items():
        print(f"{name:26} {bench.spread(values, 'CPU s a step', 3)}")
    print(f"ratio {bench.ratio(*seconds.values())}")


if __name__ == "__main__":
    main()
