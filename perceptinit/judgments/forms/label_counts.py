"""From labels that many people gave to images to triplets: whose labels are more like the anchor's?"""

from __future__ import annotations

# M images, C classes
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from perceptinit.errors import DataError
from perceptinit.judgments.forms.drawing import draw_triplets
from perceptinit.types import Stimuli, Triplets


def label_shares(counts: np.ndarray, source: str) -> np.ndarray:
    """Return the share of people who gave each label, float64 (M, C); rows sum to 1.

    counts: whole numbers (M, C). Raises DataError, naming the row, for negative counts and a row
    without labels.
    """
    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.dtype.kind not in "iu":
        raise DataError(
            f"{source}: expected whole numbers (images, classes), got {counts.dtype} {counts.shape}"
        )
    for bad, what in (
        ((counts < 0).any(axis=1), "negative counts"),
        (counts.sum(axis=1) == 0, "no labels"),
    ):
        if bad.any():
            raise DataError(f"{source}: row {int(np.argmax(bad))} (from 0): {what}")
    return counts / counts.sum(axis=1, keepdims=True)


def same_label_share(shares: np.ndarray, image: int) -> np.ndarray:
    """Return the chance that two people, one looking at `image`, give one label, float64 (M,)."""
    return shares @ shares[image]


def triplets_from_label_counts(
    counts: np.ndarray,
    stimuli: Stimuli,
    members: Sequence[int],
    *,
    per_anchor: int,
    min_gap: float,
    min_disagreement: float,
    seed: int,
    source: str,
) -> Triplets:
    """Return triplets of the images at `members`; no other image occurs, so splits share none.

    An image is as close to the anchor as it is likely that two people give the two one label. The
    share of votes is that of Luce's choice rule, s_second / (s_first + s_second). Candidates whose
    closeness differs by less than `min_gap`, in [0, 1], are no pair. Anchors on whose label fewer
    than `min_disagreement` of the people depart from the majority are left out.

    Raises DataError when nothing is left.
    """
    shares, totals = label_shares(counts, source), np.asarray(counts).sum(axis=1)
    is_member = np.zeros(len(stimuli), dtype=bool)
    is_member[np.asarray(members, dtype=np.int64)] = True
    # the tolerance: 1 - 0.8 is a little less than 0.2 in floating point
    anchors = [i for i in members if 1 - shares[i].max() >= min_disagreement - 1e-9]

    def distances_of(anchor: int) -> np.ndarray:
        return np.where(is_member, -same_label_share(shares, anchor), np.nan)

    def votes_of(
        anchor: int, first: np.ndarray, second: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        s_first, s_second = shares[first] @ shares[anchor], shares[second] @ shares[anchor]
        return s_second / (s_first + s_second), np.minimum(totals[first], totals[second])

    triplets = draw_triplets(
        stimuli,
        anchors,
        distances_of,
        votes_of,
        per_anchor=per_anchor,
        min_gap=min_gap,
        seed=seed,
        names=("judgments", source),
    )
    return replace(triplets, unit="image")
