"""The samples of several tar shards that have an image and a second member, such as a caption."""

from __future__ import annotations

# N samples
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perceptinit.pairs.tar_index import TarIndex, read_member, read_sample, sample_key


@dataclass(frozen=True, slots=True, eq=False)
class ShardSamples:
    """N samples in the order of the shards; what they hold is read when it is asked for.

    stops: int64, index after the last sample of each shard. rows: int64 (N, 5): where the sample
    begins, offset and bytes of the image, offset and bytes of the second member.
    incomplete: the shard and the beginning of each sample that lacks one of the two.
    """

    paths: tuple[Path, ...]
    stops: np.ndarray
    rows: np.ndarray
    incomplete: tuple[tuple[Path, int], ...]

    @classmethod
    def select(
        cls, indexes: Sequence[TarIndex], images: Iterable[str], seconds: Iterable[str]
    ) -> ShardSamples:
        """Return the samples with a member of each of two lists of extensions, the first found."""
        images, seconds = tuple(images), tuple(seconds)
        rows: list[np.ndarray] = []
        incomplete: list[tuple[Path, int]] = []
        for index in indexes:
            image, second = index.members(images), index.members(seconds)
            complete = (image >= 0) & (second >= 0)
            incomplete += [(index.path, int(start)) for start in index.starts[~complete]]
            image, second = image[complete], second[complete]
            spans = [a[m] for m in (image, second) for a in (index.offsets, index.sizes)]
            rows.append(np.stack([index.starts[complete], *spans], axis=1).astype(np.int64))
        paths = tuple(index.path for index in indexes)
        return cls(
            paths, np.cumsum([len(r) for r in rows]), np.concatenate(rows), tuple(incomplete)
        )

    def __len__(self) -> int:
        return len(self.rows)

    def path(self, index: int) -> Path:
        """Return the shard that a sample is in."""
        return self.paths[bisect_right(self.stops, index)]

    def key(self, index: int) -> str:
        """Return the name of a sample: `00012.tar/000123`."""
        return sample_key(self.path(index), self.rows[index, 0])

    def image(self, index: int) -> bytes:
        """Return the encoded image of a sample."""
        return read_member(self.path(index), *self.rows[index, 1:3])

    def second(self, index: int) -> bytes:
        """Return the bytes of a sample's second member."""
        return read_member(self.path(index), *self.rows[index, 3:5])

    def sample(self, index: int) -> tuple[str, bytes, bytes]:
        """Return `key`, `image` and `second` of a sample, faster than one by one."""
        start, *spans = self.rows[index].tolist()
        return read_sample(self.path(index), start, spans[:2], spans[2:])
