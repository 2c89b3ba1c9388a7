"""Your own ratings (`ratings`): a table of reference, image and rating, and a folder of images."""

from __future__ import annotations

# K rated images
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np

from perceptinit.configs import NonNegativeFloat, PositiveInt
from perceptinit.errors import EmptySplitError
from perceptinit.files.columns import Columns
from perceptinit.files.tables import read_table
from perceptinit.judgments.ceilings import DerivedAnswers
from perceptinit.judgments.forms.conventions import Conventions
from perceptinit.judgments.forms.ratings import (
    RatedImages,
    VoteRule,
    triplets_from_ratings,
    turned,
)
from perceptinit.judgments.own.own_table import OwnTable
from perceptinit.judgments.reading.collected import used_rows
from perceptinit.judgments.reading.image_columns import ImageRows, read_images
from perceptinit.types import Split, Triplets


class Ratings(DerivedAnswers, OwnTable):
    """Ratings or mean opinion scores of images, each against a reference, made into triplets.

    A CSV or Parquet table with columns `reference`, `image` and `rating`; `num_ratings` (people
    behind a mean), `split` and `excluded` (rows where it is filled are left out) are optional. Two images of one reference make a triplet when their
    ratings differ enough. Splits are by reference: no reference is in two of them.
    """

    conventions: ClassVar[Conventions] = Conventions(
        sides="drawn, by seed",
        direction="stated in the recipe: higher_is_better",
        ties="equal ratings, and those nearer than min_gap, make no triplet",
        winner_first="no",
    )

    what = "Ratings"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(OwnTable.Config):
        higher_is_better: bool
        """Whether a higher rating means more like the reference. No default: sources disagree."""
        votes: VoteRule = "gap"
        """"gap": the better-rated image gets all votes. "elo": ratings are Elo points, which give shares."""
        min_gap: NonNegativeFloat = 0.0
        """Smallest difference of two ratings that makes a triplet, in units of the rating."""
        pairs_per_reference: PositiveInt = 500
        """Most triplets of one reference, drawn without replacement."""

    config: Config

    def load(self, split: Split) -> Triplets:
        """Return the triplets of a split; DataError for a wrong row or image, or an empty split."""
        rated, splits = self._rated
        rated = rated.select(splits == split)
        if not len(rated.reference):
            raise EmptySplitError(f"{self.config.path}: no references in split '{split}'")
        c = self.config
        with self.told():
            triplets = triplets_from_ratings(
                rated,
                rule=c.votes,
                min_gap=c.min_gap,
                pairs_per_reference=c.pairs_per_reference,
                seed=c.seed,
                source=self.name,
            )
        return replace(triplets, unit="image" if c.split_by == "image" else "anchor")

    @property
    def splits(self) -> np.ndarray:
        return self._rated[1]

    @cached_property
    def _rated(self) -> tuple[RatedImages, np.ndarray]:
        c = self.config
        columns = used_rows(read_table(c.path))
        columns.require(["reference", "image", "rating"])
        images = read_images(columns, ("reference", "image"), self.folder, c.image)
        _check_rated_once(columns, images)
        ratings = columns.numbers("rating", low=-np.inf)
        has_counts = "num_ratings" in columns
        rated = RatedImages(
            self.stimuli(images.names),
            images.index[0],
            images.index[1],
            turned(ratings, c.higher_is_better),
            columns.counts("num_ratings", low=1)
            if has_counts
            else np.ones(len(columns), dtype=int),
        )
        group = images.role(0)
        return rated, self.deal(columns, images, "ratings", group=group, role="reference").splits


def _check_rated_once(columns: Columns, images: ImageRows) -> None:
    _, first_rows, place = np.unique(images.index[1], return_index=True, return_inverse=True)
    before = first_rows[place.reshape(-1)]
    rows = np.flatnonzero(before != np.arange(len(before)))
    if rows.size:
        raise columns.error(
            rows,
            f"image '{images.names[images.index[1, rows[0]]]}' was rated in row "
            f"{columns.rows[before[rows[0]]]} already; give one row an image, the mean over people, with "
            "their number in num_ratings",
        )
