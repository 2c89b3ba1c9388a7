"""The column `split` of a table: which rows are for training, which are held out."""

from __future__ import annotations

# N rows
import numpy as np

from perceptinit.errors import EmptySplitError
from perceptinit.files.columns import Coded, Columns
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


def read_splits(columns: Columns, groups: Coded, group_role: str, hint: str = "") -> np.ndarray:
    """Return the split of each row, (N,) of "train", "val" and "test".

    groups: what must not be in two splits, one name per row; messages call it `group_role`.
    hint: what else the user may do about a group in two splits, such as ", or ...".

    Raises DataError, naming the rows, for unknown splits and for groups that occur in two.
    """
    splits = columns.coded("split", _known)
    _, first_rows, group = np.unique(groups.codes, return_index=True, return_inverse=True)
    before = first_rows[group.reshape(-1)]
    rows = np.flatnonzero(splits.codes != splits.codes[before])
    named = np.array(splits.distinct, dtype="<U5")[splits.codes]
    if rows.size:
        row, first = rows[0], before[rows[0]]
        raise columns.error(
            rows,
            f"{group_role} '{groups.distinct[groups.codes[row]]}' is in split '{named[row]}' here and in "
            f"'{named[first]}' in row {columns.rows[first]}: scores would leak. Move one{hint}",
        )
    return named


def _known(split: str) -> str:
    if split in SPLITS:
        return split
    guess = nearest(split, SPLITS)
    meant = f"; did you mean '{guess}'?" if guess else ""
    raise ValueError(f"'{split}' is not one of {', '.join(SPLITS)}{meant}")
