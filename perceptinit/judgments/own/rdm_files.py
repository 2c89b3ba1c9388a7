"""Read matrices of (dis)similarities from .npy, .mat and .csv files, and lists of image names."""

# S subjects, M images
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from perceptinit.errors import DataError, UsageError, shown
from perceptinit.files.columns import is_number, plain_number
from perceptinit.files.csv_files import read_csv
from perceptinit.files.mat_files import MatValue, read_mat
from perceptinit.files.reading import read_bytes, read_npy, read_text, require_file
from perceptinit.files.tables import HDF5_SUFFIXES, TABLE_SUFFIXES
from perceptinit.judgments.forms.rdm import square
from perceptinit.registry import companion_of, unknown

Matrices = tuple[np.ndarray, list[str] | None]
# component of a companion package that reads these suffixes
EXPORT = "brain-rdms/rdm"
EXPORT_SUFFIXES = (*HDF5_SUFFIXES, ".json")
# limit for all matrices together: 8 GB as float64, about one matrix of 31,000 images
MAX_CELLS = 10**9


def read_matrices(path: Path, key: str | None) -> Matrices:
    """Return matrices (S, M, M) and the image names that the file contains, if any.

    .npy and .mat contain (M, M), (S, M, M), or upper triangles (P,) or (S, P), row by row. .csv contains one
    square table, with or without names in the first row or column.

    Args:
        path: The file.
        key: The variable of a .mat file with several variables, or a field of a struct (`data.rdm`).

    Raises:
        DataError: If the file is missing or contains no such matrix.
        UsageError: If the file is an export of rsatoolbox or Meadows.
    """
    require_file(path)
    if path.suffix in EXPORT_SUFFIXES:
        raise _refuse_export(path)
    if path.suffix not in READERS:
        raise DataError(f"{path}: '{path.suffix}' files are not supported. Use {', '.join(READERS)}")
    return READERS[path.suffix](path, key)


def is_psiz(path: Path) -> bool:
    """Return whether a file contains observations of psiz; HDF5 stores the names of arrays as plain text."""
    return path.suffix in HDF5_SUFFIXES and path.is_file() and b"stimulus_set" in read_bytes(path)


def _refuse_export(path: Path) -> UsageError:
    """Return the error for a file that a companion package reads."""
    companion = companion_of("judgments", EXPORT)
    assert companion is not None
    return UsageError(
        f'{path}: to read files of rsatoolbox and Meadows, set use = "{EXPORT}" and install the companion '
        f"package {companion.distribution}: {companion.install}"
    )


def read_names(path: Path) -> list[str]:
    """Return the image names in a text file, one per line.

    Raises:
        DataError: If the file is missing, is not UTF-8 text, or names an image twice.
    """
    line_of: dict[str, int] = {}
    for line, text in enumerate(read_text(path).splitlines(), start=1):
        if (name := text.strip()) and line_of.setdefault(name, line) != line:
            raise DataError(f"{path}, line {line}: image '{shown(name)}' is named twice")
    return list(line_of)


def _as_matrices(array: np.ndarray, source: str) -> np.ndarray:
    """Return an array in any layout of `read_matrices` as (S, M, M); a square 2-D array is one matrix."""
    if array.dtype.kind not in "fiu":
        raise DataError(f"{source}: expected numbers, got {array.dtype}. Save it with .astype(float)")
    if not 0 < array.size <= MAX_CELLS:
        raise DataError(f"{source}: shape {array.shape}, expected 1 to {MAX_CELLS:,} cells")
    array = np.squeeze(array) if array.ndim == 2 and 1 in array.shape else array
    is_square = array.ndim in (2, 3) and array.shape[-2] == array.shape[-1]
    if not is_square and array.ndim not in (1, 2):
        raise DataError(
            f"{source}: shape {array.shape}, expected (images, images), (subjects, images, images) or upper "
            "triangles"
        )
    matrices = array.astype(np.float64) if is_square else square(array, source)
    return matrices.reshape(-1, *matrices.shape[-2:])


def _read_npy(path: Path, key: str | None) -> Matrices:
    return _as_matrices(read_npy(path), str(path)), None


def _read_mat(path: Path, key: str | None) -> Matrices:
    """Return the matrices (S, M, M) of a variable, or of a field in each element of its struct."""
    content = read_mat(path)
    if key is None and any(name.startswith("rdmutv") for name in content):
        raise _refuse_export(path)
    variables = sorted(name for name in content if "." not in name)
    key = variables[0] if key is None and len(variables) == 1 else key or ""
    if key not in content:
        struct, _, field = key.rpartition(".")
        if struct in content:
            problem = unknown(f"no field of {struct} called", field, _list_fields(content, struct))
        else:
            problem = unknown("key must name a variable, not", key, variables)
        raise DataError(f"{path}: {problem}")
    for value in content[key]:
        if value.kind == "a struct":
            fields = ", ".join(f"{key}.{name}" for name in _list_fields(content, key))
            raise DataError(f"{path}: '{shown(key)}' is a struct. Set key to one of its fields: {fields}")
        if value.kind:
            raise DataError(f"{path}: '{shown(key)}' is {value.kind}, not a full matrix of real numbers")
    return np.concatenate([_as_matrices(value.array, str(path)) for value in content[key]]), None


def _list_fields(content: Mapping[str, list[MatValue]], struct: str) -> list[str]:
    names = (key.rpartition(".") for key in content)
    return sorted(name for parent, _, name in names if parent == struct)


def _read_csv(path: Path, key: str | None) -> Matrices:
    """Return a square table as a matrix (1, M, M), and the names in its first row or column, if any."""
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
                    f"{path}, row {n}: named '{shown(name)}', but column {place} is named "
                    f"'{shown(names[place])}'. Rows and columns must be in the same order"
                )
        names = list(row_names.values())
    matrix = np.empty((len(rows), len(rows)))
    for place, (n, row) in enumerate(rows.items()):
        if len(row) != len(rows):
            raise DataError(f"{path}, row {n}: {len(row)} cells, expected {len(rows)}")
        for i, cell in enumerate(row):
            try:
                matrix[place, i] = plain_number(cell) if cell else np.nan
            except ValueError as error:
                raise DataError(f"{path}, row {n}: cell {i + 1} {error}") from error
    return matrix[None], names


def is_square_csv(path: Path) -> bool:
    """Return whether a file is a CSV table of a symmetric matrix of at least three images."""
    if path.suffix != ".csv":
        return False
    try:
        table, _ = read_csv(path, has_header=False)
        if not 3 <= len(table.columns) <= table.num_rows + 1 <= len(table.columns) + 2:
            return False  # before a matrix is allocated
        ((matrix,), _) = _read_csv(path, None)
    except DataError:
        return False
    return not (np.abs(matrix - matrix.T) > 1e-6 * np.abs(matrix).max()).any()


# readers of matrices by suffix
READERS = {".npy": _read_npy, ".mat": _read_mat, ".csv": _read_csv}
# suffixes of matrices only, not of tables
MATRIX_SUFFIXES = tuple(sorted({*READERS, *EXPORT_SUFFIXES}.difference(TABLE_SUFFIXES)))
