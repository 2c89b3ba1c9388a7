"""Deal groups into splits and shares by hashing their names: the same on every machine, in any order.

A group's place depends on the seed and its own name, not on the order of rows.
"""

from __future__ import annotations

# N rows, G groups
import math
from collections.abc import Sequence

import numpy as np

from perceptinit.seeding import derive_seed


def hash_order(keys: Sequence[str | int], seed: int, *names: str | int) -> list[str | int]:
    """Return the different keys in an order that looks random and depends on `seed` and `names` only."""
    return sorted(set(keys), key=lambda key: (derive_seed(seed, *names, key), key))


def assign_splits(
    groups: Sequence[str | int],
    seed: int,
    *names: str | int,
    val_share: float,
    test_share: float = 0.0,
) -> np.ndarray:
    """Return "train", "val" or "test" for each of N rows; rows of one group stay together.

    The shares are shares of groups, rounded, but at least one group where a share is above 0.
    """
    order = hash_order(groups, seed, *names)
    num_test, num_val = (_count(share, len(order)) for share in (test_share, val_share))
    split = dict.fromkeys(order, "train")
    split.update(dict.fromkeys(order[num_test : num_test + num_val], "val"))
    split.update(dict.fromkeys(order[:num_test], "test"))
    return np.array([split[group] for group in groups], dtype="<U5")


def check_shares(val_share: float, test_share: float) -> None:
    """Raise ValueError when held-out shares are more than everything; all may be held out."""
    total = val_share + test_share
    if total > 1 + 1e-9:  # 0.7 + 0.3 may be a little more than 1 in floating point
        raise ValueError(
            f"val_share + test_share is {total:g}, more than all there is. To use all of it for measuring "
            "only, give test_share = 1.0 and val_share = 0.0"
        )


def _count(share: float, num_groups: int) -> int:
    return max(1, round(share * num_groups)) if share > 0 else 0


def keep_share(
    groups: Sequence[str | int], fraction: float, seed: int, *names: str | int
) -> np.ndarray:
    """Return a mask over N rows that keeps `fraction` of the groups, rounded up.

    Nested: what a smaller fraction keeps, a larger one keeps too. Never empty for fraction > 0.
    """
    order = hash_order(groups, seed, *names)
    # 0.07 * 100 is a little more than 7 in floating point
    kept = set(order[: math.ceil(fraction * len(order) - 1e-9)])
    return np.array([group in kept for group in groups], dtype=bool)
