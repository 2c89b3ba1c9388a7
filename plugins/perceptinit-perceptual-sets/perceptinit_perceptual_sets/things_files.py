"""Read the two published formats of THINGS choices and the list of objects."""

# N judgments, three objects each
import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from perceptinit.companion import reading, require_file
from perceptinit.plugin import DataError

OddColumn = Literal["first", "second", "last", "choice"]
PLACES = {"first": 0, "second": 1, "last": 2}
LONG_FORM = ("image1", "image2", "image3", "choice")
ROWS_AT_ONCE = 100_000


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
    require_file(path)
    if odd_column == "choice":
        table = _read_long(path)
        images, odd = table[:, :3], _find_odd(path, table)
    else:
        images = _read_plain(path)
        odd = np.full(len(images), PLACES[odd_column])
    images = images - index_base
    bad = ((images < 0) | (images >= num_objects)).any(axis=1)
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"{path}, judgment {row} (from 0): objects {(images[row] + index_base).tolist()} are not all in "
            f"{index_base}..{num_objects - 1 + index_base}. Check index_base = {index_base}"
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
    if path.suffix == ".npy":
        with reading(f"{path}: not a readable .npy file of numbers", ValueError):
            table = np.load(path, allow_pickle=False)
        if table.ndim != 2 or table.shape[1] != 3 or table.dtype.kind not in "iuf":
            raise DataError(f"{path}: expected (N, 3) numbers, got {table.dtype} {table.shape}")
        if not (table == np.floor(table)).all():
            raise DataError(f"{path}: not all values are integers")
        return table.astype(np.int64)
    return _read_rows(path, skip=0, columns=(0, 1, 2), width=3)


def _read_long(path: Path) -> np.ndarray:
    with path.open(encoding="utf-8-sig") as file:
        header = _split_cells(file.readline())
    missing = [name for name in LONG_FORM if name not in header]
    if missing:
        raise DataError(f"{path}: no column '{missing[0]}'. Columns: {', '.join(header)}")
    columns = tuple(map(header.index, LONG_FORM))
    return _read_rows(path, skip=1, columns=columns, width=len(header))


def _read_rows(path: Path, skip: int, columns: tuple[int, ...], width: int) -> np.ndarray:
    """Return the columns as int64; reads in blocks, because the published file has 4.7 million rows."""
    pieces = []
    with path.open(encoding="utf-8-sig") as file:
        lines = ((n, line) for n, line in enumerate(file, start=1) if n > skip and line.strip())
        while piece := list(islice(lines, ROWS_AT_ONCE)):
            pieces.append(np.array(list(_parse_integers(path, piece, columns, width)), dtype=np.int64))
    if not pieces:
        raise DataError(f"{path}: no judgments")
    return np.concatenate(pieces)


def _parse_integers(
    path: Path, lines: list[tuple[int, str]], columns: tuple[int, ...], width: int
) -> Iterator[list[int]]:
    for number, line in lines:
        cells = _split_cells(line)
        if len(cells) != width:
            raise DataError(f"{path}, row {number}: {len(cells)} cells, expected {width}")
        try:
            # the published text files contain integers such as 1.0000e+00
            values = [float(cells[column]) for column in columns]
        except ValueError:
            raise DataError(f"{path}, row {number}: expected numbers, got {line.strip()!r}") from None
        if not all(value.is_integer() for value in values):
            raise DataError(f"{path}, row {number}: expected integers, got {line.strip()!r}")
        yield list(map(int, values))


def _split_cells(line: str) -> list[str]:
    line = line.rstrip("\r\n")
    if "\t" in line:
        return line.split("\t")
    return [cell.strip() for cell in line.split(",")] if "," in line else line.split()


def _find_odd(path: Path, table: np.ndarray) -> np.ndarray:
    """Return the column of the odd object, (N,); choices that are all 1 to 3 are column numbers."""
    images, choice = table[:, :3], table[:, 3]
    if ((choice >= 1) & (choice <= 3)).all():
        return choice - 1
    is_odd = images == choice[:, None]
    unknown = ~is_odd.any(axis=1)
    if unknown.any():
        row = int(np.argmax(unknown))
        raise DataError(
            f"{path}, judgment {row} (from 0): choice {choice[row]} is not in {images[row].tolist()}"
        )
    return is_odd.argmax(axis=1)
