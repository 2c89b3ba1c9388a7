"""Read a CSV or Parquet file by column name, with errors that name the rows as a spreadsheet shows them."""

from __future__ import annotations

# N rows, D distinct cells of a column
import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from perceptinit.errors import DataError, MissingPackageError, shown
from perceptinit.files.archives import unpacked_bytes
from perceptinit.files.reading import parse_json, read_bytes, require_file
from perceptinit.judgments.reading.next_export import answers_in, is_export
from perceptinit.registry import nearest

DELIMITERS = ",;\t"
# more than there are people; sums over all rows stay exact
MAX_COUNT = 10**12
# what Python would also read: 1_0, digits of other scripts
_NUMBER = re.compile(
    r"\s*[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|nan|inf(inity)?)\s*", re.A | re.I
)
# of an .xlsx: a million rows of twenty cells, which is what a sheet has room for, and the text of them
MAX_CELLS = 20 << 20
MAX_XLSX_BYTES = 512 << 20
# rows of one sort of mistake that are named
MAX_TOLD = 10
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

    @property
    def cells(self) -> Mapping[str, np.ndarray]:
        """The cells of each column, (N,) of objects; made when they are asked for."""
        return _Cells(self)

    def select(self, mask: np.ndarray) -> Columns:
        """Return the rows of a mask; they keep their numbers."""
        codes = {name: column[mask] for name, column in self.codes.items()}
        return replace(self, codes=codes, rows=self.rows[mask])

    def cell(self, name: str, index: int) -> Any:
        """Return one cell as the file has it."""
        return self.distinct[name][self.codes[name][index]]

    def error(self, indices: int | np.ndarray, message: str) -> DataError:
        """Return the error for the rows at `indices` (from 0), to be raised; it tells of the first."""
        rows = self.rows[np.atleast_1d(indices)]
        more = ", ..." if len(rows) > MAX_TOLD else ""
        told = ", ".join(map(str, rows[:MAX_TOLD]))
        such = f" ({len(rows):,} such rows: {told}{more})" if len(rows) > 1 else ""
        return DataError(f"{self.path}, row {rows[0]}: {shown(message, 1000)}{such}")

    def require(self, names: Iterable[str]) -> None:
        """Raise DataError for the first column that is missing, with the one probably meant."""
        for name in names:
            if name not in self.codes:
                guess = nearest(name, self.codes)
                hint = f" Did you mean '{guess}'?" if guess else ""
                known = shown(", ".join(self.codes), 1000)
                raise DataError(f"{self.path}: no column '{name}'.{hint} Columns: {known}")

    def coded(self, name: str, convert: Callable[[str], str] = str) -> Coded:
        """Return a column as text, each text changed by `convert`.

        Raises DataError for empty cells and those that `convert` raises ValueError for.
        """
        texts = self._convert(name, lambda cell: convert(str(cell)))
        return Coded.of(self.codes[name], texts)

    def texts(self, name: str) -> list[str]:
        """Return a column as text; DataError for an empty cell."""
        values = self._convert(name, str)
        return [values[code] for code in self.codes[name]]

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

    def _convert(self, name: str, convert: Callable[[Any], T]) -> list[Any]:
        """Return what becomes of each distinct cell, None for those that do not occur.

        Raises DataError with a line for each sort of mistake.
        """
        self.require([name])
        codes, cells = self.codes[name], self.distinct[name]
        values: list[Any] = [None] * len(cells)
        wrong: dict[str, list[tuple[int, str]]] = {}
        for code in np.unique(codes).tolist():
            try:
                values[code] = convert(_filled(cells[code]))
            except ValueError as error:
                sort = str(error).replace(str(cells[code]), "")
                wrong.setdefault(sort, []).append((code, str(error)))
        raise_all(self._wrong_cells(name, cases) for cases in wrong.values())
        return values

    def _wrong_cells(self, name: str, cases: Sequence[tuple[int, str]]) -> DataError:
        indices = np.flatnonzero(np.isin(self.codes[name], [code for code, _ in cases]))
        first = self.codes[name][indices[0]]
        message = next(message for code, message in cases if code == first)
        return self.error(indices, f"{name}{message if message[0] == ':' else ' ' + message}")


class _Cells(Mapping[str, np.ndarray]):
    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def __getitem__(self, name: str) -> np.ndarray:
        distinct = self._columns.distinct[name]
        cells = np.empty(len(distinct), dtype=object)
        cells[:] = distinct
        return cells[self._columns.codes[name]]

    def __contains__(self, name: object) -> bool:
        return name in self._columns.codes

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns.codes)

    def __len__(self) -> int:
        return len(self._columns.codes)


