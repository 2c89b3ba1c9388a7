"""The arithmetic of scores on predictions, and on embeddings: neighbours, rank, alignment, CKA."""

from __future__ import annotations

# N examples or images, M reference images, C classes, D embedding, G groups
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from perceptinit.seeding import generator
from perceptinit.types import Score

# groups of the delete-a-group jackknife; the error of the error is about 1 / sqrt(2 G)
NUM_GROUPS = 20
# similarities that exist at a time, float32: 64 MB for retrieval, 32 MB for neighbours
RECALL_ELEMENTS = 16 << 20
NEIGHBOUR_ELEMENTS = 8 << 20


def binomial_stderr(share: float, num: int) -> float:
    """Return the standard error of a share of `num` independent examples."""
    return float(np.sqrt(share * (1 - share) / num))


def share_score(name: str, correct: np.ndarray, chance: float, extra: Mapping[str, Any]) -> Score:
    """Return the share of examples that are correct, bool (N,), with its binomial error."""
    share, num = float(correct.mean()), len(correct)
    stderr = binomial_stderr(share, num)
    return Score(name=name, value=share, num_examples=num, stderr=stderr, chance=chance, extra=extra)


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


def measure_images(
    statistic: Callable[[np.ndarray], float], num: int, name: str
) -> tuple[float, float | None]:
    """Return a statistic of all images of a set and its jackknife error.

    The groups that are left out depend on `name` alone, that of the set or of the score.
    """
    stderr = jackknife(statistic, num, generator(0, "evaluators", "jackknife", name))
    return statistic(np.ones(num, dtype=bool)), stderr


def hits_at_k(
    queries: torch.Tensor,
    gallery: torch.Tensor,
    query_owners: np.ndarray,
    gallery_owners: np.ndarray,
    ks: Sequence[int],
) -> np.ndarray:
    """Return whether one of a query's own items is among its k nearest, bool (queries, len(ks)).

    queries, gallery: unit vectors (., D). *_owners: int64, the image that each belongs to.
    An image with several captions counts once: 1 when any of them is found, as papers on CLIP do,
    not the share of them that is. A k above the size of the gallery finds everything.
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

    reference, features: unit vectors (M, D), (N, D); labels: int64 (M,). A neighbour's vote weighs
    exp(cosine / temperature); of classes with equal votes the first wins.
    Source: Wu et al. (2018), weighted kNN; temperature 0.07 as there.
    """
    predictions = []
    chunk = max(1, NEIGHBOUR_ELEMENTS // len(reference))
    for start in range(0, len(features), chunk):
        similarity = torch.from_numpy(features[start : start + chunk] @ reference.T)
        best, nearest = (a.numpy() for a in similarity.topk(k, dim=1))
        # relative to the nearest, so that a small temperature does not overflow
        weight = np.exp((best - best[:, :1]) / temperature)
        votes = np.zeros((len(nearest), num_classes))
        np.add.at(votes, (np.arange(len(nearest))[:, None], labels[nearest]), weight)
        predictions.append(votes.argmax(axis=1))
    return np.concatenate(predictions)


def effective_rank(features: np.ndarray) -> float:
    """Return how many directions embeddings (N, D) use: exp of the entropy of their singular values.

    Between 1, when all lie on one line, and min(N, D). Not centred.
    Source: Roy and Vetterli (2007); RankMe (Garrido et al. 2023).
    """
    x = features.astype(np.float64)
    gram = x.T @ x if x.shape[0] >= x.shape[1] else x @ x.T
    singular = np.sqrt(np.clip(np.linalg.eigvalsh(gram), 0, None))
    p = singular / singular.sum()
    p = p[p > 0]
    return float(np.exp(-(p * np.log(p)).sum()))


def alignment(features: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean squared distance of two unit vectors (N, D) of one class; lower is tighter.

    Every pair of images of a class counts once; NaN when no class has two images.
    Source: Wang and Isola (2020), with images of one class as the positive pairs.
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
    """Return log of the mean of exp(-2 distance^2) over pairs; lower is more even, 0 is collapsed.

    gram: cosines of unit vectors (N, N). Source: Wang and Isola (2020), t = 2.
    """
    above = gram[np.triu_indices(len(gram), 1)].astype(np.float64)
    return float(np.log(np.exp(-4 * (1 - above)).mean()))


def unbiased_cka(gram_x: np.ndarray, gram_y: np.ndarray) -> float:
    """Return how similar two representations of N images are, up to rotation and scale; 1 is equal.

    gram_x, gram_y: inner products (N, N), N of 4 or more. Near 0 for unrelated representations,
    whatever their width (the biased form is not). NaN when one is constant.
    Source: Kornblith et al. (2019); unbiased HSIC of Song et al. (2012), as in Nguyen et al. (2021).
    """
    cross, own_x, own_y = _hsic(gram_x, gram_y), _hsic(gram_x, gram_x), _hsic(gram_y, gram_y)
    # what rounding leaves of a constant representation
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
