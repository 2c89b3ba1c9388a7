"""The files of a test set in clip-benchmark's layout: text files beside folders of tar shards."""

from __future__ import annotations

import re
from pathlib import Path

from perceptinit.configs import find_misfit
from perceptinit.errors import DataError, shown
from perceptinit.files.reading import read_bytes, read_json, require_file
from perceptinit.pairs.local_index import index_whole_shards
from perceptinit.pairs.shard_samples import ShardSamples, select_local
from perceptinit.pairs.sizes import find_miscounts

CLASSNAMES = "classnames.txt"
TEMPLATES = "zeroshot_classification_templates.txt"
CLASS_PROMPTS = (
    "class_prompts.json"  # {"class name": ["prompt", ...]}, as clip-benchmark's CuPL file
)
TYPE = "dataset_type.txt"
COUNTER = "nshards.txt"
IMAGE_MEMBERS = ("webp", "png", "jpg", "jpeg")  # in clip-benchmark's order


def read_kind(path: Path) -> str:
    """Return what `dataset_type.txt` says, `classification` without it."""
    words = read_lines(path / TYPE) if (path / TYPE).is_file() else ("classification",)
    return " ".join(words).lower()


def read_samples(paths: list[Path], second: str) -> ShardSamples:
    """Return the samples of the shards; DataError when one lacks its image or its `second` member."""
    shards = index_whole_shards(paths)
    counts = {path: shard.num_samples for path, shard in zip(paths, shards, strict=True)}
    for complaint in find_miscounts(counts):
        raise DataError(complaint)
    samples = select_local(paths, shards, (IMAGE_MEMBERS, [second]))
    if samples.num_incomplete:
        what = "captions (.txt)" if second == "txt" else f"label (.{second})"
        raise DataError(
            f"{paths[0].parent}: {samples.first_incomplete} has no image (.webp, .png, .jpg) or no "
            f"{what}; {samples.num_incomplete} such samples"
        )
    return samples


def shard_paths(split: Path) -> list[Path]:
    """Return the shards of a split; DataError when their number is not the one that is said."""
    paths = [split / f"{i}.tar" for i in range(num_shards(split / COUNTER))]
    absent = [path for path in paths if not path.is_file()]
    if absent:
        raise DataError(f"{absent[0]}: no such file, but {COUNTER} says {len(paths)} shards")
    extra = split / f"{len(paths)}.tar"
    if extra.is_file():
        raise DataError(f"{extra}: one shard more than the {len(paths)} that {COUNTER} says")
    return paths


def num_shards(counter: Path) -> int:
    """Return the number in `nshards.txt`; DataError when it is absent or no number from 1 on."""
    if not counter.is_file():
        raise DataError(f"{counter}: no such file; it says how many shards the test set has")
    said = " ".join(read_lines(counter))
    if not re.fullmatch(r"0*[1-9][0-9]{0,5}", said):
        raise DataError(f"{counter}: {shown(repr(said))} is not a number of shards")
    return int(said)


def read_classnames(path: Path) -> tuple[str, ...]:
    """Return the names of a file; DataError for an empty line between them.

    clip-benchmark counts an empty line as a class and DataComp does not, so one of them would be wrong.
    """
    names = read_lines(path, keep_empty=True)
    if "" in names:
        raise DataError(
            f"{path}: line {names.index('') + 1} is empty, so the labels after it are in doubt"
        )
    return names


def read_class_prompts(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the prompts of each class; empty without the file, DataError when it is something else."""
    if not path.is_file():
        return {}
    table = read_json(path, dict, "a JSON table of class names and prompts")
    for name, texts in table.items():
        if find_misfit(texts, list[str]):
            raise DataError(f"{path}: class '{shown(name)}': expected an array of prompts")
    return {name: tuple(texts) for name, texts in table.items()}


def read_lines(path: Path, keep_empty: bool = False) -> tuple[str, ...]:
    """Return the stripped lines of a text file without empty ones, or without those at its end."""
    require_file(path)
    try:
        lines = [line.strip() for line in read_bytes(path).decode("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a UTF-8 text file ({error})") from error
    while lines and not lines[-1]:
        lines.pop()
    return tuple(line for line in lines if keep_empty or line)
