"""Images with a class each, to be pretrained on (`labelled-images`): class folders, or shards of a test set's layout."""

from __future__ import annotations

# N images, C classes
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from perceptinit.errors import DataError, problems_of
from perceptinit.files.remote.addresses import is_remote
from perceptinit.test_sets.readers import SPLIT, has_shards, read_zero_shot_set
from perceptinit.test_sets.remote import fetch_remote
from perceptinit.test_sets.sets import ZeroShotSet
from perceptinit.types import Classes, Pair


class LabelledImages:
    """Labelled images with the names of their classes as texts.

    Two layouts, those of test sets: a folder for each class, named after it, or that of clip-benchmark, as
    `perceptinit data pack --test-set` writes it. ImageNet's folders (`n01440764`, ...) get the names of its classes.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        path: str
        """Folder of the class folders, or of a set in clip-benchmark's layout; here or at an address."""
        split: str = "train"
        """Of a set in clip-benchmark's layout: the folder of the shards to train on."""

    def __init__(self, config: Config) -> None:
        self.config = config

    @property
    def num_pairs(self) -> int:
        return len(self._set.labels)

    @property
    def block_sizes(self) -> list[int]:
        """Return one block: images may be read in any order."""
        return [self.num_pairs]

    def pair(self, index: int) -> Pair:
        """Return image `index` with the name of its class."""
        found = self._set
        text = found.classnames[found.labels[index]]
        return Pair(found.keys[index], found.images[index], text)

    def read_classes(self) -> Classes:
        """Return class names and labels.

        Raises DataError when the folder holds no such set, an image has several labels, or a class no image.
        """
        return Classes(self._set.classnames, self._set.labels)

    def preflight(self) -> Iterator[str]:
        """Yield what is missing or wrong."""
        return problems_of(lambda: self._set)

    @cached_property
    def _set(self) -> ZeroShotSet:
        place, split = self.config.path, self.config.split
        path = fetch_remote(place, split) if is_remote(place) else Path(place).expanduser()
        found = read_zero_shot_set(path, split=split if has_shards(path, split) else SPLIT)
        if found.is_multilabel:
            raise DataError(f"{path}: several labels an image; one is needed to train on")
        counts = np.bincount(found.labels, minlength=len(found.classnames))
        empty = [name for name, count in zip(found.classnames, counts, strict=True) if not count]
        if empty:
            raise DataError(
                f"{path}: class '{empty[0]}' ({len(empty)} such) has no images; remove it, or add some"
            )
        return found
