"""Judgments of named images: randomization of sides, aggregation of votes."""

from __future__ import annotations

# N judgments, M images, Q questions
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from perceptinit.judgments.forms.splits import SPLITS, find_first_rows
from perceptinit.seeding import derive_seeds
from perceptinit.types import Stimuli, Triplets, Unit

MAX_NUMBER = 2**63 - 1  # of int64


@dataclass(frozen=True, slots=True, eq=False)
class NamedTriplets:
    """N judgments about M named images.

    Args:
        images: M names, sorted.
        roles: Anchor, first and second as indices into `images`, int32 or int64 (3, N).
        p_second: As in `Triplets`.
        num_votes: As in `Triplets`.
        group: Group id of each judgment, int32 or int64 (N,); all judgments of a group are in one split.
        unit: As in `Triplets`.
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
        """Return the rows selected by an index array or a mask."""
        columns = {name: getattr(self, name)[rows] for name in ("p_second", "num_votes", "group")}
        return replace(self, roles=self.roles[:, rows], **columns)

    def triplets(self, stimuli_of: Callable[[Sequence[str]], Stimuli]) -> Triplets:
        """Return validated triplets without unused images; `stimuli_of` maps image names to stimuli."""
        used = np.flatnonzero(np.bincount(self.roles.ravel(), minlength=len(self.images)))
        stimuli = stimuli_of([self.images[i] for i in used])
        number = np.zeros(len(self.images), dtype=np.int64)
        number[used] = np.arange(len(used))
        anchor, first, second = number[self.roles]
        votes = self.p_second, self.num_votes, self.group
        return Triplets.build(stimuli, anchor, first, second, *votes, self.unit)


def draw_sides(named: NamedTriplets, seed: int) -> NamedTriplets:
    """Return the judgments with candidates swapped at random, consistently within each question.

    A swap depends only on the seed and the three names, not on other rows.
    """
    anchor, first, second = named.roles
    low, high, codes = number_questions(named.roles, len(named.images))
    questions, question = np.unique(codes, return_inverse=True)
    rows = np.empty(len(questions), dtype=np.int64)
    rows[question] = np.arange(len(named))
    asked = np.stack([anchor, low, high])[:, rows].astype(np.int64)
    drawn = _draw(seed, named.images, asked.tobytes())
    is_swapped = np.where(drawn[question] % 2, high, low) != first
    roles = np.stack([anchor, np.where(is_swapped, second, first), np.where(is_swapped, first, second)])
    p_second = np.where(is_swapped, 1 - named.p_second, named.p_second)
    return replace(named, roles=roles, p_second=p_second)


@lru_cache(maxsize=4)
def _draw(seed: int, names: tuple[str, ...], questions: bytes) -> np.ndarray:
    """Return the seed of each question, int64 (Q,); `questions` are the bytes of int64 (3, Q)."""
    asked = np.frombuffer(questions, dtype=np.int64).reshape(3, -1).tolist()
    keys = ((names[a], names[b], names[c]) for a, b, c in zip(*asked, strict=True))
    return np.array(derive_seeds(seed, "judgments", "table", "sides", keys=keys), dtype=np.int64)


def add_up(named: NamedTriplets, splits: np.ndarray) -> tuple[NamedTriplets, np.ndarray]:
    """Add up the votes of each question; return one judgment per question, and its split, (Q,).

    A question is an anchor with two candidates in either order, in one group and split. Questions are in the
    order of first appearance, candidates in the order of the first row. splits: see `RowSplits`.
    """
    first_row = find_first_rows(_number_parts(named, splits))
    is_first = first_row == np.arange(len(first_row))
    question = (np.cumsum(is_first, dtype=np.int32) - 1)[first_row]
    first = named.roles[1]
    p_second = np.where(first != first[first_row], 1 - named.p_second, named.p_second)
    num_votes = np.bincount(question, named.num_votes)
    # clipped, because rounding may lift a share above 1
    share = np.clip(np.bincount(question, p_second * named.num_votes) / num_votes, 0, 1)
    kept = replace(named.select(is_first), p_second=share, num_votes=num_votes.astype(np.int64))
    return kept, splits[is_first]


def _number_parts(named: NamedTriplets, splits: np.ndarray) -> np.ndarray:
    """Return a number for each question of a group and split, int64 (N,)."""
    *_, codes = number_questions(named.roles, len(named.images))
    num_parts = (int(named.group.max()) + 1) * (len(SPLITS) + 1)
    if len(named.images) ** 3 * num_parts > MAX_NUMBER:
        codes = find_first_rows(codes)
    return (codes * (int(named.group.max()) + 1) + named.group) * (len(SPLITS) + 1) + splits


def sort_distinct(values: np.ndarray) -> np.ndarray:
    """Return the distinct values, sorted, as np.unique, whose hash table is slow for millions of integers."""
    ordered = np.sort(values, axis=None)
    is_new = np.ones(len(ordered), dtype=bool)
    is_new[1:] = ordered[1:] != ordered[:-1]
    return ordered[is_new]


def number_questions(roles: np.ndarray, num_images: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the lower and the higher candidate index and the question number of each row, (N,).

    Args:
        roles: Anchor, first and second, integers (3, N) below `num_images`.
        num_images: Number of images. Question numbers fit into int64 for up to two million images.
    """
    anchor, first, second = roles
    low = np.minimum(first, second)
    high = np.maximum(first, second)
    return low, high, (anchor.astype(np.int64) * num_images + low) * num_images + high
