"""Intervals, shares of the human ceiling, and paired differences of models on judgments."""

# N items, R image roles
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from perceptinit.evaluating.agreement import JudgedSet, Subject
from perceptinit.judgments.scoring import (
    MIN_UNITS,
    binomial_stderr,
    clustered_stderr,
    jackknife_stderrs,
    t_quantile,
)
from perceptinit.results.measures import FACTS, split_name
from perceptinit.types import Items, Score

MIN_PEOPLE = 5
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
    about = {
        "set": each.title,
        "measure": split_name(first.name)[0],
        "judgments": each.rows,
        "people": each.num_people,
        "covers": POOLED if people_of(items) is None else "images and people",
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

    The variance over images is that of a jackknife over images in any role. The variances over images and
    over people both include that of single votes, so it is subtracted once from their sum. The result is
    never below any of the three. Degrees of freedom are Satterthwaite's.

    Args:
        values: Value of each item, or a difference of two values, shape (N,).
        items: Images, weights and people of the items.
        confidence: Level of the interval.
        is_share: Whether the values are shares of votes, which are never more certain than independent votes.

    Source: Cameron, Gelbach and Miller 2011, two-way clustering; Satterthwaite 1946.
    """
    weights = items.weights
    places = np.unique(items.images, return_inverse=True)[1].reshape(items.images.shape)
    degrees = min(len(np.unique(role)) for role in places.T) - 1.0
    errors = jackknife_stderrs(values[None], places.T, weights) if degrees + 1 >= MIN_UNITS else None
    if errors is None:
        return None
    by_image = float(errors[0]) ** 2
    by_vote = (clustered_stderr(values, np.arange(len(values)), weights) or 0.0) ** 2
    if is_share:
        by_vote = max(by_vote, binomial_stderr(values, weights) ** 2)
    people = people_of(items)
    if people is None:
        return t_quantile(confidence, degrees) * math.sqrt(max(by_image, by_vote))
    by_person = (clustered_stderr(values, people, weights) or 0.0) ** 2
    variance = max(by_image + by_person - by_vote, by_image, by_person, by_vote)
    others = len(np.unique(people)) - 1
    squares = by_image**2 / degrees + by_person**2 / others
    degrees = max(variance**2 / squares, min(degrees, others)) if squares else degrees
    return t_quantile(confidence, degrees) * math.sqrt(variance)


def people_of(items: Items) -> np.ndarray | None:
    """Return the person of each item, (N,); None if people are not named, or too few for an interval."""
    people = items.people
    return None if people is None or len(np.unique(people)) < MIN_PEOPLE else people
