"""The contract of pairs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from perceptinit.errors import DataError
from perceptinit.images.decoding import decode
from perceptinit.protocols import HasClasses, HasMaxShuffleBlocks, Pairs
from perceptinit.testing.contract import Contract
from perceptinit.types import Pair


class PairsContract(Contract):
    """Every index gives a pair, the same one each time and from any thread.

    Override `options` with the path of a few samples of your format.
    """

    kind: ClassVar[str] = "pairs"
    protocol: ClassVar[type] = Pairs

    def test_counts_agree(self, tmp_path: Path) -> None:
        pairs = self.build(tmp_path)
        self.must(pairs.num_pairs > 0, f"num_pairs is {pairs.num_pairs}: raise DataError instead")
        total = sum(pairs.block_sizes)
        self.must(
            total == pairs.num_pairs,
            f"block_sizes sum to {total}, num_pairs is {pairs.num_pairs}; "
            "without shards, block_sizes is [num_pairs]",
        )

    def _all(self, pairs: Any) -> list[Pair]:
        found = [pairs.pair(i) for i in range(min(pairs.num_pairs, 64))]
        for pair in found:
            self.must(
                isinstance(pair, Pair),
                f"pair(index) must return perceptinit.plugin.Pair, got {pair!r:.60}",
            )
        return found

    def test_images_and_texts_can_be_used(self, tmp_path: Path) -> None:
        for pair in self._all(self.build(tmp_path)):
            self.must(
                isinstance(pair.text, (str, np.ndarray)) and len(pair.text) > 0,
                f"pair '{pair.key}' has no text: leave such samples out of num_pairs",
            )
            with self.must_not_raise(DataError, f"image of '{pair.key}'"):
                decode(pair.image, pair.key)

    def test_keys_name_one_pair_each(self, tmp_path: Path) -> None:
        keys = [pair.key for pair in self._all(self.build(tmp_path))]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        self.must(not twice, f"the key '{(twice or [''])[0]}' names several pairs")

    def test_an_index_gives_the_same_pair_from_any_thread(self, tmp_path: Path) -> None:
        pairs = self.build(tmp_path)
        keys = [pair.key for pair in self._all(pairs)]
        with ThreadPoolExecutor(4) as pool:
            again = [pair.key for pair in pool.map(pairs.pair, range(len(keys)))]
        self.must(
            keys == again,
            "pair(index) gave other pairs when several threads asked: keep no state between "
            "calls, or guard it with a lock",
        )

    def test_classes_name_every_label(self, tmp_path: Path) -> None:
        pairs = self.build(tmp_path)
        num_pairs = pairs.num_pairs
        if not isinstance(pairs, HasClasses):
            return
        try:
            found = pairs.read_classes()
        except DataError:
            return  # not with these options
        self.must(
            found.labels.shape == (num_pairs,) and found.labels.dtype == np.int64,
            f"read_classes().labels must be int64 ({num_pairs},), got "
            f"{found.labels.dtype} {found.labels.shape}",
        )
        self.must(
            bool((found.labels >= 0).all() and (found.labels < len(found.names)).all()),
            f"read_classes() has labels beyond its {len(found.names)} names",
        )

    def test_max_shuffle_blocks_is_a_number_of_blocks(self, tmp_path: Path) -> None:
        pairs = self.build(tmp_path)
        if isinstance(pairs, HasMaxShuffleBlocks):
            most = pairs.max_shuffle_blocks
            self.must(
                isinstance(most, int) and most >= 1,
                f"max_shuffle_blocks must be an int from 1 on, got {most!r}",
            )
