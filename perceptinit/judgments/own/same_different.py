"""Your own same-or-different answers (`same-different`): a table of two images and the share that said "same"."""

from __future__ import annotations

# N pairs
from dataclasses import dataclass
from typing import ClassVar

from perceptinit.configs import PositiveInt, Share
from perceptinit.files.columns import Columns
from perceptinit.judgments.forms.conventions import Conventions
from perceptinit.judgments.forms.drawing import TripletDraw
from perceptinit.judgments.forms.same_pairs import SamePairs
from perceptinit.judgments.own.own_table import DrawnFromTable, OwnTable, Rows
from perceptinit.types import Split, Triplets


class SameDifferent(DrawnFromTable):
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
    draw_name = "same-different"

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
        """Return the pairs of a split; DataError for a wrong row or image, or an empty split."""
        return self.select(split)

    def draw(self, judgments: SamePairs) -> Triplets:
        """Return triplets of images that were compared with one third image."""
        c = self.config
        return judgments.triplets(TripletDraw(self.name, c.pairs_per_anchor, c.min_gap, c.seed))