def raise_all(errors: Iterable[DataError]) -> None:
    """Raise one DataError that tells all of them, a line each, if there are any."""
    told = [str(error) for error in errors]
    if told:
        raise DataError("\n".join(told))


def read_all(*readers: Callable[[], Any]) -> list[Any]:
    """Return what the readers return; DataError that tells the mistakes of all of them."""
    values, errors = [], []
    for reader in readers:
        try:
            values.append(reader())
        except DataError as error:
            errors.append(error)
    raise_all(errors)
    return values


def read_columns(path: Path) -> Columns:
    """Read a table, once while it is unchanged: `.parquet`, `.xlsx`, `.json` and `.jsonl`, else CSV.

    .xlsx: the first sheet (extra `xlsx`). .json, .jsonl: records, in one list or one a line.
    CSV: UTF-8 (a byte-order mark is fine), separated by comma, semicolon or tab, whichever the
    header has most of; blank rows are skipped but counted.

    Raises DataError when the file is absent or cannot be read as a table.
    """
    require_file(path, "" if path.is_absolute() else f" (looked in {Path.cwd()})")
    try:
        about = path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    return _read(path, path.absolute(), about.st_size, about.st_mtime_ns, about.st_ino)


@lru_cache(maxsize=8)
def _read(path: Path, *unchanged: Any) -> Columns:
    reader = {
        ".parquet": _read_parquet,
        ".xlsx": _read_xlsx,
        ".json": _read_json,
        ".jsonl": _read_json,
    }
    columns = reader.get(path.suffix.lower(), _read_csv)(path)
    if not len(columns):
        raise DataError(f"{path}: a header, but no rows")
    return columns


def _read_csv(path: Path) -> Columns:
    try:
        data = read_bytes(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    header = data[: data.find(b"\n")] if b"\n" in data else data
    delimiter = max(DELIMITERS, key=lambda sign: header.count(sign.encode()))
    table = _plain_csv(data, delimiter)
    if table is not None:
        return _from_arrow(path, table, "")
    return _any_csv(path, data, delimiter)


def _plain_csv(data: bytes, delimiter: str) -> Any | None:
    """Return the table as Arrow reads it, or None where the `csv` module has to: quotes, spaces, mistakes."""
    import pyarrow
    from pyarrow import csv as arrow_csv

    odd = (b'"', f"{delimiter} ".encode(), b"\n ")
    if b"\n" not in data or any(sign in data for sign in odd):
        return None
    names = data[: data.find(b"\n")].decode("utf-8-sig", errors="replace").split(delimiter)
    names = [name.strip() for name in names]
    text = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    try:
        return arrow_csv.read_csv(
            pyarrow.BufferReader(data),
            read_options=arrow_csv.ReadOptions(
                column_names=names,
                skip_rows=1,
                block_size=max(1 << 20, len(data) + 1),
                use_threads=False,
            ),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, ignore_empty_lines=False),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, text), strings_can_be_null=False
            ),
        )
    except pyarrow.ArrowException:
        return None


def _any_csv(path: Path, data: bytes, delimiter: str) -> Columns:
    """Return the table as the `csv` module reads it; DataError that says what is wrong where."""
    try:
        text = io.StringIO(data.decode("utf-8-sig"), newline="")
        records = list(csv.reader(text, delimiter=delimiter, skipinitialspace=True, strict=True))
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error.reason}). Save it as CSV UTF-8") from error
    except csv.Error as error:
        raise DataError(f"{path}: not a readable CSV file ({error})") from error
    return _from_records(path, records)


def _from_records(path: Path, records: list[list[str]]) -> Columns:
    """Return the columns of a header and rows of text; DataError for a row that is not as long as the header."""
    import pyarrow

    if not records or not any(records[0]):
        raise DataError(f"{path}: no header in the first row")
    header = [name.strip() for name in records[0]]
    cells = [row if any(row) else [""] * len(header) for row in records[1:]]
    ragged = [row for row, record in enumerate(cells, start=2) if len(record) != len(header)]
    if ragged:
        such = f" ({len(ragged):,} such rows)" if len(ragged) > 1 else ""
        raise DataError(
            f"{path}, row {ragged[0]}: {len(cells[ragged[0] - 2])} cells, but the header has "
            f"{len(header)}{such}"
        )
    arrays = [pyarrow.array(column, pyarrow.string()) for column in zip(*cells, strict=True)]
    arrays = arrays or [pyarrow.array([], pyarrow.string())] * len(header)
    return _from_arrow(path, pyarrow.Table.from_arrays(arrays, names=header), "")


