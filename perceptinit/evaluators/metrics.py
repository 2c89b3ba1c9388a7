"""Metrics of predictions and of embeddings: recall, neighbours, rank, alignment, CKA."""

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
# similarities in memory at a time, float32: 64 MB for retrieval, 32 MB for neighbours
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
    """Return the mean probability that k random items of `total` contain an item of an owner.

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

    reference, features: unit vectors (M, D), (N, D); labels: int64 (M,). A neighbour's vote has the weight
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


def effective_rank(features: np.ndarray) -> float:
    """Return the effective rank of embeddings (N, D): exp of the entropy of their singular values.

    Between 1 (all on one line) and min(N, D); not centred.
    Source: Roy and Vetterli (2007); RankMe (Garrido et al. 2023).
    """
    x = features.astype(np.float64)
    gram = x.T @ x if x.shape[0] >= x.shape[1] else x @ x.T
    singular = np.sqrt(np.clip(np.linalg.eigvalsh(gram), 0, None))
    p = singular / singular.sum()
    p = p[p > 0]
    return float(np.exp(-(p * np.log(p)).sum()))


def alignment(features: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean squared distance over pairs of unit vectors (N, D) of one class; NaN without pairs.

    Source: Wang and Isola (2020), with images of one class as positive pairs.
    """
    total, pairs = 0.0, 0.0
    for label in np.unique(labels):
        own = features[labels == label].astype(np.float64)
        count = len(own)
        # sum over pairs of |a - b|^2 = n * sum |a|^2 - |sum a|^2
        total += count * np.square(own).sum() - np.square(own.sum(axis=0)).sum()
        pairs += count * (count - 1) / 2
    return float(total / pairs) if pairs else float("nan")


def uniformity(gram: np.ndarray) -> float:
    """Return the log of the mean of exp(-2 distance^2) over pairs; lower is more uniform, 0 is collapsed.

    gram: cosines of unit vectors (N, N). Source: Wang and Isola (2020), t = 2.
    """
    above = gram[np.triu_indices(len(gram), 1)].astype(np.float64)
    return float(np.log(np.exp(-4 * (1 - above)).mean()))


def unbiased_cka(gram_x: np.ndarray, gram_y: np.ndarray) -> float:
    """Return the unbiased linear CKA of two representations of N images, NaN when one is constant.

    1 for representations that are equal up to rotation and scale, about 0 for unrelated ones of any width.
    gram_x, gram_y: inner products (N, N), N at least 4.
    Source: Kornblith et al. (2019); unbiased HSIC of Song et al. (2012), as in Nguyen et al. (2021).
    """
    cross, own_x, own_y = _hsic(gram_x, gram_y), _hsic(gram_x, gram_x), _hsic(gram_y, gram_y)
    # constant up to rounding
    if own_x <= 1e-9 * np.square(gram_x).mean() or own_y <= 1e-9 * np.square(gram_y).mean():
        return float("nan")
    return float(cross / np.sqrt(own_x * own_y))


def _hsic(gram_x: np.ndarray, gram_y: np.ndarray) -> float:
    n = len(gram_x)
    k, m = gram_x.astype(np.float64).copy(), gram_y.astype(np.float64).copy()
    np.fill_diagonal(k, 0)
    np.fill_diagonal(m, 0)
    trace = (k * m).sum()
    sums = k.sum() * m.sum() / ((n - 1) * (n - 2))
    rows = 2 * (k.sum(axis=0) @ m.sum(axis=0)) / (n - 2)
    return float((trace + sums - rows) / (n * (n - 3)))
