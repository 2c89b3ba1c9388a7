"""CPU time for the images of stage 1: the image store compared with decoding in every epoch, as DreamSim does.

    python benchmarks/stage_one_images.py --images 96 --epochs 32

Each image is in one judgment, as in NIGHTS, and is a PNG file of 768 x 768 pixels. Method A decodes it with PIL in
every epoch, resizes it to 224 x 224 (bicubic) and converts it to a float tensor. Method B is `image_store`, which
decodes missing images and returns uint8 batches. Both normalize like the tower. For A, one epoch per round is measured
and multiplied by the number of epochs. B is measured from an empty folder to the last epoch. The methods alternate. The
command prints medians of CPU milliseconds per image over all epochs.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    per_image = 1000 / asked.images
    decoding, filling, reading = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        stimuli = write_images(Path(folder), asked.images)
        decode_epoch(stimuli, 0)  # warms the file cache
        for index in range(asked.rounds):
            decoding.append(asked.epochs * per_image * decode_epoch(stimuli, index))
            filled, read = stored_epochs(stimuli, asked.epochs)
            filling.append(per_image * filled)
            reading.append(per_image * read)
    print(
        f"{asked.images} PNG images of {SIDE} px, {asked.epochs} epochs, medians of {asked.rounds}; "
        f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} thread(s), "
        f"pillow {version('pillow')}, torchvision {version('torchvision')}"
    )
    before, fill, read = map(statistics.median, (decoding, filling, reading))
    ratios = [a / (b + c) for a, b, c in zip(decoding, filling, reading, strict=True)]
    print(f"decoded each epoch   {before:8.1f} CPU ms an image")
    print(f"image store          {fill + read:8.1f} CPU ms an image ({fill:.1f} filled, {read:.1f} read)")
    print(f"ratio {statistics.median(ratios):.1f} x ({min(ratios):.1f} to {max(ratios):.1f})")


if __name__ == "__main__":
    main()
