"""Your own ratings (`ratings`): a table of reference, image and rating, and a folder of images."""

from __future__ import annotations

# K rated images
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from perceptinit.configs import NonNegativeFloat, PositiveInt
from perceptinit.files.columns import Columns
from perceptinit.judgments.forms.drawing import TripletDraw, Votes, draw_triplets
from perceptinit.judgments.forms.splits import Conventions, find_first_rows
from perceptinit.judgments.own.own_table import DrawnFromTable, OwnTable, Rows
from perceptinit.types import Stimuli, Triplets

# how two ratings are converted to votes
VoteRule = Literal["gap", "elo"]

# Elo points for odds of 10 to 1
ELO_SCALE = 400.0


@dataclass(frozen=True, slots=True, eq=False)
class RatedImages:
    """K ratings of images.

    Args:
        stimuli: References and rated images.
        reference: Indices into stimuli, int64 (K,).
        image: Indices into stimuli, int64 (K,).
        closeness: Rating, higher if closer to the reference, float64 (K,), any unit.
        num_votes: Number of people per rating, int32 (K,); 1 if unknown.
    """

    stimuli: Stimuli
    reference: np.ndarray
    image: np.ndarray
    closeness: np.ndarray
    num_votes: np.ndarray

    def select(self, rows: np.ndarray) -> RatedImages:
        """Return the ratings selected by a mask, over the same stimuli."""
        columns = ("reference", "image", "closeness", "num_votes")
        return replace(self, **{name: getattr(self, name)[rows] for name in columns})


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
        again = np.flatnonzero(before != np.arange(len(before)))
        if again.size:
            name = images.names[image[again[0]]]
            row = columns.rows[before[again[0]]]
            advice = "Use one row per image, with the mean rating and num_ratings"
            raise columns.error(again, f"image '{name}' is already rated in row {row}. {advice}")
        sign = 1 if self.config.higher_is_better else -1
        closeness = sign * columns.numbers("rating", low=-np.inf)
        has_counts = "num_ratings" in columns
        num_votes = columns.counts("num_ratings", low=1) if has_counts else np.ones(len(columns), np.int64)
        rated = RatedImages(self.stimuli(images.names), reference, image, closeness, num_votes)
        return Rows(rated, self.split_rows(columns, images, images.role(0), "reference").splits)

    def draw(self, judgments: RatedImages) -> Triplets:
        """Sample triplets of two images that were rated against the same reference."""
        c = self.config
        draw = TripletDraw(self.name, c.pairs_per_reference, c.min_gap, c.seed)
        return triplets_from_ratings(judgments, c.votes, draw)


def triplets_from_ratings(rated: RatedImages, rule: VoteRule, draw: TripletDraw) -> Triplets:
    """Sample triplets with a reference as the anchor and two of its rated images as candidates.

    Args:
        rated: The ratings.
        rule: "gap": the better-rated image gets all votes. "elo": shares of votes follow the Elo model,
            1 / (1 + 10^((a - b) / 400)).
        draw: Sampling settings; `min_gap` is in units of the rating. Equal ratings never form a pair.

    Raises:
        DataError: If no two ratings differ enough.
    """
    closeness = np.full(len(rated.stimuli), np.nan)
    num_votes = np.ones(len(rated.stimuli), dtype=np.int64)
    closeness[rated.image], num_votes[rated.image] = rated.closeness, rated.num_votes

    def distances_of(reference: int) -> np.ndarray:
        is_rated = np.isin(np.arange(len(closeness)), rated.image[rated.reference == reference])
        return np.where(is_rated, -closeness, np.nan)

    def votes_of(reference: int, first: np.ndarray, second: np.ndarray) -> Votes:
        lead = closeness[second] - closeness[first]
        p_second = (lead > 0).astype(np.float64) if rule == "gap" else elo_share(lead)
        return p_second, np.minimum(num_votes[first], num_votes[second])

    references = np.unique(rated.reference).tolist()
    return draw_triplets(rated.stimuli, references, distances_of, votes_of, draw)


def elo_share(lead: np.ndarray) -> np.ndarray:
    """Return the expected share of people who prefer an image that leads by `lead` Elo points.

    Source: the Elo model of PIPAL (Gu et al. 2020).
    """
    return 1 / (1 + 10 ** (-np.asarray(lead, dtype=np.float64) / ELO_SCALE))
