"""Synthetic shards, models and initial weights to compare training, in formats of open_clip and perceptinit."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

# each of them one token of CLIP's tokenizer, so that a caption of n words has n + 2 tokens
WORDS = (
    "a", "photo", "of", "the", "dog", "cat", "red", "blue", "car", "street", "house", "tree", "water",
    "sky", "grass", "bird", "man", "woman", "table", "chair", "on", "in", "with", "and", "white",
    "black", "small", "large", "old", "new", "city", "mountain", "river", "flower", "boat", "train",
)  # fmt: skip
# of the number of words: with start and end token 12 tokens on average, 25 at the 95th percentile, 77 at
# most in large batches, as captions of web images have
LOG_WORDS_MEAN, LOG_WORDS_STD = 2.107, 0.625
CONTEXT = 77
PIXELS = (500, 375)

SMALL = {
    "embed_dim": 192,
    "vision_cfg": {"image_size": 64, "layers": 6, "width": 192, "patch_size": 8},
    "text_cfg": {
        "context_length": CONTEXT, "vocab_size": 49408, "width": 192, "heads": 3, "layers": 6,
    },
}  # fmt: skip
VIT_B_32 = {
    "embed_dim": 512,
    "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32},
    "text_cfg": {
        "context_length": CONTEXT, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12,
    },
}  # fmt: skip
MODELS: dict[str, dict[str, Any]] = {"small": SMALL, "vit-b-32": VIT_B_32}
# pairs in a step: what a small CPU machine holds in memory for an unhurried comparison
BATCHES = {"small": 256, "vit-b-32": 32}


def caption(rng: np.random.Generator, most: int = CONTEXT) -> str:
    """Return words whose number is drawn from a lognormal distribution, up to `most` tokens."""
    count = round(rng.lognormal(LOG_WORDS_MEAN, LOG_WORDS_STD))
    return " ".join(rng.choice(WORDS, max(1, min(count, most - 2))))


def draw_image(rng: np.random.Generator, size: tuple[int, int] = PIXELS) -> bytes:
    """Return a JPEG file: smooth colours with detail at two scales, about as many bytes as a photograph."""
    layers = [rng.normal(0, spread, (h, w, 3)) for h, w, spread in ((4, 6, 60), (75, 100, 25))]
    pixels = 128 + rng.normal(0, 4, (size[1], size[0], 3))
    for layer in layers:
        shades = Image.fromarray(np.clip(128 + layer, 0, 255).astype(np.uint8))
        pixels += np.asarray(shades.resize(size, Image.Resampling.BICUBIC), float) - 128
    file = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def photographs(path: Path) -> Iterator[bytes]:
    """Yield the JPEG files of a folder or a tar file, in order of their names."""
    if path.is_dir():
        yield from (file.read_bytes() for file in sorted(path.glob("*.jpg")))
        return
    with tarfile.open(path) as tar:
        members = sorted((m for m in tar if m.name.endswith((".jpg", ".jpeg"))), key=lambda m: m.name)
        for member in members:
            file = tar.extractfile(member)
            assert file is not None  # its name ends like a file's
            yield file.read()


def write_shards(folder: Path, num_pairs: int, num_shards: int, photos: Path | None) -> str:
    """Write pairs to tar shards with repeated images, and return their brace pattern.

    photos: folder or tar file of JPEG photographs; None for generated ones.
    """
    rng = np.random.default_rng(0)
    images: Sequence[bytes] = list(photographs(photos)) if photos else []
    if photos and not images:
        raise SystemExit(f"{photos}: no .jpg file in it")
    images = images or [draw_image(rng) for _ in range(64)]
    folder.mkdir(parents=True, exist_ok=True)
    for shard in range(num_shards):
        with tarfile.open(folder / f"{shard:03d}.tar", "w") as tar:
            for index in range(shard, num_pairs, num_shards):
                add_member(tar, f"{index:06d}.jpg", images[index % len(images)])
                add_member(tar, f"{index:06d}.txt", caption(rng).encode())
    return str(folder / f"{{000..{num_shards - 1:03d}}}.tar")


def add_member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add a file to a tar file."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def write_model(folder: Path, name: str) -> tuple[Path, Path]:
    """Write configuration and random weights of a model; return both paths.

    `folder` is what open_clip's trainer takes as `--model local-dir:...`, weights included.
    """
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    about = {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD}
    config, weights = folder / "open_clip_config.json", folder / "open_clip_model.safetensors"
    config.write_text(json.dumps({"model_cfg": MODELS[name], "preprocess_cfg": about}))
    torch.manual_seed(0)
    save_file(open_clip.CLIP(**MODELS[name]).state_dict(), weights)
    return config, weights
