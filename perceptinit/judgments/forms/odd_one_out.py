"""Judgments without an anchor: which of three images is the odd one, and are two images the same?

The three-way softmax and the `odd-one-out` evaluator use `OddOneOut` directly. `OddOneOut.triplets` converts
it to anchored triplets for other components. `SamePairs` are answers to just noticeable differences.
"""

from __future__ import annotations

# N judgments of three or two images; columns of pairs of three: 0-1, 0-2, 1-2
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from perceptinit.errors import DataError, UsageError
from perceptinit.judgments.forms.drawing import RatedPairs, TripletDraw, VoteRule
from perceptinit.types import Split, Stimuli, Triplets, Unit, raise_first
from perceptinit.types.data import as_votes

CHANCE = 1 / 3
# the odd column for each similar pair: 2 for columns 0 and 1
PAIRS = ((0, 1), (0, 2), (1, 2))
ODD_OF_PAIR = (2, 1, 0)


@dataclass(frozen=True, slots=True, eq=False)
class OddOneOut:
    """Judgments of three images each; the order of the three has no meaning.

    Args:
        stimuli: The M images.
        images: Indices into stimuli, int64 (N, 3).
        votes: Number of people who chose each image as odd, int32 (N, 3), at least one per row.
        group: Group of each judgment, such as its set of three images, int64 (N,); splits share no group.
        unit: Held-out unit, as in `Triplets`.
    """

    stimuli: Stimuli
    images: np.ndarray
    votes: np.ndarray
    group: np.ndarray
    unit: Unit = "anchor"

    @classmethod
    def build(
        cls,
        stimuli: Stimuli,
        images: Sequence[Sequence[int]] | np.ndarray,
        votes: Sequence[Sequence[int]] | np.ndarray,
        group: Sequence[int] | np.ndarray | None = None,
        unit: Unit = "anchor",
    ) -> OddOneOut:
        """Return validated judgments in the canonical dtypes; `group` defaults to the set of three images.

        Raises:
            DataError: If columns differ in length or a row is invalid.
        """
        table = np.asarray(images, dtype=np.int64).reshape(-1, 3)
        group = triple_codes(table, len(stimuli)) if group is None else np.asarray(group, dtype=np.int64)
        counts = as_votes(votes).reshape(-1, 3)
        if not len(table) == len(counts) == len(group):
            raise DataError(
                f"odd-one-out columns differ in length: {len(table)} images, {len(counts)} votes, "
                f"{len(group)} groups"
            )
        row = "odd-one-out judgment"
        raise_first(((table < 0) | (table >= len(stimuli))).any(axis=1), "image index out of range", row)
        is_repeated = (np.diff(np.sort(table, axis=1)) == 0).any(axis=1)
        raise_first(is_repeated, "an image occurs twice in one judgment", row)
        raise_first((counts < 0).any(axis=1), "negative votes", row)
        raise_first(counts.sum(axis=1) == 0, "no votes", row)
        return cls(stimuli, table, counts, group, unit)

    def __len__(self) -> int:
        return len(self.images)

    def select(self, mask: np.ndarray) -> OddOneOut:
        """Return the rows selected by a boolean mask or an index array, over the same stimuli."""
        return replace(self, images=self.images[mask], votes=self.votes[mask], group=self.group[mask])

    def triplets(self, rng: np.random.Generator) -> Triplets:
        """Return anchored triplets: two per judgment if all votes agree, otherwise three.

        For anchor `a`, a vote for `c` as the odd image counts as a vote for candidate `b`, and a vote for `b`
        as a vote for `c`. Votes for `a` are ignored. Sides are randomized with `rng`, so the order of images
        reveals nothing. Groups are preserved.
        """
        parts = [self._anchor(anchor, rng) for anchor in range(3)]
        columns = list(map(np.concatenate, zip(*parts, strict=True)))
        order = np.argsort(columns[-1], kind="stable")
        anchor, first, second, p_second, num_votes, row = (column[order] for column in columns)
        return Triplets.build(
            self.stimuli, anchor, first, second, p_second, num_votes, self.group[row], self.unit
        )

    def _anchor(self, anchor: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Return anchor, first, second, p_second, num_votes and row of the triplets anchored at a column."""
        b, c = (column for column in range(3) if column != anchor)
        rows = np.flatnonzero(self.votes[:, b] + self.votes[:, c] > 0)
        is_swapped = rng.random(len(rows)) < 0.5
        first = np.where(is_swapped, c, b)
        second = np.where(is_swapped, b, c)
        for_second = self.votes[rows, first]  # `first` is odd
        num_votes = for_second + self.votes[rows, second]
        names = self.images[rows, anchor], self.images[rows, first], self.images[rows, second]
        return *names, for_second / num_votes, num_votes, rows


@runtime_checkable
class HasOddOneOut(Protocol):
    """Judgments that include odd-one-out answers."""

    def load_odd_one_out(self, split: Split) -> OddOneOut:
        """Return the odd-one-out judgments of a split; DataError if a file is invalid."""


def load_odd_one_out(judgments: Any, split: Split) -> OddOneOut:
    """Return the odd-one-out judgments of a component; UsageError if it has none."""
    if not isinstance(judgments, HasOddOneOut):
        raise UsageError(f"judgments '{judgments.name}' are not odd-one-out. Use 'odd-one-out' or 'things'")
    return judgments.load_odd_one_out(split)


def triple_codes(images: np.ndarray, num_stimuli: int) -> np.ndarray:
    """Return a code for each set of three images, independent of their order, int64 (N,)."""
    low, middle, high = np.sort(images, axis=1).T
    return (low * num_stimuli + middle) * num_stimuli + high


def odd_one_out_agreement(similarities: np.ndarray, votes: np.ndarray) -> np.ndarray:
    """Return the share of each judgment's votes that agree with the model, shape (N,).

    The model chooses the image outside the most similar pair. Ties are split equally, so constant embeddings
    score 1/3.

    Args:
        similarities: Similarities of the pairs 0-1, 0-2 and 1-2, (N, 3).
        votes: Number of people who chose each image as odd, (N, 3).

    Raises:
        ValueError: If a similarity is not finite.

    Source: the odd-one-out task of THINGS (Hebart et al. 2020); the rule for ties is ours.
    """
    s = np.asarray(similarities, dtype=np.float64)
    if not np.isfinite(s).all():
        raise ValueError("a similarity is not finite")
    is_best = s == s.max(axis=1, keepdims=True)
    share = is_best / is_best.sum(axis=1, keepdims=True)
    votes_of_pair = np.asarray(votes, dtype=np.float64)[:, ODD_OF_PAIR]
    return (share * votes_of_pair).sum(axis=1) / votes_of_pair.sum(axis=1)


def choose_odd(similarities: np.ndarray) -> np.ndarray:
    """Return the image outside the most similar pair of each judgment, int8 (N,); -1 for a tie."""
    is_best = similarities == similarities.max(axis=1, keepdims=True)
    odd = np.take(ODD_OF_PAIR, is_best.argmax(axis=1))
    return np.where(is_best.sum(axis=1) == 1, odd, -1).astype(np.int8)


class SamePairs(RatedPairs):
    """Pairs of images that people judged as the same or different: the closeness is the share of "same"."""

    @classmethod
    def build(
        cls,
        stimuli: Stimuli,
        first: Sequence[int] | np.ndarray,
        second: Sequence[int] | np.ndarray,
        p_same: Sequence[float] | np.ndarray,
        num_votes: Sequence[int] | np.ndarray | int = 1,
    ) -> SamePairs:
        """Return validated pairs in the canonical dtypes; DataError names the first invalid row.

        Args:
            stimuli: The M images.
            first: Indices into stimuli, (N,).
            second: Indices into stimuli, (N,).
            p_same: Share of people who said "same", (N,) in [0, 1].
            num_votes: Number of votes, (N,), at least 1.
        """
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

    @property
    def p_same(self) -> np.ndarray:
        """Return the share of people who said "same", float32 (N,) in [0, 1]."""
        return self.closeness

    @property
    def base_rate(self) -> float:
        """Return the share of "same" answers, which is the score of a constant distance."""
        return float(self.p_same.mean())

    def triplets(self, draw: TripletDraw, rule: VoteRule = "gap") -> Triplets:
        """Sample triplets as `RatedPairs` does.

        Raises:
            DataError: If no image is the first of two pairs, or no two shares differ enough.
        """
        _, counts = np.unique(self.first, return_counts=True)
        if counts.max(initial=0) < 2:
            raise DataError(
                f"{draw.source}: no image is the first of two or more pairs, so there are no "
                "triplets. Score same-or-different answers with the evaluator 'jnd'"
            )
        return super().triplets(draw, rule)


@runtime_checkable
class HasSamePairs(Protocol):
    """Judgments that include same-or-different answers."""

    def load_same_pairs(self, split: Split) -> SamePairs:
        """Return the pairs of a split; DataError if a file is invalid or the split is empty."""
