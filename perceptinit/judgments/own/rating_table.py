"""Your own ratings (`ratings`): a table of reference, image and rating, and a folder of images."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from perceptinit.configs import NonNegativeFloat, PositiveInt
from perceptinit.files.columns import Columns
from perceptinit.judgments.forms.drawing import RatedPairs, TripletDraw, VoteRule
from perceptinit.judgments.forms.splits import Conventions, find_first_rows
from perceptinit.judgments.own.own_table import DrawnFromTable, OwnTable, Rows
from perceptinit.types import Triplets


class Ratings(DrawnFromTable):
    """Triplets from ratings or mean opinion scores of images, each against a reference.

    The table has columns `reference`, `image` and `rating`. Optional columns: `num_ratings` (number of people
    per rating), `split` and `excluded` (marked rows are skipped). Two images of one reference form a triplet
    if their ratings differ by at least `min_gap`. Splits are by reference.
    """

    conventions: ClassVar[Conventions] = Conventions(
        sides="randomized by seed",
        direction="set in the recipe: higher_is_better",
        ties="equal ratings, and differences below min_gap, form no triplet",
        winner_first="no",
    )

    what = "Ratings"
    draw_name = "ratings"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(OwnTable.Config):
        higher_is_better: bool
        """Whether a higher rating means more similar to the reference. No default, because sources differ."""
        votes: VoteRule = "gap"
        """"gap": the better-rated image gets all votes. "elo": vote shares follow from Elo points."""
        min_gap: NonNegativeFloat = 0.0
        """Minimum difference between two ratings in a triplet, in units of the rating."""
        pairs_per_reference: PositiveInt = 500
        """Maximum number of triplets per reference, sampled without replacement."""

    config: Config

    def read(self, columns: Columns) -> Rows:
        """Return all ratings and their splits."""
        columns.require(["reference", "image", "rating"])
        images = self.read_images(columns, ("reference", "image"))
        reference, image = images.index.astype(np.int64)
        before = find_first_rows(image)
        columns.refuse(
            before != np.arange(len(before)),
            lambda row: (
                f"image '{images.names[image[row]]}' is already rated in row "
                f"{columns.rows[before[row]]}. Use one row per image, with the mean rating and num_ratings"
            ),
        )
        sign = 1 if self.config.higher_is_better else -1
        closeness = sign * columns.numbers("rating", low=-np.inf)
        has_counts = "num_ratings" in columns
        num_votes = columns.counts("num_ratings", low=1) if has_counts else np.ones(len(columns), np.int64)
        rated = RatedPairs(self.stimuli(images.names), reference, image, closeness, num_votes)
        return Rows(rated, self.split_rows(columns, images, images.role(0), "reference").splits)

    def draw(self, judgments: RatedPairs) -> Triplets:
        """Sample triplets of two images that were rated against the same reference."""
        c = self.config
        return judgments.triplets(TripletDraw(self.name, c.pairs_per_reference, c.min_gap, c.seed), c.votes)
