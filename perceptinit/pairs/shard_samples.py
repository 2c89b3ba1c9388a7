"""The samples of several tar shards that have an image and a second member, such as a caption."""

# S samples of one shard, of which N are complete
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from perceptinit.pairs.shard_index import Members, ShardIndex
from perceptinit.pairs.tar_file import BLOCK_BYTES, TarFile, open_tar


class CompleteSamples:
    """The N samples of a shard that have an image and a second member.

    If the index has no columns, only the number of samples is known.
    """

    def __init__(self, index: ShardIndex, members: Members) -> None:
        self._index = index
        known = index.extensions
        self._wanted = [[known.index(e) for e in group if e in known] for group in members]
        self.num_incomplete = sum(
            number
            for number, *codes in index.kinds
            if not all(any(code in codes for code in group) for group in self._wanted)
        )
        self.num_samples = index.num_samples - self.num_incomplete

    @property
    def extensions(self) -> set[str]:
        """Return the extensions of all members."""
        return {self._index.extensions[code] for _, *codes in self._index.kinds for code in codes}

    def row(self, number: int) -> list[int]:
        """Return the offset of a sample, then the offset and size of its image and of its second member."""
        if self.num_incomplete:
            number += int(np.searchsorted(self._gaps, number, side="right"))
        start, places = self._index.sample(number)
        chosen = [next(places[code] for code in group if code in places) for group in self._wanted]
        return [start, *chosen[0], *chosen[1]]

    def rows(self) -> np.ndarray:
        """Return `row` of all samples, int64 (N, 5)."""
        rows = [self.row(number) for number in range(self.num_samples)]
        return np.array(rows, dtype=np.int64).reshape(-1, 5)

    @property
    def first_incomplete(self) -> int:
        """Return the offset of the first incomplete sample."""
        return int(self._index.columns["starts"][self._incomplete[0]]) * BLOCK_BYTES

    @cached_property
    def _gaps(self) -> np.ndarray:
        """Return the number of complete samples before each incomplete sample."""
        return self._incomplete - np.arange(self.num_incomplete)

    @cached_property
    def _incomplete(self) -> np.ndarray:
        """Return the numbers of the samples without an image or without a second member."""
        codes = self._index.columns["codes"]
        firsts = self._index.columns["firsts"]
        sample_of = np.searchsorted(firsts, np.arange(len(codes)), side="right") - 1
        numbers = np.arange(len(firsts))
        has_all = [np.isin(numbers, sample_of[np.isin(codes, group)]) for group in self._wanted]
        return np.flatnonzero(~np.all(has_all, axis=0))


class Shard(CompleteSamples, ABC):
    """A tar shard whose samples can be read."""

    @abstractmethod
    def at(self, number: int) -> tuple[TarFile, list[int]]:
        """Return the open tar and the `row` of a sample; DataError if it cannot be opened."""

    @abstractmethod
    def key(self, start: int) -> str:
        """Return the key of the sample whose first header is at byte `start`."""


class LocalShard(Shard):
    """A shard on the local disk."""

    def __init__(self, path: Path, index: ShardIndex, members: Members) -> None:
        super().__init__(index, members)
        self._path = path

    def at(self, number: int) -> tuple[TarFile, list[int]]:
        return open_tar(self._path), self.row(number)

    def key(self, start: int) -> str:
        return open_tar(self._path).sample_key(start)


class ShardSamples:
    """Samples in the order of the shards; their content is read on access.

    stops: int64, index after the last sample of each shard. num_incomplete: samples without an image or
    second member.
    """

    def __init__(self, shards: Sequence[Shard]) -> None:
        self.shards = shards
        self.stops = np.cumsum([shard.num_samples for shard in shards])
        self.num_incomplete = sum(shard.num_incomplete for shard in shards)

    @property
    def first_incomplete(self) -> str:
        """Return the name of the first incomplete sample; empty if there is none."""
        return next((s.key(s.first_incomplete) for s in self.shards if s.num_incomplete), "")

    @property
    def extensions(self) -> set[str]:
        """Return the extensions of all members."""
        return set[str]().union(*(shard.extensions for shard in self.shards))

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
        """Return `key`, `image` and `second` of a sample, faster than separate calls."""
        tar, (start, *spans) = self._at(index)
        return tar.sample_key(start), tar.read(*spans[:2]), tar.read(*spans[2:])

    def _at(self, index: int) -> tuple[TarFile, list[int]]:
        number = bisect_right(self.stops, index)
        return self.shards[number].at(index - int(self.stops[number - 1] if number else 0))


def select_local(paths: Sequence[Path], indexes: Sequence[ShardIndex], members: Members) -> ShardSamples:
    """Return the samples of local shards; the first existing extension of each list is used."""
    found = zip(paths, indexes, strict=True)
    return ShardSamples([LocalShard(path, index, members) for path, index in found])
