"""Deal the rows of a user's table to splits: by what a score on held-out rows is to speak about."""

from __future__ import annotations

# N rows, R roles, M images
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from perceptinit.errors import DataError
from perceptinit.files.columns import Coded, Columns
from perceptinit.judgments.forms.splits import assign_splits
from perceptinit.judgments.reading.image_columns import ImageRows
from perceptinit.judgments.reading.split_column import read_splits
from perceptinit.types import Unit

SplitBy = Literal["image", "anchor", "person", "row"]


@dataclass(frozen=True, slots=True, eq=False)
class Dealt:
    """The splits of N rows.

    splits: (N,) "train", "val" or "test", and "" for rows that are in none because their images are
    in several. group, unit: what was held out, as in `Triplets`.
    """

    splits: np.ndarray
    group: Coded
    unit: Unit


def deal(
    columns: Columns,
    images: ImageRows,
    config: Any,
    source: str,
    *,
    group: Coded,
    role: str,
    hint: str = "",
) -> Dealt:
    """Return the splits: of column `split` where there is one, else drawn by seed.

    config: `split_by`, shares and seed of an `OwnTable`. source: names the draw. group: what must not
    be in two splits unless `split_by` says so; messages call it `role`, with `hint` (see `read_splits`).

    Raises DataError as `read_splits` does, for `split_by` beside a column `split` or `group`, and when
    there is no column `subject` to split by.
    """
    unit: Unit = "anchor" if role != "group" else "group"
    by = config.split_by
    for name in ("split", "group"):
        if by and name in columns:
            raise DataError(
                f"{columns.path}: column '{name}' and split_by = \"{by}\" both say what is held out; keep one"
            )
    if "split" in columns:
        return Dealt(read_splits(columns, group, role, hint), group, unit)
    if by == "image":
        return Dealt(by_image(images, config, source), group, "image")
    if by == "anchor":
        group = images.role(0)
    elif by == "person":
        group, unit = columns.coded("subject"), "group"
    elif by == "row":
        group = _questions(images)
    return Dealt(_drawn(group.distinct, config, source)[group.codes], group, unit)


def by_image(images: ImageRows, config: Any, source: str) -> np.ndarray:
    """Return the split of each row whose images are all in one, (N,); "" where they are not."""
    of_image = _drawn(images.names, config, source)[images.index]
    return np.where((of_image == of_image[0]).all(axis=0), of_image[0], "")


def _drawn(names: tuple[str, ...], config: Any, source: str) -> np.ndarray:
    shares = {"val_share": config.val_share, "test_share": config.test_share}
    return assign_splits(names, config.seed, "judgments", source, "split", **shares)


def _questions(images: ImageRows) -> Coded:
    """Return the question of each row: its anchor and its candidates, in one order whatever the sides."""
    anchor, *candidates = images.index
    index = np.stack([anchor, *np.sort(candidates, axis=0)])
    questions, codes = np.unique(index, axis=1, return_inverse=True)
    names = [" ".join(images.names[i] for i in question) for question in questions.T]
    return Coded.of(codes.reshape(-1), names)
