"""Same-or-different judgments of two images (just noticeable differences)."""

from __future__ import annotations

# N pairs
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from perceptinit.errors import DataError
from perceptinit.judgments.forms.drawing import TripletDraw, Votes, draw_triplets
from perceptinit.types import Split, Stimuli, Triplets, raise_first
from perceptinit.types.data import as_votes


@dataclass(frozen=True, slots=True, eq=False)
class SamePairs:
    """Pairs of images that people judged as the same or different.

    Args:
        stimuli: The M images.
        first: Indices into stimuli, int64 (N,).
        second: Indices into stimuli, int64 (N,).
        p_same: Share of people who said "same", float32 (N,) in [0, 1].
        num_votes: Number of votes, int32 (N,), at least 1.
    """

    stimuli: Stimuli
    first: np.ndarray
    second: np.ndarray
    p_same: np.ndarray
    num_votes: np.ndarray

    @classmethod
    def build(
        cls,
        stimuli: Stimuli,
        first: Sequence[int] | np.ndarray,
        second: Sequence[int] | np.ndarray,
        p_same: Sequence[float] | np.ndarray,
        num_votes: Sequence[int] | np.ndarray | int = 1,
    ) -> SamePairs:
        """Return validated pairs in the canonical dtypes; DataError names the first invalid row."""
        first = np.asarray(first, dtype=np.int64)
        pairs = cls(
            stimuli,
            first,
            np.asarray(second, dtype=np.int64),
            np.asarray(p_same, dtype=np.float32),
            np.broadcast_to(as_votes(num_votes), first.shape).copy(),
        )
        raise_first(pairs.first == pairs.second, "an image is paired with itself", "pair")
        raise_first(~((pairs.p_same >= 0) & (pairs.p_same <= 1)), "p_same is not in [0, 1]", "pair")
        raise_first(pairs.num_votes < 1, "num_votes is below 1", "pair")
        return pairs

    def __len__(self) -> int:
        return len(self.first)

    def select(self, rows: np.ndarray) -> SamePairs:
        """Return the rows selected by a mask or an index array, over the same stimuli."""
        columns = ("first", "second", "p_same", "num_votes")
        return replace(self, **{name: getattr(self, name)[rows] for name in columns})

    @property
    def base_rate(self) -> float:
        """Return the share of "same" answers, which is the score of a constant distance."""
        return float(self.p_same.mean())

    def triplets(self, draw: TripletDraw) -> Triplets:
        """Sample triplets from pairs with the same first image.

        The candidate with the larger share of "same" answers gets all votes. Candidates whose shares differ
        by less than `draw.min_gap` form no triplet.

        Raises:
            DataError: If no image is the first of two pairs.
        """
        anchors, counts = np.unique(self.first, return_counts=True)
        anchors = anchors[counts > 1]
        if not len(anchors):
            raise DataError(
                f"{draw.source}: no image is the first of two or more pairs, so there are no "
                "triplets. Score same-or-different answers with the evaluator 'jnd'"
            )

        def votes_of(anchor: int, first: np.ndarray, second: np.ndarray) -> Votes:
            p_same = self._column(anchor, self.p_same)
            num_votes = self._column(anchor, self.num_votes)
            counts = np.minimum(num_votes[first], num_votes[second])
            return (p_same[second] > p_same[first]).astype(np.float64), counts.astype(np.int64)

        def distances_of(anchor: int) -> np.ndarray:
            return -self._column(anchor, self.p_same)

        return draw_triplets(self.stimuli, anchors.tolist(), distances_of, votes_of, draw)

    def _column(self, anchor: int, column: np.ndarray) -> np.ndarray:
        """Return the values of an anchor's pairs, indexed by second image, (M,); NaN without a pair."""
        row = np.full(len(self.stimuli), np.nan)
        is_anchor = self.first == anchor
        row[self.second[is_anchor]] = column[is_anchor]
        return row


@runtime_checkable
class HasSamePairs(Protocol):
    """Judgments that include same-or-different answers."""

    def load_same_pairs(self, split: Split) -> SamePairs:
        """Return the pairs of a split; DataError if a file is invalid or the split is empty."""
        ...
