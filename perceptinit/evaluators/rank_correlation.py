"""Rank correlations of the dissimilarities of image pairs, of all images and without each group of images."""

# P pairs of images, G groups of images, N numbers, M matrices of models, S matrices of subjects
from collections.abc import Callable

import numpy as np

Without = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]


def number(values: np.ndarray) -> np.ndarray:
    """Return integers from 0 in the order of the values, equal for equal values."""
    return np.unique(values, return_inverse=True)[1]


def spearman_without(x: np.ndarray, y: np.ndarray, groups: np.ndarray, num_groups: int) -> np.ndarray:
    """Return Spearman's correlation of all pairs, and of those without an image of each group, (1 + G, M, S).

    Args:
        x: Integers from 0 in the order of the dissimilarities of the pairs, as of `number`, (M, P).
        y: Those of other dissimilarities, (S, P).
        groups: Groups of the two images of each pair, from 0 without gaps, int64 (2, P).
        num_groups: Number of groups G; 0 for the correlation of all pairs alone.
    """
    kept = [slice(None), *((groups != group).all(axis=0) for group in range(num_groups))]
    return np.stack([_pearson(_rank(x[:, pairs]), _rank(y[:, pairs])) for pairs in kept])


def kendall_without(x: np.ndarray, y: np.ndarray, groups: np.ndarray, num_groups: int) -> np.ndarray:
    """Return Kendall's tau-b of all pairs, and of those without an image of each group, (1 + G, M, S).

    See `spearman_without`.
    """
    of_x, of_y = ([_sum_without(own, own, groups, num_groups) for own in each] for each in (x, y))
    signs = np.array([[_sum_without(model, own, groups, num_groups) for own in y] for model in x])
    with np.errstate(invalid="ignore"):  # not a number for constant dissimilarities, as in scipy
        found = signs / np.sqrt(of_x)[:, None] / np.sqrt(of_y)
    return np.moveaxis(found, -1, 0)


def _sum_without(x: np.ndarray, y: np.ndarray, groups: np.ndarray, num_groups: int) -> np.ndarray:
    """Return the sum of the signs of all two pairs, and that without the pairs of each group, (1 + G,).

    Pairs with an image of a group lose their signs with all others. Their signs with one another are then
    subtracted twice, and are added once.
    """
    signs = sum_signs(x, y)
    first, second = groups
    is_in_two = first != second
    rows = np.concatenate([np.arange(len(x)), np.flatnonzero(is_in_two)])
    of = np.concatenate([first, second[is_in_two]])
    # numbers of different groups are in the order of the groups in x and y, so their signs are 1
    apart = of * len(x)
    own_x = apart + x[rows]
    own_y = own_x if y is x else apart + y[rows]
    within = sum_signs(own_x, own_y) - (len(of) - np.bincount(of)[of])
    lost = np.bincount(of, signs[rows] - within / 2, num_groups)[:num_groups]
    return signs.sum() / 2 - np.concatenate([[0.0], lost])


def sum_signs(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the sum of sign(x - x') sign(y - y') over all others, for each of N integers, (N,).

    Ties of x and y are broken in the order of the rows, then in the opposite order. The mean of both sums is
    0 for ties in either, and 1 for ties in both.
    """
    both = number(x * (y.max(initial=0) + 1) + y)
    num_same = np.bincount(both)[both]
    if y is x:
        return len(x) - num_same
    forward = _sum_signs_of_distinct(x, y)
    backward = _sum_signs_of_distinct(x[::-1], y[::-1])[::-1]
    return (forward + backward) / 2 - (num_same - 1)


def _sum_signs_of_distinct(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return `sum_signs` if the first of equal numbers counts as smaller, in O(N log N) operations.

    Places in the order of x are halved repeatedly. The elements of both halves are in the order of y, so
    those of one half that precede an element of the other are counted.
    """
    num = len(x)
    place = np.empty(num, np.int64)
    place[np.argsort(x, kind="stable")] = np.arange(num)
    by_y = place[np.argsort(y, kind="stable")]
    sums = np.zeros(num)
    for level in reversed(range(num.bit_length())):
        start = by_y >> (level + 1) << (level + 1)
        middle = np.minimum(start + (1 << level), num)
        is_upper = by_y >> level & 1
        uppers = np.concatenate([[0], np.cumsum(is_upper)])
        num_upper_before = uppers[:-1] - uppers[start]
        num_lower_before = np.arange(num) - start - num_upper_before
        of_upper = 2 * num_lower_before - (middle - start)
        of_lower = np.minimum(middle + (1 << level), num) - middle - 2 * num_upper_before
        sums[by_y] += np.where(is_upper, of_upper, of_lower)
        by_y = by_y[np.argsort(by_y >> level, kind="stable")]
    return sums[place]


def _rank(rows: np.ndarray) -> np.ndarray:
    """Return the ranks of the integers from 0 of each row, with the mean rank of equal ones."""
    ranks = np.empty(rows.shape)
    for row, numbers in enumerate(rows):
        counts = np.bincount(numbers)
        ranks[row] = (np.cumsum(counts) - (counts - 1) / 2)[numbers]
    return ranks


def _pearson(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the correlation of each row of `a` with each row of `b`, (M, S)."""
    a = a - a.mean(axis=1, keepdims=True)
    b = b - b.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):  # not a number for constant dissimilarities, as in scipy
        return a @ b.T / np.sqrt(np.outer((a * a).sum(axis=1), (b * b).sum(axis=1)))
