"""Random access to selected columns of Parquet files, from several threads.

The index of a remote file is its footer. Only the selected columns of a row group are fetched.
"""

# N rows
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from perceptinit.errors import reading
from perceptinit.files.csv_files import check_columns
from perceptinit.files.reading import require_file
from perceptinit.files.remote.addresses import Place
from perceptinit.files.remote.fetched import Piece
from perceptinit.files.remote.read_ahead import PieceReader
from perceptinit.files.remote.store import RemoteReader, read, stat

# pyarrow raises these for damaged files, text that is not UTF-8, and sizes beyond memory
_UNREADABLE = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)

_NUM_THREADS = 16  # to read footers or columns, one file per thread
_END_BYTES = 8  # length of the footer, and PAR1
_LARGEST_FOOTER = 1 << 30


T = TypeVar("T")


class HeldBlocks(Generic[T]):
    """An LRU cache of at most `capacity` blocks, loaded by `read(number)`."""

    def __init__(self, read: Callable[[int], T], capacity: int) -> None:
        self._read = read
        self._capacity = capacity
        self._held: OrderedDict[int, Future[T]] = OrderedDict()
        self._lock = Lock()

    def __getitem__(self, number: int) -> T:
        """Return a block, read once. A failed read raises in all waiting threads and is not cached."""
        with self._lock:
            waiting = self._held.get(number)
            future = self._held.setdefault(number, waiting or Future())
            self._held.move_to_end(number)
            while len(self._held) > self._capacity:
                self._held.popitem(last=False)
        if waiting is not None:  # another thread reads it, or has read it
            return waiting.result()
        try:
            future.set_result(self._read(number))
        except BaseException as error:
            future.set_exception(error)
            with self._lock:
                self._held.pop(number, None)
        return future.result()


@dataclass(frozen=True, slots=True)
class _File:
    """A Parquet file. If remote, each of `pieces` is a row group's required columns and the footer."""

    place: Place
    names: tuple[str, ...]
    row_groups: tuple[int, ...]
    footer: Piece | None = None
    pieces: tuple[Piece, ...] = ()


