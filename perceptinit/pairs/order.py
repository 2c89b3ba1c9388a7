"""The order of pairs in an epoch, a function of its generator; drawn window by window, without an array of all pairs."""

from __future__ import annotations

# N places of an epoch
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Protocol

import numpy as np

# places up to which an order has one generator, passed on from window to window. Longer ones take seconds to get to the
# middle of, or gigabytes when everything is one window: they are other draws, each place or window by itself.
ONE_GENERATOR = 1 << 27
# draws with replacement that are made at a time
_CHUNK = 1 << 20
_NUM_ROUNDS = 8


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

    Memory: a window, in windows; else 4 bytes a place (8 from 2^32 pairs on), and nothing beyond ONE_GENERATOR places.
    Draws with replacement take as much again.
    """
    sizes = np.asarray(block_sizes, dtype=np.int64)
    if num_drawn:
        return _Drawn(num_pairs, sizes, shuffle_blocks, rng, num_drawn)
    if shuffle_blocks and shuffle_blocks < len(sizes):
        return _Windows(sizes, shuffle_blocks, rng)
    return (_Whole if num_pairs <= ONE_GENERATOR else _Computed)(num_pairs, rng)


class _Whole:
    """All in one window, held."""

    def __init__(self, num_pairs: int, rng: np.random.Generator) -> None:
        self.stops = np.array([num_pairs])
        self._order = np.arange(num_pairs, dtype=_smallest_type(num_pairs))
        rng.shuffle(self._order)

    def __getitem__(self, places: slice) -> np.ndarray:
        return self._order[places]


class _Computed:
    """All in one window, each place computed by itself.

    A Feistel network permutes the numbers of 2k bits; what falls outside goes through it again until it falls inside, which
    is a permutation, too (Black and Rogaway 2002, "Ciphers with arbitrary finite domains").
    """

    def __init__(self, num_pairs: int, rng: np.random.Generator) -> None:
        self.stops = np.array([num_pairs])
        self._num_pairs = num_pairs
        self._half_bits = np.uint64(-(-(num_pairs - 1).bit_length() // 2))
        self._keys = rng.integers(1 << 64, size=_NUM_ROUNDS, dtype=np.uint64)

    def __getitem__(self, places: slice) -> np.ndarray:
        found = self._permuted(np.arange(*places.indices(self._num_pairs), dtype=np.uint64))
        while len(outside := np.flatnonzero(found >= self._num_pairs)):
            found[outside] = self._permuted(found[outside])
        return found.astype(np.int64)

    def _permuted(self, numbers: np.ndarray) -> np.ndarray:
        mask = (np.uint64(1) << self._half_bits) - np.uint64(1)
        left, right = numbers >> self._half_bits, numbers & mask
        for key in self._keys:
            left, right = right, left ^ (_mixed(right + key) & mask)
        return left << self._half_bits | right


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
            return self._shuffled(number, np.random.default_rng((self._key, number)))
        known = min(number, len(self._states) - 1)
        self._rng.bit_generator.state = self._states[known]
        for before in range(known, number):
            self._shuffled(before, self._rng)
            self._states.append(self._rng.bit_generator.state)
        return self._shuffled(number, self._rng)

    def _shuffled(self, number: int, rng: np.random.Generator) -> np.ndarray:
        parts = [
            np.arange(start, start + size)
            for block in self._windows[number]
            for start, size in [(self._starts[block], self._sizes[block])]
        ]
        indices = np.concatenate(parts)
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


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Return 64 bits that each depend on all bits of a number (the finaliser of SplitMix64, Steele et al. 2014)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
