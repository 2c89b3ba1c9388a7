"""Read matrices of (dis)similarities from .npy, .mat and .csv files, and the names of their images."""

from __future__ import annotations

# S subjects, M images
import csv
from pathlib import Path

import numpy as np

from perceptinit.errors import DataError
from perceptinit.judgments.forms.rdm import square
from perceptinit.judgments.reading.columns import DELIMITERS
from perceptinit.registry import unknown


def read_matrices(path: Path, key: str | None) -> tuple[np.ndarray, list[str] | None]:
    """Return matrices (S, M, M) and the image names that the file itself gives, if any.

    .npy and .mat hold (M, M), (S, M, M), or upper triangles (P,) or (S, P), row by row. `key` names
    the variable of a .mat file; not needed when there is one. .csv is one square table, with or
    without a first row and a first column of names.

    Raises DataError when the file is absent or holds no such matrix.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if path.suffix == ".csv":
        matrix, names = _read_csv(path)
        return matrix[None], names
    if path.suffix == ".npy":
        return _as_matrices(_load_npy(path), str(path)), None
    if path.suffix == ".mat":
        return _as_matrices(_load_mat(path, key), str(path)), None
    raise DataError(
        f"{path}: '{path.suffix}' files are not read; give .npy, .mat or .csv "
        "(rsatoolbox files: the plug-in perceptinit-brain-rdms)"
    )


def read_names(path: Path) -> list[str]:
    """Return the image names of a text file, one a line; DataError when it is absent or names repeat."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    names = [name for name in names if name]
    seen: set[str] = set()
    for line, name in enumerate(names, start=1):
        if name in seen:
            raise DataError(f"{path}, line {line}: image '{name}' is named twice")
        seen.add(name)
    return names


def _as_matrices(array: np.ndarray, source: str) -> np.ndarray:
    """Return (S, M, M) of any of the four layouts; a 2-D array is a matrix if it is square."""
    if array.dtype.kind not in "fiu":
        raise DataError(f"{source}: expected numbers, got {array.dtype}")
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
        return np.load(path, allow_pickle=False)
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: not a readable .npy file of numbers ({error})") from error


def _load_mat(path: Path, key: str | None) -> np.ndarray:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(path)
    except NotImplementedError as error:
        raise DataError(f"{path}: MATLAB 7.3 format; save it with -v7 or as .npy") from error
    except (MatReadError, ValueError, OSError) as error:
        raise DataError(f"{path}: not a readable .mat file ({error})") from error
    arrays = {name: value for name, value in content.items() if not name.startswith("__")}
    if key is None and len(arrays) == 1:
        return next(iter(arrays.values()))
    if key not in arrays:
        raise DataError(
            f"{path}: {unknown('no variable called', key or '', sorted(arrays))}. Set key"
        )
    return arrays[key]


def _read_csv(path: Path) -> tuple[np.ndarray, list[str] | None]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        file.seek(0)
        delimiter = max(DELIMITERS, key=first.count)
        rows = [row for row in csv.reader(file, delimiter=delimiter) if any(row)]
    if not rows:
        raise DataError(f"{path}: empty")
    has_names = not all(_is_number(cell) for cell in rows[0] if cell)
    header, body, first_row = (rows[0], rows[1:], 2) if has_names else (None, rows, 1)
    has_row_names = bool(body) and len(body[0]) == len(body) + 1
    names = header[has_row_names:] if header else None
    if has_row_names:
        row_names = [row[0] for row in body]
        if names is not None and names != row_names:
            wrong = next(
                i for i, (a, b) in enumerate(zip(names, row_names, strict=False)) if a != b
            )
            raise DataError(
                f"{path}, row {wrong + first_row}: called '{row_names[wrong]}', but column {wrong + 1} is "
                f"called '{names[wrong]}'; rows and columns must be in one order"
            )
        names = row_names
        body = [row[1:] for row in body]
    return _numbers(path, body, first_row), names


def _numbers(path: Path, body: list[list[str]], first_row: int) -> np.ndarray:
    matrix = np.empty((len(body), len(body)))
    for i, row in enumerate(body):
        if len(row) != len(body):
            raise DataError(f"{path}, row {i + first_row}: {len(row)} cells, expected {len(body)}")
        for j, cell in enumerate(row):
            if cell and not _is_number(cell):
                raise DataError(
                    f"{path}, row {i + first_row}: cell {j + 1} is {cell!r}, not a number"
                )
            matrix[i, j] = float(cell) if cell else np.nan
    return matrix


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
