"""Metrics of predictions and of embeddings: recall, neighbors, jackknives."""

from __future__ import annotations

# N examples or images, M reference images, C classes, D embedding, G groups
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from perceptinit.seeding import generator
from perceptinit.types import Items, Score

# groups of the delete-a-group jackknife; the relative error of its result is about 1 / sqrt(2 G)
NUM_GROUPS = 20
# similarities in memory at a time, float32: 64 MB for retrieval, 32 MB for neighbors
RECALL_ELEMENTS = 16 << 20
NEIGHBOUR_ELEMENTS = 8 << 20


def share_score(name: str, correct: np.ndarray, chance: float, extra: Mapping[str, Any]) -> Score:
    """Return the share of correct examples, from a bool array (N,), with its binomial standard error."""
    share, num = float(correct.mean()), len(correct)
    stderr = float(np.sqrt(share * (1 - share) / num))
    items = Items(correct, np.arange(num)[:, None])
    return Score(
        name=name, value=share, num_examples=num, stderr=stderr, chance=chance, extra=extra, items=items
    )


def mean_per_class_recall(
    labels: np.ndarray, correct: np.ndarray, num_classes: int
) -> tuple[float, float, np.ndarray]:
    """Return the mean over classes of the recall, its standard error, and the recall of each class (C,).

    labels: int64 (N,) in [0, C); correct: bool (N,). Classes without examples are excluded from the mean and
    NaN in the third value, as in scikit-learn's balanced_accuracy_score.
    """
    counts = np.bincount(labels, minlength=num_classes)
    hits = np.bincount(labels, weights=correct, minlength=num_classes)
    there = counts > 0
    by_class = np.divide(hits, counts, out=np.full(num_classes, np.nan), where=there)
    recall = by_class[there]
    variance = (recall * (1 - recall) / counts[there]).sum() / len(recall) ** 2
    return float(recall.mean()), float(np.sqrt(variance)), by_class


def average_precision(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the average precision of each class, (C,): the mean precision at its positives.

    scores: (N, C); targets: bool (N, C). A class without positives has 0, as in clip-benchmark; ties keep the
    order of the set.
    """
    ranks = np.arange(1, len(scores) + 1)[:, None]
    order = np.argsort(-scores, axis=0, kind="stable")
    truth = np.take_along_axis(targets, order, axis=0)
    precision = np.cumsum(truth, axis=0) / ranks
    return (precision * truth).sum(axis=0) / np.maximum(truth.sum(axis=0), 1)


def chance_of_any(num_own: np.ndarray, total: int, k: int) -> float:
    """Return the probability that k random items of `total` include an owner's, averaged over owners.

    num_own: int (N,), number of items of each owner, such as captions of an image.
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
    """Return the standard error of a statistic of `num` examples, None for fewer than two examples.

    statistic: maps a boolean mask (N,) of examples to a value. Each of G random groups is left out once. A
    bootstrap repeats examples, and the distance of an image to itself distorts statistics of pairs (RSA, CKA,
    uniformity).
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


def measure_images(
    statistic: Callable[[np.ndarray], float], num: int, name: str
) -> tuple[float, float | None]:
    """Return a statistic of all images of a set and its jackknife error; `name` fixes the groups."""
    stderr = jackknife(statistic, num, generator(0, "evaluators", "jackknife", name))
    return statistic(np.ones(num, dtype=bool)), stderr


def hits_at_k(
    queries: torch.Tensor,
    gallery: torch.Tensor,
    query_owners: np.ndarray,
    gallery_owners: np.ndarray,
    ks: Sequence[int],
) -> np.ndarray:
    """Return whether any own item of a query is among its k nearest, bool (queries, len(ks)).

    queries, gallery: unit vectors (., D). *_owners: int64, image of each vector. As in papers on CLIP, any
    caption of an image counts as a hit. All items are found for a k above the size of the gallery.
    """
    largest = min(max(ks), len(gallery))
    owners = torch.from_numpy(gallery_owners).to(gallery.device)
    own = torch.from_numpy(query_owners).to(gallery.device)
    chunk = max(1, RECALL_ELEMENTS // len(gallery))
    found = []
    for rows in torch.arange(len(queries), device=queries.device).split(chunk):
        nearest = (queries[rows] @ gallery.T).topk(largest, dim=1).indices
        found.append((owners[nearest] == own[rows, None]).cpu())
    is_own = torch.cat(found).numpy()
    return np.stack([is_own[:, :k].any(axis=1) for k in ks], axis=1)


def knn_predictions(
    reference: np.ndarray,
    labels: np.ndarray,
    features: np.ndarray,
    k: int,
    temperature: float,
    num_classes: int,
) -> np.ndarray:
    """Return the class of each image by its k nearest reference images, int64 (N,).

    reference, features: unit vectors (M, D), (N, D); labels: int64 (M,). A neighbor's vote has the weight
    exp(cosine / temperature); ties go to the first class.
    Source: Wu et al. (2018), weighted kNN, with temperature 0.07.
    """
    predictions = []
    chunk = max(1, NEIGHBOUR_ELEMENTS // len(reference))
    for start in range(0, len(features), chunk):
        similarity = torch.from_numpy(features[start : start + chunk] @ reference.T)
        best, nearest = (a.numpy() for a in similarity.topk(k, dim=1))
        # relative to the nearest, so that small temperatures do not overflow
        weight = np.exp((best - best[:, :1]) / temperature)
        votes = np.zeros((len(nearest), num_classes))
        np.add.at(votes, (np.arange(len(nearest))[:, None], labels[nearest]), weight)
        predictions.append(votes.argmax(axis=1))
    return np.concatenate(predictions)
