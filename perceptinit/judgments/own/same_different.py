"""Your own same-or-different answers (`same-different`): two images and the share of "same"."""

# N pairs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from perceptinit.configs import PositiveInt, Share
from perceptinit.errors import problems_of
from perceptinit.files.columns import Columns
from perceptinit.judgments.forms.drawing import TripletDraw
from perceptinit.judgments.forms.odd_one_out import SamePairs
from perceptinit.judgments.forms.splits import Conventions
from perceptinit.judgments.own.own_table import DrawnFromTable, OwnTable, Rows
from perceptinit.types import Split, Triplets


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
