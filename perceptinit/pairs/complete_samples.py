"""The samples of a tar shard that have an image and a second member, such as a caption."""

from __future__ import annotations

# N samples
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np

from perceptinit.pairs.shard_index import PlacedShard
from perceptinit.pairs.tar_index import TarIndex

# extensions of images, and of second members; the first of each that a sample has is used
Members = tuple[Sequence[str], Sequence[str]]


class CompleteSamples:
    """The complete samples of a shard, by its index: counted by the header, and each looked up alone.

    It holds nothing of them; of incomplete ones it holds the numbers, 8 bytes each, from the first look-up on.
    """

    def __init__(self, shard: PlacedShard, members: Members) -> None:
        self._shard, self._members = shard, members
        known = shard.index.extensions
        self._wanted = [[known.index(e) for e in group if e in known] for group in members]
        self.num_incomplete = sum(n for n, *codes in shard.kinds if not self._has_both(codes))
        self.num_samples = shard.num_samples - self.num_incomplete

    def row(self, number: int) -> list[int]:
        """Return where complete sample `number` begins, offset and bytes of the image and of the second member."""
        if self.num_incomplete:
            number += int(np.searchsorted(self._gaps, number, side="right"))
        start, places = self._shard.sample(number)
        chosen = [next(places[code] for code in group if code in places) for group in self._wanted]
        return [start, *chosen[0], *chosen[1]]

    def rows(self) -> np.ndarray:
        """Return the rows of all, int64 (N, 5)."""
        return sample_rows(self._shard.tar_index(), *self._members)

    @cached_property
    def first_incomplete(self) -> int:
        """Return where the first incomplete sample begins, in bytes."""
        index = self._shard.tar_index()
        return int(index.starts[~_complete(index, *self._members)][0])

    @cached_property
    def _gaps(self) -> np.ndarray:
        """Return for each incomplete sample the number of the complete one after it."""
        incomplete = np.flatnonzero(~_complete(self._shard.tar_index(), *self._members))
        return incomplete - np.arange(len(incomplete))

    def _has_both(self, codes: Sequence[int]) -> bool:
        return all(any(code in codes for code in group) for group in self._wanted)


def sample_rows(index: TarIndex, images: Iterable[str], seconds: Iterable[str]) -> np.ndarray:
    """Return the samples of a tar that have both members, int64 (N, 5).

    A row: where the sample begins, offset and bytes of the image, offset and bytes of the second member.
    """
    images, seconds = tuple(images), tuple(seconds)
    complete = _complete(index, images, seconds)
    chosen = [index.members(group)[complete] for group in (images, seconds)]
    spans = [column[m] for m in chosen for column in (index.offsets, index.sizes)]
    return np.stack([index.starts[complete], *spans], axis=1).astype(np.int64)


def _complete(index: TarIndex, images: Iterable[str], seconds: Iterable[str]) -> np.ndarray:
    return (index.members(images) >= 0) & (index.members(seconds) >= 0)
