"""Your own choices among images: `odd-one-out`, `same-different`, and m of n images (`multi-select`)."""

# N triplets or pairs of images, R rows of the table (a row of `multi-select` gives several answers)

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, TypeVar

import numpy as np

from perceptinit.configs import PositiveInt, Share
from perceptinit.errors import DataError, problems_of
from perceptinit.files.columns import Columns, read_all
from perceptinit.judgments.forms.drawing import TripletDraw
from perceptinit.judgments.forms.named_triplets import NamedTriplets, add_up, draw_sides
from perceptinit.judgments.forms.odd_one_out import OddOneOut, SamePairs
from perceptinit.judgments.forms.splits import Conventions, name_sets
from perceptinit.judgments.image_files import ImageRows
from perceptinit.judgments.own.own_table import DrawnFromTable, OwnTable, Rows
from perceptinit.seeding import generator
from perceptinit.types import Split, Triplets

IMAGES = ("image_1", "image_2", "image_3")
VOTES = ("votes_1", "votes_2", "votes_3")
ODD = "odd"

T = TypeVar("T")


class OddOneOutTable(OwnTable):
    """Odd-one-out judgments from a table in one of two forms:

    * `image_1`, `image_2`, `image_3`, `odd`: `odd` contains the name of the odd image;
      `image_3` may be missing if it is the odd one;
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
        """Return all questions and their splits (`NO_SPLIT` for skipped ones)."""
        if ODD in columns and "image_3" not in columns:
            columns = columns.copy_column(ODD, "image_3")
        columns.require(IMAGES)
        rows = self.read_images(columns, IMAGES)
        votes = _read_votes(columns, rows, self.file_name)
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


def _read_votes(columns: Columns, rows: ImageRows, to_file: Callable[[str], str]) -> np.ndarray:
    """Return the number of people who chose each image as odd, int64 (N, 3); DataError for invalid rows."""
    if not set(VOTES) <= columns.names:
        columns.require([ODD])
        return _read_odd(columns, rows, to_file)
    if ODD in columns:
        raise DataError(f"{columns.path}: votes are in two forms (odd, and votes_1 to votes_3). Remove one")
    votes = np.stack(list(map(columns.counts, VOTES)), axis=1)
    columns.refuse(votes.sum(axis=1) == 0, "no votes (votes_1 to votes_3 are all 0)")
    return votes


def _read_odd(columns: Columns, rows: ImageRows, to_file: Callable[[str], str]) -> np.ndarray:
    def convert(text: str) -> str:
        with suppress(ValueError):  # a cell that is not a valid file name matches no image
            return to_file(text)
        return text

    odd = np.array(columns.coded(ODD, convert).texts(), dtype=object)
    votes = (np.array(rows.names, dtype=object)[rows.index] == odd).T.astype(np.int64)
    columns.refuse(
        votes.sum(axis=1) == 0,
        lambda row: (
            f"odd '{columns.cell(ODD, row)}' is none of the three images "
            f"({', '.join(rows.names[i] for i in rows.index[:, row])})"
        ),
    )
    return votes


class SameDifferent(DrawnFromTable):
    """A table of image pairs with the share of people who judged the two images as the same.

    Column names are set in the recipe, so published files such as the JND votes of NIGHTS require no
    conversion. Pairs with the same `first` image form triplets: the candidate with the larger share is
    closer. Splits are by `first`. Rows marked in `excluded` are skipped. The evaluator `jnd` scores the
    pairs.
    """

    conventions: ClassVar[Conventions] = Conventions(
        sides="randomized by seed",
        direction='a larger share: more people said "same"',
        ties="equal shares, and differences below min_gap, form no triplet",
        winner_first="no",
    )

    what = "Same-or-different answers"
    draw_name = "same-different"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(OwnTable.Config):
        first: str = "first"
        """Column of the image that becomes the anchor, such as the undistorted one."""
        second: str = "second"
        """Column of the image that is compared with the anchor."""
        p_same: str = "p_same"
        """Column of the share of people who said "same", in [0, 1]."""
        num_votes: str | None = None
        """Column of the number of votes. Default: one per pair."""
        pairs_per_anchor: PositiveInt = 100
        """Maximum number of triplets per anchor."""
        min_gap: Share = 0.0
        """Minimum difference between two shares in a triplet."""

    config: Config

    def preflight(self) -> Iterator[str]:
        """Yield the first problem of the file or its images; pairs need not form triplets."""
        return problems_of(lambda: self.rows)

    def read(self, columns: Columns) -> Rows:
        """Return all pairs and their splits."""
        c = self.config
        columns.require([c.first, c.second, c.p_same, *([c.num_votes] if c.num_votes else [])])
        p_same = columns.numbers(c.p_same, 0.0, 1.0)
        images = self.read_images(columns, (c.first, c.second))
        votes = columns.counts(c.num_votes, low=1) if c.num_votes else 1
        first, second = images.index
        pairs = SamePairs.build(self.stimuli(images.names), first, second, p_same, votes)
        return Rows(pairs, self.split_rows(columns, images, images.role(0), c.first).splits)

    def load_same_pairs(self, split: Split) -> SamePairs:
        """Return the pairs of a split; DataError for an invalid row or image, or an empty split."""
        return self.select(split)

    def draw(self, judgments: SamePairs) -> Triplets:
        """Sample triplets from pairs with the same first image."""
        c = self.config
        return judgments.triplets(TripletDraw(self.name, c.pairs_per_anchor, c.min_gap, c.seed))


def answers_of(chosen: Sequence[T], others: Sequence[T], is_ranked: bool) -> list[tuple[T, T]]:
    """Return the pairs (closer, farther) that one row implies.

    Every chosen image is closer to the query than every other image. If ranked, it is also closer than images
    chosen later. For 2 of 8 images, this gives 2 x 6 = 12 pairs, or 7 + 6 = 13 if ranked.
    Source: cblearn's `triplets_from_multiselect`.
    """
    answers = [(c, other) for c in chosen for other in others]
    return answers + list(itertools.combinations(chosen, 2)) if is_ranked else answers


class MultiSelect(OwnTable):
    """Triplets from a table in which people chose m of n images as most like a query.

    Columns `anchor` (the query), `chosen_1`, `chosen_2`, ... and `other_1`, `other_2`, ...; cells may be
    empty if rows differ in length. Optional columns: `split` and `excluded` (marked rows are skipped). Splits
    are by query. Rows that ask the same question are aggregated.
    """

    conventions: ClassVar[Conventions] = Conventions(
        sides="randomized by seed",
        direction="chosen images are closer to the query; in order, if ranked",
        ties="none: images that were not chosen, or chosen without order, are not compared",
        winner_first="yes, removed by randomizing sides",
    )

    what = "Rank-m-of-n judgments"
    draw_name = "multi-select"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(OwnTable.Config):
        is_ranked: bool
        """Whether chosen images are in order, the most similar first. No default, because sources differ."""

    config: Config

    def read(self, columns: Columns) -> Rows:
        """Return all judgments and their splits."""
        c = self.config
        columns.require(["anchor", "chosen_1", "other_1"])
        chosen = _list_numbered(columns, "chosen")
        others = _list_numbered(columns, "other")
        images, *_ = read_all(
            partial(self.read_images, columns, ["anchor", *chosen, *others], may_be_empty=True),
            *(partial(_require_filled, columns, names) for names in (["anchor"], chosen, others)),
        )
        answers = []
        for row in images.index.T.tolist():
            near = row[1 : 1 + len(chosen)]
            far = row[1 + len(chosen) :]
            answers.append(answers_of([i for i in near if i >= 0], [i for i in far if i >= 0], c.is_ranked))
        row_of = np.repeat(np.arange(len(columns)), list(map(len, answers)))
        pairs = np.array(list(itertools.chain(*answers)))
        roles = np.stack([images.index[0, row_of], *pairs.T])
        # unless images are held out, answers of one row share a split
        held_out = ImageRows(images.names, roles if c.split_by == "image" else roles[:1])
        split = self.split_rows(columns.select(row_of), held_out, held_out.role(0), "anchor")
        votes = np.zeros(len(row_of)), np.ones(len(row_of), dtype=np.int64)
        named = NamedTriplets(images.names, roles, *votes, split.group.codes, split.unit)
        return Rows(*add_up(draw_sides(named, c.seed), split.splits))


def _list_numbered(columns: Columns, stem: str) -> list[str]:
    """Return the columns stem_1, stem_2, ... in the order of their numbers."""
    found = [name for name in columns.names if re.fullmatch(rf"{stem}_\d+", name)]
    return sorted(found, key=lambda name: int(name.rpartition("_")[2]))


def _require_filled(columns: Columns, names: Sequence[str]) -> None:
    """Raise DataError for the rows in which all of these columns are empty."""
    is_filled = [list(map(bool, columns.coded(name, fill="").texts())) for name in names]
    columns.refuse(~np.any(is_filled, axis=0), f"{names[0]} is empty")
