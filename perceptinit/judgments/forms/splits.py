"""Data conventions of a source, and its splits: by a column of its table, or by hashing the names of groups.

A group's split depends on the seed and the names of all groups, not on the order of rows or the machine.
"""

# N rows, G groups, M images
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from perceptinit.configs import NonNegativeInt, Share
from perceptinit.files.columns import Coded, Columns
from perceptinit.images.background import colour_of
from perceptinit.registry import nearest
from perceptinit.seeding import derive_seed
from perceptinit.types import Split, Unit

NOT_APPLICABLE = "-"
SPLITS: tuple[Split, ...] = ("train", "val", "test")
NO_SPLIT = -1
SplitBy = Literal["image", "anchor", "person", "row"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conventions:
    """Data conventions of a source, printed by `perceptinit data check` and listed in docs/data-sets.md.

    Args:
        index_base: Number of the first image, "0" or "1", or "by name".
        odd_one: The column of the odd image, for odd-one-out data.
        sides: Which candidate becomes `first`, and whether sides are randomized.
        direction: The meaning of a larger number, for ratings and matrices.
        ties: Treatment of judgments without a winner.
        winner_first: Whether the file lists the winner first, so that the order of columns reveals it.
        weights: How judgments are weighted.
    """

    index_base: str = "by name"
    odd_one: str = NOT_APPLICABLE
    sides: str
    direction: str = NOT_APPLICABLE
    ties: str
    winner_first: str
    weights: str = "2AFC is weighted by votes"


@runtime_checkable
class HasConventions(Protocol):
    """A judgments component, or its class, that states the conventions of its source."""

    conventions: Conventions


def list_conventions(judgments: Any) -> dict[str, str]:
    """Return the applicable conventions of judgments, or of their class, by name."""
    values = asdict(judgments.conventions) if isinstance(judgments, HasConventions) else {}
    return {name: value for name, value in values.items() if value != NOT_APPLICABLE}


def hash_order(keys: Sequence[str | int], seed: int, *names: str | int) -> list[str | int]:
    """Return the distinct keys in a pseudo-random order that depends only on `seed` and `names`."""
    return sorted(set(keys), key=lambda key: (derive_seed(seed, *names, key), key))


def assign_splits(
    groups: Sequence[str | int], seed: int, *names: str | int, val_share: float, test_share: float = 0.0
) -> np.ndarray:
    """Return "train", "val" or "test" for each row, (N,).

    Args:
        groups: The group of each row; all rows of a group are in one split.
        seed: Seed of the random stream.
        *names: Names that identify the random stream, in addition to the seed.
        val_share: Share of the groups in `val`, rounded, but at least one group if above 0.
        test_share: Share of the groups in `test`, likewise.
    """
    order = hash_order(groups, seed, *names)
    num_test = _num_held_out(test_share, len(order))
    num_val = _num_held_out(val_share, len(order))
    split = dict.fromkeys(order, "train")
    split.update(dict.fromkeys(order[num_test : num_test + num_val], "val"))
    split.update(dict.fromkeys(order[:num_test], "test"))
    return np.array([split[group] for group in groups], dtype="<U5")


def _num_held_out(share: float, num_groups: int) -> int:
    return max(1, round(share * num_groups)) if share > 0 else 0


def split_names(names: Sequence[str], config: Any, source: str) -> np.ndarray:
    """Return the split of each name, using `val_share`, `test_share` and `seed` of a config."""
    if getattr(config, "whole", None):
        return np.full(len(names), "test")
    shares = {"val_share": config.val_share, "test_share": config.test_share}
    return assign_splits(names, config.seed, "judgments", source, "split", **shares)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitConfig:
    """Keys of judgments whose splits are assigned at random."""

    val_share: Share = 0.1
    """Share of the groups (such as images) in `val`; has no effect with a column `split`."""
    test_share: Share = 0.1
    """Share of the groups in `test`; has no effect with a column `split`."""
    seed: NonNegativeInt = 0
    """Seed of splits, sides and triplets. Independent of the run's seed: all runs share them."""
    background: str | None = None
    """Color behind transparent pixels, a CSS name or `#rrggbb`. Default: white."""
    whole: bool | None = None
    """If true, all judgments are in `test`, even if a column `split` assigns others."""

    def __post_init__(self) -> None:
        total = self.val_share + self.test_share
        if total > 1 + 1e-9:  # rounding: 0.7 + 0.3 may exceed 1
            raise ValueError(
                f"val_share + test_share = {total:g} > 1. To evaluate only, set test_share = 1, val_share = 0"
            )
        colour_of(self.background)


def keep_share(groups: Sequence[str | int], fraction: float, seed: int, *names: str | int) -> np.ndarray:
    """Return a mask over N rows that selects `fraction` of the groups, rounded up.

    Groups in a smaller fraction are also in a larger one. The mask is empty only for `fraction` 0.
    """
    order = hash_order(groups, seed, *names)
    kept = set(order[: math.ceil(fraction * len(order) - 1e-9)])  # rounding: 0.07 * 100 > 7
    return np.array([group in kept for group in groups], dtype=bool)


@dataclass(frozen=True, slots=True, eq=False)
class RowSplits:
    """The splits of N rows.

    Args:
        splits: Place in `SPLITS`, int8 (N,); `NO_SPLIT` for rows whose images are in several splits.
        group: Group of each row, as in `Triplets`.
        unit: As in `Triplets`.
    """

    splits: np.ndarray
    group: Coded
    unit: Unit


def number_splits(names: Iterable[str]) -> np.ndarray:
    """Return the place of each split in `SPLITS`, int8 (N,)."""
    return np.array([SPLITS.index(name) for name in names], dtype=np.int8)


def name_sets(index: np.ndarray, names: Sequence[str]) -> Coded:
    """Return the joined image names of each row, equal for rows with the same images in the same roles.

    index: int64 (R, N), images in R roles.
    """
    sets, codes = np.unique(index, axis=1, return_inverse=True)
    return Coded.of(codes.reshape(-1), [" ".join(names[i] for i in images) for images in sets.T])


def find_first_rows(codes: np.ndarray) -> np.ndarray:
    """Return, for each row, the first row with the same code, int64 (N,)."""
    _, first_rows, place = np.unique(codes, return_index=True, return_inverse=True)
    return first_rows[place.reshape(-1)]


def read_splits(columns: Columns, groups: Coded, role: str, hint: str) -> np.ndarray:
    """Return the cells of the column `split`, int8 (N,), as in `RowSplits`.

    Args:
        columns: The table.
        groups: The group of each row.
        role: The name of the group in messages.
        hint: Text that ends the message about a group in two splits.

    Raises:
        DataError: For an unknown split or a group in two splits.
    """
    splits = columns.coded("split", _check_split)
    before = find_first_rows(groups.codes)
    numbers = number_splits(splits.distinct)[splits.codes]
    columns.refuse(
        numbers != numbers[before],
        lambda row: (
            f"{role} '{groups.distinct[groups.codes[row]]}' is in split '{SPLITS[numbers[row]]}' here "
            f"and in '{SPLITS[numbers[before[row]]]}' in row {columns.rows[before[row]]}. "
            f"Assign it to one split{hint}"
        ),
    )
    return numbers


def _check_split(split: str) -> str:
    if split in SPLITS:
        return split
    guess = nearest(split, SPLITS)
    meant = f". Did you mean '{guess}'?" if guess else ""
    raise ValueError(f"'{split}' is not one of {', '.join(SPLITS)}{meant}")
