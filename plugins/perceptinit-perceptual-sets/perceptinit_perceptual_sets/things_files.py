"""Read the two published formats of THINGS choices and the list of objects."""

# N judgments, three objects each
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from perceptinit.companion import raise_first, read_npy, read_table, require_file
from perceptinit.plugin import DataError

OddColumn = Literal["first", "second", "last", "choice"]
PLACES = {"first": 0, "second": 1, "last": 2}
LONG_FORM = ("image1", "image2", "image3", "choice")


def read_triples(
    path: Path, index_base: int, odd_column: OddColumn, num_objects: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return zero-based object indices, int64 (N, 3), and the column of the odd object, int64 (N,).

    Args:
        path: The file of choices.
        index_base: Index of the first object in the file.
        odd_column: "first", "second" or "last" for a table (N, 3) without a header (.npy, or text separated
            by spaces, tabs or commas). "choice" for a table with a header and the columns image1, image2,
            image3 and choice, where choice is 1, 2 or 3, or the index of the odd object.
        num_objects: Number of objects.

    Raises:
        DataError: If an index is out of range, or a choice is not one of the three objects.
    """
    if odd_column == "choice":
        table = _read_columns(path, LONG_FORM)
        images, odd = table[:, :3], _find_odd(path, table)
    else:
        images = _read_plain(path)
        odd = np.full(len(images), PLACES[odd_column])
    images = images - index_base
    raise_first(
        ((images < 0) | (images >= num_objects)).any(axis=1),
        lambda row: (
            f"objects {(images[row] + index_base).tolist()} are not all in "
            f"{index_base}..{num_objects - 1 + index_base}. Check index_base = {index_base}"
        ),
        f"{path}: zero-based judgment",
    )
    return images, odd


def read_objects(path: Path) -> list[str]:
    """Return the object names (column uniqueID) in order; DataError for an invalid file."""
    require_file(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t")
        if "uniqueID" not in (reader.fieldnames or ()):
            raise DataError(f"{path}: no column 'uniqueID'. Columns: {', '.join(reader.fieldnames or ())}")
        names = [row["uniqueID"] for row in reader]
    if len(set(names)) != len(names):
        raise DataError(f"{path}: column uniqueID contains duplicate names")
    return names


def _read_plain(path: Path) -> np.ndarray:
    """Return a table (N, 3) without a header, int64."""
    if path.suffix != ".npy":
        return _read_columns(path, LONG_FORM[:3], ",".join(LONG_FORM[:3]))
    table = read_npy(path)
    if table.ndim != 2 or table.shape[1] != 3 or table.dtype.kind not in "iuf":
        raise DataError(f"{path}: expected (N, 3) numbers, got {table.dtype} {table.shape}")
    if not (table == np.floor(table)).all():
        raise DataError(f"{path}: not all values are integers")
    return table.astype(np.int64)


def _read_columns(path: Path, names: Sequence[str], header: str | None = None) -> np.ndarray:
    """Return columns of integers as int64 (N, len(names)); published files contain 1.0000e+00."""
    columns = read_table(path, header)
    return np.stack([columns.counts(name) for name in names], axis=1)


def _find_odd(path: Path, table: np.ndarray) -> np.ndarray:
    """Return the column of the odd object, (N,); choices that are all 1 to 3 are column numbers."""
    images, choice = table[:, :3], table[:, 3]
    if ((choice >= 1) & (choice <= 3)).all():
        return choice - 1
    is_odd = images == choice[:, None]
    raise_first(
        ~is_odd.any(axis=1),
        lambda row: f"choice {choice[row]} is not in {images[row].tolist()}",
        f"{path}: zero-based judgment",
    )
    return is_odd.argmax(axis=1)
