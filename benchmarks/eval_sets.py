"""Synthetic test sets and checkpoints to compare evaluations, with the irregularities of real ones."""

from __future__ import annotations

import io
import itertools
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from train_sets import add_member

WORDS = (
    "amber", "birch", "cobalt", "dune", "ember", "fjord", "grove", "harbor", "iris", "jade", "kelp",
    "lagoon", "maple", "nectar", "opal", "prairie", "quartz", "raven", "saffron", "tundra", "umber",
    "violet", "willow", "xenon", "yarrow", "zephyr",
)  # fmt: skip
TINY = {
    "embed_dim": 256,
    "vision_cfg": {"image_size": 224, "layers": 6, "width": 192, "head_width": 64, "patch_size": 32},
    "text_cfg": {
        "context_length": 77, "vocab_size": 49408, "width": 256, "heads": 4, "layers": 6,
    },
}  # fmt: skip


def classnames(count: int) -> list[str]:
    """Return names of one to three words."""
    single = [f"{a} {b}" if i % 3 else a for i, (a, b) in enumerate(itertools.pairwise(WORDS))]
    more = [f"{a} {b} bird" for a in WORDS for b in reversed(WORDS)]
    return (single + more)[:count]


def templates(count: int) -> list[str]:
    """Return the first of CLIP's ImageNet templates, in clip-benchmark's notation."""
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    return [fill("{c}") for fill in OPENAI_IMAGENET_TEMPLATES][:count]


def photo(rng: np.random.Generator, label: int) -> Image.Image:
    """Return a smooth image whose colours depend on the label, 64 to 256 pixels a side."""
    base = np.random.default_rng(label).integers(0, 256, (5, 4, 3))
    noisy = np.clip(base + rng.normal(0, 40, base.shape), 0, 255).astype(np.uint8)
    size = tuple(int(n) for n in rng.integers(64, 257, 2))
    return Image.fromarray(noisy).resize(size, Image.Resampling.BICUBIC)


def encode(image: Image.Image, kind: str) -> tuple[str, bytes]:
    """Return extension and bytes; kind: jpg, png, webp, grey, palette, rgba, cmyk or grey16."""
    ways = {
        "jpg": ("jpg", "JPEG", lambda i: i),
        "png": ("png", "PNG", lambda i: i),
        "webp": ("webp", "WEBP", lambda i: i),
        "grey": ("jpg", "JPEG", lambda i: i.convert("L")),
        "palette": ("png", "PNG", lambda i: i.convert("P")),
        "rgba": ("png", "PNG", _with_alpha),
        "cmyk": ("jpg", "JPEG", lambda i: i.convert("CMYK")),
        "grey16": ("png", "PNG", lambda i: Image.fromarray(np.asarray(i.convert("L")).astype(np.uint16) * 3)),
    }  # fmt: skip
    extension, name, convert = ways[kind]
    file = io.BytesIO()
    convert(image).save(file, name)
    return extension, file.getvalue()


def _with_alpha(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    image.putalpha(128)
    return image


def write_set(
    folder: Path,
    samples: Iterable[Mapping[str, bytes]],
    *,
    num_shards: int = 1,
    **texts: str,
) -> None:
    """Write samples (extension -> bytes) in clip-benchmark's layout; `texts`: file stem -> content."""
    split = folder / "test"
    split.mkdir(parents=True, exist_ok=True)
    rows = list(samples)
    bounds = np.linspace(0, len(rows), num_shards + 1).astype(int)
    for shard in range(num_shards):
        with tarfile.open(split / f"{shard}.tar", "w") as tar:
            for number in range(bounds[shard], bounds[shard + 1]):
                for extension, data in rows[number].items():
                    add_member(tar, f"s{number:07d}.{extension}", data)
    (split / "nshards.txt").write_text(str(num_shards))
    for stem, content in texts.items():
        (folder / f"{stem}.txt").write_text(content)


def labelled_set(
    folder: Path,
    *,
    num_classes: int,
    num_images: int,
    num_templates: int,
    kinds: Sequence[str] = ("jpg",),
    absent: Sequence[int] = (),
    num_shards: int = 1,
    seed: int = 0,
) -> None:
    """Write a set with one label an image; classes in `absent` have no image."""
    rng = np.random.default_rng(seed)
    there = [c for c in range(num_classes) if c not in absent]
    samples = []
    for i in range(num_images):
        label = there[int(rng.integers(len(there)))]
        extension, data = encode(photo(rng, label), kinds[i % len(kinds)])
        samples.append({extension: data, "cls": str(label).encode()})
    write_set(
        folder,
        samples,
        num_shards=num_shards,
        classnames="\n".join(classnames(num_classes)),
        zeroshot_classification_templates="\n".join(templates(num_templates)),
    )


def multilabel_set(folder: Path, *, num_classes: int, num_images: int, seed: int = 0) -> None:
    """Write a set whose images have one to three labels."""
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(num_images):
        labels = rng.choice(num_classes, int(rng.integers(1, 4)), replace=False)
        row = np.zeros(num_classes, dtype=np.int64)
        row[labels] = 1
        file = io.BytesIO()
        np.save(file, row)
        extension, data = encode(photo(rng, int(labels[0])), "jpg")
        samples.append({extension: data, "npy": file.getvalue()})
    write_set(
        folder,
        samples,
        dataset_type="multilabel",
        classnames="\n".join(classnames(num_classes)),
        zeroshot_classification_templates="\n".join(templates(3)),
    )


def class_prompts(num_classes: int) -> dict[str, list[str]]:
    """Return one to four prompts for each class."""
    names = classnames(num_classes)
    ways = ("a {} in the wild.", "what a {} looks like", "the {}, close up, with its colours", "{}")
    return {name: [way.format(name) for way in ways[: 1 + i % 4]] for i, name in enumerate(names)}


def caption_set(folder: Path, *, num_images: int, seed: int = 0, most: int = 7) -> None:
    """Write a set with 1 to `most` captions an image."""
    rng = np.random.default_rng(seed)
    names = classnames(60)
    samples = []
    for i in range(num_images):
        label = int(rng.integers(len(names)))
        texts = [
            f"{names[label]} near {' and '.join(rng.choice(WORDS, 1 + j % 3))}" for j in range(1 + i % most)
        ]
        extension, data = encode(photo(rng, label), "jpg")
        samples.append({extension: data, "txt": "\n".join(texts).encode()})
    write_set(folder, samples, dataset_type="retrieval")


def write_checkpoints(folder: Path, count: int, layers: int = 6) -> Path:
    """Write a config with `layers` blocks a tower and `count` checkpoints of it; return the config."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    config = folder / "configs" / "tiny-eval.json"
    config.parent.mkdir(parents=True, exist_ok=True)
    towers = {name: {**TINY[name], "layers": layers} for name in ("vision_cfg", "text_cfg")}
    config.write_text(json.dumps({**TINY, **towers}))
    open_clip.add_model_config(config)
    for seed in range(count):
        torch.manual_seed(seed)
        model = open_clip.create_model("tiny-eval")
        state = {k: v.contiguous().clone() for k, v in model.state_dict().items()}
        save_file(state, folder / f"seed{seed}.safetensors")
    return config
