"""Columns of a table by name, with errors that name the rows as a spreadsheet shows them."""

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

# more than there are people; sums over all rows stay exact
MAX_COUNT = 10**12
# what Python would also read: 1_0, digits of other scripts
_NUMBER = re.compile(
    r"\s*[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|nan|inf(inity)?)\s*", re.A | re.I
)
# rows with the same mistake that a message lists
MAX_LISTED = 10
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """N texts, each stored once: text i is `distinct[codes[i]]`.

    codes: int64 (N,). distinct: D different texts, sorted.
    """

    codes: np.ndarray
    distinct: tuple[str, ...]

    @classmethod
    def of(cls, codes: np.ndarray, texts: Sequence[str]) -> Coded:
        """Return the texts `texts[codes[i]]`, coded anew; `texts` may repeat and may hold unused ones."""
        used = np.unique(codes)
        distinct = sorted({texts[code] for code in used})
        place = {text: i for i, text in enumerate(distinct)}
        new = np.zeros(len(texts), dtype=np.int64)
        new[used] = [place[texts[code]] for code in used]
        return cls(new[codes], tuple(distinct))

    def __len__(self) -> int:
        return len(self.codes)

    def texts(self) -> list[str]:
        return [self.distinct[code] for code in self.codes]


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The cells of a table by column: text from CSV, typed values (None when empty) from Parquet.

    distinct: D cells of each column, of which no two are the same text or value.
    codes: int64 (N,) of each column: cell i is `distinct[codes[i]]`. Tables repeat themselves, so what
    is done with cells is done with the distinct ones.
    rows: int64 (N,), the row numbers in a spreadsheet, where the header is row 1.
    """

    path: Path
    distinct: dict[str, list[Any]]
    codes: dict[str, np.ndarray]
    rows: np.ndarray

    @classmethod
    def of(cls, path: Path, cells: Mapping[str, Sequence[Any]], rows: np.ndarray) -> Columns:
        """Return columns of cells that can be hashed, such as text."""
        distinct, codes = {}, {}
        for name, column in cells.items():
            place: dict[Any, int] = {}
            codes[name] = np.array([place.setdefault(c, len(place)) for c in column], np.int64)
            distinct[name] = list(place)
        return cls(path, distinct, codes, rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, name: str) -> bool:
        return name in self.codes

    @property
    def names(self) -> KeysView[str]:
        """The names of the columns, in their order."""
        return self.codes.keys()

    def cells(self, name: str) -> list[Any]:
        """Return the N cells of a column as the file has them."""
        return [self.distinct[name][code] for code in self.codes[name].tolist()]

    def select(self, mask: np.ndarray) -> Columns:
        """Return the rows of a mask; they keep their numbers."""
        codes = {name: column[mask] for name, column in self.codes.items()}
        return replace(self, codes=codes, rows=self.rows[mask])

    def cell(self, name: str, index: int) -> Any:
        """Return one cell as the file has it."""
        return self.distinct[name][self.codes[name][index]]

    def error(self, indices: int | np.ndarray, message: str) -> DataError:
        """Return the error to raise for the rows at `indices` (from 0); the message is about the first."""
        return row_error(self.path, np.unique(self.rows[np.atleast_1d(indices)]), message)

    def require(self, names: Iterable[str]) -> None:
        """Raise DataError for the first column that is missing, with the one probably meant."""
        for name in names:
            if name not in self.codes:
                hint = suggest(name, self.codes)
                known = shown(", ".join(self.codes), 1000)
                raise DataError(f"{self.path}: no column '{name}'.{hint} Columns: {known}")

    def coded(self, name: str, convert: Callable[[str], str] = str, fill: str | None = None) -> Coded:
        """Return a column as text, each text changed by `convert`.

        fill: what stands for an empty cell; None: an empty cell is a mistake.

        Raises DataError for wrong cells, which are those that `convert` raises ValueError for.
        """
        texts = self._convert(name, lambda cell: convert(str(cell)), fill)
        return Coded.of(self.codes[name], texts)

    def texts(self, name: str) -> list[str]:
        """Return a column as text; DataError for an empty cell."""
        return self.coded(name).texts()

    def numbers(self, name: str, low: float = 0.0, high: float = math.inf) -> np.ndarray:
        """Return a column as float64; DataError for a cell that is no number in [low, high]."""
        values = self._convert(name, lambda cell: _number(cell, low, high))
        return np.array(values, dtype=np.float64)[self.codes[name]]

    def counts(self, name: str, low: int = 0) -> np.ndarray:
        """Return a column as int64; DataError for a cell that is no whole number >= low."""
        values = self._convert(name, lambda cell: _count(cell, low))
        return np.array([value or 0 for value in values], dtype=np.int64)[self.codes[name]]

    def booleans(self, name: str) -> np.ndarray:
        """Return a column of true/false or 1/0, in any case, as bool; DataError for anything else."""
        return np.array(self._convert(name, _boolean), dtype=bool)[self.codes[name]]

    def _convert(self, name: str, convert: Callable[[Any], T], fill: T | None = None) -> list[Any]:
        """Return what becomes of each distinct cell, None for those that do not occur.

        Raises DataError with a line for each sort of mistake.
        """
        self.require([name])
        codes, cells = self.codes[name], self.distinct[name]
        values: list[Any] = [None] * len(cells)
        wrong: dict[str, dict[int, str]] = {}
        for code in np.unique(codes).tolist():
            try:
                values[code] = _convert_cell(cells[code], convert, fill)
            except ValueError as error:
                sort = str(error).replace(str(cells[code]), "")
                wrong.setdefault(sort, {})[code] = str(error)
        errors = []
        for messages in wrong.values():
            indices = np.flatnonzero(np.isin(codes, list(messages)))
            message = messages[codes[indices[0]]]
            errors.append(self.error(indices, f"{name}{message if message[0] == ':' else ' ' + message}"))
        raise_all(errors)
        return values


def row_error(path: Path, rows: np.ndarray, message: str) -> DataError:
    """Return the error of the rows with these numbers, as a spreadsheet shows them; the message is about the first."""
    more = ", ..." if len(rows) > MAX_LISTED else ""
    listed = ", ".join(map(str, rows[:MAX_LISTED]))
    such = f" ({len(rows):,} such rows: {listed}{more})" if len(rows) > 1 else ""
    return DataError(f"{path}, row {rows[0]}: {shown(message, 1000)}{such}")


def raise_all(errors: Iterable[DataError]) -> None:
    """Raise one DataError with a line for each of the errors, if there are any."""
    messages = [str(error) for error in errors]
    if messages:
        raise DataError("\n".join(messages))


def read_all(*readers: Callable[[], Any]) -> list[Any]:
    """Return what the readers return; DataError with the mistakes of all of them."""
    values, errors = [], []
    for reader in readers:
        try:
            values.append(reader())
        except DataError as error:
            errors.append(error)
    raise_all(errors)
    return values


def _convert_cell(cell: Any, convert: Callable[[Any], T], fill: T | None) -> T:
    if cell is not None and cell != "" and not (isinstance(cell, float) and math.isnan(cell)):
        return convert(cell)
    if fill is None:
        raise ValueError("is empty")
    return fill


def is_number(text: str) -> bool:
    """Return whether a cell of text is a number, NaN and infinity included."""
    return _NUMBER.fullmatch(text) is not None


def plain_number(text: str) -> float:
    """Return the number in a cell of text; ValueError, saying `is 'x', not a number`, for anything else."""
    if not is_number(text):
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
