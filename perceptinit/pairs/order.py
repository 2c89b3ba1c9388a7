"""The order of pairs in an epoch, a function of its generator; drawn window by window, without an array of all pairs."""

from __future__ import annotations

# N places of an epoch
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Protocol

import numpy as np

from perceptinit.errors import UsageError

# Places up to which an order has one generator, passed on from window to window. In a longer order each window is drawn by
# itself, since it would take seconds to get to the middle; one window of so many places would take gigabytes.
ONE_GENERATOR = 1 << 27
# draws with replacement that are made at a time
_CHUNK = 1 << 20


class EpochOrder(Protocol):
    """Which pair stands at each of the N places of an epoch."""

    stops: np.ndarray
    """int64, ascending to N: the place after each window. No block of pairs is used in two windows."""

    def __getitem__(self, places: slice) -> np.ndarray:
        """Return the indices of the pairs at places, integers."""
        ...


def epoch_order(
    num_pairs: int,
    block_sizes: Sequence[int],
    shuffle_blocks: int,
    rng: np.random.Generator,
    num_drawn: int = 0,
) -> EpochOrder:
    """Return a random order of all pairs, N = num_pairs, or N = num_drawn of them with replacement.

    block_sizes: runs of indices that lie together on disk, such as shards; sum to num_pairs.
    shuffle_blocks: pairs are shuffled within windows of this many blocks, after the blocks
    themselves, so that reading touches few blocks at a time. 0, or no fewer than there are blocks:
    one window, that is a uniform shuffle of everything.

    Memory: a window, in windows; else 4 bytes a place. Draws with replacement take as much again.

    Raises:
        UsageError: If more than ONE_GENERATOR places are one window.
    """
    sizes = np.asarray(block_sizes, dtype=np.int64)
    if num_drawn:
        return _Drawn(num_pairs, sizes, shuffle_blocks, rng, num_drawn)
    if shuffle_blocks and shuffle_blocks < len(sizes):
        return _Windows(sizes, shuffle_blocks, rng)
    if num_pairs > ONE_GENERATOR:
        raise UsageError(too_many_at_once(num_pairs))
    return _Whole(num_pairs, rng)


def too_many_at_once(num_pairs: int) -> str:
    """Return the sentence for more than ONE_GENERATOR pairs in one window."""
    return (
        f"{num_pairs:,} pairs cannot be shuffled all at once, only {ONE_GENERATOR:,}. "
        "Set shuffle_blocks to a number of blocks that are shuffled at a time, such as 64"
    )


class _Whole:
    """All in one window, held."""

    def __init__(self, num_pairs: int, rng: np.random.Generator) -> None:
        self.stops = np.array([num_pairs])
        self._order = np.arange(num_pairs, dtype=_smallest_type(num_pairs))
        rng.shuffle(self._order)

    def __getitem__(self, places: slice) -> np.ndarray:
        return self._order[places]


class _Windows:
    """Window after window, each drawn when it is asked for.

    Up to ONE_GENERATOR places, a window's draws begin where those of the one before it end: the states at the
    borders are kept, and those before the first that is asked for are gone through, at 11 ns a place.
    """

    def __init__(self, sizes: np.ndarray, shuffle_blocks: int, rng: np.random.Generator) -> None:
        blocks = rng.permutation(len(sizes))
        self._windows = np.split(blocks, range(shuffle_blocks, len(blocks), shuffle_blocks))
        self._sizes, self._starts = sizes, np.cumsum(sizes) - sizes
        self.stops = np.cumsum([sizes[window].sum() for window in self._windows])
        self._rng, self._states = rng, [rng.bit_generator.state]
        is_long = self.stops[-1] > ONE_GENERATOR
        self._key = int(rng.integers(1 << 63)) if is_long else None
        self._window = lru_cache(maxsize=2)(self._draw)  # batches lie across a border

    def __getitem__(self, places: slice) -> np.ndarray:
        start, stop, _ = places.indices(int(self.stops[-1]))
        first = int(np.searchsorted(self.stops, start, side="right"))
        parts = [np.empty(0, dtype=np.int64)]
        for number, (begin, end) in enumerate(spans(self.stops, start, stop), first):
            before = int(self.stops[number - 1]) if number else 0
            parts.append(self._window(number)[begin - before : end - before])
        return np.concatenate(parts)

    def _draw(self, number: int) -> np.ndarray:
        if self._key is not None:
            return self._shuffle(number, np.random.default_rng((self._key, number)))
        known = min(number, len(self._states) - 1)
        self._rng.bit_generator.state = self._states[known]
        for before in range(known, number):
            self._shuffle(before, self._rng)
            self._states.append(self._rng.bit_generator.state)
        return self._shuffle(number, self._rng)

    def _shuffle(self, number: int, rng: np.random.Generator) -> np.ndarray:
        window = self._windows[number]
        blocks = zip(self._starts[window], self._sizes[window], strict=True)
        indices = np.concatenate([np.arange(start, start + size) for start, size in blocks])
        rng.shuffle(indices)
        return indices


class _Drawn:
    """Pairs drawn with replacement: the draws in ascending order, and an order of these."""

    def __init__(
        self,
        num_pairs: int,
        sizes: np.ndarray,
        shuffle_blocks: int,
        rng: np.random.Generator,
        num_drawn: int,
    ) -> None:
        self._drawn = np.empty(num_drawn, dtype=_smallest_type(num_pairs))
        for at in range(0, num_drawn, _CHUNK):  # as a whole, this would take three times the memory
            part = self._drawn[at : at + _CHUNK]
            part[:] = rng.integers(num_pairs, size=len(part))
        self._drawn.sort()
        ends = np.cumsum(sizes).astype(self._drawn.dtype)
        counts = np.diff(np.searchsorted(self._drawn, ends), prepend=0)
        self._order = epoch_order(num_drawn, counts.tolist(), shuffle_blocks, rng)
        self.stops = self._order.stops

    def __getitem__(self, places: slice) -> np.ndarray:
        return self._drawn[self._order[places]]


def spans(stops: np.ndarray, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield the part of each window that lies between two places, windows with nothing left out."""
    borders = [start, *stops[(start < stops) & (stops < stop)].tolist(), stop]
    yield from pairwise(borders)


def _smallest_type(num_pairs: int) -> type[np.unsignedinteger]:
    return np.uint32 if num_pairs < 1 << 32 else np.uint64
