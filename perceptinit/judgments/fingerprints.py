"""Fingerprints of human judgments: equal ones mean that an initializer would see equal data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from perceptinit.errors import DataError
from perceptinit.types import ImageSource, Stimuli, Triplets

COLUMNS = ("anchor", "first", "second", "p_second", "num_votes", "group")


def judgments_sha256(judgments: Any) -> str:
    """Return the SHA-256 of all splits of a judgments component; absent splits are left out."""
    digest = hashlib.sha256()
    for split in ("train", "val", "test"):
        try:
            triplets = judgments.load(split)
        except DataError:
            continue
        digest.update(f"{split} {triplets_sha256(triplets)}\n".encode())
    return digest.hexdigest()


def triplets_sha256(triplets: Triplets) -> str:
    """Return the SHA-256 of the columns, and of the images that they refer to."""
    digest = hashlib.sha256(f"on {triplets.stimuli.background}\n".encode())
    for name in COLUMNS:
        digest.update(np.ascontiguousarray(getattr(triplets, name)).tobytes())
    used = np.unique([triplets.anchor, triplets.first, triplets.second])
    for line in _images(triplets.stimuli, used):
        digest.update(line)
    return digest.hexdigest()


def _images(stimuli: Stimuli, used: Iterable[int]) -> Iterable[bytes]:
    for index in used:
        yield stimuli.ids[index].encode() + b"\n"
        yield _image(stimuli.images[index])


def _image(source: ImageSource) -> bytes:
    """Return what changes when the image does; a file by its size and time, as reading all would
    take hours for a large set."""
    if isinstance(source, Path):
        about = source.stat()
        return f"{about.st_size} {about.st_mtime_ns}\n".encode()
    data = source if isinstance(source, bytes) else np.ascontiguousarray(source).tobytes()
    return hashlib.sha256(data).digest()
