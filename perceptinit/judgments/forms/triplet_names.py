"""Judgments whose images go by name, and their way into `Triplets`."""

from __future__ import annotations

# N judgments
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from perceptinit.types import Stimuli, Triplets


@dataclass(frozen=True, slots=True, eq=False)
class NamedTriplets:
    """N judgments; images and groups are names, the rest is as in `Triplets`."""

    anchor: Sequence[str]
    first: Sequence[str]
    second: Sequence[str]
    p_second: np.ndarray
    num_votes: np.ndarray
    group: Sequence[str]

    def __len__(self) -> int:
        return len(self.anchor)

    def select(self, rows: np.ndarray) -> NamedTriplets:
        """Return the rows at an index array."""
        names = {
            column: [getattr(self, column)[i] for i in rows]
            for column in ("anchor", "first", "second", "group")
        }
        return replace(self, p_second=self.p_second[rows], num_votes=self.num_votes[rows], **names)

    def triplets(
        self, stimuli_of: Callable[[Sequence[str]], Stimuli], groups: Iterable[str]
    ) -> Triplets:
        """Return checked triplets over the images that occur, sorted by name.

        stimuli_of: gives the images of some names. groups: those of all splits, so that a group's number means the same in each of them.
        """
        ids = sorted({*self.anchor, *self.first, *self.second})
        anchor, first, second = (_numbers(c, ids) for c in (self.anchor, self.first, self.second))
        group = _numbers(self.group, sorted(set(groups)))
        return Triplets.build(
            stimuli_of(ids), anchor, first, second, self.p_second, self.num_votes, group
        )


def _numbers(names: Sequence[str], known: Sequence[str]) -> np.ndarray:
    number = {name: i for i, name in enumerate(known)}
    return np.array([number[name] for name in names], dtype=np.int64)
