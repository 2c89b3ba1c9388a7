"""Copies of images: files with equal pixels, whatever their names and formats."""

import hashlib
import io
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from perceptinit.errors import DataError
from perceptinit.images.decoding import decode
from perceptinit.types import ImageSource

Size = tuple[int, int]  # width, height


def find_copies(sets: Sequence[Sequence[ImageSource]], others: Iterable[ImageSource]) -> list[float]:
    """Return the share of the images of each set that have the same pixels as one of the others, in [0, 1].

    Only images of equal size are decoded. A copy that was encoded again has other pixels and is not found.
    An image that cannot be read does not count as a copy.
    """
    sizes = [[_read_size(image) for image in images] for images in sets]
    known: dict[Size | None, set[bytes]] = {size: set() for of_set in sizes for size in of_set if size}
    for other in others:
        size = _read_size(other)
        if size in known:
            known[size] |= _hash_pixels(other)
    shares = []
    for images, of_set in zip(sets, sizes, strict=True):
        places = [place for place, size in enumerate(of_set) if known.get(size)]
        copies = sum(bool(_hash_pixels(images[place]) & known[of_set[place]]) for place in places)
        shares.append(copies / len(images))
    return shares


def _read_size(image: ImageSource) -> Size | None:
    """Return the size in the header of an image; None if it cannot be read."""
    if isinstance(image, np.ndarray):
        return image.shape[1], image.shape[0]
    try:
        with Image.open(io.BytesIO(image) if isinstance(image, bytes) else image) as header:
            return header.size
    except OSError:
        return None


def _hash_pixels(image: ImageSource) -> set[bytes]:
    """Return the hash of the decoded pixels at full size as a set; empty if they cannot be decoded."""
    kept: bytes = getattr(image, "sha256", b"")  # of a simulated picture
    if kept:
        return {kept}
    try:
        pixels = decode(image, "image")
    except DataError:
        return set()
    return {hashlib.sha256(pixels.tobytes()).digest()}
