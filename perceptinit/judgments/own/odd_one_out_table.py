"""Your own odd-one-out judgments (`odd-one-out`): a table of three images and which one is odd."""

from __future__ import annotations

# N rows, three images each
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np

from perceptinit.errors import DataError
from perceptinit.judgments.forms.conventions import Conventions
from perceptinit.judgments.forms.odd_one_out import OddOneOut
from perceptinit.judgments.forms.splits import assign_splits
from perceptinit.judgments.own.own_table import OwnTable
from perceptinit.judgments.reading.collected import used_rows
from perceptinit.judgments.reading.columns import Columns, read_columns
from perceptinit.judgments.reading.image_columns import read_images
from perceptinit.judgments.reading.image_files import normal_name
from perceptinit.judgments.reading.split_column import read_splits, rows_in
from perceptinit.seeding import generator
from perceptinit.types import Split, Triplets

IMAGES = ("image_1", "image_2", "image_3")
VOTES = ("votes_1", "votes_2", "votes_3")
ODD = "odd"
SplitBy = Literal["question", "stimulus"]


class OddOneOutTable(OwnTable):
    """Odd-one-out judgments from a CSV or Parquet file, in one of two forms:

    * `image_1`, `image_2`, `image_3`, `odd`: `odd` repeats the name of the odd image;
    * `image_1`, `image_2`, `image_3`, `votes_1`, `votes_2`, `votes_3`: people who found each odd.

    `split` and `excluded` (rows where it is filled are left out) are optional. Rows about the same three images are added up. Loaded as triplets, a judgment
    gives one for each image of the pair that belongs together; the `odd-one-out` evaluator and the
    three-way loss take it whole.
    """

    conventions: ClassVar[Conventions] = Conventions(
        odd_one="named in column odd, or counted in votes_1 to votes_3",
        sides="drawn, by seed",
        ties="kept, as votes",
        winner_first="no: the order of the three has no meaning",
    )

    what = "Odd-one-out judgments"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(OwnTable.Config):
        split_by: SplitBy = "question"
        """What must not be in two splits: the set of three images, or ("stimulus") any image. By
        stimulus, judgments whose images fall into different splits are left out. Without effect when
        there is a column `split`."""

    config: Config

    def load(self, split: Split) -> Triplets:
        """Return anchored triplets of a split; DataError for a wrong row or image, or an empty split."""
        rng = generator(self.config.seed, "judgments", "odd-one-out", "sides", split)
        return self.load_odd_one_out(split).triplets(rng)

    def load_odd_one_out(self, split: Split) -> OddOneOut:
        """Return the judgments of a split whole; raises as `load` does."""
        judgments, splits = self._judgments
        return judgments.select(rows_in(splits, split, self.config.path))

    @cached_property
    def _judgments(self) -> tuple[OddOneOut, np.ndarray]:
        """Return all questions and their splits ("" for those left out)."""
        c = self.config
        columns = used_rows(read_columns(c.path))
        columns.require(IMAGES)
        names = read_images(columns, IMAGES, self.folder)
        votes = _read_votes(columns, names)
        ids = sorted({name for column in names for name in column})
        place = {name: i for i, name in enumerate(ids)}
        images = np.array([[place[name] for name in column] for column in names]).T
        questions = [" ".join(sorted(row)) for row in zip(*names, strict=True)]
        if "split" in columns.cells:
            splits = read_splits(columns, questions, "question")
        else:
            shares = {"val_share": c.val_share, "test_share": c.test_share}
            splits = deal(images, ids, questions, c.split_by, c.seed, "odd-one-out", **shares)
        images, votes, first_rows = _add_up(images, votes)
        return OddOneOut.build(self.stimuli(ids), images, votes), splits[first_rows]


def deal(
    images: np.ndarray,
    ids: Sequence[str],
    questions: Sequence[str],
    split_by: SplitBy,
    seed: int,
    source: str,
    *,
    val_share: float,
    test_share: float,
) -> np.ndarray:
    """Return the split of each judgment (N,); "" where images of different splits meet."""
    names = ("judgments", source, "split")
    if split_by == "question":
        return assign_splits(questions, seed, *names, val_share=val_share, test_share=test_share)
    of_image = assign_splits(ids, seed, *names, val_share=val_share, test_share=test_share)
    a, b, c = of_image[images].T
    return np.where((a == b) & (b == c), a, "")


def _add_up(images: np.ndarray, votes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return one row per set of three images, its votes (Q, 3), and the row where it first stands."""
    order = np.argsort(images, axis=1)
    images = np.take_along_axis(images, order, axis=1)
    votes = np.take_along_axis(votes, order, axis=1)
    sets, first_rows, place = np.unique(images, axis=0, return_index=True, return_inverse=True)
    total = np.zeros_like(sets)
    np.add.at(total, place.reshape(-1), votes)
    return sets, total, first_rows


def _read_votes(columns: Columns, names: Sequence[Sequence[str]]) -> np.ndarray:
    """Return how many people found each image odd, int64 (N, 3); DataError names a wrong row."""
    has_votes = all(name in columns.cells for name in VOTES)
    if has_votes and ODD in columns.cells:
        raise DataError(
            f"{columns.path}: says the votes twice (odd, and votes_1 to votes_3); keep one"
        )
    if not has_votes:
        columns.require([ODD])
        return _read_odd(columns, names)
    votes = np.stack([columns.counts(name) for name in VOTES], axis=1)
    unvoted = np.flatnonzero(votes.sum(axis=1) == 0)
    if unvoted.size:
        raise columns.error(unvoted[0], "no votes (votes_1 to votes_3 are all 0)")
    return votes


def _read_odd(columns: Columns, names: Sequence[Sequence[str]]) -> np.ndarray:
    votes = np.zeros((len(columns), 3), dtype=np.int64)
    for index, cell in enumerate(columns.texts(ODD)):
        row = [column[index] for column in names]
        try:
            votes[index, row.index(normal_name(cell))] = 1
        except ValueError:
            raise columns.error(
                index, f"odd '{cell}' is none of the three images ({', '.join(row)})"
            ) from None
    return votes
