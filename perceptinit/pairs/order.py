"""The order in which an epoch goes through the pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def epoch_order(
    num_pairs: int,
    block_sizes: Sequence[int],
    shuffle_blocks: int,
    rng: np.random.Generator,
    num_drawn: int = 0,
) -> np.ndarray:
    """Return a random order of all pairs, int64 (num_pairs,), or num_drawn of them with replacement.

    block_sizes: runs of indices that lie together on disk, such as shards; sum to num_pairs.
    shuffle_blocks: pairs are shuffled within windows of this many blocks, after the blocks
    themselves, so that reading touches few blocks at a time. 0, or no fewer than there are blocks:
    one window, that is a uniform shuffle of everything.
    """
    if num_drawn:
        drawn = np.sort(rng.integers(num_pairs, size=num_drawn))
        ends = np.cumsum(np.asarray(block_sizes, dtype=np.int64))
        counts = np.diff(np.searchsorted(drawn, ends), prepend=0)
        return drawn[epoch_order(num_drawn, counts.tolist(), shuffle_blocks, rng)]
    if not shuffle_blocks or shuffle_blocks >= len(block_sizes):
        return rng.permutation(num_pairs)
    sizes = np.asarray(block_sizes, dtype=np.int64)
    starts = np.cumsum(sizes) - sizes
    blocks = rng.permutation(len(sizes))
    windows = [blocks[i : i + shuffle_blocks] for i in range(0, len(blocks), shuffle_blocks)]
    return np.concatenate([_shuffled(starts, sizes, window, rng) for window in windows])


def _shuffled(
    starts: np.ndarray, sizes: np.ndarray, window: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    indices = np.concatenate([np.arange(starts[b], starts[b] + sizes[b]) for b in window])
    return rng.permutation(indices)
