"""Triplets from ratings of images against a reference: which of two is closer to the reference?"""

from __future__ import annotations

# K rated images
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from perceptinit.judgments.forms.drawing import TripletDraw, Votes, draw_triplets
from perceptinit.types import Stimuli, Triplets

# how votes follow from two ratings
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
        num_votes: People behind each rating, int32 (K,); 1 if unknown.
    """

    stimuli: Stimuli
    reference: np.ndarray
    image: np.ndarray
    closeness: np.ndarray
    num_votes: np.ndarray

    def select(self, rows: np.ndarray) -> RatedImages:
        """Return the ratings of a mask, over the same stimuli."""
        columns = ("reference", "image", "closeness", "num_votes")
        return replace(self, **{name: getattr(self, name)[rows] for name in columns})


def triplets_from_ratings(rated: RatedImages, rule: VoteRule, draw: TripletDraw) -> Triplets:
    """Return triplets with a reference as the anchor and two of its rated images as candidates.

    Args:
        rated: The ratings.
        rule: "gap": the better-rated image gets all votes. "elo": shares of votes follow the Elo model,
            1 / (1 + 10^((a - b) / 400)).
        draw: Settings of the draw; `min_gap` is in units of the rating. Equal ratings never make a pair.

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

    Source: the Elo model that PIPAL was rated with (Gu et al. 2020).
    """
    return 1 / (1 + 10 ** (-np.asarray(lead, dtype=np.float64) / ELO_SCALE))
