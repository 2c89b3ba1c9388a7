"""Votes on triplets of images that participants sorted into piles."""

from __future__ import annotations

# K participants, M images, N questions
import numpy as np

NOT_SORTED = -1


def votes(
    piles: np.ndarray, anchor: np.ndarray, first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of participants who put only `first`, or only `second`, on the anchor's pile.

    Participants who put both or neither on it do not count.

    Args:
        piles: Pile of each image by participant, int, shape (K, M); NOT_SORTED if missing.
        anchor: Image numbers, int, shape (N,).
        first: Image numbers, shape (N,).
        second: Image numbers, shape (N,).

    Returns:
        Votes for `first` and votes for `second`, each of shape (N,).
    """
    with_first = _together(piles, anchor, first)
    with_second = _together(piles, anchor, second)
    sorted_all = (piles[:, np.stack([anchor, first, second])] != NOT_SORTED).all(axis=1)
    return (
        (with_first & ~with_second & sorted_all).sum(axis=0),
        (with_second & ~with_first & sorted_all).sum(axis=0),
    )


def questions(images: np.ndarray, per_anchor: int, rng: np.random.Generator) -> np.ndarray:
    """Return random questions about images.

    Args:
        images: Image numbers, int, shape (M,).
        per_anchor: Maximum number of questions for each anchor, without repeated pairs.
        rng: Random generator.

    Returns:
        Anchor, first and second, int, shape (N, 3).
    """
    rows = []
    for anchor in images:
        others = rng.permutation(images[images != anchor])
        pairs = np.stack(np.triu_indices(len(others), k=1), axis=1)
        chosen = rng.permutation(pairs)[:per_anchor]
        rows += [(anchor, others[i], others[j]) for i, j in chosen]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def _together(piles: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return whether a participant put both images on one pile, bool, shape (K, N)."""
    return piles[:, one] == piles[:, other]
