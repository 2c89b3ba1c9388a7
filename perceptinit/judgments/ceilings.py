"""Human ceilings: how well people predict each other, the range of scores of a perfect model."""

from __future__ import annotations

# N judgments, A possible answers
import numpy as np

from perceptinit.judgments.controls.wrappers import source_of
from perceptinit.judgments.scoring import Weighting
from perceptinit.protocols import HasNoiseCeiling, Judgments
from perceptinit.types import Split, Triplets

Bounds = tuple[float, float]

# Votes that a ceiling requires, on questions that two people or more answered: the standard error of a
# share is then at most 0.05.
MIN_VOTES = 100


def ceiling(counts: np.ndarray, weighting: Weighting = "votes") -> Bounds | None:
    """Return how well people predict one person's answer: from the votes of the others, and from all votes.

    The prediction is the majority's answer; tied answers share it. The upper bound includes the person's own
    vote and is therefore too high where few people were asked. Questions with one answer are left out.

    Args:
        counts: Votes for each possible answer, (N, A).
        weighting: Whether every vote or every judgment counts once.

    Returns:
        Lower and upper bound in [0, 1]; None for fewer than `MIN_VOTES` votes.

    Source: the noise ceiling of Nili et al. (2014), with the share of votes instead of correlation.
    """
    votes = np.asarray(counts, dtype=np.float64)
    votes = votes[votes.sum(axis=1) >= 2]
    if votes.sum() < MIN_VOTES:
        return None
    num = votes.sum(axis=1)
    without = np.zeros(len(votes))  # votes that the others predict; a tie predicts a share
    for answer in range(votes.shape[1]):
        others = votes.copy()
        others[:, answer] -= 1
        is_most = others == others.max(axis=1, keepdims=True)
        without += votes[:, answer] * (is_most[:, answer] / is_most.sum(axis=1))
    weights = num if weighting == "votes" else None
    lower, upper = without / num, votes.max(axis=1) / num
    return float(np.average(lower, weights=weights)), float(np.average(upper, weights=weights))


def two_afc_ceiling(triplets: Triplets, weighting: Weighting = "votes") -> Bounds | None:
    """Return the ceiling of 2AFC, from the votes for the two candidates; see `ceiling`."""
    for_second = np.rint(triplets.p_second.astype(np.float64) * triplets.num_votes)
    counts = np.stack([triplets.num_votes - for_second, for_second], axis=1)
    return ceiling(counts, weighting)


def pair_agreement(triplets: Triplets) -> float | None:
    """Return the probability that two people who judged the same question agree, in [0, 1].

    Questions are weighted by their votes. None for fewer than `MIN_VOTES` votes, see `ceiling`.
    """
    many = triplets.select(triplets.num_votes > 1)
    n = many.num_votes.astype(np.float64)
    if n.sum() < MIN_VOTES:
        return None
    k = np.rint(many.p_second * n)
    agree = (k * (k - 1) + (n - k) * (n - k - 1)) / (n * (n - 1))
    return float(np.average(agree, weights=n))


class DerivedAnswers:
    """Judgments whose answers are computed from ratings or labels, so single choices are unknown."""

    def noise_ceiling(self, split: Split) -> None:
        """Return None: computed answers agree more than people do."""


def ceiling_of_split(
    judgments: Judgments, split: Split, triplets: Triplets, weighting: Weighting = "votes"
) -> Bounds | None:
    """Return the ceiling of 2AFC on `triplets`, a split of judgments.

    Judgments with a `noise_ceiling` compute it: votes are biased where they also selected the triplets.
    """
    judgments = source_of(judgments, split)
    if isinstance(judgments, HasNoiseCeiling):
        return judgments.noise_ceiling(split)
    return two_afc_ceiling(triplets, weighting)
