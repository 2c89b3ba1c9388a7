"""The samples of several tar shards that have an image and a second member, such as a caption."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from perceptinit.pairs.complete_samples import CompleteSamples, Members
from perceptinit.pairs.shard_index import PlacedShard
from perceptinit.pairs.tar_format import TarFile
from perceptinit.pairs.tar_index import open_tar, read_sample, sample_key


class Shard(Protocol):
    """A tar of which the samples' places are known, or are found when it is opened."""

    @property
    def num_samples(self) -> int:
        """Samples that have both members."""
        ...

    @property
    def num_incomplete(self) -> int:
        """Samples that lack one."""
        ...

    def at(self, number: int) -> tuple[TarFile, list[int]]:
        """Return the open tar, and of sample `number`: begin, offset and bytes of both members."""
        ...

    def first_incomplete(self) -> str:
        """Return the name of the first sample that lacks one."""
        ...


class LocalShard:
    """A tar on a disk."""

    def __init__(self, placed: PlacedShard, members: Members) -> None:
        self._path = Path(str(placed.path))
        self._samples = CompleteSamples(placed, members)
        self.num_samples = self._samples.num_samples
        self.num_incomplete = self._samples.num_incomplete

    def at(self, number: int) -> tuple[TarFile, list[int]]:
        """Return the open tar and the row of a sample; DataError when it cannot be opened."""
        return open_tar(self._path), self._samples.row(number)

    def first_incomplete(self) -> str:
        return sample_key(open_tar(self._path), self._samples.first_incomplete)


class ShardSamples:
    """Samples in the order of the shards; what they hold is read when it is asked for.

    stops: int64, index after the last sample of each shard. num_incomplete: samples that lack one of the two members.
    """

    def __init__(self, shards: Sequence[Shard]) -> None:
        self.shards = shards
        self.stops = np.cumsum([shard.num_samples for shard in shards])
        self.num_incomplete = sum(shard.num_incomplete for shard in shards)

    @classmethod
    def select(cls, shards: Iterable[PlacedShard], members: Members) -> ShardSamples:
        """Return the samples of local shards with a member of each of two lists of extensions, the first found."""
        return cls([LocalShard(shard, members) for shard in shards])

    @cached_property
    def first_incomplete(self) -> str:
        """The name of the first sample that lacks a member; empty without one."""
        return next((s.first_incomplete() for s in self.shards if s.num_incomplete), "")

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
