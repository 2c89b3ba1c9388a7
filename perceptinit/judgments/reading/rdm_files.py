"""Read matrices of (dis)similarities from .npy, .mat and .csv files, and the names of their images."""

from __future__ import annotations

# S subjects, M images
import math
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from perceptinit.companions import companion_of
from perceptinit.errors import DataError, UsageError, shown
from perceptinit.files.columns import plain_number
from perceptinit.files.csv_files import read_csv
from perceptinit.files.reading import read_bytes, require_file
from perceptinit.judgments.forms.rdm import square
from perceptinit.judgments.reading.mat_file import Variable, read_variables
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
    if path.suffix == ".csv":
        matrix, names = _read_csv(path)
        return matrix[None], names
    if path.suffix == ".npy":
        return _as_matrices(_load_npy(path), str(path)), None
    if path.suffix == ".mat":
        return _read_mat(path, key)
    if path.suffix in EXPORT_SUFFIXES:
        raise _is_export(path)
    raise DataError(f"{path}: '{path.suffix}' files are not read; give .npy, .mat or .csv")


def _is_export(path: Path) -> UsageError:
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


def _load_npy(path: Path) -> np.ndarray:
    try:
        # mapped, so that a header that promises more than the file has is refused before memory is taken
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # of a damaged header numpy raises what its parsers raise
        raise DataError(f"{path}: not a readable .npy file of numbers ({shown(error)})") from error
    if not isinstance(array, np.ndarray):  # numpy goes by the content, not by the name
        array.close()
        raise DataError(f"{path}: an .npz archive with the name of an .npy file; save one array")
    return array


def _read_mat(path: Path, key: str | None) -> Matrices:
    try:
        variables = {v.name: v for v in read_variables(path) if v.name}
        if key is None and any(name.startswith("rdmutv") for name in variables):
            raise _is_export(path)
        return _chosen(path, variables, key), None
    except NotImplementedError as error:
        raise DataError(f"{path}: MATLAB 7.3 format; save it with -v7 or as .npy") from error
    except (ValueError, OSError, zlib.error) as error:
        raise DataError(f"{path}: not a readable .mat file ({shown(error)})") from error


def _chosen(path: Path, variables: Mapping[str, Variable], key: str | None) -> np.ndarray:
    """Return the matrices (S, M, M) that a key names: a variable, or a field such as `data.rdm`.

    A field of a struct with several elements has a matrix in each.
    """
    if key is None and len(variables) == 1:
        key = next(iter(variables))
    top, *fields = (key or "").split(".")
    if top not in variables:
        known = sorted(variables)
        raise DataError(f"{path}: {unknown('no variable called', key or '', known)}. Set key")
    found = [variables[top]]
    for name in fields:
        inner = [fields_of for variable in found for fields_of in variable.structs()]
        if not inner or name not in inner[0]:
            raise DataError(
                f"{path}: {unknown(f'no field of {top} called', name, sorted(inner[0] if inner else ()))}"
            )
        found = [fields_of[name] for fields_of in inner]
    return np.concatenate([_matrices_of(path, variable, key or "") for variable in found])


def _matrices_of(path: Path, variable: Variable, key: str) -> np.ndarray:
    if variable.kind == "a struct":
        names = sorted({name for fields in variable.structs() for name in fields})
        raise DataError(
            f"{path}: '{shown(key)}' is a struct; set key to one of its fields: "
            f"{', '.join(f'{key}.{name}' for name in names)}"
        )
    if variable.kind:
        raise DataError(
            f"{path}: '{shown(key)}' is {variable.kind}, not a full matrix of real numbers"
        )
    if math.prod(variable.shape) > MAX_CELLS:
        raise DataError(f"{path}: shape {variable.shape}; at most {MAX_CELLS:,} cells are read")
    return _as_matrices(variable.array(), str(path))


def _read_csv(path: Path) -> tuple[np.ndarray, list[str] | None]:
    table, _ = read_csv(path, has_header=False)
    cells = zip(*(column.to_pylist() for column in table.columns), strict=True)
    rows = [list(row) for row in cells if any(row)]
    has_names = not all(_is_number(cell) for cell in rows[0] if cell)
    header, body, first_row = (rows[0], rows[1:], 2) if has_names else (None, rows, 1)
    has_row_names = bool(body) and len(body[0]) == len(body) + 1
    names = header[has_row_names:] if header else None
    if has_row_names:
        row_names = [row[0] for row in body]
        if names is not None and len(names) != len(row_names):
            raise DataError(f"{path}: {len(names)} columns and {len(row_names)} rows are named")
        if names is not None and names != row_names:
            wrong = next(i for i, (a, b) in enumerate(zip(names, row_names, strict=True)) if a != b)
            raise DataError(
                f"{path}, row {wrong + first_row}: called '{shown(row_names[wrong])}', but column {wrong + 1} "
                f"is called '{shown(names[wrong])}'; rows and columns must be in one order"
            )
        names = row_names
        body = [row[1:] for row in body]
    return _numbers(path, body, first_row), names


def _numbers(path: Path, body: list[list[str]], first_row: int) -> np.ndarray:
    for i, row in enumerate(body):
        if len(row) != len(body):
            raise DataError(f"{path}, row {i + first_row}: {len(row)} cells, expected {len(body)}")
    matrix = np.empty((len(body), len(body)))
    for i, row in enumerate(body):
        for j, cell in enumerate(row):
            try:
                matrix[i, j] = plain_number(cell) if cell else np.nan
            except ValueError as error:
                raise DataError(f"{path}, row {i + first_row}: cell {j + 1} {error}") from error
    return matrix


def _is_number(cell: str) -> bool:
    try:
        plain_number(cell)
    except ValueError:
        return False
    return True
