"""Unreadable images: up to 0.1 % of a test set are excluded and reported with each score."""

# N images of a set
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from perceptinit.errors import DataError
from perceptinit.test_sets.sets import ImageSet
from perceptinit.types import Score

MAX_UNREADABLE_SHARE = 0.001
NUM_NAMED = 20

# errors by row, for the lifetime of the set
_UNREADABLE: WeakKeyDictionary[Any, dict[int, str]] = WeakKeyDictionary()


def note_unreadable(images: ImageSet, row: int, error: DataError, is_alone: bool) -> None:
    """Record an unreadable image, whose placeholder is excluded from all scores.

    Args:
        images: The set.
        row: Row of the image.
        error: Error of the image.
        is_alone: Whether no other process reads the set. If so, the limit is checked immediately.
    """
    found = _UNREADABLE.setdefault(images, {})
    found[row] = str(error)
    if is_alone:
        _check(images, len(found))


def has_unreadable(images: ImageSet) -> bool:
    """Return whether an image of a set could not be read in this process."""
    return bool(_UNREADABLE.get(images))


def readable_rows(
    images: ImageSet, merge: Callable[[np.ndarray], np.ndarray], warn: Callable[[str], None]
) -> np.ndarray:
    """Return a mask of the readable images of a set, bool (N,), after a pass over it.

    Args:
        images: The set.
        merge: Sums an array (N,) over the processes that share the set.
        warn: Receives a warning about unreadable images.

    Raises:
        DataError: If more than 0.1 % of the images are unreadable.
    """
    unreadable = np.zeros(len(images.images), np.float32)
    unreadable[list(_UNREADABLE.get(images, {}))] = 1
    rows = np.flatnonzero(merge(unreadable))
    if rows.size:
        _check(images, rows.size)
        first = f"the first {NUM_NAMED} of {rows.size:,}: " if rows.size > NUM_NAMED else ""
        warn(
            f"test set '{images.name}' is incomplete: {rows.size:,} of {len(unreadable):,} images "
            f"cannot be read and are excluded: {first}{', '.join(_names(images, rows))}"
        )
    readable = np.ones(len(unreadable), dtype=bool)
    readable[rows] = False
    return readable


def mark_incomplete(
    scores: Sequence[Score], sets: Sequence[ImageSet], readable: Sequence[np.ndarray]
) -> list[Score]:
    """Return scores with the first unreadable images of each set in `extra`, and counts of the last set."""
    pairs = zip(sets, readable, strict=True)
    names = [name for s, rows in pairs for name in _names(s, np.flatnonzero(~rows))]
    if not names:
        return list(scores)
    facts = {
        "num_images": int(readable[-1].sum()),
        "num_images_of_set": len(readable[-1]),
        "unreadable": names,
    }
    return [replace(score, extra={**score.extra, **facts}) for score in scores]


def _check(images: ImageSet, num_unreadable: int) -> None:
    num = len(images.images)
    if num_unreadable > MAX_UNREADABLE_SHARE * num:
        reasons = _UNREADABLE.get(images, {})
        first = f". First error: {reasons[min(reasons)]}" if reasons else ""
        raise DataError(
            f"test set '{images.name}': {num_unreadable:,} of {num:,} images cannot be read (limit: 0.1 %), "
            f"so the set has no score{first}"
        )


def _names(images: ImageSet, rows: np.ndarray) -> list[str]:
    return [images.keys[int(row)] for row in rows[:NUM_NAMED]]
