"""Agreement of a model with people, for each anchor and each person."""

from __future__ import annotations

# N judgments
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from perceptinit.judgments.controls.wrappers import source_of
from perceptinit.judgments.scoring import agreement, clustered_stderr
from perceptinit.protocols import HasPeople, Judgments
from perceptinit.types import Split, Triplets

# most anchors or people that a record lists
MAX_ROWS = 1000

Distances = Callable[[Triplets], tuple[np.ndarray, np.ndarray]]
Breakdown = dict[str, dict[str, Any]]


def by_anchor(values: np.ndarray, triplets: Triplets, weights: np.ndarray | None) -> Breakdown:
    """Return the mean agreement and the number of judgments of each anchor by image name.

    Args:
        values: Agreement of each judgment, (N,).
        triplets: The N judgments.
        weights: Weight of each judgment, (N,); equal if None.

    Returns:
        `value` and `num_judgments` by image name; empty for more than `MAX_ROWS` anchors.
    """
    anchors, place = np.unique(triplets.anchor, return_inverse=True)
    if len(anchors) > MAX_ROWS:
        return {}
    w = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    means = np.bincount(place, w * values) / np.bincount(place, w)
    counts = np.bincount(place)
    return {
        triplets.stimuli.ids[anchor]: {"value": float(mean), "num_judgments": int(count)}
        for anchor, mean, count in zip(anchors.tolist(), means, counts, strict=True)
    }


def by_person(
    distances: Distances, people: Mapping[str, Triplets], others: Mapping[str, float | None]
) -> Breakdown:
    """Return the agreement of a model with each person by name: value, stderr, num_judgments, others.

    Args:
        distances: Returns the distances of both candidates to the anchor, (N,) each.
        people: Each person's judgments by name.
        others: The result of `predict_by_others`.
    """
    rows = {}
    for name, own in people.items():
        values = agreement(*distances(own), own.p_second)
        rows[name] = {
            "value": float(np.average(values, weights=own.num_votes)),
            "stderr": clustered_stderr(values, own.anchor, own.num_votes),
            "num_judgments": len(own),
            "others": others.get(name),
        }
    return rows


def people_of_split(judgments: Judgments, split: Split) -> Mapping[str, Triplets]:
    """Return each person's judgments of a split; empty if unknown, or for more than `MAX_ROWS` people."""
    judgments = source_of(judgments, split)
    if not isinstance(judgments, HasPeople) or len(judgments.people) > MAX_ROWS:
        return {}
    return judgments.load_people(split)


def predict_by_others(people: Mapping[str, Triplets]) -> dict[str, float | None]:
    """Return how often the majority of the others predicts each person's choices, in [0, 1].

    A tie of the others counts half. None for a person whose questions no one else answered. Biased for
    triplets that were selected by the answers of people, which include the person's own answers.
    """
    if not people:
        return {}
    owner = np.repeat(np.arange(len(people)), [len(own) for own in people.values()])
    anchor, first, second = np.concatenate([own.roles for own in people.values()], axis=1)
    num = np.concatenate([own.num_votes for own in people.values()]).astype(np.float64)
    p_second = np.concatenate([own.p_second for own in people.values()])
    low, high = np.minimum(first, second), np.maximum(first, second)
    for_high = np.where(second == high, p_second, 1 - p_second) * num
    question = np.unique([anchor, low, high], axis=1, return_inverse=True)[1].ravel()
    own = np.unique(question * len(people) + owner, return_inverse=True)[1]
    left, left_for_high = (
        np.bincount(question, votes)[question] - np.bincount(own, votes)[own] for votes in (num, for_high)
    )
    side = np.sign(2 * left_for_high - left)
    predicted = np.where(side > 0, for_high, np.where(side < 0, num - for_high, num / 2))
    totals = np.bincount(owner, num * (left > 0), len(people)).tolist()
    sums = np.bincount(owner, predicted * (left > 0), len(people)).tolist()
    return {name: s / t if t else None for name, s, t in zip(people, sums, totals, strict=True)}
