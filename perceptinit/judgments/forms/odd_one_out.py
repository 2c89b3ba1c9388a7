"""Odd-one-out judgments: which of three images is the odd one? No image is the anchor.

`OddOneOut` keeps such a judgment whole, for the three-way softmax and the `odd-one-out` evaluator.
`OddOneOut.triplets` turns it into anchored triplets, for everything else.
"""

from __future__ import annotations

# N judgments, three images each; columns of pairs: 0-1, 0-2, 1-2
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from perceptinit.errors import DataError, UsageError
from perceptinit.types import Split, Stimuli, Triplets, Unit

CHANCE = 1 / 3
# the odd image of each pair of columns: if 0 and 1 belong together, 2 is odd
PAIRS = ((0, 1), (0, 2), (1, 2))
ODD_OF_PAIR = (2, 1, 0)


@dataclass(frozen=True, slots=True, eq=False)
class OddOneOut:
    """Judgments of three images each; the order of the three has no meaning.

    stimuli: the M images.
    images: int64 (N, 3), indices into stimuli.
    votes: int32 (N, 3), how many people found each of the three to be the odd one; a row has votes.
    group: int64 (N,), what must not cross splits, such as the set of three images.
    unit: what was held out as a whole, as in `Triplets`.
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
        """Return checked judgments in the canonical dtypes; the group is the set of three unless given."""
        table = np.asarray(images, dtype=np.int64).reshape(-1, 3)
        group = triple_codes(table, len(stimuli)) if group is None else group
        counts = np.asarray(votes, dtype=np.int32).reshape(-1, 3)
        group = np.asarray(group, dtype=np.int64)
        if not len(table) == len(counts) == len(group):
            raise DataError(
                f"odd-one-out columns differ in length: {len(table)} images, {len(counts)} votes, "
                f"{len(group)} groups"
            )
        is_stimulus = (table >= 0) & (table < len(stimuli))
        is_repeated = np.diff(np.sort(table, axis=1), axis=1) == 0
        for bad, what in (
            (~is_stimulus.all(axis=1), "an image is no stimulus"),
            (is_repeated.any(axis=1), "the same image stands twice in one judgment"),
            ((counts < 0).any(axis=1), "negative votes"),
            (counts.sum(axis=1) == 0, "no votes"),
        ):
            if bad.any():
                row, total = int(np.argmax(bad)), int(bad.sum())
                raise DataError(f"odd-one-out judgment {row}: {what} ({total} such rows)")
        return cls(stimuli, table, counts, group, unit)

    def __len__(self) -> int:
        return len(self.images)

    def select(self, mask: np.ndarray) -> OddOneOut:
        """Return the rows of a boolean mask or an index array, over the same stimuli."""
        return replace(self, images=self.images[mask], votes=self.votes[mask], group=self.group[mask])

    def triplets(self, rng: np.random.Generator) -> Triplets:
        """Return anchored triplets: two for a judgment with one answer, up to three with more votes.

        With `a` as the anchor, who found `c` odd put `b` closer, who found `b` odd put `c` closer, and
        who found `a` odd said nothing. Sides are drawn with `rng`, so that a file that lists the odd
        one last gives nothing away. The group is kept.
        """
        parts = [self._anchored(anchor, rng) for anchor in range(3)]
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        order = np.argsort(columns[-1], kind="stable")
        anchor, first, second, p_second, num_votes, row = (column[order] for column in columns)
        return Triplets.build(
            self.stimuli, anchor, first, second, p_second, num_votes, self.group[row], self.unit
        )

    def _anchored(self, anchor: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Return anchor, first, second, p_second, num_votes and row of the judgments that say something."""
        b, c = (column for column in range(3) if column != anchor)
        rows = np.flatnonzero(self.votes[:, b] + self.votes[:, c] > 0)
        is_swapped = rng.random(len(rows)) < 0.5
        first, second = np.where(is_swapped, c, b), np.where(is_swapped, b, c)
        for_second = self.votes[rows, first]  # found `first` odd
        num_votes = for_second + self.votes[rows, second]
        names = self.images[rows, anchor], self.images[rows, first], self.images[rows, second]
        return *names, for_second / num_votes, num_votes, rows


@runtime_checkable
class HasOddOneOut(Protocol):
    """Judgments that were made without an anchor, and can be had that way."""

    def load_odd_one_out(self, split: Split) -> OddOneOut:
        """Return the odd-one-out judgments of a split; DataError when a file is wrong."""
        ...


def load_odd_one_out(judgments: Any, split: Split) -> OddOneOut:
    """Return odd-one-out judgments of a `judgments` component.

    Raises UsageError when the component has anchored judgments only.
    """
    if not isinstance(judgments, HasOddOneOut):
        raise UsageError(
            f"judgments '{judgments.name}' are anchored (one image is the reference): they have no "
            "odd-one-out form. Use a data set of odd-one-out choices, such as 'things' or 'odd-one-out'"
        )
    return judgments.load_odd_one_out(split)


def triple_codes(images: np.ndarray, num_stimuli: int) -> np.ndarray:
    """Return one int64 code per set of three images, shape (N,), whatever their order."""
    low, middle, high = np.sort(images, axis=1).T
    return (low * num_stimuli + middle) * num_stimuli + high


def odd_one_out_agreement(similarities: np.ndarray, votes: np.ndarray) -> np.ndarray:
    """Return the share of each judgment's votes that agree with the model, shape (N,).

    similarities: (N, 3), of the pairs 0-1, 0-2 and 1-2; the model's odd one is outside the most
    similar pair. votes: (N, 3), how many people found each image odd.
    Pairs that tie share the judgment, so constant embeddings score 1/3 instead of 1.

    Raises ValueError when a similarity is not finite.
    Source: the odd-one-out task of THINGS (Hebart et al. 2020); ties are ours.
    """
    s = np.asarray(similarities, dtype=np.float64)
    if not np.isfinite(s).all():
        raise ValueError("a similarity is not finite")
    is_best = s == s.max(axis=1, keepdims=True)
    share = is_best / is_best.sum(axis=1, keepdims=True)
    votes_of_pair = np.asarray(votes, dtype=np.float64)[:, ODD_OF_PAIR]
    return (share * votes_of_pair).sum(axis=1) / votes_of_pair.sum(axis=1)
