"""Rank-m-of-n judgments (`multi-select`): which m of n images are most like the query?"""

# R rows of the table; a row gives several answers
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, TypeVar

import numpy as np

from perceptinit.files.columns import Columns, read_all
from perceptinit.judgments.forms.named_triplets import NamedTriplets, add_up, draw_sides
from perceptinit.judgments.forms.splits import Conventions
from perceptinit.judgments.image_files import ImageRows
from perceptinit.judgments.own.own_table import OwnTable, Rows

T = TypeVar("T")


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
