"""Parquet and CSV files as rows of chosen columns, read at random places from several threads."""

from __future__ import annotations

# N rows
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from perceptinit.errors import DataError, RemoteError
from perceptinit.files.csv_files import check_columns, read_csv
from perceptinit.files.reading import require_file
from perceptinit.files.remote.addresses import Place, RemoteFile
from perceptinit.files.remote.read_ahead import PieceReader
from perceptinit.pairs.held import HeldBlocks
from perceptinit.pairs.remote_tables import Footer, piece_reader, read_footers, read_now

# of damaged files pyarrow also raises what it raises for text that is not UTF-8, or sizes beyond memory
_UNREADABLE = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)

_NUM_READERS = 8  # of columns, a file each


class ParquetTable:
    """Columns of Parquet files that belong together, one after another.

    A row is read with its whole row group, which then stays in memory until `cached_row_groups`
    others have been asked for. `reader` has the row groups of files at addresses, None of local ones; cache_gb: see
    `PieceReader`. others: columns that are no part of a row, for `column`.

    Raises DataError when a file is no Parquet file or lacks a column.
    """

    def __init__(
        self,
        paths: Sequence[Place],
        columns: Sequence[str],
        cached_row_groups: int = 4,
        cache_gb: float | None = None,
        others: Sequence[str] = (),
    ) -> None:
        self.columns = tuple(columns)
        self.reader: PieceReader[pq.ParquetFile] | None = None
        remote = [path for path in paths if isinstance(path, RemoteFile)]
        self._files = read_footers(remote, self.columns, others)
        if remote:
            pieces = [piece for footer in self._files for piece in footer.pieces]
            self.reader = piece_reader(pieces, cache_gb)
        self._files += [_read_footer(path) for path in paths if isinstance(path, Path)]
        for footer in self._files:
            check_columns(footer.file, footer.names, (*self.columns, *others))
        self._groups = [(f, g) for f in self._files for g in range(len(f.row_groups))]
        self.block_sizes = [num_rows for file in self._files for num_rows in file.row_groups]
        self._stops = np.cumsum(self.block_sizes, dtype=np.int64)
        self._file_stops = np.cumsum([sum(f.row_groups) for f in self._files], dtype=np.int64)
        self.num_rows = int(self._stops[-1]) if self.block_sizes else 0
        self._row_groups = HeldBlocks(self._read_row_group, cached_row_groups)

    def row(self, index: int) -> tuple[Any, ...]:
        """Return the values of a row: Python values, and arrays for lists of numbers."""
        block = int(np.searchsorted(self._stops, index, side="right"))
        place = index - int(self._stops[block]) + self.block_sizes[block]
        return tuple(_value(column[place]) for column in self._row_groups[block])

    def column(self, name: str) -> list[Any]:
        """Return the values of a column, at addresses one of `others`; all files are read, so it is meant for small values.

        Raises DataError (RemoteError) when it cannot be read or does not come.
        """
        with ThreadPoolExecutor(_NUM_READERS) as pool:
            columns = pool.map(lambda file: _read_column(file, name), self._files)
            return [value for column in columns for value in column]

    def where(self, index: int) -> str:
        """Return the name of a row for messages: the file and its row, counted from 0."""
        number = int(np.searchsorted(self._file_stops, index, side="right"))
        file = self._files[number]
        row = index - int(self._file_stops[number]) + sum(file.row_groups)
        return f"{file.file.name} row {row}"

    def _read_row_group(self, block: int) -> list[pa.ChunkedArray]:
        footer, group = self._groups[block]
        path = footer.file
        try:
            with self._open(block, path) as file:
                table = file.read_row_group(group, columns=list(self.columns), use_threads=False)
        except RemoteError:
            raise
        except _UNREADABLE as error:
            raise DataError(f"{path}: row group {group} cannot be read ({error})") from error
        return [table.column(name) for name in self.columns]

    def _open(self, block: int, path: Place) -> AbstractContextManager[pq.ParquetFile]:
        """Return the file of a row group, or a copy that has that row group alone."""
        if self.reader is None:
            return pq.ParquetFile(path, memory_map=True)
        piece = self.reader.pieces[block]
        ahead = self.reader.get(piece)
        return nullcontext(ahead) if ahead is not None else read_now(piece)


class CsvTable:
    """Columns of a CSV file, all as text, held in memory.

    separator: one character.

    Raises DataError when the file is no such table, lacks a column, or a row is short or long.
    """

    def __init__(self, path: Path, columns: Sequence[str], separator: str = ",") -> None:
        self.path = path
        self.columns = tuple(columns)
        table, self._rows = read_csv(path, separator, self.columns)
        self._table = table.combine_chunks()
        self.num_rows = len(self._rows)
        self.block_sizes = [self.num_rows]

    def row(self, index: int) -> tuple[str, ...]:
        """Return the texts of a row."""
        return tuple(self._table.column(name)[index].as_py() for name in self.columns)

    def column(self, name: str) -> list[str]:
        """Return the texts of a column."""
        return self._table.column(name).to_pylist()

    def where(self, index: int) -> str:
        """Return the name of a row for messages, numbered as a spreadsheet does: the header is row 1."""
        return f"{self.path.name} row {self._rows[index]}"


def _read_footer(path: Path) -> Footer:
    require_file(path)
    try:
        with pq.ParquetFile(path) as file:
            metadata, names = file.metadata, tuple(file.schema_arrow.names)
            groups = tuple(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))
            return Footer(path, names, groups)
    except _UNREADABLE as error:
        raise DataError(f"{path}: not a readable Parquet file ({error})") from error


def _read_column(file: Footer, name: str) -> list[Any]:
    try:
        with read_now(file.others[name]) if file.others else pq.ParquetFile(file.file) as opened:
            return opened.read(columns=[name]).column(name).to_pylist()
    except RemoteError:
        raise
    except _UNREADABLE as error:
        raise DataError(f"{file.file}: column '{name}' cannot be read ({error})") from error


def _value(cell: pa.Scalar) -> Any:
    """Return a cell as Python value, a list of numbers as array, {bytes, path} as its bytes."""
    if isinstance(cell, (pa.ListScalar, pa.LargeListScalar)) and cell.is_valid:
        return cell.values.to_numpy(zero_copy_only=False)
    value = cell.as_py()
    return value.get("bytes") if isinstance(value, dict) else value
