"""Rows that ask the same question: draw which candidate comes first, and add their votes up."""

from __future__ import annotations

# N rows, Q questions
from dataclasses import replace

import numpy as np

from perceptinit.judgments.forms.triplet_names import NamedTriplets
from perceptinit.seeding import derive_seed


def draw_sides(named: NamedTriplets, seed: int) -> NamedTriplets:
    """Return the same judgments with candidates swapped by chance, alike for rows of one question.

    A draw depends on the seed and the three names only, not on the rows around it.
    """
    rows = zip(named.anchor, named.first, named.second, strict=True)
    first = [_drawn_first(seed, anchor, *sorted((a, b))) for anchor, a, b in rows]
    is_swapped = np.array([new != old for new, old in zip(first, named.first, strict=True)])
    candidates = zip(named.first, named.second, is_swapped, strict=True)
    second = [a if swapped else b for a, b, swapped in candidates]
    p_second = np.where(is_swapped, 1 - named.p_second, named.p_second)
    return replace(named, first=first, second=second, p_second=p_second)


def _drawn_first(seed: int, anchor: str, low: str, high: str) -> str:
    return high if derive_seed(seed, "judgments", "table", "sides", anchor, low, high) % 2 else low


def add_up(named: NamedTriplets, splits: np.ndarray) -> tuple[NamedTriplets, np.ndarray]:
    """Return one judgment per question, in order of first appearance, and its split (Q,).

    A question is an anchor with two candidates in either order, in one group and split. Its sides
    are those of its first row.
    """
    place: dict[tuple[str, ...], int] = {}
    question = np.empty(len(named), dtype=np.int64)
    keys = zip(named.anchor, named.first, named.second, named.group, splits.tolist(), strict=True)
    for row, (anchor, a, b, group, split) in enumerate(keys):
        question[row] = place.setdefault((anchor, *sorted((a, b)), group, split), len(place))
    _, first_rows = np.unique(question, return_index=True)
    sides = [named.first[row] for row in first_rows]
    is_turned = np.array([named.first[row] != sides[q] for row, q in enumerate(question)])
    p_second = np.where(is_turned, 1 - named.p_second, named.p_second)
    num_votes = np.bincount(question, named.num_votes)
    # clipped, since shares that are added up may exceed 1 by rounding
    share = np.clip(np.bincount(question, p_second * named.num_votes) / num_votes, 0, 1)
    kept = replace(named.select(first_rows), p_second=share, num_votes=num_votes.astype(np.int64))
    return kept, splits[first_rows]
