"""Read a table by its file: CSV, JSON, .xlsx, Parquet, and the exports that come as one of these."""

from __future__ import annotations

# N rows, D distinct cells of a column
import csv
import io
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from perceptinit.errors import DataError, MissingPackageError, shown
from perceptinit.files.archives import unpacked_bytes
from perceptinit.files.reading import parse_json, read_bytes, require_file
from perceptinit.judgments.reading.columns import Columns
from perceptinit.judgments.reading.next_export import answers_in, is_export

DELIMITERS = ",;\t"
# of an .xlsx: a million rows of twenty cells, which is what a sheet has room for, and the text of them
MAX_CELLS = 20 << 20
MAX_XLSX_BYTES = 512 << 20


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
