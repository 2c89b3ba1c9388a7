"""Parquet and CSV files as rows of chosen columns, read at random places from several threads."""

from __future__ import annotations

# N rows
import csv
import io
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from perceptinit.errors import DataError, shown
from perceptinit.files.reading import open_regular, require_file
from perceptinit.files.remote.addresses import Place, RemoteFile
from perceptinit.files.remote.reader import PieceReader
from perceptinit.files.remote.shard_cache import Piece
from perceptinit.files.remote.store import RemoteError
from perceptinit.pairs.remote_tables import piece_reader, read_footers, read_now

# of damaged files pyarrow also raises what it raises for text that is not UTF-8, or sizes beyond memory
_UNREADABLE = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)

_NUM_READERS = 8  # of columns, a file each


@dataclass(frozen=True, slots=True)
class _File:
    path: Place
    row_groups: tuple[int, ...]  # rows of each
    others: Mapping[str, Piece] = field(default_factory=dict)  # columns of a remote one


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
        if remote:
            footers = read_footers(remote, self.columns, others)
            for footer in footers:
                _check_columns(footer.file, footer.names, (*self.columns, *others))
            self._files = [_File(f.file, f.row_groups, f.others) for f in footers]
            self.reader = piece_reader([p for footer in footers for p in footer.pieces], cache_gb)
        else:
            wanted = (*self.columns, *others)
            self._files = [_read_footer(p, wanted) for p in paths if isinstance(p, Path)]
        groups = [list(enumerate(file.row_groups)) for file in self._files]
        self._groups = [(f, g) for f, rows in enumerate(groups) for g, _ in rows]
        self.block_sizes = [n for rows in groups for _, n in rows]
        self._stops = np.cumsum(self.block_sizes, dtype=np.int64)
        self._file_stops = np.cumsum([sum(f.row_groups) for f in self._files], dtype=np.int64)
        self.num_rows = int(self._stops[-1]) if self.block_sizes else 0
        self._cache: OrderedDict[int, Future[list[pa.ChunkedArray]]] = OrderedDict()
        self._capacity = cached_row_groups
        self._lock = Lock()

    def row(self, index: int) -> tuple[Any, ...]:
        """Return the values of a row: Python values, and arrays for lists of numbers."""
        block = int(np.searchsorted(self._stops, index, side="right"))
        place = index - int(self._stops[block]) + self.block_sizes[block]
        return tuple(_value(column[place]) for column in self._row_group(block))

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
        return (
            f"{file.path.name} row {index - int(self._file_stops[number]) + sum(file.row_groups)}"
        )

    def _row_group(self, block: int) -> list[pa.ChunkedArray]:
        with self._lock:
            waiting = self._cache.get(block)
            if waiting is not None:
                self._cache.move_to_end(block)
            else:
                future: Future[list[pa.ChunkedArray]] = Future()
                self._cache[block] = future
                while len(self._cache) > self._capacity:
                    self._cache.popitem(last=False)
        if waiting is not None:  # another thread reads it, or has done so
            return waiting.result()
        try:
            future.set_result(self._read_row_group(block))
        except BaseException as error:
            future.set_exception(error)
            with self._lock:
                self._cache.pop(block, None)  # the next one who asks tries again
        return future.result()

    def _read_row_group(self, block: int) -> list[pa.ChunkedArray]:
        number, group = self._groups[block]
        path = self._files[number].path
        try:
            with self._opened(block, path) as file:
                table = file.read_row_group(group, columns=list(self.columns), use_threads=False)
        except RemoteError:
            raise
        except _UNREADABLE as error:
            raise DataError(f"{path}: row group {group} cannot be read ({error})") from error
        return [table.column(name) for name in self.columns]

    def _opened(self, block: int, path: Place) -> AbstractContextManager[pq.ParquetFile]:
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
        self._table = _read_csv(path, self.columns, separator)
        self.num_rows = self._table.num_rows
        self.block_sizes = [self.num_rows]

    def row(self, index: int) -> tuple[str, ...]:
        """Return the texts of a row."""
        return tuple(self._table.column(name)[index].as_py() for name in self.columns)

    def column(self, name: str) -> list[str]:
        """Return the texts of a column."""
        return self._table.column(name).to_pylist()

    def where(self, index: int) -> str:
        """Return the name of a row for messages, numbered as a spreadsheet does: the header is row 1."""
        return f"{self.path.name} row {index + 2}"


def _read_footer(path: Path, columns: tuple[str, ...]) -> _File:
    require_file(path)
    try:
        with pq.ParquetFile(path) as file:
            _check_columns(path, file.schema_arrow.names, columns)
            metadata = file.metadata
            groups = tuple(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))
            return _File(path, groups)
    except _UNREADABLE as error:
        raise DataError(f"{path}: not a readable Parquet file ({error})") from error


def _read_column(file: _File, name: str) -> list[Any]:
    try:
        with read_now(file.others[name]) if file.others else pq.ParquetFile(file.path) as opened:
            return opened.read(columns=[name]).column(name).to_pylist()
    except RemoteError:
        raise
    except _UNREADABLE as error:
        raise DataError(f"{file.path}: column '{name}' cannot be read ({error})") from error


def _read_csv(path: Path, columns: Sequence[str], separator: str) -> pa.Table:
    try:
        with io.TextIOWrapper(open_regular(path), encoding="utf-8-sig", newline="") as file:
            names = next(csv.reader(file, delimiter=separator), [])
        _check_columns(path, names, columns)
        table = pa_csv.read_csv(
            path,
            read_options=pa_csv.ReadOptions(use_threads=False),  # else errors have no row numbers
            parse_options=pa_csv.ParseOptions(delimiter=separator, newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                column_types={name: pa.large_string() for name in names},
                include_columns=list(columns),
                strings_can_be_null=False,
            ),
        )
    # ValueError, TypeError: not UTF-8; a separator that neither reader takes
    except (pa.ArrowException, OSError, ValueError, TypeError, csv.Error) as error:
        raise DataError(f"{shown(path)}: not a readable CSV file ({shown(error)})") from error
    return table.combine_chunks()


def _check_columns(path: Place, there: Sequence[str], wanted: Sequence[str]) -> None:
    for name in wanted:
        if list(there).count(name) != 1:
            how = "more than one" if name in there else "no"
            raise DataError(
                f"{path}: {how} column '{name}'. Columns there are: {', '.join(there) or 'none'}"
            )


def _value(cell: pa.Scalar) -> Any:
    """Return a cell as Python value, a list of numbers as array, {bytes, path} as its bytes."""
    if isinstance(cell, (pa.ListScalar, pa.LargeListScalar)) and cell.is_valid:
        return cell.values.to_numpy(zero_copy_only=False)
    value = cell.as_py()
    return value.get("bytes") if isinstance(value, dict) else value
