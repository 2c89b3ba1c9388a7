"""Judgments whose images go by name, and their way into `Triplets`."""

from __future__ import annotations

# N judgments, M images, K distinct groups
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from perceptinit.types import Stimuli, Triplets, Unit


@dataclass(frozen=True, slots=True, eq=False)
class NamedTriplets:
    """N judgments about M names.

    images: M names, sorted. roles: int64 (3, N), anchor, first and second among them.
    p_second, num_votes: as in `Triplets`. group: int64 (N,), what must not cross splits; a number means
    the same in all splits. unit: see `Triplets`.
    """

    images: tuple[str, ...]
    roles: np.ndarray
    p_second: np.ndarray
    num_votes: np.ndarray
    group: np.ndarray
    unit: Unit = "anchor"

    def __len__(self) -> int:
        return len(self.group)

    def select(self, rows: np.ndarray) -> NamedTriplets:
        """Return the rows at an index array or in a mask."""
        columns = {name: getattr(self, name)[rows] for name in ("p_second", "num_votes", "group")}
        return replace(self, roles=self.roles[:, rows], **columns)

    def triplets(self, stimuli_of: Callable[[Sequence[str]], Stimuli]) -> Triplets:
        """Return checked triplets over the images that occur; `stimuli_of` gives them by name."""
        used, index = np.unique(self.roles, return_inverse=True)
        anchor, first, second = index.reshape(self.roles.shape)
        return Triplets.build(
            stimuli_of([self.images[i] for i in used]),
            anchor,
            first,
            second,
            self.p_second,
            self.num_votes,
            self.group,
            self.unit,
        )
