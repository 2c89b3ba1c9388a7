"""Judgments whose images go by name: draw which candidate comes first, add up the votes of one question."""

from __future__ import annotations

# N judgments, M images, Q questions
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from perceptinit.seeding import derive_seeds
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
        stimuli = stimuli_of([self.images[i] for i in used])
        anchor, first, second = index.reshape(self.roles.shape)
        votes = self.p_second, self.num_votes, self.group
        return Triplets.build(stimuli, anchor, first, second, *votes, self.unit)


def draw_sides(named: NamedTriplets, seed: int) -> NamedTriplets:
    """Return the same judgments with candidates swapped by chance, alike for rows of one question.

    A draw depends on the seed and the three names only, not on the rows around it.
    """
    anchor, first, second = named.roles
    low, high, codes = _number_questions(named)
    questions, question = np.unique(codes, return_inverse=True)
    rows = np.empty(len(questions), dtype=np.int64)
    rows[question] = np.arange(len(named))
    drawn = _draws(seed, named.images, np.stack([anchor, low, high])[:, rows].tobytes())
    is_swapped = np.where(drawn[question] % 2, high, low) != first
    roles = np.stack([anchor, np.where(is_swapped, second, first), np.where(is_swapped, first, second)])
    p_second = np.where(is_swapped, 1 - named.p_second, named.p_second)
    return replace(named, roles=roles, p_second=p_second)


@lru_cache(maxsize=4)
def _draws(seed: int, names: tuple[str, ...], questions: bytes) -> np.ndarray:
    """Return the seed of each question, int64 (Q,); kept, since a recipe mentions a table several times.

    questions: int64 (3, Q), anchor and candidates among `names`.
    """
    asked = np.frombuffer(questions, dtype=np.int64).reshape(3, -1).tolist()
    keys = ((names[a], names[b], names[c]) for a, b, c in zip(*asked, strict=True))
    return np.array(derive_seeds(seed, "judgments", "table", "sides", keys=keys), dtype=np.int64)


def add_up(named: NamedTriplets, splits: np.ndarray) -> tuple[NamedTriplets, np.ndarray]:
    """Return one judgment per question, in order of first appearance, and its split (Q,).

    A question is an anchor with two candidates in either order, in one group and split. Its sides
    are those of its first row.
    """
    _, first, _ = named.roles
    _, split = np.unique(splits, return_inverse=True)
    _, _, codes = _number_questions(named)
    question, first_rows = first_appearances(codes, named.group, split)
    is_turned = first != first[first_rows][question]
    p_second = np.where(is_turned, 1 - named.p_second, named.p_second)
    num_votes = np.bincount(question, named.num_votes)
    # clipped, since shares that are added up may exceed 1 by rounding
    share = np.clip(np.bincount(question, p_second * named.num_votes) / num_votes, 0, 1)
    kept = replace(named.select(first_rows), p_second=share, num_votes=num_votes.astype(np.int64))
    return kept, splits[first_rows]


def first_appearances(*keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which distinct row of `keys` each row is, in order of appearance, and where each is first.

    keys: columns of whole numbers from 0 on, (N,) each. Returns int64 (N,) and (Q,).
    """
    code = keys[0]
    for key in keys[1:]:
        if int(code.max()) * (int(key.max()) + 1) >= 2**62:
            code = np.unique(code, return_inverse=True)[1]
        code = code * (key.max() + 1) + key
    _, first, place = np.unique(code, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[place], np.sort(first)


def _number_questions(named: NamedTriplets) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the lower candidate, the higher one, and one number for each question, int64 (N,) each.

    Numbers are below 2^63 for up to two million images. Names are sorted, so is the order of candidates.
    """
    anchor, first, second = named.roles
    low, high = np.minimum(first, second), np.maximum(first, second)
    count = len(named.images)
    return low, high, (anchor * count + low) * count + high
