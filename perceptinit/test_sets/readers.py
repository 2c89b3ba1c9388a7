"""Test sets on disk: the clip-benchmark layout of tar shards, or a folder of class folders."""

from __future__ import annotations

# N images, C classes
import io
import re
from pathlib import Path

import numpy as np

from perceptinit.errors import DataError
from perceptinit.pairs.shard_samples import ShardSamples
from perceptinit.test_sets.files import (
    CLASS_PROMPTS,
    CLASSNAMES,
    COUNTER,
    TEMPLATES,
    TYPE,
    read_class_prompts,
    read_classnames,
    read_kind,
    read_lines,
    read_samples,
    shard_paths,
)
from perceptinit.test_sets.sets import Lazy, RetrievalSet, ZeroShotSet
from perceptinit.test_sets.suite import find_set
from perceptinit.types import IMAGE_SUFFIXES

SPLIT = "test"
DEFAULT_TEMPLATES: tuple[str, ...] = (
    "a photo of a {c}.",
)  # of class folders without a file of templates (CLIP)
_WORDNET_ID = re.compile(r"n\d{8}")
_NUM_IMAGENET = 1000


def read_zero_shot_set(path: Path, name: str = "", split: str = SPLIT) -> ZeroShotSet:
    """Return the labelled set in a folder; images are read when they are asked for.

    name: how scores call it, the folder's name when empty. split: `test`, or `train` of sets that have one.
    Two layouts: that of clip-benchmark (`classnames.txt`, `zeroshot_classification_templates.txt`,
    `test/nshards.txt`, `test/0.tar` with an image and a `.cls`, or `.npy` if multi-label, per sample),
    and class folders, where a folder's name is the class name and a file of templates is optional.
    `class_prompts.json` takes the place of the templates. Without names, those of ImageNet's 1000
    classes come from open_clip.

    Empty lines at the end of the text files are left out.

    Raises DataError naming the file or sample that is wrong.
    """
    name = name or path.name
    _check_folder(path, name)
    if has_shards(path, split):
        return _read_shards(path, name, split)
    if split != SPLIT:
        raise DataError(
            f"test set '{name}': {path} has no folder '{split}' in the clip-benchmark layout, and class folders have one split"
        )
    return _read_class_folders(path, name)


def has_shards(path: Path, split: str) -> bool:
    """Tell whether a folder has the clip-benchmark layout, and not class folders."""
    return (path / CLASSNAMES).is_file() or (path / split / COUNTER).is_file()


def read_retrieval_set(path: Path, name: str = "", split: str = SPLIT) -> RetrievalSet:
    """Return the captioned set in a folder, in clip-benchmark's layout: an image and a `.txt` per sample.

    A line of the `.txt` is a caption, split as clip-benchmark does (`str.splitlines`).

    Raises DataError naming the file or sample that is wrong.
    """
    name = name or path.name
    _check_folder(path, name)
    kind = read_kind(path)
    if kind != "retrieval":
        raise DataError(f"{path / TYPE}: a {kind} set has no captions; retrieval needs `retrieval`")
    samples = read_samples(shard_paths(path / split), "txt")
    texts = [samples.second(i).decode("utf-8").splitlines() for i in range(len(samples))]
    return RetrievalSet(
        name=name,
        images=Lazy(len(samples), samples.image),
        keys=_keys(path, split, samples),
        captions=tuple(caption for captions in texts for caption in captions),
        owners=np.repeat(np.arange(len(texts)), [len(captions) for captions in texts]),
    )


def _check_folder(path: Path, name: str) -> None:
    if not path.is_dir():
        raise DataError(
            f"test set '{name}': no folder {path}. Make one: perceptinit data pack SOURCE {path} --test-set"
        )


