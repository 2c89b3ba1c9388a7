"""A labelled test set with class names and prompt templates, wherever it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perceptinit.errors import DataError
from perceptinit.types import ImageSource


@dataclass(frozen=True, slots=True, eq=False)
class ZeroShotSet:
    """Images with one label each, and the words to classify them by.

    classnames: C names; a label is an index into them.
    templates: prompts with `{c}` where the class name goes (clip-benchmark's convention).
    images, keys: N image sources (may be lazy) and N names for messages.
    labels: int64 (N,) in [0, C).
    simulated: made by a program, not photographed.
    """

    name: str
    classnames: tuple[str, ...]
    templates: tuple[str, ...]
    images: Sequence[ImageSource]
    labels: np.ndarray
    keys: Sequence[str]
    simulated: bool = False

    def __post_init__(self) -> None:
        if not len(self.labels):
            raise DataError(f"test set '{self.name}': no images")
        if len(self.images) != len(self.labels) or len(self.keys) != len(self.labels):
            raise DataError(
                f"test set '{self.name}': {len(self.images)} images, {len(self.labels)} labels"
            )
        bad = np.flatnonzero((self.labels < 0) | (self.labels >= len(self.classnames)))
        if bad.size:
            raise DataError(
                f"test set '{self.name}', sample {self.keys[bad[0]]}: label {self.labels[bad[0]]} "
                f"but there are {len(self.classnames)} class names"
            )
        if not self.templates or any("{c}" not in t for t in self.templates):
            raise DataError(
                f"test set '{self.name}': every template needs {{c}} for the class name"
            )
