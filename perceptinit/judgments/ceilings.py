"""How well people predict each other: the range in which a model that knew what they share would score."""

from __future__ import annotations

# N judgments, A possible answers
import numpy as np

from perceptinit.judgments.controls.wrappers import source_of
from perceptinit.judgments.scoring import Weighting
from perceptinit.protocols import HasNoiseCeiling, Judgments
from perceptinit.types import Split, Triplets

Bounds = tuple[float, float]

# Votes that a ceiling takes, on questions that two people or more answered: the standard error of a
# share is then 0.05 at most.
MIN_VOTES = 100


def ceiling(counts: np.ndarray, weighting: Weighting = "votes") -> Bounds | None:
    """Return how well people predict one person's answer: from the others' votes, and from all votes.

    counts: votes for each possible answer, (N, A). Predicted is the answer of the majority; answers
    that tie share the prediction. A person's own vote counts for the upper bound, which therefore lies
    too high where few were asked, and not for the lower one.
    weighting: whether every vote or every judgment counts once.

    Questions that one person answered say nothing about this and are left out; None when the others
    have fewer than `MIN_VOTES` votes.
    Source: the noise ceiling of Nili et al. (2014), with the share of votes in place of correlation.
    """
    votes = np.asarray(counts, dtype=np.float64)
    votes = votes[votes.sum(axis=1) >= 2]
    if votes.sum() < MIN_VOTES:
        return None
    num = votes.sum(axis=1)
    without = np.zeros(len(votes))  # votes that the others would predict; a tie predicts a share
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
    """Return the chance that two different people who judged the same question agree, in [0, 1].

    Questions weigh by their votes; those with one vote say nothing. None when the others have fewer
    than `MIN_VOTES` votes.
    """
    n = triplets.num_votes.astype(np.float64)
    k = np.rint(triplets.p_second * n)
    many = n > 1
    if n[many].sum() < MIN_VOTES:
        return None
    n, k = n[many], k[many]
    agree = (k * (k - 1) + (n - k) * (n - k - 1)) / (n * (n - 1))
    return float(np.average(agree, weights=n))


class DerivedAnswers:
    """Judgments whose answers are computed, from ratings or labels: nobody's own choice is known."""

    def noise_ceiling(self, split: Split) -> None:
        """Return no ceiling: computed answers agree better than people do."""


def ceiling_of_split(
    judgments: Judgments, split: Split, triplets: Triplets, weighting: Weighting = "votes"
) -> Bounds | None:
    """Return the ceiling of 2AFC on a split of judgments, `triplets`.

    Judgments that know their people say it themselves: where triplets were chosen by what people
    answered, votes alone would flatter. Wrappers change `train` only, so the others' is the inner one's.
    """
    judgments = source_of(judgments, split)
    if isinstance(judgments, HasNoiseCeiling):
        return judgments.noise_ceiling(split)
    return two_afc_ceiling(triplets, weighting)
