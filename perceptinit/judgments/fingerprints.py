"""Fingerprints of judgments: equal fingerprints mean equal data for an initializer."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from perceptinit.errors import DataError
from perceptinit.types import ImageSource, Triplets

COLUMNS = ("anchor", "first", "second", "p_second", "num_votes", "group")


def judgments_sha256(judgments: Any) -> str:
    """Return the SHA-256 of all available splits of a judgments component."""
    digest = hashlib.sha256()
    for split in ("train", "val", "test"):
        try:
            triplets = judgments.load(split)
        except DataError:
            continue
        digest.update(f"{split} {triplets_sha256(triplets)}\n".encode())
    return digest.hexdigest()


def triplets_sha256(triplets: Triplets) -> str:
    """Return the SHA-256 of triplets: their columns and the images they refer to."""
    digest = hashlib.sha256(f"on {triplets.stimuli.background}\n".encode())
    for name in COLUMNS:
        digest.update(np.ascontiguousarray(getattr(triplets, name)).tobytes())
    stimuli = triplets.stimuli
    for index in np.unique(triplets.roles):
        digest.update(f"{stimuli.ids[index]}\n".encode() + _image(stimuli.images[index]))
    return digest.hexdigest()


def _image(source: ImageSource) -> bytes:
    """Return bytes that change with the image; for a file, its size and modification time."""
    if isinstance(source, Path):
        about = source.stat()
        return f"{about.st_size} {about.st_mtime_ns}\n".encode()
    data = source if isinstance(source, bytes) else np.ascontiguousarray(source).tobytes()
    return hashlib.sha256(data).digest()
