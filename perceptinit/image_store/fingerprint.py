"""Which programs make equal pixels: a fingerprint of all that decodes and resizes."""

from __future__ import annotations

import hashlib
import io
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import numpy as np
from PIL import Image

from perceptinit.cache import key_of
from perceptinit.images import Fit, load_square

FORMAT = 1  # of the files; a new one makes new folders
PACKAGES = ("pillow", "torch", "torchvision")


@lru_cache
def pixel_parts(size: int, fit: Fit) -> dict[str, Any]:
    """Return all that determines the pixels of an image's square, but for the image.

    Beside the versions of the libraries there is a trial: pixels of a JPEG and a PNG, which also
    tell processors apart whose instructions round differently, and changes of our own code.
    """
    return {
        "format": FORMAT,
        "size": size,
        "fit": fit,
        "versions": {name: version(name) for name in PACKAGES},
        "trial": _trial(size, fit),
    }


def folder_name(size: int, fit: Fit) -> str:
    """Return the name of the folder for these pixels: `224px-squash-1f0c...`."""
    return f"{size}px-{fit}-{key_of(pixel_parts(size, fit))[:16]}"


def _trial(size: int, fit: Fit) -> str:
    """Return the SHA-256 of the squares of two noisy pictures, larger and smaller than the square."""
    digest = hashlib.sha256()
    for file_format, side in (("JPEG", size + size // 2 + 5), ("PNG", size // 2 + 5)):
        noise = np.random.default_rng(side).integers(0, 256, (side, side + 3, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(noise).save(file, file_format)
        square = load_square(file.getvalue(), f"trial of {file_format}", size, fit)
        digest.update(np.ascontiguousarray(square).data)
    return digest.hexdigest()
