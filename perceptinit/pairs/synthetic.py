"""Simulated pairs (`synthetic`): rendered images with captions that mention some of their factors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from perceptinit.configs import DrawnSide, NonNegativeInt, PositiveInt
from perceptinit.seeding import generator
from perceptinit.types import Classes, Pair
from perceptinit.world.captions import caption
from perceptinit.world.factors import CLASSNAMES, ImageFactors, draw_factors, label_of
from perceptinit.world.pictures import Pictures


class SyntheticPairs:
    """Image-text pairs rendered on the fly; pair i depends only on `seed` and i.

    With another math library, a few pixels in a million may differ by one of 256 levels. The judgments and
    the test set of the same seed use other images.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        seed: NonNegativeInt = 0
        """Seed of the images and captions, independent of the run's seed: all runs share one data set."""
        num_pairs: PositiveInt = 3000
        """Pairs in an epoch."""
        image_size: DrawnSide = 32
        """Height and width of the images, pixels."""

        def smoke(self) -> SyntheticPairs.Config:
            """Return a copy with 64 pairs."""
            return replace(self, num_pairs=64)

    def __init__(self, config: Config) -> None:
        self.config = config
        self.num_pairs = config.num_pairs
        self.block_sizes = [config.num_pairs]  # nothing is read, so any order is equally fast
        self._images = Pictures((config.seed, "pairs"), config.num_pairs, config.image_size, self._draw)

    def pair(self, index: int) -> Pair:
        """Return pair `index`, with its picture from the image store."""
        text = caption(self._draw(index), generator(self.config.seed, "pairs", index, "caption"))
        return Pair(f"synthetic/{index:06d}", self._images[index], text)

    def read_classes(self) -> Classes:
        """Return color and shape as the class of each image: the 64 classes of the simulated test set."""
        labels = [label_of(self._draw(index)) for index in range(self.num_pairs)]
        return Classes(CLASSNAMES, np.array(labels, dtype=np.int64))

    def _draw(self, index: int) -> ImageFactors:
        return draw_factors(self.config.seed, "pairs", index)
