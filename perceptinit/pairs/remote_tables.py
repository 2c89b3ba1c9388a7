"""Parquet files at addresses: their footers are their index, and a row group's own columns are what is fetched."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from perceptinit.errors import DataError, writing
from perceptinit.files.remote.addresses import Place, RemoteFile
from perceptinit.files.remote.fetched import Piece
from perceptinit.files.remote.network import Stat
from perceptinit.files.remote.read_ahead import PieceReader
from perceptinit.files.remote.store import read, stat

_NUM_THREADS = 16
_TAIL_BYTES = 64 << 10  # holds the footer of most files
_END_BYTES = 8  # length of the footer, and PAR1
_LARGEST_FOOTER = 1 << 30


@dataclass(frozen=True, slots=True)
class Footer:
    """The footer of a Parquet file: its columns and the number of rows of each row group.

    pieces, others: of a remote file; of each row group the footer and the wanted columns, and the footer and one column
        of all row groups, by its name.
    """

    file: Place
    names: tuple[str, ...]
    row_groups: tuple[int, ...]
    pieces: tuple[Piece, ...] = ()
    others: Mapping[str, Piece] = field(default_factory=dict)


def read_footers(files: Sequence[RemoteFile], columns: Sequence[str], others: Sequence[str]) -> list[Footer]:
    """Return the footers, two requests each; DataError for what is no Parquet file."""
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        return list(pool.map(lambda file: _read_footer(file, columns, others), files))


def piece_reader(pieces: Sequence[Piece], cache_gb: float | None) -> PieceReader[pq.ParquetFile]:
    """Return the reader of row groups."""
    return PieceReader(pieces, lambda _, path: pq.ParquetFile(path, memory_map=True), cache_gb)


def read_now(piece: Piece) -> pq.ParquetFile:
    """Return a piece that was not planned, in a temporary file with holes.

    Raises:
        RemoteError: If it does not arrive or has changed.
        WriteError: If the disk cannot take it.
    """
    wanted = Stat(piece.num_bytes, piece.version)
    with writing(Path(tempfile.gettempdir())):
        copy = tempfile.TemporaryFile()  # noqa: SIM115 (closed with what is returned)
    for start, stop in piece.ranges:
        data = read(piece.file, start, stop, wanted)
        with writing(Path(tempfile.gettempdir())):
            copy.seek(start)
            copy.write(data)
    return pq.ParquetFile(copy)


def _read_footer(file: RemoteFile, columns: Sequence[str], others: Sequence[str]) -> Footer:
    now = stat(file)
    tail = read(file, max(0, now.num_bytes - _TAIL_BYTES), now.num_bytes, now)
    length = int.from_bytes(tail[-_END_BYTES:-4], "little") + _END_BYTES
    if tail[-4:] != b"PAR1" or length > min(now.num_bytes, _LARGEST_FOOTER):
        raise DataError(f"{file}: not a readable Parquet file (no footer at its end)")
    start = now.num_bytes - length
    if length > len(tail):
        tail = read(file, start, now.num_bytes, now)
    try:
        metadata = pq.read_metadata(pa.BufferReader(tail[-length:]))
        names = tuple(metadata.schema.to_arrow_schema().names)
        groups = [metadata.row_group(g) for g in range(metadata.num_row_groups)]
        footer = (start, now.num_bytes)

        def piece(ranges: Iterable[tuple[int, int]]) -> Piece:
            return Piece(file, now.num_bytes, now.version, (*ranges, footer))

        pieces = tuple(piece(_ranges(group, columns)) for group in groups)
        columns_of_all = {
            name: piece(r for group in groups for r in _ranges(group, [name])) for name in others
        }
        rows = tuple(group.num_rows for group in groups)
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        raise DataError(f"{file}: not a readable Parquet file ({error})") from error
    return Footer(file, names, rows, pieces, columns_of_all)


def _ranges(group: pq.RowGroupMetaData, columns: Sequence[str]) -> list[tuple[int, int]]:
    """Return where the chunks of columns lie, those that touch as one."""
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