def _read_class_folders(path: Path, name: str) -> ZeroShotSet:
    folders = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    images = [
        image
        for folder in folders
        for image in sorted(folder.rglob("*"))
        if image.suffix.lower() in IMAGE_SUFFIXES
    ]
    if not images:
        raise DataError(
            f"{path}: neither a test set in the clip-benchmark layout ({CLASSNAMES}, {SPLIT}/{COUNTER}) "
            "nor class folders with images"
        )
    for image in images:
        if image.parent.parent != path:
            raise DataError(
                f"{image}: not in a class folder of {path}; name the folder of the classes"
            )
    label = {folder: i for i, folder in enumerate(folders)}
    classnames, templates = tuple(folder.name for folder in folders), DEFAULT_TEMPLATES
    if len(folders) == _NUM_IMAGENET and all(map(_WORDNET_ID.fullmatch, classnames)):
        classnames, templates = imagenet_words()
    if (path / TEMPLATES).is_file():
        templates = read_lines(path / TEMPLATES)
    return ZeroShotSet(
        name=name,
        classnames=classnames,
        templates=templates,
        images=images,
        labels=np.array([label[image.parent] for image in images], dtype=np.int64),
        keys=[str(image.relative_to(path.parent)) for image in images],
        class_prompts=read_class_prompts(path / CLASS_PROMPTS),
    )


def _read_shards(path: Path, name: str, split: str) -> ZeroShotSet:
    kind = read_kind(path)
    if kind not in ("classification", "multilabel"):
        raise DataError(f"{path / TYPE}: a {kind} set has no class names to choose from")
    samples = read_samples(shard_paths(path / split), "npy" if kind == "multilabel" else "cls")
    keys = _keys(path, split, samples)
    read = _many_labels if kind == "multilabel" else _labels
    classnames, templates, prompts = _words(path, name)
    return ZeroShotSet(
        name=name,
        classnames=classnames,
        templates=templates,
        images=Lazy(len(samples), samples.image),
        labels=read(samples, keys),
        keys=keys,
        class_prompts=prompts,
    )


def _keys(path: Path, split: str, samples: ShardSamples) -> Lazy[str]:
    return Lazy(len(samples), lambda index: f"{path.name}/{split}/{samples.key(index)}")


def _labels(samples: ShardSamples, keys: Lazy[str]) -> np.ndarray:
    labels = np.empty(len(samples), dtype=np.int64)
    for i in range(len(samples)):
        text = samples.second(i).strip()
        if not text.isdigit():
            raise DataError(f"{keys[i]}: label {text[:20]!r} is not a number from 0 on")
        labels[i] = int(text)
    return labels


def _many_labels(samples: ShardSamples, keys: Lazy[str]) -> np.ndarray:
    rows: list[np.ndarray] = []
    for i in range(len(samples)):
        try:
            row = np.load(io.BytesIO(samples.second(i)), allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise DataError(f"{keys[i]}: its .npy cannot be read ({error})") from error
        if row.ndim != 1 or (rows and row.shape != rows[0].shape):
            raise DataError(f"{keys[i]}: labels of shape {row.shape}, expected a number per class")
        rows.append(row != 0)
    return np.stack(rows)


def _words(
    path: Path, name: str
) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, tuple[str, ...]]]:
    """Return class names, templates and class prompts of a set of shards."""
    known = find_set(name)
    prompts = read_class_prompts(path / CLASS_PROMPTS)
    is_imagenet = bool(known and known.num_classes == _NUM_IMAGENET)
    if is_imagenet and not (path / CLASSNAMES).is_file():
        return *imagenet_words(), prompts
    classnames = read_classnames(path / CLASSNAMES)
    if known and known.num_classes not in (None, len(classnames)):
        raise DataError(
            f"{path / CLASSNAMES}: {len(classnames)} class names; {known.key} has {known.num_classes} classes"
        )
    return classnames, () if prompts else read_lines(path / TEMPLATES), prompts


def imagenet_words() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of ImageNet's 1000 classes and CLIP's 80 templates, as open_clip has them."""
    from open_clip import IMAGENET_CLASSNAMES, OPENAI_IMAGENET_TEMPLATES

    return tuple(IMAGENET_CLASSNAMES), tuple(fill("{c}") for fill in OPENAI_IMAGENET_TEMPLATES)