class ParquetTable:
    """Concatenated columns of Parquet files.

    Reading a row loads its row group. The `cached_row_groups` most recently used row groups stay in memory.

    Args:
        paths: The files, all local or all remote.
        columns: Names of the columns that `row` returns.
        cached_row_groups: Maximum number of row groups in memory.
        cache_gb: For remote files; see `PieceReader`.
        others: Names of further columns that each file must have, for `column`.

    Raises:
        DataError: If a file is not a Parquet file or lacks a column.
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
        with ThreadPoolExecutor(_NUM_THREADS) as pool:
            self._files = list(pool.map(lambda path: _read_footer(path, self.columns), paths))
        for file in self._files:
            check_columns(file.place, file.names, (*self.columns, *others))
        pieces = [piece for file in self._files for piece in file.pieces]
        self.reader = (
            PieceReader(pieces, lambda _, path: pq.ParquetFile(path, memory_map=True), cache_gb)
            if pieces
            else None  # local files
        )
        self._groups = [(f, g) for f in self._files for g in range(len(f.row_groups))]
        self.block_sizes = [num_rows for file in self._files for num_rows in file.row_groups]
        self._stops = np.cumsum(self.block_sizes, dtype=np.int64)
        self._file_stops = np.cumsum([sum(f.row_groups) for f in self._files], dtype=np.int64)
        self.num_rows = sum(self.block_sizes)
        self._row_groups = HeldBlocks(self._read_row_group, cached_row_groups)

    def row(self, index: int) -> tuple[Any, ...]:
        """Return the values of a row: Python values, and arrays for lists of numbers."""
        block = int(np.searchsorted(self._stops, index, side="right"))
        place = index - int(self._stops[block]) + self.block_sizes[block]
        return tuple(_value(column[place]) for column in self._row_groups[block])

    def column(self, name: str) -> list[Any]:
        """Return all values of a column, read from all files. Intended for small values.

        Raises:
            DataError: If the column cannot be read; RemoteError if it cannot be fetched.
        """
        with ThreadPoolExecutor(_NUM_THREADS) as pool:
            columns = pool.map(lambda file: _read_column(file, name), self._files)
            return [value for column in columns for value in column]

    def where(self, index: int) -> str:
        """Return the name of a row for messages: the file and its row, counted from 0."""
        number = int(np.searchsorted(self._file_stops, index, side="right"))
        file = self._files[number]
        return f"{file.place.name} row {index - int(self._file_stops[number]) + sum(file.row_groups)}"

    def _read_row_group(self, block: int) -> list[pa.ChunkedArray]:
        file, group = self._groups[block]
        with (
            reading(f"{file.place}: row group {group} cannot be read", *_UNREADABLE),
            self._open(block, file.place) as opened,
        ):
            table = opened.read_row_group(group, columns=list(self.columns), use_threads=False)
        return [table.column(name) for name in self.columns]

    def _open(self, block: int, place: Place) -> AbstractContextManager[pq.ParquetFile]:
        """Return the open file of a row group, or a copy that contains only this row group."""
        if self.reader is None:
            return pq.ParquetFile(place, memory_map=True)
        piece = self.reader.pieces[block]
        ahead = self.reader.get(piece)
        return _open_now(piece) if ahead is None else nullcontext(ahead)


def _open_now(footer: Piece) -> pq.ParquetFile:
    """Open a remote file without a prefetched copy; its columns are fetched on access."""
    file = footer.file
    now = footer.stat
    metadata = pq.read_metadata(pa.BufferReader(read(file, *footer.ranges[-1], now)))
    return pq.ParquetFile(RemoteReader(file, now), metadata=metadata, pre_buffer=True)


def _read_footer(place: Place, columns: Sequence[str]) -> _File:
    with reading(f"{place}: not a readable Parquet file", *_UNREADABLE):
        if isinstance(place, Path):
            require_file(place)
            return _File(place, *_sizes(pq.read_metadata(place)))
        now = stat(place)
        metadata = pq.read_metadata(RemoteReader(place, now, _LARGEST_FOOTER))
        groups = [metadata.row_group(g) for g in range(metadata.num_row_groups)]
        start = now.num_bytes - metadata.serialized_size - _END_BYTES
        footer = Piece(place, now, ((start, now.num_bytes),))
        pieces = [Piece(place, now, (*_ranges(group, columns), *footer.ranges)) for group in groups]
        return _File(place, *_sizes(metadata), footer, tuple(pieces))


def _sizes(metadata: pq.FileMetaData) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the column names, and the number of rows in each row group."""
    num_rows = tuple(metadata.row_group(g).num_rows for g in range(metadata.num_row_groups))
    return tuple(metadata.schema.to_arrow_schema().names), num_rows


def _ranges(group: pq.RowGroupMetaData, columns: Sequence[str]) -> list[tuple[int, int]]:
    """Return the byte ranges of the column chunks in a row group; adjacent ranges are merged."""
    chunks = [group.column(i) for i in range(group.num_columns)]
    spans = sorted(
        (start, start + chunk.total_compressed_size)
        for chunk in chunks
        if chunk.path_in_schema.partition(".")[0] in columns
        for start in [min(filter(None, (chunk.dictionary_page_offset, chunk.data_page_offset)))]
    )
    merged: list[tuple[int, int]] = []
    for start, stop in spans:
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged


def _read_column(file: _File, name: str) -> list[Any]:
    with (
        reading(f"{file.place}: column '{name}' cannot be read", *_UNREADABLE),
        _open_now(file.footer) if file.footer else pq.ParquetFile(file.place) as opened,
    ):
        return opened.read(columns=[name]).column(name).to_pylist()


def _value(cell: pa.Scalar) -> Any:
    """Return a cell as a Python value: a list of numbers as an array, {bytes, path} as its bytes."""
    if isinstance(cell, (pa.ListScalar, pa.LargeListScalar)) and cell.is_valid:
        return cell.values.to_numpy(zero_copy_only=False)
    value = cell.as_py()
    return value.get("bytes") if isinstance(value, dict) else value
