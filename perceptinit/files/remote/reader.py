"""Pieces for the readers of a source: fetched ahead while a loader runs, and how many the cache holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Generic, TypeVar

from perceptinit.files.remote.read_ahead import ReadAhead, Use
from perceptinit.files.remote.shard_cache import Piece, ShardCache
from perceptinit.protocols import BlockUse, Reached

H = TypeVar("H")


class PieceReader(Generic[H]):
    """The pieces of a source, one per block, opened by `open_(piece, path)`.

    cache_gb: most that the cache may take, in 10^9 bytes; None: half of what is free.
    """

    def __init__(
        self, pieces: Sequence[Piece], open_: Callable[[Piece, Path], H], cache_gb: float | None
    ) -> None:
        self.pieces = pieces
        self._open, self._cache_gb = open_, cache_gb
        self._ahead: ReadAhead[H] | None = None

    @cached_property
    def cache(self) -> ShardCache:
        return ShardCache(None if self._cache_gb is None else int(self._cache_gb * 1e9))

    @cached_property
    def num_held(self) -> int:
        """Return how many pieces the cache holds at a time, whichever they are."""
        room = 0
        for number, size in enumerate(sorted((p.room for p in self.pieces), reverse=True)):
            room += size
            if room > self.cache.max_bytes:
                return number
        return len(self.pieces)

    @property
    def max_shuffle_blocks(self) -> int:
        """Return how many may be shuffled into each other: those that are held, but one that is next."""
        return max(1, self.num_held - 1) if self.num_held < len(self.pieces) else self.num_held

    def problems(self) -> Iterator[str]:
        """Yield a sentence when the cache does not hold the largest piece."""
        if not self.num_held:
            largest = max(piece.room for piece in self.pieces)
            yield (
                f"cache_gb: the cache in {self.cache.folder} may take {self.cache.max_bytes / 1e9:g} GB, and the "
                f"largest piece of the data has {largest / 1e9:g} GB"
            )

    @contextmanager
    def read_ahead(self, uses: Iterable[BlockUse]) -> Iterator[Reached]:
        """Fetch pieces during the block, as `HasReadAhead` says."""
        planned = (Use(self.pieces[number], first, last) for number, first, last in uses)
        ahead = ReadAhead(self.cache, planned, self._open)
        with ahead.running() as reached:
            self._ahead = ahead
            try:
                yield reached
            finally:
                self._ahead = None

    def get(self, piece: Piece) -> H | None:
        """Return a piece that was planned, waited for; None for another, and where there is no room for it."""
        return self._ahead.get(piece) if self._ahead else None
