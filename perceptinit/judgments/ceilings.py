"""Human ceilings: how well people predict each other, as bounds on the score of a perfect model."""

# N judgments, A possible answers
import numpy as np

from perceptinit.judgments.controls.wrappers import source_of
from perceptinit.judgments.scoring import Weighting
from perceptinit.protocols import HasNoiseCeiling, Judgments
from perceptinit.types import Split, Triplets

Bounds = tuple[float, float]

# Minimum number of votes for a ceiling, counting only questions with at least two votes. The standard error
# of a share of 100 votes is at most 0.05.
MIN_VOTES = 100


def ceiling(counts: np.ndarray, weighting: Weighting = "votes") -> Bounds | None:
    """Return how well one person's answer is predicted by the other people's votes, and by all votes.

    The prediction is the majority answer; ties are split equally. The upper bound includes the person's own
    vote, so it is too high if questions have few votes. Questions with one vote are ignored.

    Args:
        counts: Votes for each possible answer, (N, A).
        weighting: Whether votes or judgments have equal weight.

    Returns:
        Lower and upper bound in [0, 1]; None for fewer than `MIN_VOTES` votes.

    Source: the noise ceiling of Nili et al. (2014), with the share of votes instead of correlation.
    """
    votes = np.asarray(counts, dtype=np.float64)
    votes = votes[votes.sum(axis=1) >= 2]
    if votes.sum() < MIN_VOTES:
        return None
    num = votes.sum(axis=1)
    without = np.zeros(len(votes))  # votes that the other votes predict; ties count in part
    for answer in range(votes.shape[1]):
        others = votes.copy()
        others[:, answer] -= 1
        is_most = others == others.max(axis=1, keepdims=True)
        without += votes[:, answer] * (is_most[:, answer] / is_most.sum(axis=1))
    weights = num if weighting == "votes" else None
    lower = without / num
    upper = votes.max(axis=1) / num
    return float(np.average(lower, weights=weights)), float(np.average(upper, weights=weights))


def two_afc_ceiling(triplets: Triplets, weighting: Weighting = "votes") -> Bounds | None:
    """Return the ceiling of 2AFC, from the votes for the two candidates; see `ceiling`."""
    for_second = np.rint(triplets.p_second.astype(np.float64) * triplets.num_votes)
    counts = np.stack([triplets.num_votes - for_second, for_second], axis=1)
    return ceiling(counts, weighting)


def pair_agreement(triplets: Triplets) -> float | None:
    """Return the probability that two people who judged the same question agree, in [0, 1].

    Questions are weighted by their number of votes. Returns None for fewer than `MIN_VOTES` votes.
    """
    many = triplets.select(triplets.num_votes > 1)
    n = many.num_votes.astype(np.float64)
    if n.sum() < MIN_VOTES:
        return None
    k = np.rint(many.p_second * n)
    agree = (k * (k - 1) + (n - k) * (n - k - 1)) / (n * (n - 1))
    return float(np.average(agree, weights=n))


def ceiling_of_split(
    judgments: Judgments, split: Split, triplets: Triplets, weighting: Weighting = "votes"
) -> Bounds | None:
    """Return the human ceiling of 2AFC on `triplets`, the given split of `judgments`.

    If the judgments define `noise_ceiling`, its result is returned: the votes were used to select the
    triplets, so a ceiling from the same votes would be biased.
    """
    judgments = source_of(judgments, split)
    if isinstance(judgments, HasNoiseCeiling):
        return judgments.noise_ceiling(split)
    return two_afc_ceiling(triplets, weighting)
