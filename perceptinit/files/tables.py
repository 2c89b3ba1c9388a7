"""Read tables from CSV, JSON, .xlsx and Parquet files, with errors that name the file and the row."""

# N rows, D distinct cells of a column
import io
import json
import zipfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from perceptinit.errors import DataError, MissingPackageError, reading, shown
from perceptinit.files.columns import Columns
from perceptinit.files.csv_files import read_csv, to_csv
from perceptinit.files.reading import parse_json, read_bytes, require_file

# limits on an .xlsx file: a million rows (a full sheet) of 20 cells, and their text
MAX_CELLS = 20 << 20
MAX_XLSX_BYTES = 512 << 20


def read_table(path: Path, names: str | None = None) -> Columns:
    """Return the columns of a table. An unchanged file is read only once.

    The suffix selects the reader in `READERS`; other files are read as CSV. The first sheet of an .xlsx
    file is read. JSON files contain records, in one list or one per line, and HDF5 files observations of
    psiz. Cells of .txt files without commas, semicolons and tabs are separated by spaces.

    Args:
        path: The file.
        names: Names of the columns, separated by commas, for a file without a header, or `new:old` for each
            column to rename. A column without a name is skipped.

    Raises:
        DataError: If the file is missing, is not a table or has no rows.
        MissingPackageError: If the optional package for .xlsx or HDF5 files is not installed.
    """
    require_file(path, "" if path.is_absolute() else f" (looked in {Path.cwd()}). Set its path")
    with reading(f"{path}: cannot be read", OSError):
        about = path.stat()
    return _read(path, names, path.absolute(), about.st_size, about.st_mtime_ns, about.st_ino)


@lru_cache(maxsize=8)
def _read(path: Path, names: str | None, *unchanged: Any) -> Columns:
    import pyarrow

    columns = _read_named(path, names) if names else READERS.get(path.suffix.lower(), _read_text)(path)
    pyarrow.default_memory_pool().release_unused()  # of 10 million rows: 240 MB
    if not len(columns):
        raise DataError(f"{path}: a header, but no rows")
    return columns


def _read_named(path: Path, text: str) -> Columns:
    """Return a table with the column names that `read_table` documents."""
    names = [name.strip() for name in text.split(",")]
    if any(":" in name for name in names):
        return read_table(path).rename(dict(name.split(":", 1) for name in names if ":" in name))
    columns = _read_text(path, has_header=False)
    if len(names) != len(columns.names):
        raise DataError(f"{path}: {len(columns.names)} columns, but columns has {len(names)} names")
    return columns.rename({name: str(place) for place, name in enumerate(names) if name})


def _read_text(path: Path, *, has_header: bool = True) -> Columns:
    return _encode(path, *read_csv(path, has_header=has_header))


def _read_xlsx(path: Path) -> Columns:
    try:
        import openpyxl
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"{path}: .xlsx requires openpyxl. Run pip install 'perceptinit[xlsx]', or save it as CSV UTF-8"
        ) from error
    # openpyxl's parsers raise many exception types
    with reading(f"{path}: not a readable .xlsx file", Exception):
        data = read_bytes(path)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_XLSX_BYTES:
                raise _too_large(path, f"unpacks to more than {MAX_XLSX_BYTES >> 20} MB")
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        rows = list(_sheet_rows(path, book.worksheets[0]))
        width = len(rows[0]) if rows else 0
        text = to_csv(row + [""] * (width - len(row)) for row in rows)
        return _encode(path, *read_csv(path, ",", content=io.BytesIO(text)))


def _sheet_rows(path: Path, sheet: Any) -> Iterator[list[str]]:
    """Yield each row up to its last filled cell; DataError for more than MAX_CELLS cells."""
    sheet.reset_dimensions()  # the stated dimensions may include empty cells
    num_cells = 0
    for cells in sheet.iter_rows(values_only=True):
        num_cells += len(cells)
        if num_cells > MAX_CELLS:
            raise _too_large(path, f"has more than {MAX_CELLS:,} cells, including empty ones")
        row = [_cell_text(cell) for cell in cells]
        yield row[: max((i for i, cell in enumerate(row, start=1) if cell), default=0)]


def _too_large(path: Path, what: str) -> DataError:
    return DataError(f"{path}: {what}. Save only the table, as CSV UTF-8")


