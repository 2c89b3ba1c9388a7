"""Which programs make equal pixels: a fingerprint of all that decodes and resizes."""

from __future__ import annotations

import hashlib
import io
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import numpy as np
from PIL import Image

from perceptinit.files.cache import key_of
from perceptinit.images.decoding import Fit, load_square
from perceptinit.types import WHITE, Colour

FORMAT = 1  # of the files; a new one makes new folders
PACKAGES = ("pillow", "simplejpeg", "torch", "torchvision")


@lru_cache
def pixel_parts(size: int, fit: Fit, background: Colour = WHITE) -> dict[str, Any]:
    """Return all that determines the pixels of an image's square, but for the image.

    Beside the versions of the libraries there is a trial: pixels of a JPEG and PNGs, which also
    tell processors apart whose instructions round differently, and changes of our own code.
    """
    return {
        "format": FORMAT,
        "size": size,
        "fit": fit,
        "versions": {name: version(name) for name in PACKAGES},
        "background": list(background),
        "trial": _trial(size, fit, background),
    }


def folder_name(size: int, fit: Fit, background: Colour = WHITE) -> str:
    """Return the name of the folder for these pixels: `224px-squash-1f0c...`."""
    return f"{size}px-{fit}-{key_of(pixel_parts(size, fit, background))[:16]}"


def _trial(size: int, fit: Fit, background: Colour = WHITE) -> str:
    """Return the SHA-256 of the squares of noisy pictures: large, small, tall, and transparent in parts."""
    digest = hashlib.sha256()
    large, small = size + size // 2 + 5, size // 2 + 5
    trials = (
        ("JPEG", large, large + 3, 3),
        ("PNG", small, small + 3, 3),
        ("JPEG", 2 * large, large, 3),
        ("PNG", small + 1, small, 4),
    )
    for file_format, height, width, channels in trials:
        shape = (height, width, channels)
        noise = np.random.default_rng(height).integers(0, 256, shape, dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(noise).save(file, file_format)
        square = load_square(file.getvalue(), f"trial of {file_format}", size, fit, background)
        digest.update(np.ascontiguousarray(square).data)
    return digest.hexdigest()
