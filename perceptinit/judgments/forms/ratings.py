"""From ratings of images against a reference to triplets: which of two is closer to the reference?"""

from __future__ import annotations

# K rated images
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from perceptinit.judgments.forms.drawing import TripletDraw, Votes, draw_triplets
from perceptinit.types import Stimuli, Triplets

# how a pair of ratings becomes votes
VoteRule = Literal["gap", "elo"]

# Elo points for odds of 10 to 1
ELO_SCALE = 400.0


@dataclass(frozen=True, slots=True, eq=False)
class RatedImages:
    """K ratings, already turned so that more means closer to the reference.

    stimuli: references and rated images.
    reference, image: int64 (K,), indices into stimuli.
    closeness: float64 (K,), any unit.
    num_votes: int32 (K,), people behind each rating; 1 when unknown.
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

    rule "gap": the better-rated image gets all votes; pairs nearer than the draw's `min_gap`, in units of the
    rating, are not used. rule "elo": the share of votes is that of the Elo model,
    1 / (1 + 10^((a - b) / 400)); `min_gap` holds as well. Equal ratings are never a pair.

    Raises DataError when no pair is far enough apart.
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
    """Return the share of people expected to prefer an image that leads by `lead` Elo points.

    Source: the Elo model that PIPAL was rated with (Gu et al. 2020).
    """
    return 1 / (1 + 10 ** (-np.asarray(lead, dtype=np.float64) / ELO_SCALE))
