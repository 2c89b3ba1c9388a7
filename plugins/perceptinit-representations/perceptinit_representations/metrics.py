"""Statistics of embeddings: effective rank, alignment, uniformity and CKA."""

# N images, D embedding
import numpy as np


def effective_rank(features: np.ndarray) -> float:
    """Return the effective rank of embeddings (N, D): exp of the entropy of their singular values.

    The value is between 1 (collinear embeddings) and min(N, D). The embeddings are not centered.
    Source: Roy and Vetterli (2007); RankMe (Garrido et al. 2023).
    """
    x = features.astype(np.float64)
    gram = x.T @ x if x.shape[0] >= x.shape[1] else x @ x.T
    singular = np.sqrt(np.clip(np.linalg.eigvalsh(gram), 0, None))
    p = singular / singular.sum()
    p = p[p > 0]
    return float(np.exp(-(p * np.log(p)).sum()))


def alignment(features: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean squared distance over same-class pairs of unit vectors (N, D); NaN without pairs.

    Source: Wang and Isola (2020), with images of the same class as positive pairs.
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
    """Return the log mean of exp(-2 distance^2) over pairs; lower is more uniform, 0 is collapsed.

    gram: cosines of unit vectors (N, N). Source: Wang and Isola (2020), t = 2.
    """
    above = gram[np.triu_indices(len(gram), 1)].astype(np.float64)
    return float(np.log(np.exp(-4 * (1 - above)).mean()))


def unbiased_cka(gram_x: np.ndarray, gram_y: np.ndarray) -> float:
    """Return the unbiased linear CKA of two representations of N images, NaN if one is constant.

    The value is 1 for representations equal up to rotation and scale, and about 0 for unrelated ones.
    gram_x, gram_y: Gram matrices (N, N), with N at least 4.
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
