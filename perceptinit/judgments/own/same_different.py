"""Your own same-or-different answers (`same-different`): a table of two images and the share that said "same"."""

from __future__ import annotations

# N pairs
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np

from perceptinit.configs import PositiveInt, Share
from perceptinit.files.columns import Columns
from perceptinit.files.tables import read_table
from perceptinit.judgments.ceilings import DerivedAnswers
from perceptinit.judgments.forms.conventions import Conventions
from perceptinit.judgments.forms.same_pairs import SamePairs
from perceptinit.judgments.own.own_table import OwnTable
from perceptinit.judgments.reading.collected import used_rows
from perceptinit.judgments.reading.image_columns import ImageRows, read_images
from perceptinit.judgments.reading.split_column import rows_in
from perceptinit.types import Split, Triplets


class SameDifferent(DerivedAnswers, OwnTable):
    """A table of pairs of images with the share of people who called the two the same.

    The names of the columns are keys, so that published files can be read as they are, such as the
    JND votes of NIGHTS. Where one image (`first`) stands in several pairs, they make triplets: what
    more people called the same as the anchor is closer. Rows where `excluded` is filled are left out. The evaluator `jnd` scores the pairs. Splits
    are by `first`.
    """

    conventions: ClassVar[Conventions] = Conventions(
        sides="drawn, by seed",
        direction='a larger share: more people said "same"',
        ties="equal shares, and those nearer than min_gap, make no triplet",
        winner_first="no",
    )

    what = "Same-or-different answers"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(OwnTable.Config):
        first: str = "first"
        """Column of the image that becomes the anchor, such as the undistorted one."""
        second: str = "second"
        """Column of the image that it was compared with."""
        p_same: str = "p_same"
        """Column of the share of people who said "same", in [0, 1]."""
        num_votes: str | None = None
        """Column of the number of people; one each when not given."""
        pairs_per_anchor: PositiveInt = 100
        """Most triplets of one anchor."""
        min_gap: Share = 0.0
        """Smallest difference of two shares that makes a triplet."""

    config: Config

    def read_first_split(self) -> object:
        """Read the pairs."""
        return self.load_same_pairs("train")  # triplets need pairs that share an image

    def load(self, split: Split) -> Triplets:
        """Return triplets of a split; DataError when its pairs share no image, or a row is wrong."""
        c = self.config
        pairs = self.load_same_pairs(split)
        with self.told():
            triplets = pairs.triplets(
                per_anchor=c.pairs_per_anchor, min_gap=c.min_gap, seed=c.seed, source=self.name
            )
        return replace(triplets, unit="image" if c.split_by == "image" else "anchor")

    def load_same_pairs(self, split: Split) -> SamePairs:
        """Return the pairs of a split; DataError for a wrong row or image, or an empty split."""
        columns, images, splits = self._table
        rows = rows_in(splits, split, columns.path, "pairs")
        c = self.config
        chosen = columns.select(rows)
        return SamePairs.build(
            self.stimuli(images.names),
            images.index[0, rows],
            images.index[1, rows],
            chosen.numbers(c.p_same, 0.0, 1.0),
            chosen.counts(c.num_votes, low=1) if c.num_votes else 1,
        )

    @property
    def splits(self) -> np.ndarray:
        return self._table[2]

    @cached_property
    def _table(self) -> tuple[Columns, ImageRows, np.ndarray]:
        """Return the table, its images and the split of each row (N,)."""
        c = self.config
        columns = used_rows(read_table(c.path))
        columns.require([c.first, c.second, c.p_same, *([c.num_votes] if c.num_votes else [])])
        columns.numbers(c.p_same, 0.0, 1.0)
        images = read_images(columns, (c.first, c.second), self.folder, c.image)
        dealt = self.deal(columns, images, "same-different", group=images.role(0), role=c.first)
        return columns, images, dealt.splits
