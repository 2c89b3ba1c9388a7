"""Read matrices of (dis)similarities from .npy, .mat and .csv files, and the names of their images."""

from __future__ import annotations

# S subjects, M images
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from perceptinit.companions import companion_of
from perceptinit.errors import DataError, UsageError, shown
from perceptinit.files.columns import is_number, plain_number
from perceptinit.files.csv_files import read_csv
from perceptinit.files.mat_files import MatValue, read_mat
from perceptinit.files.reading import read_bytes, require_file
from perceptinit.files.tables import TABLE_SUFFIXES
from perceptinit.judgments.forms.rdm import square
from perceptinit.registry import unknown

Matrices = tuple[np.ndarray, list[str] | None]
# read by a companion package
EXPORT = "brain-rdms/rdm"
EXPORT_SUFFIXES = (".hdf5", ".h5", ".json")
# of a matrix or several: 8 GB as float64; a published one of 31,000 images has as many
MAX_CELLS = 10**9


def read_matrices(path: Path, key: str | None) -> Matrices:
    """Return matrices (S, M, M) and the image names that the file itself gives, if any.

    .npy and .mat hold (M, M), (S, M, M), or upper triangles (P,) or (S, P), row by row. `key` names
    the variable of a .mat file, or a field of a struct (`data.rdm`); not needed when there is one.
    .csv is one square table, with or without a first row and a first column of names.

    Raises DataError when the file is absent or holds no such matrix, and UsageError for a file of
    rsatoolbox or Meadows.
    """
    require_file(path)
    if path.suffix in EXPORT_SUFFIXES:
        raise _refuse_export(path)
    if path.suffix not in READERS:
        raise DataError(f"{path}: '{path.suffix}' files are not read; give {', '.join(READERS)}")
    return READERS[path.suffix](path, key)


def _refuse_export(path: Path) -> UsageError:
    """Return the error for a file of rsatoolbox or Meadows, which a companion package reads."""
    companion = companion_of("judgments", EXPORT)
    assert companion is not None
    return UsageError(
        f'{path}: use = "{EXPORT}" reads the files of rsatoolbox and Meadows. It is part of the companion package '
        f"{companion.distribution}: {companion.install}"
    )


def read_names(path: Path) -> list[str]:
    """Return the image names of a text file, one a line; DataError when it is absent or names repeat."""
    require_file(path)
    try:
        lines = read_bytes(path).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a UTF-8 text file of names ({error})") from error
    names = [line.strip() for line in lines if line.strip()]
    seen: set[str] = set()
    for line, name in enumerate(names, start=1):
        if name in seen:
            raise DataError(f"{path}, line {line}: image '{shown(name)}' is named twice")
        seen.add(name)
    return names


def _as_matrices(array: np.ndarray, source: str) -> np.ndarray:
    """Return (S, M, M) of any of the four layouts; a 2-D array is a matrix if it is square."""
    if array.dtype.kind not in "fiu":
        raise DataError(f"{source}: expected numbers, got {array.dtype}")
    if not 0 < array.size <= MAX_CELLS:
        raise DataError(f"{source}: shape {array.shape}; there must be 1 to {MAX_CELLS:,} cells")
    array = np.squeeze(array) if array.ndim == 2 and 1 in array.shape else array
    if array.ndim == 1:
        return square(array, source)[None]
    if array.ndim == 2:
        is_square = array.shape[0] == array.shape[1]
        return array[None].astype(np.float64) if is_square else square(array, source)
    if array.ndim == 3 and array.shape[1] == array.shape[2]:
        return array.astype(np.float64)
    raise DataError(
        f"{source}: shape {array.shape} is neither (images, images), (subjects, images, images) "
        "nor upper triangles"
    )


def _read_npy(path: Path, key: str | None) -> Matrices:
    try:
        # mapped, so that a header that promises more than the file has is refused before memory is taken
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # of a damaged header numpy raises what its parsers raise
        raise DataError(f"{path}: not a readable .npy file of numbers ({shown(error)})") from error
    if not isinstance(array, np.ndarray):  # numpy goes by the content, not by the name
        array.close()
        raise DataError(f"{path}: an .npz archive with the name of an .npy file; save one array")
    return _as_matrices(array, str(path)), None


def _read_mat(path: Path, key: str | None) -> Matrices:
    """Return the matrices (S, M, M) of a variable, or of a field in each element of its struct."""
    content = read_mat(path)
    if key is None and any(name.startswith("rdmutv") for name in content):
        raise _refuse_export(path)
    variables = sorted(name for name in content if "." not in name)
    key = variables[0] if key is None and len(variables) == 1 else key or ""
    struct = key.rpartition(".")[0]
    if key not in content and struct in content:
        field, fields = key.rpartition(".")[2], _fields(content, struct)
        problem = unknown(f"no field of {struct} called", field, fields)
        raise DataError(f"{path}: {problem}")
    if key not in content:
        raise DataError(f"{path}: {unknown('no variable called', key, variables)}. Set key")
    matrices = [_matrices_of(path, key, value, content) for value in content[key]]
    return np.concatenate(matrices), None


def _fields(content: Mapping[str, list[MatValue]], struct: str) -> list[str]:
    names = (key.rpartition(".") for key in content)
    return sorted(name for parent, _, name in names if parent == struct)


def _matrices_of(path: Path, key: str, value: MatValue, content: Mapping[str, list[MatValue]]) -> np.ndarray:
    if value.kind == "a struct":
        fields = ", ".join(f"{key}.{name}" for name in _fields(content, key))
        raise DataError(f"{path}: '{shown(key)}' is a struct; set key to one of its fields: {fields}")
    if value.kind:
        raise DataError(f"{path}: '{shown(key)}' is {value.kind}, not a full matrix of real numbers")
    return _as_matrices(value.array, str(path))


def _read_csv(path: Path, key: str | None) -> Matrices:
    """Return a square table as a matrix (1, M, M), and the names in its first row or column."""
    table, numbers = read_csv(path, has_header=False)
    cells = zip(*(column.to_pylist() for column in table.columns), strict=True)
    rows = {int(n): list(row) for n, row in zip(numbers, cells, strict=True) if any(row)}
    first = next(iter(rows))
    names = None if all(is_number(cell) for cell in rows[first] if cell) else rows.pop(first)
    if len(table.columns) == len(rows) + 1:
        row_names = {n: row.pop(0) for n, row in rows.items()}
        for place, (n, name) in enumerate(row_names.items(), start=1):
            if names is not None and name != names[place]:
                raise DataError(
                    f"{path}, row {n}: called '{shown(name)}', but column {place} is called '{shown(names[place])}'; "
                    "rows and columns must be in one order"
                )
        names = list(row_names.values())
    matrix = np.empty((len(rows), len(rows)))
    for place, (n, row) in enumerate(rows.items()):
        if len(row) != len(rows):
            raise DataError(f"{path}, row {n}: {len(row)} cells, expected {len(rows)}")
        matrix[place] = [_number(path, n, i, cell) for i, cell in enumerate(row, start=1)]
    return matrix[None], names


def _number(path: Path, row: int, place: int, cell: str) -> float:
    try:
        return plain_number(cell) if cell else np.nan
    except ValueError as error:
        raise DataError(f"{path}, row {row}: cell {place} {error}") from error


# the suffixes of matrices; a new one is an entry here
READERS = {".npy": _read_npy, ".mat": _read_mat, ".csv": _read_csv}
# those that hold no tables
MATRIX_SUFFIXES = tuple(sorted({*READERS, *EXPORT_SUFFIXES}.difference(TABLE_SUFFIXES)))
