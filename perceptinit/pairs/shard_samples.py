"""The samples of several tar shards that have an image and a second member, such as a caption."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from perceptinit.pairs.shard_index import CompleteSamples, Members, ShardIndex
from perceptinit.pairs.tar_file import TarFile, open_tar


class Shard(Protocol):
    """A tar whose samples have known places, or are found when it is opened."""

    @property
    def num_samples(self) -> int:
        """Samples that have both members."""
        ...

    @property
    def num_incomplete(self) -> int:
        """Samples that lack one."""
        ...

    def at(self, number: int) -> tuple[TarFile, list[int]]:
        """Return the open tar and `CompleteSamples.row` of a sample."""
        ...

    def name_first_incomplete(self) -> str:
        """Return the name of the first sample that lacks a member."""
        ...


class LocalShard(CompleteSamples):
    """The complete samples of a tar on a disk."""

    def __init__(self, path: Path, index: ShardIndex, members: Members) -> None:
        super().__init__(index, members)
        self._path = path

    def at(self, number: int) -> tuple[TarFile, list[int]]:
        """Return the open tar and the row of a sample; DataError if it cannot be opened."""
        return open_tar(self._path), self.row(number)

    def name_first_incomplete(self) -> str:
        return open_tar(self._path).sample_key(self.first_incomplete)


class ShardSamples:
    """Samples in the order of the shards; their content is read when it is used.

    stops: int64, index after the last sample of each shard. num_incomplete: samples that lack one of the two members.
    """

    def __init__(self, shards: Sequence[Shard]) -> None:
        self.shards = shards
        self.stops = np.cumsum([shard.num_samples for shard in shards])
        self.num_incomplete = sum(shard.num_incomplete for shard in shards)

    @cached_property
    def first_incomplete(self) -> str:
        """The name of the first sample that lacks a member; empty without one."""
        return next((s.name_first_incomplete() for s in self.shards if s.num_incomplete), "")

    def __len__(self) -> int:
        return int(self.stops[-1])

    def key(self, index: int) -> str:
        """Return the name of a sample: `00012.tar/000123`."""
        tar, row = self._at(index)
        return tar.sample_key(row[0])

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
        return tar.sample_key(start), tar.read(*spans[:2]), tar.read(*spans[2:])

    def _at(self, index: int) -> tuple[TarFile, list[int]]:
        number = bisect_right(self.stops, index)
        return self.shards[number].at(index - int(self.stops[number - 1] if number else 0))


def select_local(paths: Sequence[Path], indexes: Sequence[ShardIndex], members: Members) -> ShardSamples:
    """Return the samples of local shards with a member of each of two lists of extensions, the first found."""
    found = zip(paths, indexes, strict=True)
    return ShardSamples([LocalShard(path, index, members) for path, index in found])
