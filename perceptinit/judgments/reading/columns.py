"""Read a CSV or Parquet file by column name, with errors that name the row as a spreadsheet shows it."""

from __future__ import annotations

# N rows
import csv
import io
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from perceptinit.errors import DataError, shown
from perceptinit.files.reading import open_regular, require_file
from perceptinit.registry import nearest

DELIMITERS = ",;\t"
# more than there are people; sums over all rows stay exact
MAX_COUNT = 10**12
# what Python would also read: 1_0, digits of other scripts
_NUMBER = re.compile(
    r"\s*[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|nan|inf(inity)?)\s*", re.A | re.I
)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The cells of a table by column: text from CSV, typed values (None when empty) from Parquet.

    rows: int64 (N,), the row numbers in a spreadsheet, where the header is row 1.
    """

    path: Path
    cells: dict[str, np.ndarray]
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, mask: np.ndarray) -> Columns:
        """Return the rows of a mask; they keep their numbers."""
        return replace(
            self, cells={k: v[mask] for k, v in self.cells.items()}, rows=self.rows[mask]
        )

    def error(self, index: int, message: str) -> DataError:
        """Return the error for row `index` (from 0), to be raised."""
        return DataError(f"{self.path}, row {self.rows[index]}: {shown(message, 1000)}")

    def require(self, names: Iterable[str]) -> None:
        """Raise DataError for the first column that is missing, with the one probably meant."""
        for name in names:
            if name not in self.cells:
                guess = nearest(name, self.cells)
                hint = f" Did you mean '{guess}'?" if guess else ""
                known = ", ".join(self.cells)
                raise DataError(f"{self.path}: no column '{name}'.{hint} Columns: {known}")

    def texts(self, name: str) -> list[str]:
        """Return a column as text; DataError for an empty cell."""
        return self._convert(name, str)

    def numbers(self, name: str, low: float = 0.0, high: float = math.inf) -> np.ndarray:
        """Return a column as float64; DataError for a cell that is no number in [low, high]."""
        return np.array(
            self._convert(name, lambda cell: _number(cell, low, high)), dtype=np.float64
        )

    def counts(self, name: str, low: int = 0) -> np.ndarray:
        """Return a column as int64; DataError for a cell that is no whole number >= low."""
        return np.array(self._convert(name, lambda cell: _count(cell, low)), dtype=np.int64)

    def booleans(self, name: str) -> np.ndarray:
        """Return a column of true/false or 1/0, in any case, as bool; DataError for anything else."""
        return np.array(self._convert(name, _boolean), dtype=bool)

    def _convert(self, name: str, convert: Callable[[Any], T]) -> list[T]:
        self.require([name])
        values = []
        for index, cell in enumerate(self.cells[name]):
            try:
                values.append(convert(_filled(cell)))
            except ValueError as error:
                raise self.error(index, f"{name} {error}") from error
        return values


def read_columns(path: Path) -> Columns:
    """Read a table: Parquet by the ending `.parquet`, anything else as CSV.

    CSV: UTF-8 (a byte-order mark is fine), separated by comma, semicolon or tab, whichever the
    header has most of; blank rows are skipped but counted.

    Raises DataError when the file is absent or cannot be read as a table.
    """
    require_file(path, "" if path.is_absolute() else f" (looked in {Path.cwd()})")
    columns = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    if not len(columns):
        raise DataError(f"{path}: a header, but no rows")
    return columns


def _read_csv(path: Path) -> Columns:
    try:
        with io.TextIOWrapper(open_regular(path), encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            delimiter = max(DELIMITERS, key=first.count)
            records = list(
                csv.reader(file, delimiter=delimiter, skipinitialspace=True, strict=True)
            )
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error.reason}). Save it as CSV UTF-8") from error
    except (csv.Error, OSError) as error:
        raise DataError(f"{path}: not a readable CSV file ({error})") from error
    if not records or not any(records[0]):
        raise DataError(f"{path}: no header in the first row")
    header = [name.strip() for name in records[0]]
    _check_header(path, header)
    rows = [(row, cells) for row, cells in enumerate(records[1:], start=2) if any(cells)]
    for row, cells in rows:
        if len(cells) != len(header):
            raise DataError(
                f"{path}, row {row}: {len(cells)} cells, but the header has {len(header)}"
            )
    table = np.array([cells for _, cells in rows], dtype=object).reshape(len(rows), len(header))
    return Columns(
        path,
        {name: table[:, i] for i, name in enumerate(header)},
        np.array([row for row, _ in rows], dtype=np.int64),
    )


def _read_parquet(path: Path) -> Columns:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
        cells = [_objects(column.to_pylist()) for column in table.columns]
    # not UTF-8, dates that Python does not have, sizes that no memory holds, ...
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({shown(error)})") from error
    _check_header(path, table.column_names)
    by_name = dict(zip(table.column_names, cells, strict=True))
    return Columns(path, by_name, np.arange(2, table.num_rows + 2))


def _check_header(path: Path, header: list[str]) -> None:
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(f"{path}: two columns are called '{twice[0]}'")


def _objects(values: list[Any]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _filled(cell: Any) -> Any:
    if cell is None or cell == "" or (isinstance(cell, float) and math.isnan(cell)):
        raise ValueError("is empty")
    return cell


def plain_number(text: str) -> float:
    """Return the number in a cell of text; ValueError, saying `is 'x', not a number`, for anything else."""
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"is {shown(repr(text))}, not a number")
    return float(text)


def _number(cell: Any, low: float, high: float) -> float:
    try:
        value = plain_number(cell) if isinstance(cell, str) else float(cell)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"is {shown(repr(cell))}, not a number") from None
    if not low <= value <= high or math.isinf(value):
        span = f"in [{low:g}, {high:g}]" if math.isfinite(high) else f"at least {low:g}"
        raise ValueError(f"is {shown(cell)}; it must be {span}")
    return value


def _count(cell: Any, low: int) -> int:
    value = _number(cell, low, math.inf)
    if not value.is_integer():
        raise ValueError(f"is {shown(cell)}, not a whole number")
    if value > MAX_COUNT:
        raise ValueError(f"is {shown(cell)}; it must be at most {MAX_COUNT:,}")
    return int(value)


def _boolean(cell: Any) -> bool:
    value = {"true": True, "1": True, "false": False, "0": False}.get(str(cell).lower())
    if value is None:
        raise ValueError(f"is {shown(repr(cell))}, not true or false")
    return value
