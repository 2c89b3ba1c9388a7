"""The arithmetic of the scores: values, standard errors and chance levels, on predictions that are there."""

from __future__ import annotations

# N examples, C classes, K nearest, G groups
from collections.abc import Callable

import numpy as np

# groups of the delete-a-group jackknife; the error of the error is about 1 / sqrt(2 G)
NUM_GROUPS = 20


def binomial_stderr(share: float, num: int) -> float:
    """Return the standard error of a share of `num` independent examples."""
    return float(np.sqrt(share * (1 - share) / num))


def mean_per_class_recall(
    labels: np.ndarray, correct: np.ndarray, num_classes: int
) -> tuple[float, float, np.ndarray]:
    """Return the mean over classes of the share that is right, its standard error, and each share.

    labels: int64 (N,) in [0, C); correct: bool (N,). Classes without examples are left out of the
    mean (and NaN in the third value), as in scikit-learn's balanced_accuracy_score.
    """
    counts = np.bincount(labels, minlength=num_classes)
    hits = np.bincount(labels, weights=correct, minlength=num_classes)
    there = counts > 0
    by_class = np.divide(hits, counts, out=np.full(num_classes, np.nan), where=there)
    recall = by_class[there]
    variance = (recall * (1 - recall) / counts[there]).sum() / len(recall) ** 2
    return float(recall.mean()), float(np.sqrt(variance)), by_class


def average_precision(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the average precision of each class, (C,): the mean precision at each of its positives.

    scores: (N, C); targets: bool (N, C). A class without positives has 0, as in clip-benchmark; equal
    scores keep the order of the set.
    """
    ranks = np.arange(1, len(scores) + 1)[:, None]
    order = np.argsort(-scores, axis=0, kind="stable")
    truth = np.take_along_axis(targets, order, axis=0)
    precision = np.cumsum(truth, axis=0) / ranks
    return (precision * truth).sum(axis=0) / np.maximum(truth.sum(axis=0), 1)


def chance_of_any(num_own: np.ndarray, total: int, k: int) -> float:
    """Return the mean probability that k of `total` items, drawn at random, hold one of an owner's.

    num_own: int (N,), how many items each owner has: captions of an image.
    """
    miss = np.ones(len(num_own))
    for i in range(k):
        miss *= np.clip(total - num_own - i, 0, None) / (total - i)
    return float(1 - miss.mean())


def jackknife(
    statistic: Callable[[np.ndarray], float],
    num: int,
    rng: np.random.Generator,
    num_groups: int = NUM_GROUPS,
) -> float | None:
    """Return the standard error of a statistic of `num` examples that is no mean.

    statistic: maps a boolean mask (N,) of the examples to use to its value. Each of G random groups
    is left out once. Not a bootstrap: that draws examples twice, and the distance of an image to
    itself distorts statistics of pairs (RSA, CKA, uniformity).

    Returns None for fewer than two examples.
    Source: Shao and Wu (1989), delete-a-group jackknife.
    """
    groups = min(num_groups, num)
    if groups < 2:
        return None
    group = rng.permutation(num) % groups
    values = np.array([statistic(group != g) for g in range(groups)])
    if not np.isfinite(values).all():
        return None
    return float(np.sqrt((groups - 1) / groups * np.square(values - values.mean()).sum()))