def _cell_text(cell: Any) -> str:
    """Return a cell as a spreadsheet displays it; whole numbers have no decimal point."""
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def _read_json(path: Path) -> Columns:
    """Return the records (objects) of a JSON file, in one list or one per line."""
    with reading(f"{path}: not a readable JSON file", OSError, ValueError):
        data = read_bytes(path)
        try:
            records = _flatten(parse_json(data))
        except ValueError:
            lines = (line for line in data.splitlines() if line.strip())
            records = [record for line in lines for record in _flatten(parse_json(line))]
    if not records or not all(isinstance(record, dict) for record in records):
        raise DataError(f'{path}: not a list of records, such as [{{"COLUMN": "cell", ...}}, ...]')
    if len(records) == 1 and all(isinstance(value, dict) for value in records[0].values()):
        raise DataError(
            f"{path}: one object with the keys {shown(', '.join(records[0]))}, not a list of records. "
            'Export CSV, or records such as [{"anchor": "a.png", ...}, ...]'
        )
    names = list(dict.fromkeys(name for record in records for name in record))
    cells = {name: [_json_cell(record.get(name)) for record in records] for name in names}
    return Columns.of(path, cells, np.arange(1, len(records) + 1))


def _flatten(value: Any) -> list[Any]:
    """Return the records in a value: one record, a list of records, or a list of lists."""
    outer = value if isinstance(value, list) else [value]
    return [r for inner in outer for r in (inner if isinstance(inner, list) else [inner])]


def _json_cell(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float) else json.dumps(value)


def _read_parquet(path: Path) -> Columns:
    import pyarrow
    from pyarrow import parquet

    # text that is not UTF-8, dates outside of Python's range, sizes beyond memory, ...
    unreadable = (pyarrow.ArrowException, OSError, ValueError, OverflowError, MemoryError)
    with reading(f"{path}: not a readable Parquet file", *unreadable):
        schema = parquet.read_schema(path)
        texts = [field.name for field in schema if pyarrow.types.is_string(field.type)]
        # texts stay in the dictionary of the file, which takes a third of the time and memory
        table = parquet.read_table(path, read_dictionary=texts).unify_dictionaries()
        return _encode(path, table, np.arange(2, table.num_rows + 2))


def _read_psiz(path: Path) -> Columns:
    """Return rank observations: numbers of the query, of chosen images in order and of other images.

    Source: `RankObservations.save` of psiz 0.4, where -1 fills up trials with fewer images.
    """
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"{path}: .hdf5 requires h5py. Run pip install 'perceptinit[hdf5]'"
        ) from error
    with (
        reading(f"{path}: not rank observations of psiz", OSError, KeyError, ValueError),
        h5py.File(path) as file,
    ):
        images = file["stimulus_set"][:]
        num_chosen = file["n_select"][:]
    cells: dict[str, list[Any]] = {"anchor": images[:, 0].tolist()}
    for place in range(1, images.shape[1]):
        column = images[:, place]
        for name, is_own in (("chosen", place <= num_chosen), ("other", place > num_chosen)):
            filled = is_own & (column >= 0)
            cells[f"{name}_{place}"] = [int(n) if f else None for n, f in zip(column, filled, strict=True)]
    return Columns.of(path, cells, np.arange(1, len(images) + 1))


def _encode(path: Path, table: Any, rows: np.ndarray) -> Columns:
    """Return the columns of a pyarrow table without blank rows."""
    header = table.column_names
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(f"{path}: two columns have the name '{twice[0]}'. The first row must be a header")
    distinct = {}
    codes = {}
    for name, column in zip(header, table.columns, strict=True):
        distinct[name], codes[name] = _encode_column(column.combine_chunks())
    columns = Columns(path, distinct, codes, rows)
    if not all("" in cells for cells in distinct.values()):
        return columns  # a column without empty cells: no row is blank
    filled = [np.array([cell != "" for cell in distinct[n]], bool)[codes[n]] for n in header]
    return columns.select(np.any(filled, axis=0)) if filled and len(rows) else columns


def _encode_column(column: Any) -> tuple[list[Any], np.ndarray]:
    """Return the distinct values of a pyarrow array, with None for nulls, and its codes."""
    import pyarrow

    if pyarrow.types.is_nested(column.type):
        return column.to_pylist(), np.arange(len(column), dtype=np.int32)
    if not pyarrow.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    values = column.dictionary.to_pylist()
    codes = column.indices.cast(pyarrow.int32())  # a category of pandas may have int8
    if codes.null_count:
        codes = codes.fill_null(len(values))
    return [*values, None], np.from_dlpack(codes)  # `to_numpy` would import pandas


# readers by suffix
READERS = {
    ".csv": _read_text,
    ".tsv": _read_text,
    ".txt": _read_text,
    ".parquet": _read_parquet,
    ".xlsx": _read_xlsx,
    ".json": _read_json,
    ".jsonl": _read_json,
}
TABLE_SUFFIXES = tuple(READERS)
HDF5_SUFFIXES = (".hdf5", ".h5")  # of matrices, too
READERS |= dict.fromkeys(HDF5_SUFFIXES, _read_psiz)
