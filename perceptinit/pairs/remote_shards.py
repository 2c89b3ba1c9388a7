"""Tar shards at addresses: their index, and their samples out of the shared cache or, one by one, by range requests.

Shards that the loader will need are fetched whole, ahead and once (`files.remote`). A pair that was not planned, such as
a replacement for an unreadable one, costs a request for its own bytes.
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
from perceptinit.pairs.shard_index import (
    INDEX,
    WIDS_INDEX,
    CompleteSamples,
    Members,
    ShardIndex,
    read_index,
    scan,
)
from perceptinit.pairs.shard_samples import ShardSamples
from perceptinit.pairs.tar_file import TarFile, TarPart

_NUM_THREADS = 16
_ADVICE = "make one: perceptinit data index SHARDS, which says first what that costs"

Opened = tuple[TarFile, np.ndarray]


class RemoteShard:
    """A shard of a `RemoteShards`. samples: by the index; None where it says only how many there are, num_samples."""

    def __init__(self, shards: RemoteShards, piece: Piece, index: ShardIndex) -> None:
        self.piece, self._shards, self.extensions = piece, shards, index.used_extensions
        self.samples = CompleteSamples(index, shards.members) if index.columns else None
        self.num_samples = self.samples.num_samples if self.samples else index.num_samples
        self.num_incomplete = self.samples.num_incomplete if self.samples else 0

    def at(self, number: int) -> tuple[TarFile, list[int]]:
        """Return the open tar, or the part that the sample lies in, and the row of a sample."""
        opened = self._shards.reader.get(self.piece)
        if opened is None and self.samples is None:
            opened = self._shards.fetch_whole(self.piece)
        if opened is not None:
            return opened[0], opened[1][number].tolist()
        assert self.samples is not None
        row = self.samples.row(number)
        return self._part(row), row

    def name_first_incomplete(self) -> str:
        assert self.samples is not None
        return self.key(self.samples.first_incomplete)

    def key(self, start: int) -> str:
        """Return the name of the sample that begins at a byte."""
        end = min(start + (1 << 16), self.piece.num_bytes)
        return self._read(start, end).sample_key(start)

    def _part(self, row: Sequence[int]) -> TarPart:
        """Return a sample's bytes, whose headers say that it is the one that the index means."""
        start, image, image_bytes, second, second_bytes = row
        part = self._read(start, max(image + image_bytes, second + second_bytes))
        wanted = {(image, image_bytes), (second, second_bytes)}
        try:
            for member in part.members(start):
                wanted.discard((member.offset, member.num_bytes))
                if not wanted:
                    return part
        except DataError:
            pass  # no header where the index says that one is
        raise _changed(self.piece.file)

    def _read(self, start: int, stop: int) -> TarPart:
        piece = self.piece
        data = read(piece.file, start, stop, Stat(piece.num_bytes, piece.version))
        return TarPart(piece.file, data, start, piece.num_bytes)


class RemoteShards:
    """Remote shards with their indexes.

    Args:
        files: The shards.
        members: Extensions of images, and of second members.
        index: Path or address of the index; empty: it is beside the shards.
        cache_gb: See `PieceReader`.
    """

    def __init__(
        self,
        files: Sequence[RemoteFile],
        members: Members,
        index: str,
        cache_gb: float | None,
    ) -> None:
        self.members = members
        self._files, self._index, self._cache_gb = files, index, cache_gb

    @cached_property
    def reader(self) -> PieceReader[Opened]:
        pieces = [shard.piece for shard in self.shards]
        needs_spare = any(shard.samples is None for shard in self.shards)  # else one sample is read
        return PieceReader(pieces, self._open, self._cache_gb, needs_spare)

    @cached_property
    def shards(self) -> list[RemoteShard]:
        """Return the shards; DataError for one that no index names, RemoteError if an index does not arrive."""
        indexes: dict[RemoteFile, dict[str, ShardIndex]] = {}
        found = []
        for file in self._files:
            if file.folder not in indexes:
                indexes[file.folder] = self._read_index(file.folder)
            if file.name not in indexes[file.folder]:
                raise DataError(f"{file}: the index beside it does not name it; {_ADVICE}")
            found.append(indexes[file.folder][file.name])
        with ThreadPoolExecutor(_NUM_THREADS) as pool:  # sizes that wids did not note
            pieces = pool.map(_piece, self._files, found)
            return [RemoteShard(self, *shard) for shard in zip(pieces, found, strict=True)]

    @cached_property
    def _by_piece(self) -> dict[Piece, RemoteShard]:
        return {shard.piece: shard for shard in self.shards}

    @cached_property
    def samples(self) -> ShardSamples:
        """Return all samples; what lies where in a shard is looked up when it is its turn."""
        return ShardSamples(self.shards)

    @property
    def extensions(self) -> set[str]:
        """Return what members end with, as far as indexes tell."""
        return {extension for shard in self.shards for extension in shard.extensions}

    def fetch_whole(self, piece: Piece) -> Opened:
        """Return a shard that was not planned."""
        found = self.reader.cache.hold(piece)
        if found is None:
            raise RemoteError(
                f"{piece.file}: no room for it in the cache, and the index beside it does not say where its samples "
                f"lie; {_ADVICE}, or raise cache_gb"
            )
        path, held = found
        try:
            return self._open(piece, path)
        finally:
            held.release()

    def _open(self, piece: Piece, path: Path) -> Opened:
        """Open a shard that has arrived; RemoteError when it is not what the index says."""
        tar = TarFile(path, said=piece.file)
        shard = self._by_piece[piece]
        try:
            rows = CompleteSamples(scan(tar), self.members).rows()
        except DataError as error:  # the object at the server is damaged
            raise RemoteError(str(error)) from error
        if shard.samples is not None:
            if not np.array_equal(rows, shard.samples.rows()):
                raise _changed(piece.file)
        elif len(rows) != shard.num_samples:
            raise RemoteError(
                f"{piece.file}: {len(rows)} samples with an image and a text, but its index says {shard.num_samples}; "
                f"{_ADVICE}"
            )
        return tar, rows

    def _read_index(self, folder: RemoteFile) -> dict[str, ShardIndex]:
        if self._index:
            return read_index(local_file(self._index), allow_unsealed=True)
        for name in (INDEX, WIDS_INDEX):
            try:
                copies = local_files(folder, {name: stat(folder / name)})
                return read_index(copies / name, allow_unsealed=True)
            except AbsentError:
                continue
        raise DataError(f"{folder}: no index ({INDEX} or {WIDS_INDEX}) beside the shards; {_ADVICE}")


def _piece(file: RemoteFile, known: ShardIndex) -> Piece:
    if known.num_bytes < 0:
        now = stat(file)
        return Piece.whole(file, now.num_bytes, now.version)
    return Piece.whole(file, known.num_bytes, known.version)


def _changed(file: RemoteFile) -> RemoteError:
    return RemoteError(f"{file}: is not what its index says; make that anew: perceptinit data index")
