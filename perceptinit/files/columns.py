"""Typed access to the columns of a table, with errors that name spreadsheet rows."""

from __future__ import annotations

# N rows, D distinct cells of a column
import math
import re
from collections.abc import Callable, Iterable, KeysView, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from perceptinit.errors import DataError, shown
from perceptinit.registry import suggest

# of votes, which are int32
MAX_COUNT = 2**31 - 1
# stricter than `float`, which accepts 1_0 and digits of other scripts
_NUMBER = re.compile(
    r"\s*[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|nan|inf(inity)?)\s*", re.A | re.I
)
# maximum number of rows that an error message lists
MAX_LISTED = 10
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """N dictionary-encoded texts: text i is `distinct[codes[i]]`.

    codes: int32 (N,). distinct: D distinct texts, sorted.
    """

    codes: np.ndarray
    distinct: tuple[str, ...]

    @classmethod
    def of(cls, codes: np.ndarray, texts: Sequence[str]) -> Coded:
        """Encode the texts `texts[codes[i]]`; `texts` may contain duplicates and unused texts."""
        used = find_used(codes, len(texts))
        distinct = sorted({texts[code] for code in used})
        place = {text: i for i, text in enumerate(distinct)}
        new = np.zeros(len(texts), dtype=np.int32)
        new[used] = [place[texts[code]] for code in used]
        return cls(new[codes], tuple(distinct))

    def __len__(self) -> int:
        return len(self.codes)

    def texts(self) -> list[str]:
        return [self.distinct[code] for code in self.codes]


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Dictionary-encoded columns: text from CSV, typed values (None for empty cells) from Parquet.

    Args:
        path: The file.
        distinct: The D distinct cells of each column, to which conversions apply.
        codes: int32 (N,) for each column: cell i is `distinct[codes[i]]`.
        rows: int64 (N,), the row numbers in a spreadsheet, where the header is row 1.
    """

    path: Path
    distinct: dict[str, list[Any]]
    codes: dict[str, np.ndarray]
    rows: np.ndarray

    @classmethod
    def of(cls, path: Path, cells: Mapping[str, Sequence[Any]], rows: np.ndarray) -> Columns:
        """Return dictionary-encoded columns for hashable cells."""
        distinct = {}
        codes = {}
        for name, column in cells.items():
            place: dict[Any, int] = {}
            codes[name] = np.array([place.setdefault(c, len(place)) for c in column], np.int32)
            distinct[name] = list(place)
        return cls(path, distinct, codes, rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, name: str) -> bool:
        return name in self.codes

    @property
    def names(self) -> KeysView[str]:
        """Return the names of the columns, in order."""
        return self.codes.keys()

    def cells(self, name: str) -> list[Any]:
        """Return the N cells of a column, unconverted."""
        return [self.distinct[name][code] for code in self.codes[name].tolist()]

    def select(self, mask: np.ndarray) -> Columns:
        """Return the rows that a mask selects, with their row numbers."""
        codes = {name: column[mask] for name, column in self.codes.items()}
        return replace(self, codes=codes, rows=self.rows[mask])

    def copy_column(self, name: str, copy: str) -> Columns:
        """Return the table with an additional column `copy` that equals the column `name`."""
        return self.rename({name: name, copy: name})

    def rename(self, old_of: Mapping[str, str]) -> Columns:
        """Return the table with renamed columns; `old_of` maps new names to old ones.

        A new name replaces a column that has this name.

        Raises:
            DataError: If an old name is missing.
        """
        self.require(old_of.values())
        names = {name: name for name in self.codes if name not in old_of.values()} | dict(old_of)
        return replace(
            self,
            distinct={new: self.distinct[old] for new, old in names.items()},
            codes={new: self.codes[old] for new, old in names.items()},
        )

    def cell(self, name: str, index: int) -> Any:
        """Return one cell, unconverted."""
        return self.distinct[name][self.codes[name][index]]

    def error(self, indices: int | np.ndarray, message: str) -> DataError:
        """Return an error for the rows at `indices` (from 0); `message` describes the first row."""
        return row_error(self.path, np.unique(self.rows[np.atleast_1d(indices)]), message)

    def refuse(self, bad: np.ndarray, message: str | Callable[[int], str]) -> None:
        """Raise DataError for the rows of the mask `bad`, (N,), if there are any.

        message: The message, or a function of the index of the first row that returns it.
        """
        rows = np.flatnonzero(bad)
        if rows.size:
            raise self.error(rows, message if isinstance(message, str) else message(rows[0]))

    def require(self, names: Iterable[str]) -> None:
        """Raise DataError for the first missing column, with a suggestion."""
        for name in names:
            if name not in self.codes:
                raise DataError(
                    f"{self.path}: no column '{name}'.{suggest(name, self.codes)} "
                    f"Columns: {shown(', '.join(self.codes), 1000)}"
                )

    def coded(self, name: str, convert: Callable[[str], str] = str, fill: str | None = None) -> Coded:
        """Return a column as dictionary-encoded texts, converted by `convert`.

        Args:
            name: The column.
            convert: Returns the converted text; ValueError for invalid text.
            fill: Text for empty cells; None: an empty cell is an error.

        Raises:
            DataError: For invalid cells.
        """
        texts = self._convert(name, lambda cell: convert(str(cell)), fill)
        return Coded.of(self.codes[name], texts)

    def texts(self, name: str) -> list[str]:
        """Return a column as text; DataError for an empty cell."""
        return self.coded(name).texts()

    def numbers(self, name: str, low: float = 0.0, high: float = math.inf) -> np.ndarray:
        """Return a column as float64; DataError for a cell that is not a number in [low, high]."""
        values = self._convert(name, lambda cell: _number(cell, low, high))
        return np.array(values, dtype=np.float64)[self.codes[name]]

    def any_numbers(self, name: str) -> np.ndarray:
        """Return a column as float64, with NaN for empty cells; DataError for a cell that is not a number."""
        values = self._convert(name, lambda cell: plain_number(str(cell)), math.nan)
        return np.array(values, dtype=np.float64)[self.codes[name]]

    def counts(self, name: str, low: int = 0) -> np.ndarray:
        """Return a column as int64; DataError for a cell that is not a whole number >= low."""
        values = self._convert(name, lambda cell: _count(cell, low))
        return np.array([value or 0 for value in values], dtype=np.int64)[self.codes[name]]

    def booleans(self, name: str) -> np.ndarray:
        """Return a column of true/false (any case) or 1/0 as bool; DataError for other cells."""
        return np.array(self._convert(name, _boolean), dtype=bool)[self.codes[name]]

    def _convert(self, name: str, convert: Callable[[Any], T], fill: T | None = None) -> list[Any]:
        """Return the converted distinct cells (None if unused); DataError with a line per kind of error."""
        self.require([name])
        codes = self.codes[name]
        cells = self.distinct[name]
        values: list[Any] = [None] * len(cells)
        wrong: dict[str, dict[int, str]] = {}
        for code in find_used(codes, len(cells)):
            cell = cells[code]
            is_empty = cell is None or cell == "" or (isinstance(cell, float) and math.isnan(cell))
            try:
                if is_empty and fill is None:
                    raise ValueError("is empty. Fill the cell, or remove the row")
                values[code] = fill if is_empty else convert(cell)
            except ValueError as error:
                kind = str(error).replace(str(cell), "")
                wrong.setdefault(kind, {})[code] = str(error)
        errors = []
        for messages in wrong.values():
            indices = np.flatnonzero(np.isin(codes, list(messages)))
            message = messages[codes[indices[0]]]
            errors.append(self.error(indices, f"{name}{message if message[0] == ':' else ' ' + message}"))
        raise_all(errors)
        return values


def find_used(codes: np.ndarray, count: int) -> list[int]:
    """Return the distinct codes below `count`, sorted; for many rows, np.unique takes 50 times as long."""
    return np.flatnonzero(np.bincount(codes, minlength=count)).tolist()


def row_error(path: Path, rows: np.ndarray, message: str) -> DataError:
    """Return an error for these spreadsheet rows; `message` describes the first row."""
    more = ", ..." if len(rows) > MAX_LISTED else ""
    listed = ", ".join(map(str, rows[:MAX_LISTED]))
    such = f" ({len(rows):,} such rows: {listed}{more})" if len(rows) > 1 else ""
    return DataError(f"{path}, row {rows[0]}: {shown(message, 1000)}{such}")


def raise_all(errors: Iterable[DataError]) -> None:
    """Raise one DataError with a line for each error, if there are any."""
    messages = list(map(str, errors))
    if messages:
        raise DataError("\n".join(messages))


def read_all(*readers: Callable[[], Any]) -> list[Any]:
    """Call all readers and return their results; one DataError combines their errors."""
    values = []
    errors = []
    for reader in readers:
        try:
            values.append(reader())
        except DataError as error:
            errors.append(error)
    raise_all(errors)
    return values


def is_number(text: str) -> bool:
    """Return whether a text is a number, including NaN and infinity."""
    return _NUMBER.fullmatch(text) is not None


def plain_number(text: str) -> float:
    """Return the number in a text; otherwise ValueError with the message `is 'x', not a number`."""
    if not is_number(text):
        raise ValueError(f"is {shown(repr(text))}, not a number with a decimal point")
    return float(text)


def _number(cell: Any, low: float, high: float, wanted: str = "a number with a decimal point") -> float:
    try:
        value = plain_number(cell) if isinstance(cell, str) else float(cell)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"is {shown(repr(cell))}, not {wanted}") from None
    if not low <= value <= high or math.isinf(value):
        span = f"in [{low:g}, {high:g}]" if math.isfinite(high) else f"at least {low:g}"
        raise ValueError(f"is {shown(cell)}; it must be {span}")
    return value


def _count(cell: Any, low: int) -> int:
    value = _number(cell, low, math.inf, "a whole number")
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
