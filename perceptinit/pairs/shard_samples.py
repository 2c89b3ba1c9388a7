"""The samples of several tar shards that have an image and a second member, such as a caption."""

from __future__ import annotations

# N samples
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from perceptinit.pairs.tar_format import TarFile
from perceptinit.pairs.tar_index import TarIndex, open_tar, read_sample, sample_key


class Shard(Protocol):
    """A tar of which the samples' places are known, or are found when it is opened."""

    def at(self, number: int) -> tuple[TarFile, list[int]]:
        """Return the open tar, and of sample `number`: begin, offset and bytes of both members."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class LocalShard:
    """A tar on a disk. rows: int64 (N, 5), see `sample_rows`."""

    path: Path
    rows: np.ndarray

    def at(self, number: int) -> tuple[TarFile, list[int]]:
        """Return the open tar and the row of a sample; DataError when it cannot be opened."""
        return open_tar(self.path), self.rows[number].tolist()


@dataclass(frozen=True, slots=True, eq=False)
class ShardSamples:
    """N samples in the order of the shards; what they hold is read when it is asked for.

    stops: int64, index after the last sample of each shard.
    num_incomplete: samples that lack one of the two members; first_incomplete: the name of one.
    """

    shards: Sequence[Shard]
    stops: np.ndarray
    num_incomplete: int = 0
    first_incomplete: str = ""

    @classmethod
    def select(
        cls, indexes: Sequence[TarIndex], images: Iterable[str], seconds: Iterable[str]
    ) -> ShardSamples:
        """Return the samples with a member of each of two lists of extensions, the first found."""
        images, seconds = tuple(images), tuple(seconds)
        shards, num_incomplete, first = [], 0, ""
        for index in indexes:
            rows, incomplete = sample_rows(index, images, seconds)
            path = Path(str(index.path))
            shards.append(LocalShard(path, rows))
            if len(incomplete) and not num_incomplete:
                first = sample_key(open_tar(path), incomplete[0])
            num_incomplete += len(incomplete)
        return cls(shards, np.cumsum([len(s.rows) for s in shards]), num_incomplete, first)

    def __len__(self) -> int:
        return int(self.stops[-1])

    def key(self, index: int) -> str:
        """Return the name of a sample: `00012.tar/000123`."""
        tar, row = self._at(index)
        return sample_key(tar, row[0])

    def image(self, index: int) -> bytes:
        """Return the encoded image of a sample."""
        tar, row = self._at(index)
        return tar.read(*row[1:3])

    def second(self, index: int) -> bytes:
        """Return the bytes of a sample's second member."""
        tar, row = self._at(index)
        return tar.read(*row[3:5])

    def sample(self, index: int) -> tuple[str, bytes, bytes]:
        """Return `key`, `image` and `second` of a sample, faster than one by one."""
        tar, (start, *spans) = self._at(index)
        return read_sample(tar, start, spans[:2], spans[2:])

    def _at(self, index: int) -> tuple[TarFile, list[int]]:
        number = bisect_right(self.stops, index)
        return self.shards[number].at(index - int(self.stops[number - 1] if number else 0))


def sample_rows(
    index: TarIndex, images: Iterable[str], seconds: Iterable[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the samples of a tar that have both members, int64 (N, 5), and the beginnings of the others.

    A row: where the sample begins, offset and bytes of the image, offset and bytes of the second member.
    """
    image, second = index.members(images), index.members(seconds)
    complete = (image >= 0) & (second >= 0)
    chosen = (image[complete], second[complete])
    spans = [column[m] for m in chosen for column in (index.offsets, index.sizes)]
    rows = np.stack([index.starts[complete], *spans], axis=1).astype(np.int64)
    return rows, index.starts[~complete]
