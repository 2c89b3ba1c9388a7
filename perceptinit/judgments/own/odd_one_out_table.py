"""Your own odd-one-out judgments (`odd-one-out`): a table of three images per row and the odd one."""

# N rows, three images each
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from perceptinit.errors import DataError
from perceptinit.files.columns import Columns
from perceptinit.judgments.forms.odd_one_out import OddOneOut
from perceptinit.judgments.forms.splits import Conventions, name_sets
from perceptinit.judgments.image_files import ImageRows, file_name
from perceptinit.judgments.own.own_table import OwnTable, Rows
from perceptinit.seeding import generator
from perceptinit.types import Split, Triplets

IMAGES = ("image_1", "image_2", "image_3")
VOTES = ("votes_1", "votes_2", "votes_3")
ODD = "odd"


class OddOneOutTable(OwnTable):
    """Odd-one-out judgments from a table in one of two forms:

    * `image_1`, `image_2`, `image_3`, `odd`: `odd` contains the name of the odd image;
    * `image_1`, `image_2`, `image_3`, `votes_1`, `votes_2`, `votes_3`: number of people who chose each as
      odd.

    Optional columns: `split` and `excluded` (marked rows are skipped). Rows with the same three images are
    aggregated into one judgment, which gives two anchored triplets, or three if people disagree. The
    `odd-one-out` evaluator and the three-way loss use the judgments directly.
    """

    conventions: ClassVar[Conventions] = Conventions(
        odd_one="named in column odd, or counted in votes_1 to votes_3",
        sides="randomized by seed",
        ties="retained",
        winner_first="no: the order of the three has no meaning",
    )

    what = "Odd-one-out judgments"
    draw_name = "odd-one-out"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(OwnTable.Config):
        split_by: Literal["image", "person", "row"] | None = None
        """Unit of splits: "image" (skips judgments spanning splits), "person" or "row". Default: "row"."""

    config: Config

    def load(self, split: Split) -> Triplets:
        """Return anchored triplets of a split; DataError for an invalid row or image, or an empty split."""
        rng = generator(self.config.seed, "judgments", "odd-one-out", "sides", split)
        return self.load_odd_one_out(split).triplets(rng)

    def load_odd_one_out(self, split: Split) -> OddOneOut:
        """Return the odd-one-out judgments of a split; raises as `load` does."""
        return self.select(split)

    def read(self, columns: Columns) -> Rows:
        """Return all questions and their splits ("" for skipped ones)."""
        columns.require(IMAGES)
        rows = self.read_images(columns, IMAGES)
        votes = _read_votes(columns, rows, self.config.image)
        sets = name_sets(np.sort(rows.index, axis=0), rows.names)
        split = self.split_rows(columns, rows, sets, "question")
        by_person = split.unit == "group"
        group = split.group.codes if by_person else np.zeros(len(columns), dtype=np.int64)
        images, votes, first_rows = _add_up(rows.index.T, votes, group)
        groups = group[first_rows] if by_person else None
        judgments = OddOneOut.build(self.stimuli(rows.names), images, votes, groups, split.unit)
        return Rows(judgments, split.splits[first_rows])


def _add_up(
    images: np.ndarray, votes: np.ndarray, group: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the distinct sets of images per group (Q, 3), their votes (Q, 3) and first rows (Q,)."""
    order = np.argsort(images, axis=1)
    keys = np.column_stack([np.take_along_axis(images, order, axis=1), group])
    sets, first_rows, place = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    total = np.zeros((len(sets), 3), dtype=np.int64)
    np.add.at(total, place.reshape(-1), np.take_along_axis(votes, order, axis=1))
    return sets[:, :3], total, first_rows


def _read_votes(columns: Columns, rows: ImageRows, pattern: str | None) -> np.ndarray:
    """Return the number of people who chose each image as odd, int64 (N, 3); DataError for invalid rows."""
    if not set(VOTES) <= columns.names:
        columns.require([ODD])
        return _read_odd(columns, rows, pattern)
    if ODD in columns:
        raise DataError(f"{columns.path}: votes are in two forms (odd, and votes_1 to votes_3). Remove one")
    votes = np.stack(list(map(columns.counts, VOTES)), axis=1)
    columns.refuse(votes.sum(axis=1) == 0, "no votes (votes_1 to votes_3 are all 0)")
    return votes


def _read_odd(columns: Columns, rows: ImageRows, pattern: str | None) -> np.ndarray:
    def convert(text: str) -> str:
        with suppress(ValueError):  # a cell that is not a valid file name matches no image
            return file_name(text, pattern)
        return text

    odd = np.array(columns.coded(ODD, convert).texts(), dtype=object)
    votes = (np.array(rows.names, dtype=object)[rows.index] == odd).T.astype(np.int64)
    strange = np.flatnonzero(votes.sum(axis=1) == 0)
    if strange.size:
        row = ", ".join(rows.names[i] for i in rows.index[:, strange[0]])
        cell = columns.cell(ODD, strange[0])
        raise columns.error(strange, f"odd '{cell}' is none of the three images ({row})")
    return votes
