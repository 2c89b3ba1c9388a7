"""Your own ratings (`ratings`): a table of reference, image and rating, and a folder of images."""

from __future__ import annotations

# K rated images
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from perceptinit.configs import NonNegativeFloat, PositiveInt
from perceptinit.files.columns import Columns
from perceptinit.judgments.forms.conventions import Conventions
from perceptinit.judgments.forms.drawing import TripletDraw
from perceptinit.judgments.forms.ratings import RatedImages, VoteRule, triplets_from_ratings
from perceptinit.judgments.forms.splits import find_first_rows
from perceptinit.judgments.own.own_table import DrawnFromTable, OwnTable, Rows
from perceptinit.types import Triplets


class Ratings(DrawnFromTable):
    """Ratings or mean opinion scores of images, each against a reference, made into triplets.

    A table with columns `reference`, `image` and `rating`. Optional columns: `num_ratings` (people behind a
    mean), `split` and `excluded` (rows with a filled cell are left out). Two images of one reference make a
    triplet if their ratings differ enough. Splits are by reference.
    """

    conventions: ClassVar[Conventions] = Conventions(
        sides="drawn, by seed",
        direction="stated in the recipe: higher_is_better",
        ties="equal ratings, and those nearer than min_gap, make no triplet",
        winner_first="no",
    )

    what = "Ratings"
    draw_name = "ratings"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(OwnTable.Config):
        higher_is_better: bool
        """Whether a higher rating means more like the reference. No default, since sources disagree."""
        votes: VoteRule = "gap"
        """"gap": the better-rated image gets all votes. "elo": ratings are Elo points, which give shares."""
        min_gap: NonNegativeFloat = 0.0
        """Smallest difference of two ratings that makes a triplet, in units of the rating."""
        pairs_per_reference: PositiveInt = 500
        """Maximum number of triplets per reference, drawn without replacement."""

    config: Config

    def read(self, columns: Columns) -> Rows:
        """Return all ratings and their splits."""
        columns.require(["reference", "image", "rating"])
        images = self.read_images(columns, ("reference", "image"))
        reference, image = images.index
        before = find_first_rows(image)
        again = np.flatnonzero(before != np.arange(len(before)))
        if again.size:
            name, row = images.names[image[again[0]]], columns.rows[before[again[0]]]
            advice = "give one row an image, the mean over people, with their number in num_ratings"
            raise columns.error(again, f"image '{name}' was rated in row {row} already; {advice}")
        sign = 1 if self.config.higher_is_better else -1
        closeness = sign * columns.numbers("rating", low=-np.inf)
        has_counts = "num_ratings" in columns
        num_votes = columns.counts("num_ratings", low=1) if has_counts else np.ones(len(columns), np.int64)
        rated = RatedImages(self.stimuli(images.names), reference, image, closeness, num_votes)
        return Rows(rated, self.split_rows(columns, images, images.role(0), "reference").splits)

    def draw(self, judgments: RatedImages) -> Triplets:
        """Return triplets of two images that were rated against one reference."""
        c = self.config
        draw = TripletDraw(self.name, c.pairs_per_reference, c.min_gap, c.seed)
        return triplets_from_ratings(judgments, c.votes, draw)
