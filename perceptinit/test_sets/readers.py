"""Readers of test sets on disk: tar shards in the layout of clip-benchmark, or class folders."""

# N images, C classes
import io
import re
import shlex
from pathlib import Path

import numpy as np

from perceptinit.configs import find_misfit
from perceptinit.errors import DataError, reading, shown
from perceptinit.files.reading import read_json, read_text, require_file
from perceptinit.pairs.local_index import index_whole_shards
from perceptinit.pairs.shard_samples import ShardSamples, select_local
from perceptinit.pairs.sizes import find_miscounts
from perceptinit.registry import suggest
from perceptinit.test_sets.sets import Lazy, RetrievalSet, ZeroShotSet, exported_name, find_set, known_sets
from perceptinit.types import IMAGE_SUFFIXES, ImageSource

Texts = tuple[str, ...]
CLASSNAMES = "classnames.txt"
TEMPLATES = "zeroshot_classification_templates.txt"
CLASS_PROMPTS = "class_prompts.json"  # {"class name": ["prompt", ...]}, as in clip-benchmark's CuPL file
TYPE = "dataset_type.txt"
COUNTER = "nshards.txt"
IMAGE_MEMBERS = ("webp", "png", "jpg", "jpeg")  # in clip-benchmark's order
SPLIT = "test"
RETRIEVAL_LAYOUT = (
    f"images with captions (.txt) in {SPLIT}/0.tar, and the number of shards in {SPLIT}/{COUNTER}"
)
DEFAULT_TEMPLATES: Texts = ("a photo of a {c}.",)  # of class folders without templates (CLIP)
_WORDNET_ID = re.compile(r"n\d{8}")
_NUM_IMAGENET = 1000


def read_zero_shot_set(path: Path, name: str = "", split: str = SPLIT) -> ZeroShotSet:
    """Return the labeled set in a folder; images are read on access.

    Supports two layouts: clip-benchmark's layout (`classnames.txt`, `zeroshot_classification_templates.txt`,
    `test/nshards.txt`, `test/0.tar` with an image and a `.cls`, or `.npy` if multi-label, per sample),
    and class folders, whose names are the class names, with an optional file of templates.
    `class_prompts.json` replaces the templates. Missing names of ImageNet's 1000 classes are taken from
    open_clip. Empty lines at the end of text files are ignored.

    Args:
        path: The folder.
        name: Name of the set in scores. Default: the folder's name.
        split: `test`, or another split of a set in the layout of clip-benchmark.

    Raises:
        DataError: If a file or sample is invalid.
    """
    name = name or path.name
    _check_folder(path, name, pack_command(path))
    if has_shards(path, split):
        return _read_shards(path, name, split)
    if split != SPLIT:
        raise DataError(
            f"test set '{name}': {path} has no folder '{split}' in the clip-benchmark layout, and class "
            f"folders support only the split '{SPLIT}'"
        )
    return _read_class_folders(path, name)


def has_shards(path: Path, split: str) -> bool:
    """Return whether a folder has the clip-benchmark layout instead of class folders."""
    return (path / CLASSNAMES).is_file() or (path / split / COUNTER).is_file()


def read_retrieval_set(path: Path, name: str = "", split: str = SPLIT) -> RetrievalSet:
    """Return the captioned set in a folder, in clip-benchmark's layout: an image and a `.txt` per sample.

    Each line of the `.txt` is a caption (`str.splitlines`, as in clip-benchmark).

    Args:
        path: The folder.
        name: Name of the set in scores. Default: the folder's name.
        split: The split.

    Raises:
        DataError: If a file or sample is invalid.
    """
    name = name or path.name
    _check_folder(path, name, RETRIEVAL_LAYOUT)
    kind = read_kind(path)
    if kind != "retrieval":
        raise DataError(f"{path / TYPE}: a {kind} set has no captions. Retrieval requires type 'retrieval'")
    images, keys, samples = _read_samples(path, split, "txt")
    texts = [samples.second(i).decode("utf-8").splitlines() for i in range(len(samples))]
    captions = tuple(caption for captions in texts for caption in captions)
    owners = np.repeat(np.arange(len(texts)), list(map(len, texts)))
    return RetrievalSet(name, images, keys, captions, owners)


def pack_command(out: str | Path) -> str:
    """Return the command that converts labeled images to a zero-shot test set."""
    return f'perceptinit data pack SOURCE {shlex.quote(str(out))} --test-set --template "a photo of a {{c}}."'


def _check_folder(path: Path, name: str, how: str) -> None:
    if not path.is_dir():
        hint = "" if find_set(name) else suggest(name, known_sets())
        raise DataError(
            f"test set '{name}': no folder {path} or {exported_name(name)}.{hint} Create it: {how}"
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
            "nor class folders with images. Sort the images into one folder per class"
        )
    for image in images:
        if image.parent.parent != path:
            raise DataError(f"{image}: not in a class folder of {path}. Use the parent of the class folders")
    label = {folder: i for i, folder in enumerate(folders)}
    classnames = tuple(folder.name for folder in folders)
    templates = DEFAULT_TEMPLATES
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
        raise DataError(f"{path / TYPE}: a {kind} set has no class names for prompts")
    images, keys, samples = _read_samples(path, split, "npy" if kind == "multilabel" else "cls")
    read = _read_many_labels if kind == "multilabel" else _read_labels
    classnames, templates, prompts = _read_words(path, name)
    return ZeroShotSet(name, classnames, templates, images, read(samples, keys), keys, class_prompts=prompts)


