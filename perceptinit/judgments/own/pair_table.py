"""Ratings or distances of pairs of images in a table, as matrices."""

# N rows, S subjects, M images
from collections.abc import Iterable

import numpy as np

from perceptinit.errors import DataError
from perceptinit.files.columns import Coded, Columns
from perceptinit.judgments.image_files import index_images
from perceptinit.judgments.own.rdm_files import MAX_CELLS

PAIR = ("image_1", "image_2")
# matrices, names of images, and whether each named person is used
PairMatrices = tuple[np.ndarray, list[str], dict[str, bool]]
VALUES = ("rating", "similarity", "dissimilarity", "distance")


def find_value(names: Iterable[str]) -> str | None:
    """Return the column of values of a table of pairs; None for other tables."""
    known = set(names)
    if not set(PAIR) <= known or "image_3" in known:
        return None
    return next((name for name in VALUES if name in known), None)


def read_pairs(columns: Columns, value: str) -> PairMatrices:
    """Return the matrices of a table of pairs, the names of its images, and whether each person is used.

    If a person judged a pair several times, in either order, the mean counts. Cells without a value are NaN.
    People of the column `subject` whose values are all equal have no order of pairs and are not used.

    Raises:
        DataError: If a cell is not a number, the matrices would exceed the memory limit, or all values are
            equal.
    """
    values = columns.numbers(value, low=-np.inf)
    images = index_images([columns.coded(name) for name in PAIR])
    first, second = images.index
    people = columns.coded("subject") if "subject" in columns else Coded(np.zeros_like(first), ())
    num = len(images.names)
    shape = (max(1, len(people.distinct)), num, num)
    if np.prod(shape, dtype=np.float64) > MAX_CELLS:
        raise DataError(
            f"{columns.path}: matrices of shape {shape} exceed {MAX_CELLS:,} cells. Without the column "
            "'subject', mean values are read"
        )
    counts = np.zeros(shape)
    sums = np.zeros(shape)
    for a, b in ((first, second), (second, first)):
        np.add.at(counts, (people.codes, a, b), 1)
        np.add.at(sums, (people.codes, a, b), values)
    counts[:, range(num), range(num)] = 0
    matrices = np.divide(sums, counts, out=np.full(shape, np.nan), where=counts > 0)
    flat = matrices.reshape(len(matrices), -1)
    has_order = np.fmax.reduce(flat, axis=1) > np.fmin.reduce(flat, axis=1)
    if not has_order.any():
        raise DataError(f"{columns.path}: no person has two different values in column '{value}'")
    return matrices[has_order], list(images.names), dict(zip(people.distinct, has_order, strict=False))
