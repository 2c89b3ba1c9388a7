"""Labeled and captioned test sets."""

from __future__ import annotations

# N images, C classes, M captions
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from perceptinit.errors import DataError
from perceptinit.types import ImageSource

T = TypeVar("T")


class Lazy(Sequence[T]):
    """A sequence whose items are read on access."""

    def __init__(self, length: int, get: Callable[[int], T]) -> None:
        self._length = length
        self._get = get

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> T:  # type: ignore[override]
        if not 0 <= index < self._length:
            raise IndexError(index)
        return self._get(index)


def choose(items: Sequence[T], places: np.ndarray) -> Lazy[T]:
    """Return a lazy sequence of the items at `places`, int64 (N,)."""
    return Lazy(len(places), lambda index: items[int(places[index])])


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class ZeroShotSet:
    """Images with labels, class names and prompts.

    Args:
        classnames: C names; a label is an index into them.
        templates: Prompts with `{c}` for the class name (clip-benchmark's convention).
        images: N image sources, may be lazy.
        labels: int64 (N,) in [0, C), or bool (N, C) if images have several labels.
        keys: Names of the N samples, used in error messages.
        simulated: Whether the images are rendered.
        class_prompts: Prompts by class name, which replace the templates; may be empty.
    """

    name: str
    classnames: tuple[str, ...]
    templates: tuple[str, ...]
    images: Sequence[ImageSource]
    labels: np.ndarray
    keys: Sequence[str]
    simulated: bool = False
    class_prompts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_multilabel(self) -> bool:
        return self.labels.ndim == 2

    def __post_init__(self) -> None:
        where = f"test set '{self.name}'"
        count = len(self.classnames)
        if not len(self.labels):
            raise DataError(f"{where}: no images")
        sizes = {name: len(getattr(self, name)) for name in ("images", "labels", "keys")}
        if len(set(sizes.values())) > 1:
            counts = ", ".join(f"{size} {name}" for name, size in sizes.items())
            raise DataError(f"{where}: expected a label and a key for each image, got {counts}")
        if self.is_multilabel and (width := self.labels.shape[1]) != count:
            raise DataError(f"{where}: labels for {width} classes, but there are {count} class names")
        bad = np.flatnonzero((self.labels < 0) | (self.labels >= count))
        if not self.is_multilabel and bad.size:
            label = f"sample {self.keys[bad[0]]}: label {self.labels[bad[0]]}"
            raise DataError(f"{where}, {label}, but there are {count} class names")
        if self.class_prompts:
            lacking = [name for name in self.classnames if not self.class_prompts.get(name)]
            if lacking:
                raise DataError(f"{where}: no prompts for class '{lacking[0]}'")
        elif not self.templates or any("{c}" not in t for t in self.templates):
            raise DataError(f"{where}: every template must contain {{c}} for the class name")

    def only(self, rows: np.ndarray) -> ZeroShotSet:
        """Return the subset of images in the mask `rows`, bool (N,)."""
        if rows.all():
            return self
        kept = np.flatnonzero(rows)
        images = choose(self.images, kept)
        keys = choose(self.keys, kept)
        return replace(self, images=images, keys=keys, labels=self.labels[rows])


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class RetrievalSet:
    """Images with captions, for retrieval.

    Args:
        images: N image sources, may be lazy.
        keys: Names of the N samples, used in error messages.
        captions: M texts.
        owners: The image that each caption describes, int64 (M,).
    """

    name: str
    images: Sequence[ImageSource]
    keys: Sequence[str]
    captions: tuple[str, ...]
    owners: np.ndarray
    simulated: bool = False

    def __post_init__(self) -> None:
        if not len(self.images) or not self.captions:
            raise DataError(f"test set '{self.name}': no images or no captions")
        without = np.setdiff1d(np.arange(len(self.images)), self.owners)
        if without.size:
            sample = f"test set '{self.name}', sample {self.keys[without[0]]}"
            raise DataError(f"{sample}: no caption ({without.size} such images)")

    def only(self, rows: np.ndarray) -> RetrievalSet:
        """Return the subset of images in the mask `rows`, bool (N,), with their captions."""
        if rows.all():
            return self
        kept = np.flatnonzero(rows)
        captions = np.flatnonzero(rows[self.owners])
        return replace(
            self,
            images=choose(self.images, kept),
            keys=choose(self.keys, kept),
            captions=tuple(self.captions[i] for i in captions),
            owners=(np.cumsum(rows) - 1)[self.owners[captions]],
        )


# sets compare by identity, so caches can use them as keys
ImageSet = ZeroShotSet | RetrievalSet
