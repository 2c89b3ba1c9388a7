"""Metrics of predictions and embeddings: recall, nearest neighbors, jackknife."""

# N examples or images, M reference images, C classes, D embedding, G groups
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from perceptinit.seeding import generator
from perceptinit.types import Items, Score

# groups of the jackknife, whose relative error is about 1 / sqrt(2 G)
NUM_GROUPS = 20
# similarities in memory at a time, float32: 64 MB for retrieval, 32 MB for neighbors
RECALL_ELEMENTS = 16 << 20
NEIGHBOUR_ELEMENTS = 8 << 20


def share_score(name: str, correct: np.ndarray, chance: float, extra: Mapping[str, Any]) -> Score:
    """Return the mean of `correct`, bool (N,), as a score with its binomial standard error."""
    share = float(correct.mean())
    num = len(correct)
    stderr = float(np.sqrt(share * (1 - share) / num))
    items = Items(correct, np.arange(num)[:, None])
    return Score(
        name=name, value=share, num_examples=num, stderr=stderr, chance=chance, extra=extra, items=items
    )


def mean_per_class_recall(
    labels: np.ndarray, correct: np.ndarray, num_classes: int
) -> tuple[float, float, np.ndarray]:
    """Return the mean recall over classes, its standard error, and the recall of each class (C,).

    Classes without examples are excluded from the mean, as in scikit-learn's balanced_accuracy_score, and
    their recall is NaN.

    Args:
        labels: Class of each example, int64 (N,), in [0, C).
        correct: Whether each prediction is correct, bool (N,).
        num_classes: Number of classes C.
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

    A class without positives scores 0, as in clip-benchmark. Ties keep the order of the set.

    Args:
        scores: Score of each example and class, (N, C).
        targets: Positives, bool (N, C).
    """
    ranks = np.arange(1, len(scores) + 1)[:, None]
    order = np.argsort(-scores, axis=0, kind="stable")
    truth = np.take_along_axis(targets, order, axis=0)
    precision = np.cumsum(truth, axis=0) / ranks
    return (precision * truth).sum(axis=0) / np.maximum(truth.sum(axis=0), 1)


def chance_of_any(num_own: np.ndarray, total: int, k: int) -> float:
    """Return the probability that k random items include one of an owner's items, averaged over owners.

    Args:
        num_own: Number of items of each owner, such as captions of an image, int (N,).
        total: Number of items.
        k: Number of random items.
    """
    miss = np.ones(len(num_own))
    for i in range(k):
        miss *= np.clip(total - num_own - i, 0, None) / (total - i)
    return float(1 - miss.mean())


def leave_out_groups(statistic: Callable[[np.ndarray], Any], group: np.ndarray) -> np.ndarray:
    """Return a statistic without each group of examples in turn, (G, ...).

    A bootstrap would repeat images, which distorts statistics of pairs (RSA, CKA, uniformity).

    Args:
        statistic: Maps a mask of examples, bool (N,), to a value or an array.
        group: Group of each example, (N,), from 0 without gaps.

    Source: Shao and Wu 1989, delete-a-group jackknife.
    """
    return np.array([statistic(group != g) for g in range(group.max(initial=-1) + 1)])


def jackknife(values: np.ndarray) -> float | None:
    """Return the standard error from `leave_out_groups`; None for one group or a non-finite value."""
    groups = len(values)
    if groups < 2 or not np.isfinite(values).all():
        return None
    return float(np.sqrt((groups - 1) / groups * np.square(values - values.mean()).sum()))


def measure_images(
    statistic: Callable[[np.ndarray], float], num: int, name: str
) -> tuple[float, float | None]:
    """Return a statistic of all images of a set, and its jackknife error with groups seeded by `name`."""
    rng = generator(0, "evaluators", "jackknife", name)
    group = rng.permutation(num) % min(NUM_GROUPS, num)
    stderr = jackknife(leave_out_groups(statistic, group)) if num > 1 else None
    return statistic(np.ones(num, dtype=bool)), stderr


def hits_at_k(
    queries: torch.Tensor,
    gallery: torch.Tensor,
    query_owners: np.ndarray,
    gallery_owners: np.ndarray,
    ks: Sequence[int],
) -> np.ndarray:
    """Return whether one of the k nearest items belongs to the query's image, bool (queries, len(ks)).

    As in papers on CLIP, any caption of an image counts as a hit.

    Args:
        queries: Unit vectors, (queries, D).
        gallery: Unit vectors of the items, (items, D).
        query_owners: Image of each query, int64 (queries,).
        gallery_owners: Image of each item, int64 (items,).
        ks: Values of k.
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
    """Return the class that the k nearest reference images predict for each image, int64 (N,).

    The vote of a neighbor has the weight exp(cosine / temperature). Ties go to the first class.

    Args:
        reference: Unit vectors of the reference images, (M, D).
        labels: Classes of the reference images, int64 (M,).
        features: Unit vectors of the images, (N, D).
        k: Number of neighbors.
        temperature: Divisor of the cosines.
        num_classes: Number of classes.

    Source: Wu et al. 2018, weighted kNN, with temperature 0.07.
    """
    predictions = []
    chunk = max(1, NEIGHBOUR_ELEMENTS // len(reference))
    for start in range(0, len(features), chunk):
        similarity = torch.from_numpy(features[start : start + chunk] @ reference.T)
        top = similarity.topk(k, dim=1)
        best = top.values.numpy()
        nearest = top.indices.numpy()
        # relative to the nearest neighbor, so that small temperatures do not overflow
        weight = np.exp((best - best[:, :1]) / temperature)
        votes = np.zeros((len(nearest), num_classes))
        np.add.at(votes, (np.arange(len(nearest))[:, None], labels[nearest]), weight)
        predictions.append(votes.argmax(axis=1))
    return np.concatenate(predictions)
