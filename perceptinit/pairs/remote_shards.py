"""Remote tar shards: their index, and their samples from the shared cache or through range requests.

The shards that the loader plans to use are prefetched once (`files.remote`). A pair outside of the plan, such
as a replacement for an unreadable pair, costs a request for its bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np

from perceptinit.errors import AbsentError, DataError, RemoteError
from perceptinit.files.remote.addresses import RemoteFile
from perceptinit.files.remote.copies import local_file, local_files
from perceptinit.files.remote.fetched import Piece
from perceptinit.files.remote.network import Stat
from perceptinit.files.remote.read_ahead import PieceReader
from perceptinit.files.remote.store import read, stat
from perceptinit.pairs.shard_index import INDEX, MTIME, WIDS_INDEX, Members, ShardIndex, read_index, scan
from perceptinit.pairs.shard_samples import CompleteSamples, Shard
from perceptinit.pairs.tar_file import TarFile, TarPart

_NUM_THREADS = 16
_COMMAND = "perceptinit data index SHARDS (reports the cost first)"

Opened = tuple[TarFile, np.ndarray]


class RemoteShard(Shard):
    """A remote shard. is_indexed: Whether its index contains the positions of samples."""

    def __init__(self, shards: RemoteShards, piece: Piece, index: ShardIndex) -> None:
        super().__init__(index, shards.members)
        self.piece = piece
        self.is_indexed = bool(index.columns)
        self._shards = shards

    def at(self, number: int) -> tuple[TarFile, list[int]]:
        """Return the open tar, or the part that contains the sample, and the sample's row."""
        opened = self._shards.reader.get(self.piece)
        if opened is None and not self.is_indexed:
            opened = self._shards.fetch_whole(self.piece)
        if opened is not None:
            return opened[0], opened[1][number].tolist()
        row = self.row(number)
        return self._part(row), row

    def key(self, start: int) -> str:
        return self._read(start, min(start + (1 << 16), self.piece.stat.num_bytes)).sample_key(start)

    def _part(self, row: Sequence[int]) -> TarPart:
        """Fetch the part of a tar that contains a sample; RemoteError if its headers contradict the index."""
        start, image, image_bytes, second, second_bytes = row
        part = self._read(start, max(image + image_bytes, second + second_bytes))
        wanted = {(image, image_bytes), (second, second_bytes)}
        try:
            for member in part.members(start):
                wanted.discard((member.offset, member.num_bytes))
                if not wanted:
                    return part
        except DataError:
            pass  # no header at this position
        raise _changed(self.piece.file)

    def _read(self, start: int, stop: int) -> TarPart:
        file = self.piece.file
        now = self.piece.stat
        return TarPart(file, read(file, start, stop, now), start, now.num_bytes)


class RemoteShards:
    """Remote shards with their indexes.

    Args:
        files: The shards.
        members: Extensions of images, and of the other member of a sample, such as a caption.
        index: Path or address of the index; empty: next to the shards.
        cache_gb: See `PieceReader`.
    """

    def __init__(
        self, files: Sequence[RemoteFile], members: Members, index: str, cache_gb: float | None
    ) -> None:
        self.members = members
        self._files = files
        self._index = index
        self._cache_gb = cache_gb

    @cached_property
    def reader(self) -> PieceReader[Opened]:
        pieces = [shard.piece for shard in self.shards]
        needs_spare = not all(shard.is_indexed for shard in self.shards)  # else read sample by sample
        return PieceReader(pieces, self._open, self._cache_gb, needs_spare)

    @cached_property
    def shards(self) -> list[RemoteShard]:
        """Return the shards; DataError if the index lacks one, RemoteError if a read fails."""
        indexes: dict[RemoteFile, dict[str, ShardIndex]] = {}
        found = []
        for file in self._files:
            if file.folder not in indexes:
                indexes[file.folder] = self._read_index(file.folder)
            if file.name not in indexes[file.folder]:
                raise DataError(f"{file}: not listed in the index. Update the index: {_COMMAND}")
            found.append(indexes[file.folder][file.name])
        with ThreadPoolExecutor(_NUM_THREADS) as pool:  # for sizes that wids does not record
            pieces = pool.map(_piece, self._files, found)
            return [RemoteShard(self, *shard) for shard in zip(pieces, found, strict=True)]

    @cached_property
    def _by_piece(self) -> dict[Piece, RemoteShard]:
        return {shard.piece: shard for shard in self.shards}

    def fetch_whole(self, piece: Piece) -> Opened:
        """Fetch and open an entire shard that was not planned."""
        with self.reader.cache.holding(
            piece, f", and its index lacks sample positions. Raise cache_gb, or run {_COMMAND}"
        ) as path:
            return self._open(piece, path)

    def _open(self, piece: Piece, path: Path) -> Opened:
        """Open a fetched shard; RemoteError if it contradicts the index."""
        tar = TarFile(path, piece.file)
        shard = self._by_piece[piece]
        try:
            rows = CompleteSamples(scan(tar), self.members).rows()
        except DataError as error:  # the file on the server is damaged
            raise RemoteError(str(error)) from error
        if shard.is_indexed and not np.array_equal(rows, shard.rows()):
            raise _changed(piece.file)
        if len(rows) != shard.num_samples:
            raise RemoteError(
                f"{piece.file}: {len(rows)} samples with an image and a text, but its index states "
                f"{shard.num_samples}. Create the index again: {_COMMAND}"
            )
        return tar, rows

    def _read_index(self, folder: RemoteFile) -> dict[str, ShardIndex]:
        if self._index:
            return read_index(local_file(self._index))
        for name in (INDEX, WIDS_INDEX):
            try:
                return read_index(local_files(folder, {name: stat(folder / name)}) / name)
            except AbsentError:
                continue
        raise DataError(f"{folder}: no index ({INDEX} or {WIDS_INDEX}) next to the shards. Run {_COMMAND}")


def _piece(file: RemoteFile, known: ShardIndex) -> Piece:
    version = "" if known.version.startswith(MTIME) else known.version  # modification time before upload
    now = stat(file) if known.num_bytes < 0 else Stat(known.num_bytes, version)
    return Piece.whole(file, now)


def _changed(file: RemoteFile) -> RemoteError:
    return RemoteError(f"{file}: differs from its index. Create the index again: perceptinit data index")
