"""Pairs as pretraining on labels takes them: the number of the class in the place of the text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from perceptinit.protocols import Pairs
from perceptinit.types import Pair


class LabelledPairs:
    """The same pairs, whose texts are one id each: the label and 1, for 0 is padding."""

    def __init__(self, pairs: Pairs, labels: np.ndarray) -> None:
        """labels: int64 (num_pairs,), from 0 on."""
        self._pairs = pairs
        self._ids = labels + 1
        self.num_pairs: int = pairs.num_pairs
        self.block_sizes: Sequence[int] = pairs.block_sizes

    def pair(self, index: int) -> Pair:
        """Return pair `index` with its label's id."""
        pair = self._pairs.pair(index)
        return Pair(pair.key, pair.image, self._ids[index : index + 1])