def _read_labels(samples: ShardSamples, keys: Lazy[str]) -> np.ndarray:
    texts = [samples.second(i).strip() for i in range(len(samples))]
    for key, text in zip(keys, texts, strict=True):
        if not text.isdigit():
            raise DataError(f"{key}: label {text[:20]!r} is not a whole number >= 0")
    return np.array(list(map(int, texts)), dtype=np.int64)


def _read_many_labels(samples: ShardSamples, keys: Lazy[str]) -> np.ndarray:
    rows: list[np.ndarray] = []
    for i in range(len(samples)):
        with reading(f"{keys[i]}: its .npy cannot be read", ValueError, OSError, EOFError):
            row = np.load(io.BytesIO(samples.second(i)), allow_pickle=False)
        if row.ndim != 1 or (rows and row.shape != rows[0].shape):
            raise DataError(f"{keys[i]}: labels of shape {row.shape}, expected one number per class")
        rows.append(row != 0)
    return np.stack(rows)


def _read_words(path: Path, name: str) -> tuple[Texts, Texts, dict[str, Texts]]:
    """Return class names, templates and class prompts of a set of shards."""
    known = find_set(name)
    num_classes = known.num_classes if known else None
    prompts = read_class_prompts(path / CLASS_PROMPTS)
    if num_classes == _NUM_IMAGENET and not (path / CLASSNAMES).is_file():
        return *imagenet_words(), prompts
    file = path / CLASSNAMES
    classnames = read_lines(file, keep_empty=True)
    if "" in classnames:  # clip-benchmark counts an empty line as a class and DataComp does not
        raise DataError(f"{file}: line {classnames.index('') + 1} is empty, so later labels are ambiguous")
    if known and num_classes not in (None, len(classnames)):
        raise DataError(f"{file}: {len(classnames)} class names, but {known.key} has {num_classes} classes")
    return classnames, () if prompts else read_lines(path / TEMPLATES), prompts


def imagenet_words() -> tuple[Texts, Texts]:
    """Return the names of ImageNet's 1000 classes and CLIP's 80 templates, from open_clip."""
    from open_clip import IMAGENET_CLASSNAMES, OPENAI_IMAGENET_TEMPLATES

    return tuple(IMAGENET_CLASSNAMES), tuple(fill("{c}") for fill in OPENAI_IMAGENET_TEMPLATES)


def read_kind(path: Path) -> str:
    """Return the content of `dataset_type.txt`; `classification` without the file."""
    words = read_lines(path / TYPE) if (path / TYPE).is_file() else ("classification",)
    return " ".join(words).lower()


def _read_samples(path: Path, split: str, second: str) -> tuple[Lazy[ImageSource], Lazy[str], ShardSamples]:
    """Return images, keys and samples of a split; DataError if a sample lacks its image or `second`."""
    paths = shard_paths(path / split)
    shards = index_whole_shards(paths)
    counts = {path: shard.num_samples for path, shard in zip(paths, shards, strict=True)}
    for complaint in find_miscounts(counts):
        raise DataError(complaint)
    samples = select_local(paths, shards, (IMAGE_MEMBERS, [second]))
    if samples.num_incomplete:
        what = "captions (.txt)" if second == "txt" else f"label (.{second})"
        raise DataError(
            f"{path / split}: {samples.first_incomplete} has no image (.webp, .png, .jpg) or no "
            f"{what} ({samples.num_incomplete} such samples)"
        )
    keys = Lazy(len(samples), lambda index: f"{path.name}/{split}/{samples.key(index)}")
    return Lazy(len(samples), samples.image), keys, samples


def shard_paths(split: Path) -> list[Path]:
    """Return the shards of a split; DataError if their number differs from `nshards.txt`."""
    paths = [split / f"{i}.tar" for i in range(num_shards(split / COUNTER))]
    absent = [path for path in paths if not path.is_file()]
    if absent:
        raise DataError(f"{absent[0]}: no such file, but {COUNTER} states {len(paths)} shards")
    extra = split / f"{len(paths)}.tar"
    if extra.is_file():
        raise DataError(f"{extra}: unexpected shard, because {COUNTER} specifies only {len(paths)}")
    return paths


def num_shards(counter: Path) -> int:
    """Return the number in `nshards.txt`; DataError if it is missing or not a positive integer."""
    require_file(counter, ". It must contain the number of shards of the test set")
    text = " ".join(read_lines(counter))
    if not re.fullmatch(r"0*[1-9][0-9]{0,5}", text):
        raise DataError(f"{counter}: {shown(repr(text))} is not a number of shards")
    return int(text)


def read_class_prompts(path: Path) -> dict[str, Texts]:
    """Return the prompts of each class; empty without the file; DataError if it is invalid."""
    if not path.is_file():
        return {}
    table = read_json(path, dict, "a JSON table of class names and prompts")
    for name, texts in table.items():
        if find_misfit(texts, list[str]):
            raise DataError(f"{path}: class '{shown(name)}': expected an array of prompts")
    return {name: tuple(texts) for name, texts in table.items()}


def read_lines(path: Path, keep_empty: bool = False) -> Texts:
    """Return the stripped non-empty lines of a text file; `keep_empty` removes only trailing empty lines."""
    lines = [line.strip() for line in read_text(path).splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return tuple(line for line in lines if keep_empty or line)
