"""Labeled images for pretraining (`labelled-images`): class folders, or shards in a test set's layout."""

# N images, C classes
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np

from perceptinit.configs import NEUTRAL
from perceptinit.errors import DataError, problems_of
from perceptinit.files.remote.addresses import is_remote
from perceptinit.pairs.published import need_of, source_of
from perceptinit.test_sets.readers import SPLIT, has_shards, read_zero_shot_set
from perceptinit.test_sets.remote import fetch_remote
from perceptinit.test_sets.sets import ZeroShotSet
from perceptinit.types import Classes, DataNeed, Pair


@dataclass(eq=False)
class LabelledImages:
    """Labeled images with the names of their classes as texts.

    The layout is one folder per class, or clip-benchmark's layout, which `perceptinit data pack --test-set`
    writes. The texts for ImageNet's folders (`n01440764`, ...) are its class names.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        path: Annotated[str, NEUTRAL]
        """Folder or address of the class folders, or of a set in clip-benchmark's layout."""
        split: str = "train"
        """Folder of the training shards in clip-benchmark's layout."""

    config: Config

    @property
    def num_pairs(self) -> int:
        return len(self._set.labels)

    @property
    def block_sizes(self) -> list[int]:
        """Return one block: images can be read in any order."""
        return [self.num_pairs]

    @property
    def published_num_pairs(self) -> int | None:
        """Return the published number of images if the folder has the name of a known source."""
        source = source_of(self.config.path)
        return source.num_pairs if source else None

    def needs(self) -> Iterator[DataNeed]:
        """Yield a `DataNeed` for the images, with details if the folder has the name of a known source."""
        yield need_of(self.config.path, next(self.preflight(), ""))

    def pair(self, index: int) -> Pair:
        """Return image `index` with the name of its class."""
        found = self._set
        return Pair(found.keys[index], found.images[index], found.classnames[found.labels[index]])

    def read_classes(self) -> Classes:
        """Return class names and labels.

        Raises:
            DataError: If there is no such set, an image has several labels, or a class has no images.
        """
        return Classes(self._set.classnames, self._set.labels)

    def preflight(self) -> Iterator[str]:
        """Yield the first problem of the set."""
        return problems_of(lambda: self._set)

    @cached_property
    def _set(self) -> ZeroShotSet:
        place = self.config.path
        split = self.config.split
        path = fetch_remote(place, split) if is_remote(place) else Path(place).expanduser()
        found = read_zero_shot_set(path, split=split if has_shards(path, split) else SPLIT)
        if found.is_multilabel:
            raise DataError(f"{path}: images have several labels, but training requires one")
        empty = np.setdiff1d(np.arange(len(found.classnames)), found.labels)
        if empty.size:
            raise DataError(
                f"{path}: class '{found.classnames[empty[0]]}' is empty ({empty.size} in total). Fill or "
                "remove it"
            )
        return found
