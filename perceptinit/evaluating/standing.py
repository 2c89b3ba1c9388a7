"""Intervals, shares of the human ceiling, and paired differences of models on judgments."""

# N items, R image roles
from collections.abc import Sequence
from typing import Any

import numpy as np

from perceptinit.analysis.intervals import MIN_PEOPLE, estimate_two_way, find_item_components
from perceptinit.evaluating.agreement import JudgedSet, Subject
from perceptinit.protocols import HasPeople
from perceptinit.results.measures import FACTS, split_name
from perceptinit.types import Items, Score

CONFIDENCE = 0.95
OPEN = "not shown to differ"
POOLED = "images, for the pooled votes of these judges"
# of a model or a trivial model in a set, unrounded, with shares in [0, 1]
FIELDS = (
    *("model", "layer", "input", "set", "measure", "judgments", "people", "covers"),
    *("value", "low", "high", "missing"),
    *("share_of_ceiling", "share_of_lower_ceiling", *FACTS),
    *("reference", "difference", "difference_low", "difference_high", "outcome", "num_compared"),
)
Row = dict[str, Any]


def compare_on(each: JudgedSet, subjects: Sequence[Subject], baseline: str) -> list[Row]:
    """Return a row of `FIELDS` for each model and trivial model.

    Args:
        each: The set.
        subjects: The models and layers.
        baseline: Title of the model with which the others are compared; by default the best, with intervals
            that are simultaneous over all pairs of models.
    """
    scores = {subject.title: subject.scores[each.title] for subject in subjects}
    first = next(iter(scores.values()))
    items = items_of(first)
    reference = baseline or max(scores, key=lambda title: scores[title].value)
    num_compared = len(scores) - 1 if baseline else len(scores) * (len(scores) - 1) // 2
    judges = each.measure.judgments
    about = {
        "set": each.title,
        "measure": split_name(first.name)[0],
        "judgments": each.rows,
        "people": len(judges.people) or None if isinstance(judges, HasPeople) else None,
        "covers": "images and people" if names_people(items) else POOLED,
        **{key: getattr(first, key) for key in FACTS},
    }
    rows = []
    for subject in subjects:
        values = items_of(scores[subject.title]).values
        row = _describe(values, first, items)
        row |= {"model": subject.title, "layer": subject.layer, "input": subject.input}
        if subject.title != reference:
            differences = values - items_of(scores[reference]).values
            row |= _compare(differences, items, num_compared) | {"reference": reference}
        rows.append(row)
    trivial = [{"model": name, **_describe(own, first, items)} for name, own in items.baselines.items()]
    return [dict.fromkeys(FIELDS) | about | row for row in (*rows, *trivial)]


def items_of(score: Score) -> Items:
    """Return the items of a score or its pseudo-values, or a single item without images for an interval."""
    alone = Items(np.array([score.value]), np.zeros((1, 1), dtype=np.int64))
    return score.items or score.pseudo_items or alone


def _describe(values: np.ndarray, score: Score, items: Items) -> Row:
    """Return a score with its interval and its share of both ends of the human ceiling."""
    value = float(np.average(values, weights=items.weights))
    half = half_width(values, items, CONFIDENCE, is_share=score.items is not None)
    row: Row = {"value": value}
    if half is None:
        kind = "anchors" if items.images.shape[1] > 1 else "images"
        row["missing"] = f"too few {kind} for an interval"
    else:
        row |= {"low": value - half, "high": value + half}
    for key in ("ceiling", "lower_ceiling"):
        room = (getattr(score, key) or 0.0) - (score.chance or 0.0)
        row[f"share_of_{key}"] = (value - (score.chance or 0.0)) / room if room > 0 else None
    return row


def _compare(differences: np.ndarray, items: Items, num_compared: int) -> Row:
    """Return a difference with an interval that is simultaneous over `num_compared` differences."""
    value = float(np.average(differences, weights=items.weights))
    half = half_width(differences, items, 1 - (1 - CONFIDENCE) / num_compared)  # Bonferroni
    row: Row = {"difference": value, "outcome": OPEN, "num_compared": num_compared}
    if half is None:
        return row
    if abs(value) > half:
        row["outcome"] = "better" if value > 0 else "worse"
    return row | {"difference_low": value - half, "difference_high": value + half}


def half_width(values: np.ndarray, items: Items, confidence: float, is_share: bool = False) -> float | None:
    """Return the half-width of an interval over images and people, or None for too few images.

    Args:
        values: Value of each item, or a difference of two values, shape (N,).
        items: Images, weights and people of the items.
        confidence: Level of the interval.
        is_share: Whether the values are shares of votes, so that weights are numbers of votes.
    """
    places = np.unique(items.images, return_inverse=True)[1].reshape(items.images.shape)
    people = None if items.people is None else np.unique(items.people, return_inverse=True)[1]
    parts = find_item_components(values, places, items.weights, people, is_share)
    if parts is None:
        return None
    found = estimate_two_way(parts, confidence)
    return (found.high or 0.0) - found.mean


def names_people(items: Items) -> bool:
    """Return whether items name enough people for an interval over people."""
    return items.people is not None and len(np.unique(items.people)) >= MIN_PEOPLE
