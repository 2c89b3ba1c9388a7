"""Where a model sides with people: anchor by anchor, and person by person."""

from __future__ import annotations

# N judgments
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from perceptinit.judgments.controls.wrappers import source_of
from perceptinit.judgments.scoring import agreement, clustered_stderr
from perceptinit.protocols import HasPeople, Judgments
from perceptinit.types import Split, Triplets

# anchors or people that a record lists; more are no list that anybody reads
MAX_ROWS = 1000

Distances = Callable[[Triplets], tuple[np.ndarray, np.ndarray]]


def by_anchor(
    values: np.ndarray, triplets: Triplets, weights: np.ndarray | None
) -> dict[str, dict[str, Any]]:
    """Return the mean of `values` of each anchor's judgments: image name -> value, num_judgments.

    values: agreement of each judgment, (N,). weights: (N,), or None for equal ones. Empty for more
    than `MAX_ROWS` anchors.
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
) -> dict[str, dict[str, Any]]:
    """Return how often a model makes each person's choices: name -> value, stderr, num_judgments, others.

    distances: gives the distances of both candidates to the anchor, (N,) each. others: see
    `predict_by_others`; None where it is unknown.
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
    """Return each person's judgments of a split; empty where they are not known, or more than `MAX_ROWS`.

    Those inside wrappers are asked, which change `train` only.
    """
    judgments = source_of(judgments, split)
    if not isinstance(judgments, HasPeople) or len(judgments.people) > MAX_ROWS:
        return {}
    return judgments.load_people(split)


def predict_by_others(people: Mapping[str, Triplets]) -> dict[str, float | None]:
    """Return how often the majority of the others makes each person's choices, in [0, 1].

    A tie of the others counts half. None for a person whose questions nobody else answered. Not for
    triplets that were chosen by what people answered: the person's own answers helped to choose.
    """
    asked = []  # anchor, lower and higher candidate (N, 3); votes for the higher one (N,); all votes (N,)
    for own in people.values():
        low, high = np.minimum(own.first, own.second), np.maximum(own.first, own.second)
        num = own.num_votes.astype(np.float64)
        share = np.where(own.second == high, own.p_second, 1 - own.p_second)
        asked.append((np.stack([own.anchor, low, high], axis=1), share * num, num))
    if not asked:
        return {}
    _, place = np.unique(np.concatenate([q for q, _, _ in asked]), axis=0, return_inverse=True)
    places = np.split(place.ravel(), np.cumsum([len(q) for q, _, _ in asked])[:-1])
    for_higher, total = np.zeros(place.max() + 1), np.zeros(place.max() + 1)
    for where, (_, votes, num) in zip(places, asked, strict=True):
        np.add.at(for_higher, where, votes)
        np.add.at(total, where, num)
    found: dict[str, float | None] = {}
    for name, where, (_, votes, num) in zip(people, places, asked, strict=True):
        own_high, own_total = (np.bincount(where, v, len(total)) for v in (votes, num))
        left = (total - own_total)[where]
        side = np.sign(2 * (for_higher - own_high)[where] - left)
        share = np.where(side > 0, votes, np.where(side < 0, num - votes, num / 2))
        known = left > 0
        found[name] = float(share[known].sum() / num[known].sum()) if known.any() else None
    return found
