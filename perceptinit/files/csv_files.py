"""The CSV reader for tables of judgments, matrices and image-text pairs."""

# N rows
import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from perceptinit.errors import DataError, shown
from perceptinit.files.columns import row_error
from perceptinit.files.reading import open_regular

ARRAYS = (".npy", ".npz", ".mat")
SEPARATORS = ",;\t"
# pyarrow refuses rows that are longer than a block; values by item of 200,000 judgments take 16 MB
BLOCK_BYTES = 32 << 20


def read_csv(
    path: Path,
    separator: str | None = None,
    columns: Sequence[str] | None = None,
    *,
    has_header: bool = True,
    content: IO[bytes] | None = None,
) -> tuple[Any, np.ndarray]:
    """Return the cells of a CSV file as text, and the spreadsheet row numbers.

    Args:
        path: The file, in UTF-8, with or without a byte-order mark.
        separator: One character. If None, it is the most frequent of `SEPARATORS` in the first line, and
            spaces around separators are ignored. Cells of a .txt file without them are separated by spaces.
        columns: The columns to read; all if None.
        has_header: Whether the first row contains the column names. If False, the names are "0", "1", ...
        content: Binary file object to read instead of `path`.

    Returns:
        A pyarrow table of large_string columns, in which the cells of blank rows are empty, and the row
        numbers, int64 (N,). The first row of the file is row 1.

    Raises:
        DataError: If the file cannot be read, lacks a column, or has rows of different lengths.
    """
    import pyarrow

    try:
        with content or open_regular(path) as file:
            return _parse(path, file, separator, columns, has_header)
    # TypeError: an invalid separator
    except (pyarrow.ArrowException, OSError, ValueError, TypeError, csv.Error) as error:
        if path.suffix in ARRAYS:
            raise DataError(f'{path}: a matrix, not a table. Set use = "rdm" to read it') from error
        if isinstance(error, UnicodeDecodeError) or "invalid UTF8" in str(error):
            raise DataError(f"{path}: not UTF-8 text. Save it as CSV UTF-8") from error
        raise DataError(f"{shown(path)}: not a readable CSV file ({shown(error)})") from error


def _parse(
    path: Path, file: IO[bytes], separator: str | None, columns: Sequence[str] | None, has_header: bool
) -> tuple[Any, np.ndarray]:
    from pyarrow import compute

    is_spaced = False
    if separator is None:
        data = file.read()
        line = data.partition(b"\n")[0]
        separator = max(SEPARATORS, key=lambda sign: line.count(sign.encode()))
        if path.suffix.lower() == ".txt" and separator.encode() not in line:
            data = b"\n".join(separator.encode().join(row.split()) for row in data.splitlines())
        is_spaced = any(sign.encode() in data for sign in (f"{separator} ", f" {separator}", "\n ", " \n"))
        file = _tidy(data, separator)
    first_row = _read_first_row(file, separator)
    names = first_row if has_header else list(map(str, range(len(first_row))))
    if not any(names):
        raise DataError(
            f"{path}: {'empty, so there is no header. Name the columns in row 1' if has_header else 'empty'}"
        )
    if columns is not None:
        check_columns(path, names, columns)
    num_lines = 1 + sum(name.count("\n") for name in first_row) if has_header else 0
    table, wrong = _read_arrow(file, separator, names, columns, num_lines)
    if is_spaced:
        trimmed = [compute.utf8_trim(column, " ") for column in table.columns]
        table = table.from_arrays(trimmed, names=table.column_names)
    return table, _number_rows(path, table, wrong, has_header)


def _read_first_row(file: IO[bytes], separator: str) -> list[str]:
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    row = next(csv.reader(text, delimiter=separator), [])
    text.detach()  # keeps the file open
    file.seek(0)
    return [name.strip() for name in row]


def _read_arrow(
    file: IO[bytes],
    separator: str,
    names: Sequence[str],
    columns: Sequence[str] | None,
    num_header_lines: int,
) -> tuple[Any, list[Any]]:
    """Return the rows with one cell per name, and the other rows as pyarrow's InvalidRow."""
    import pyarrow
    from pyarrow import csv as arrow_csv

    wrong: list[Any] = []

    def skip(row: Any) -> str:
        wrong.append(row)
        return "skip"

    places = list(map(str, range(len(names))))  # names may repeat
    wanted = list(map(names.index, columns)) if columns else range(len(names))
    table = arrow_csv.read_csv(
        file,
        # pyarrow numbers rows only without threads
        arrow_csv.ReadOptions(
            use_threads=False, column_names=places, skip_rows=num_header_lines, block_size=BLOCK_BYTES
        ),
        arrow_csv.ParseOptions(
            delimiter=separator, newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=skip
        ),
        arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(places, pyarrow.large_string()),
            include_columns=[places[i] for i in wanted],
            strings_can_be_null=False,
        ),
    )
    return table.rename_columns([names[i] for i in wanted]), wrong


def _number_rows(path: Path, table: Any, wrong: Sequence[Any], has_header: bool) -> np.ndarray:
    """Return the row numbers of a table; DataError for rows that differ in length from the first."""
    ragged = [row for row in wrong if row.text.strip()]
    if ragged:
        first_row = "the header" if has_header else "the first row"
        row, numbers = ragged[0], np.array([row.number for row in ragged])
        raise row_error(
            path, numbers, f"{row.actual_columns} cells, but {first_row} has {row.expected_columns}"
        )
    first = 2 if has_header else 1
    rows = np.arange(first, first + table.num_rows + len(wrong))
    rows = rows[~np.isin(rows, [row.number for row in wrong])]  # the other invalid rows are blank
    if len(rows) and table.column(-1)[-1].as_py().endswith("\n"):
        raise row_error(path, rows[-1:], "a quotation mark is not closed")
    return rows


def _tidy(data: bytes, separator: str) -> IO[bytes]:
    """Add a final newline to a CSV file, and remove spaces between separators and quotation marks."""
    if f'{separator} "'.encode() in data:
        text = io.StringIO(data.decode("utf-8-sig"), newline="")
        data = to_csv(csv.reader(text, delimiter=separator, skipinitialspace=True), separator)
    return io.BytesIO(data if data.endswith(b"\n") else data + b"\n")


def to_csv(rows: Iterable[Sequence[str]], separator: str = ",") -> bytes:
    """Return rows as the content of a CSV file."""
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows(rows)
    return text.getvalue().encode()


def check_columns(path: object, names: Sequence[str], wanted: Sequence[str]) -> None:
    """Raise DataError for the first required column that is missing or repeated."""
    for name in wanted:
        if names.count(name) != 1:
            how = "more than one" if name in names else "no"
            raise DataError(
                f"{path}: {how} column '{name}'. Columns: {', '.join(names) or 'none'}. Name it in a recipe "
                "(image_column, ...) or with --columns"
            )
