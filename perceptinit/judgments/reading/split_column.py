"""The column `split` of a table: which rows are for training, which are held out."""

from __future__ import annotations

# N rows
from collections.abc import Sequence

import numpy as np

from perceptinit.errors import EmptySplitError
from perceptinit.judgments.reading.columns import Columns
from perceptinit.registry import nearest
from perceptinit.types import Split

SPLITS: tuple[Split, ...] = ("train", "val", "test")


def rows_in(
    splits: np.ndarray, split: Split, source: object, what: str = "judgments"
) -> np.ndarray:
    """Return the rows of a split, int64; EmptySplitError, with what there is, when it has none.

    splits: the split of each row, (N,). source: what messages begin with. what: what the rows are.
    """
    rows = np.flatnonzero(splits == split)
    if not rows.size:
        counts = ", ".join(f"{(splits == s).sum()} {s}" for s in SPLITS)
        raise EmptySplitError(f"{source}: no {what} in split '{split}' (there are {counts})")
    return rows


def read_splits(
    columns: Columns, groups: Sequence[str], group_role: str, hint: str = ""
) -> np.ndarray:
    """Return the split of each row, (N,) of "train", "val" and "test".

    groups: what must not be in two splits, one name per row; messages call it `group_role`.
    hint: what else the user may do about a group in two splits, such as ", or ...".

    Raises DataError, naming the row, for an unknown split and for a group that occurs in two.
    """
    splits = columns.texts("split")
    seen: dict[str, int] = {}
    for index, (split, group) in enumerate(zip(splits, groups, strict=True)):
        if split not in SPLITS:
            guess = nearest(split, SPLITS)
            meant = f"; did you mean '{guess}'?" if guess else ""
            raise columns.error(index, f"split '{split}' is not one of {', '.join(SPLITS)}{meant}")
        before = seen.setdefault(group, index)
        if splits[before] != split:
            raise columns.error(
                index,
                f"{group_role} '{group}' is in split '{split}' here and in '{splits[before]}' in row "
                f"{columns.rows[before]}: scores would leak. Move one{hint}",
            )
    return np.array(splits)
