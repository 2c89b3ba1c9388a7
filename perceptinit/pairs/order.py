"""The random order of the pairs in an epoch, shuffled window by window."""

# N positions of an epoch
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Protocol

import numpy as np

from perceptinit.errors import UsageError

# Number of positions up to which all windows share one generator. In a longer order, each window has its
# own, because skipping to the middle would take seconds. A longer single window is refused, to save memory.
ONE_GENERATOR = 1 << 27
# draws with replacement per call of the generator
_CHUNK = 1 << 20


class EpochOrder(Protocol):
    """The pairs at the N positions of an epoch."""

    stops: np.ndarray
    """int64, ascending to N: the exclusive end of each window. Windows do not share blocks."""

    def __getitem__(self, places: slice) -> np.ndarray:
        """Return the indices of the pairs at these positions, an integer array."""


def epoch_order(
    num_pairs: int,
    block_sizes: Sequence[int],
    shuffle_blocks: int,
    rng: np.random.Generator,
    num_drawn: int = 0,
) -> EpochOrder:
    """Return a random order of all pairs, or of `num_drawn` pairs with replacement.

    A single window takes 4 bytes of memory per position. Of several windows, two are kept in memory. Drawing
    with replacement takes 4 more bytes per draw.

    Args:
        num_pairs: Number of pairs.
        block_sizes: Number of pairs in each block of storage, such as a shard, in order; sums to `num_pairs`.
        shuffle_blocks: Blocks are shuffled, then pairs within windows of this many blocks, so that few blocks
            are read at a time. 0, or a value >= the number of blocks, gives one window: a uniform shuffle.
        rng: The generator.
        num_drawn: Number of draws with replacement; 0 uses each pair once.

    Raises:
        UsageError: If a single window has more than ONE_GENERATOR positions.
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
    """Return the message for more than ONE_GENERATOR pairs in one window."""
    return (
        f"{num_pairs:,} pairs exceed the limit of {ONE_GENERATOR:,} for a uniform shuffle. "
        "Set shuffle_blocks to the number of blocks to shuffle at a time, such as 64"
    )


class _Whole:
    """A single window, in memory."""

    def __init__(self, num_pairs: int, rng: np.random.Generator) -> None:
        self.stops = np.array([num_pairs])
        self._order = np.arange(num_pairs, dtype=_smallest_type(num_pairs))
        rng.shuffle(self._order)

    def __getitem__(self, places: slice) -> np.ndarray:
        return self._order[places]


class _Windows:
    """Windows shuffled on access. With a shared generator, skipping a position takes 11 ns."""

    def __init__(self, sizes: np.ndarray, shuffle_blocks: int, rng: np.random.Generator) -> None:
        blocks = rng.permutation(len(sizes))
        self._windows = np.split(blocks, range(shuffle_blocks, len(blocks), shuffle_blocks))
        self._sizes = sizes
        self._starts = np.cumsum(sizes) - sizes
        self.stops = np.cumsum([sizes[window].sum() for window in self._windows])
        self._rng = rng
        self._states = [rng.bit_generator.state]
        self._key = int(rng.integers(1 << 63)) if self.stops[-1] > ONE_GENERATOR else None
        self._window = lru_cache(maxsize=2)(self._draw)  # a batch can span two windows

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
    """Pairs drawn with replacement: the sorted draws, and their order."""

    def __init__(
        self, num_pairs: int, sizes: np.ndarray, shuffle_blocks: int, rng: np.random.Generator, num_drawn: int
    ) -> None:
        self._drawn = np.empty(num_drawn, dtype=_smallest_type(num_pairs))
        for at in range(0, num_drawn, _CHUNK):  # one call would take three times the memory
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
    """Yield the non-empty part of each window between two positions."""
    yield from pairwise([start, *stops[(start < stops) & (stops < stop)].tolist(), stop])


def _smallest_type(num_pairs: int) -> type[np.unsignedinteger]:
    return np.uint32 if num_pairs < 1 << 32 else np.uint64
