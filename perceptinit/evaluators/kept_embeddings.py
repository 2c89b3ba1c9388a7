"""Embeddings on disk, with which `perceptinit eval` measures the same models again without encoding.

The name of a file depends on the weights and structure of the image tower, its image size, fit and
normalization, the precision, device and library versions, and the content of all images (or path, size and
times of files). For those of texts, see `Classifiers`.
"""

# N images, D embedding
import hashlib
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from perceptinit.errors import DataError
from perceptinit.files.atomic import remove_abandoned
from perceptinit.files.cache import embedding_files, key_of
from perceptinit.files.sealed import open_sealed, write_sealed
from perceptinit.images.store import folder_name, stamp_of
from perceptinit.types import Fit, ImageSource

EMBEDDINGS = "embeddings"  # folder
# older files are removed beyond this size
MAX_BYTES = 8 << 30
# distributions of the packages whose modules are identified by their version. The code of other modules can
# change while their weights stay the same, so their embeddings are not kept
DISTRIBUTIONS = {
    "open_clip": "open_clip_torch",
    "perceptinit": "perceptinit",
    "timm": "timm",
    "torch": "torch",
    "transformers": "transformers",
}


def hash_images(images: Sequence[ImageSource], keys: Sequence[str]) -> str | None:
    """Return a hash of N images; None if one of them cannot be read."""
    digest = hashlib.sha256()
    try:
        for image, key in zip(images, keys, strict=True):
            digest.update(stamp_of(image, key))
    except DataError:
        return None
    return digest.hexdigest()


def name_embeddings(
    weights: str, model: Any, images: str, precision: str, device: str, is_published: bool
) -> str | None:
    """Return the name of the file of a model's embeddings; None for modules outside of `DISTRIBUTIONS`.

    Args:
        weights: Hash of weights and structure of the image tower.
        model: The model.
        images: Hash of the images.
        precision: Precision of the image tower.
        device: torch device string.
        is_published: Whether the images are of a published set, whose EXIF orientation is ignored.
    """
    fit = Fit.of(model)
    tower = model.image
    packages = {type(module).__module__.partition(".")[0] for module in tower.modules()}
    if not packages <= DISTRIBUTIONS.keys():
        return None
    parts = {
        "versions": {name: version(DISTRIBUTIONS[name]) for name in sorted(packages)},
        "weights": weights,
        "images": images,
        "fit": str(fit),
        "pixels": folder_name(model.image_size, fit=fit),  # library versions, and pixels of trial images
        "normalization": [str(getattr(tower, name, None)) for name in ("mean", "std")],
        "precision": precision,
        "is_published": is_published,
        "device": torch.device(device).type,
    }
    return f"{key_of(parts)}.safetensors"


def find_embeddings(path: Path) -> torch.Tensor | None:
    """Return kept embeddings, float32 (N, D); None if the file is missing or damaged."""
    with suppress(DataError, OSError):
        found = open_sealed(path, "embeddings").arrays["embeddings"].copy()
        path.touch()  # the files that were used last are kept
        return torch.from_numpy(found)
    return None


def keep_embeddings(path: Path, embeddings: np.ndarray) -> None:
    """Write embeddings (N, D), and remove the files used least recently beyond `MAX_BYTES`."""
    with suppress(OSError):  # on a full disk or in a folder of others, the next process encodes again
        remove_abandoned(path.parent)
        write_sealed(path, {}, {"embeddings": embeddings})
        sizes = {file: file.stat() for file in embedding_files(path.parent)}
        total = sum(about.st_size for about in sizes.values())
        for file in sorted(sizes, key=lambda file: sizes[file].st_mtime):
            if total <= MAX_BYTES:
                break
            file.unlink()
            total -= sizes[file].st_size
