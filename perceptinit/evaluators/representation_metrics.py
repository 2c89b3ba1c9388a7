"""Arithmetic on embeddings: neighbours, rank, alignment, uniformity, CKA."""

from __future__ import annotations

# N images, M reference images, D embedding, C classes
import numpy as np
import torch

# similarities that exist at a time: 32 MB in float32
CHUNK_ELEMENTS = 8 << 20


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
    chunk = max(1, CHUNK_ELEMENTS // len(reference))
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
