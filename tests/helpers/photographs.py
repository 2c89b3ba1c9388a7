"""Image files of random pixels."""

import numpy as np
from PIL import Image

from perceptinit.types import Stimuli

NUM_IMAGES = 10


def photographs(folder, count=NUM_IMAGES):
    """Return files of random pixels, alternately JPEG and PNG, 9 x 7 pixels."""
    folder.mkdir()
    paths = [folder / f"{i}.{'jpg' if i % 2 else 'png'}" for i in range(count)]
    for i, path in enumerate(paths):
        paint(path, i)
    return Stimuli(tuple(path.name for path in paths), paths)


def paint(path, seed):
    noise = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
