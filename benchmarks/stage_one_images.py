"""CPU time for the images of stage 1: the image store compared with decoding in every epoch, as DreamSim does.

    python benchmarks/stage_one_images.py --images 96 --epochs 32

Each image is in one judgment, as in NIGHTS, and is a PNG file of 768 x 768 pixels. Method A decodes it with PIL in
every epoch, resizes it to 224 x 224 (bicubic) and converts it to a float tensor. Method B is `image_store`, which
decodes missing images and returns uint8 batches. Both normalize like the tower. For A, one epoch per round is measured
and multiplied by the number of epochs. B is measured from an empty folder to the last epoch. The methods alternate. The
command prints medians of CPU milliseconds per image over all epochs.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import bench
import numpy as np
import torch
from PIL import Image
from torchvision import transforms
from train_sets import draw_image

from perceptinit.images.store import ImageStore
from perceptinit.types import RunContext, Stimuli

BATCH = 16  # judgments of three images each
SIZE, SIDE = 224, 768
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def write_images(folder: Path, count: int) -> Stimuli:
    """Write PNG files; return them as stimuli."""
    rng = np.random.default_rng(0)
    paths = [folder / f"{index:04d}.png" for index in range(count)]
    for path in paths:
        path.with_suffix(".jpg").write_bytes(draw_image(rng, (SIDE, SIDE)))
        with Image.open(path.with_suffix(".jpg")) as image:
            image.save(path)
    return Stimuli(tuple(path.stem for path in paths), paths)


def batches(count: int, epoch: int) -> list[np.ndarray]:
    order = np.random.default_rng(epoch).permutation(count)
    return np.split(order, range(3 * BATCH, count, 3 * BATCH))


def decode_epoch(stimuli: Stimuli, epoch: int) -> float:
    """Return the CPU seconds of an epoch with decoding."""
    prepare = transforms.Compose(
        [
            transforms.Resize((SIZE, SIZE), transforms.InterpolationMode.BICUBIC),
            transforms.ToTensor(),
        ]
    )
    normalise = transforms.Normalize(MEAN, STD)
    begin = time.process_time()
    for rows in batches(len(stimuli), epoch):
        images = []
        for row in rows:
            with Image.open(stimuli.images[row]) as image:
                images.append(prepare(image.convert("RGB")))
        normalise(torch.stack(images))
    return time.process_time() - begin


def stored_epochs(stimuli: Stimuli, epochs: int) -> tuple[float, float]:
    """Return the CPU seconds to fill an empty store, and to read all epochs from it."""
    std = torch.tensor(STD).view(3, 1, 1)
    offset, gain = -torch.tensor(MEAN).view(3, 1, 1) / std, 1 / (255 * std)
    with tempfile.TemporaryDirectory() as root:
        begin = time.process_time()
        store = ImageStore(Path(root), SIZE, RunContext(), torch.get_num_threads())
        images = store.open(stimuli, np.arange(len(stimuli)))
        filled = time.process_time()
        for epoch in range(epochs):
            for rows in batches(len(stimuli), epoch):
                images[rows].float().mul_(gain).add_(offset)
        return filled - begin, time.process_time() - filled


def main() -> None:
    options = bench.parse(
        __doc__, images=96, epochs=32, rounds=5, tiny={"images": 4, "epochs": 2, "rounds": 1}
    )
    print(
        f"{options.images} PNG images of {SIDE} px, {options.epochs} epochs, medians of {options.rounds}; "
        f"{bench.about('torch', 'torchvision', 'pillow')}",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        stimuli = write_images(Path(folder), options.images)
        sides = {
            "decoded": lambda: options.epochs * decode_epoch(stimuli, 0),
            "stored": lambda: stored_epochs(stimuli, options.epochs),
        }
        # the first round warms the file cache
        seconds = bench.alternate(sides, options.rounds, warm_up=1)
    filled, read = ([row[part] for row in seconds["stored"]] for part in (0, 1))
    both = [sum(row) for row in seconds["stored"]]
    per_image = 1000 / options.images
    for name, values in {
        "decoded in each epoch": seconds["decoded"],
        "image store": both,
        "  filled": filled,
        "  read": read,
    }.items():
        print(f"{name:22} {bench.spread(values, 'CPU ms an image', 1, per_image)}")
    print(f"ratio {bench.ratio(seconds['decoded'], both, 1)}")


if __name__ == "__main__":
    main()