def _read_xlsx(path: Path) -> Columns:
    try:
        import openpyxl
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"{path}: reading .xlsx takes a further package: pip install 'perceptinit[xlsx]', or save it as CSV UTF-8"
        ) from error
    try:
        data = read_bytes(path)
        if unpacked_bytes(data) > MAX_XLSX_BYTES:
            raise _too_large(path, f"unpacks to more than {MAX_XLSX_BYTES >> 20} MB")
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        rows = list(_sheet_rows(path, book.worksheets[0]))
    except DataError:
        raise
    except Exception as error:  # of a damaged archive openpyxl raises what its parsers raise
        raise DataError(f"{path}: not a readable .xlsx file ({shown(error)})") from error
    width = max((i for i, name in enumerate(rows[0] if rows else []) if name), default=-1) + 1
    return _from_records(path, [row + [""] * (width - len(row)) for row in rows])


def _sheet_rows(path: Path, sheet: Any) -> Iterator[list[str]]:
    """Yield the cells of each row up to the last filled one; DataError beyond MAX_CELLS, empty ones counted."""
    sheet.reset_dimensions()  # as stated, they may be of a whole sheet
    num_cells = 0
    for cells in sheet.iter_rows(values_only=True):
        num_cells += len(cells)
        if num_cells > MAX_CELLS:
            raise _too_large(path, f"has more than {MAX_CELLS:,} cells, empty ones among others")
        row = [_spelt(cell) for cell in cells]
        yield row[: _width(row)]


def _too_large(path: Path, what: str) -> DataError:
    return DataError(f"{path}: {what}. Save the table alone as CSV UTF-8")


def _width(row: list[str]) -> int:
    return max((i for i, cell in enumerate(row) if cell), default=-1) + 1


def _spelt(cell: Any) -> str:
    """Return a cell as a spreadsheet shows it; whole numbers have no point."""
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def _read_json(path: Path) -> Columns:
    """Return records (objects) of a JSON file by key: in one list, in lists or alone a line, or as NEXT exports them."""
    try:
        data = read_bytes(path)
        try:
            values = [parse_json(data)]
        except ValueError:
            values = [parse_json(line) for line in data.splitlines() if line.strip()]
        values = [list(answers_in(value)) if is_export(value) else value for value in values]
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable JSON file ({shown(error)})") from error
    records = [
        record for value in values for record in (value if isinstance(value, list) else [value])
    ]
    records = [r for record in records for r in (record if isinstance(record, list) else [record])]
    if not records or not all(isinstance(record, dict) for record in records):
        raise DataError(f'{path}: no list of records, such as [{{"anchor": "a.png", ...}}, ...]')
    names = list(dict.fromkeys(name for record in records for name in record))
    cells = {name: [_cell(record.get(name)) for record in records] for name in names}
    return Columns.of(path, cells, np.arange(1, len(records) + 1))


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float) else json.dumps(value)


def _read_parquet(path: Path) -> Columns:
    import pyarrow
    from pyarrow import parquet

    try:
        return _from_arrow(path, parquet.read_table(path), None)
    # not UTF-8, dates that Python does not have, sizes that no memory holds, ...
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({shown(error)})") from error


def _from_arrow(path: Path, table: Any, blank: str | None) -> Columns:
    """Return the columns of an Arrow table; in CSV (`blank`: an empty cell) rows of empty cells are left out."""
    _check_header(path, table.column_names)
    distinct, codes = {}, {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        distinct[name], codes[name] = _encoded(column.combine_chunks())
    columns = Columns(path, distinct, codes, np.arange(2, table.num_rows + 2))
    if blank is None:
        return columns
    filled = [np.array([cell != blank for cell in distinct[n]], bool)[codes[n]] for n in codes]
    return columns.select(np.any(filled, axis=0)) if filled and len(columns) else columns


def _encoded(column: Any) -> tuple[list[Any], np.ndarray]:
    """Return the distinct values of an Arrow array, None among them where it has nulls, and its codes."""
    import pyarrow

    if pyarrow.types.is_nested(column.type):
        return column.to_pylist(), np.arange(len(column))
    if not pyarrow.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    values = column.dictionary.to_pylist()
    codes = column.indices
    if codes.null_count:
        codes = codes.fill_null(len(values))
    codes = np.from_dlpack(codes).astype(np.int64)  # `to_numpy` would import pandas
    return [*values, None], codes


def _check_header(path: Path, header: list[str]) -> None:
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(f"{path}: two columns are called '{twice[0]}'")


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
