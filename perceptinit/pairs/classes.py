"""Class names and labels of a source, from its columns or folders."""

from __future__ import annotations

# N records, C classes
from collections.abc import Callable, Sequence

import numpy as np

from perceptinit.errors import DataError
from perceptinit.types import Classes


def read_classes(
    labels: Sequence[object] | None,
    names: Sequence[object] | None,
    known: Sequence[str],
    where: Callable[[int], str],
) -> Classes | None:
    """Return the classes of N records, None without labels and names.

    Args:
        labels: An integer, or its text, per record.
        names: A class name per record.
        known: Class names by label; empty: taken from `names`, in the order of the labels or else
            alphabetically.
        where: Returns the name of record i for messages.

    Raises:
        DataError: For the first invalid record, and for a label without a name.
    """
    if names is None and labels is None:
        return None
    if labels is None:
        assert names is not None
        order = tuple(known) or tuple(sorted({str(name) for name in names if name}))
        label_of: dict[object, int] = {name: label for label, name in enumerate(order)}
        for i, name in enumerate(names):
            if name not in label_of:
                raise DataError(f"{where(i)}: {name!r} is not one of the {len(order)} class names")
        return Classes(order, np.array([label_of[name] for name in names], np.int64))
    for i, label in enumerate(labels):
        if not (isinstance(label, (int, np.integer, str)) and str(label).strip().isdecimal()):
            raise DataError(f"{where(i)}: label {label!r} is not a number from 0 on")
    numbers = np.array([int(str(label)) for label in labels], dtype=np.int64)
    if names is not None and not known:
        known = _pair_names(numbers, names, where)
    if not known:
        raise DataError(
            "labels have no class names: name their column with --class-column, or give a file "
            "with a name a line with --classes"
        )
    outside = np.flatnonzero(numbers >= len(known))
    if outside.size:
        raise DataError(
            f"{where(outside[0])}: label {numbers[outside[0]]}, but there are {len(known)} class names"
        )
    return Classes(tuple(known), numbers)


def _pair_names(numbers: np.ndarray, names: Sequence[object], where: Callable[[int], str]) -> tuple[str, ...]:
    """Return the class names in the order of the labels."""
    found: dict[int, str] = {}
    for i, (number, name) in enumerate(zip(numbers.tolist(), names, strict=True)):
        if not name or found.setdefault(number, str(name)) != name:
            raise DataError(
                f"{where(i)}: label {number} has the name {name!r} here and {found.get(number)!r} before"
            )
    absent = sorted(set(range(max(found) + 1)) - found.keys()) if found else []
    if absent:
        raise DataError(f"no record has label {absent[0]}, so its class has no name; give all with --classes")
    return tuple(found[i] for i in range(len(found)))
