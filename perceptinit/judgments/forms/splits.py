"""Assign judgments to splits: by a column of their table, or by hashing the names of what is held out.

A group's split depends on the seed and its own name, not on the order of rows: it is the same on every machine.
"""

from __future__ import annotations

# N rows, G groups, M images
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from perceptinit.configs import NonNegativeInt, Share
from perceptinit.files.columns import Coded, Columns
from perceptinit.images.background import colour_of
from perceptinit.registry import nearest
from perceptinit.seeding import derive_seed
from perceptinit.types import Split, Unit

SPLITS: tuple[Split, ...] = ("train", "val", "test")
SplitBy = Literal["image", "anchor", "person", "row"]


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
    num_test, num_val = (
        max(1, round(share * len(order))) if share > 0 else 0 for share in (test_share, val_share)
    )
    split = dict.fromkeys(order, "train")
    split.update(dict.fromkeys(order[num_test : num_test + num_val], "val"))
    split.update(dict.fromkeys(order[:num_test], "test"))
    return np.array([split[group] for group in groups], dtype="<U5")


def split_names(names: Sequence[str], config: Any, source: str) -> np.ndarray:
    """Return the split of each name, as the keys `val_share`, `test_share` and `seed` of a config say."""
    shares = {"val_share": config.val_share, "test_share": config.test_share}
    return assign_splits(names, config.seed, "judgments", source, "split", **shares)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitConfig:
    """The keys of judgments whose splits and triplets are drawn."""

    val_share: Share = 0.1
    """Share of what is assigned to splits, such as images, that becomes `val`; not used with a column `split`."""
    test_share: Share = 0.1
    """Share of what is assigned to splits that becomes `test`; not used with a column `split`."""
    seed: NonNegativeInt = 0
    """Names the draws, of splits, sides and triplets. Not the run's seed: all runs share them."""
    background: str | None = None
    """Colour behind the transparent parts of images, a CSS name or `#rrggbb`; white unless given."""

    def __post_init__(self) -> None:
        total = self.val_share + self.test_share
        if total > 1 + 1e-9:  # 0.7 + 0.3 may be a little more than 1 in floating point
            raise ValueError(
                f"val_share + test_share is {total:g}, more than all there is. To use all of it for measuring "
                "only, give test_share = 1.0 and val_share = 0.0"
            )
        colour_of(self.background)


def keep_share(groups: Sequence[str | int], fraction: float, seed: int, *names: str | int) -> np.ndarray:
    """Return a mask over N rows that keeps `fraction` of the groups, rounded up.

    Nested: what a smaller fraction keeps, a larger one keeps too. Never empty for fraction > 0.
    """
    order = hash_order(groups, seed, *names)
    # 0.07 * 100 is a little more than 7 in floating point
    kept = set(order[: math.ceil(fraction * len(order) - 1e-9)])
    return np.array([group in kept for group in groups], dtype=bool)


@dataclass(frozen=True, slots=True, eq=False)
class RowSplits:
    """The splits of N rows.

    splits: (N,) "train", "val" or "test", and "" for rows that are in none because their images are
    in several. group, unit: what was held out, as in `Triplets`.
    """

    splits: np.ndarray
    group: Coded
    unit: Unit


def name_sets(index: np.ndarray, names: Sequence[str]) -> Coded:
    """Return the images of each row by name; rows with the same images in the same roles are equal.

    index: int64 (R, N), images in R roles.
    """
    sets, codes = np.unique(index, axis=1, return_inverse=True)
    return Coded.of(codes.reshape(-1), [" ".join(names[i] for i in images) for images in sets.T])


def find_first_rows(codes: np.ndarray) -> np.ndarray:
    """Return the first row that has the same code, for each row, int64 (N,)."""
    _, first_rows, place = np.unique(codes, return_index=True, return_inverse=True)
    return first_rows[place.reshape(-1)]


def read_splits(columns: Columns, groups: Coded, role: str, hint: str) -> np.ndarray:
    """Return the cells of the column `split`, (N,); DataError for unknown splits and a group in two of them.

    role: what messages call the group. hint: what else the user may do about a group in two splits.
    """
    splits = columns.coded("split", _check_split)
    before = find_first_rows(groups.codes)
    rows = np.flatnonzero(splits.codes != splits.codes[before])
    named = np.array(splits.distinct, dtype="<U5")[splits.codes]
    if rows.size:
        row, first = rows[0], before[rows[0]]
        raise columns.error(
            rows,
            f"{role} '{groups.distinct[groups.codes[row]]}' is in split '{named[row]}' here and in "
            f"'{named[first]}' in row {columns.rows[first]}: scores would leak. Move one{hint}",
        )
    return named


def _check_split(split: str) -> str:
    if split in SPLITS:
        return split
    guess = nearest(split, SPLITS)
    meant = f"; did you mean '{guess}'?" if guess else ""
    raise ValueError(f"'{split}' is not one of {', '.join(SPLITS)}{meant}")
