"""Make the index that stands beside shards, here or at an address; what that costs is known before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from perceptinit.errors import DataError, UsageError
from perceptinit.files.atomic import remove_files
from perceptinit.files.cache import tar_index_folder
from perceptinit.files.remote.addresses import Place, RemoteFile
from perceptinit.files.remote.fetched import FetchedCache, Piece
from perceptinit.files.remote.network import PART_BYTES
from perceptinit.files.remote.store import stat, write
from perceptinit.pairs.local_index import index_whole_shards
from perceptinit.pairs.paths import expand, require_files
from perceptinit.pairs.shard_index import INDEX, ShardIndex, read_index, scan, write_index
from perceptinit.pairs.tar_file import TarFile

P = TypeVar("P", Path, RemoteFile)

_NUM_FETCHERS = 4
_NUM_ASKERS = 16


@dataclass(frozen=True, slots=True)
class RemoteScan:
    """Remote shards to be read once, as they are now; what an interrupted call has read is kept until the index is written."""

    pieces: tuple[Piece, ...]

    @classmethod
    def of(cls, files: Sequence[RemoteFile]) -> RemoteScan:
        """Ask for the size of each; RemoteError when one cannot be had."""
        with ThreadPoolExecutor(_NUM_ASKERS) as pool:
            stats = pool.map(stat, files)
        found = zip(files, stats, strict=True)
        return cls(tuple(Piece.whole(file, now.num_bytes, now.version) for file, now in found))

    @property
    def unread(self) -> list[Piece]:
        """Return those that no interrupted call has read."""
        return [piece for piece in self.pieces if not _path_of(piece).is_file()]

    @property
    def num_bytes(self) -> int:
        return sum(piece.num_bytes for piece in self.unread)

    @property
    def num_requests(self) -> int:
        """Return how many requests the reading takes: one per part, and a look whether the shard has changed."""
        return sum(-(-piece.num_bytes // PART_BYTES) + 1 for piece in self.unread)

    def indexes(self, report: Callable[[], None]) -> list[ShardIndex]:
        """Fetch each shard and return its index, which is kept until `forget`; `report` is called after each.

        Raises DataError for one that is damaged, cannot be had or has no room.
        """
        cache = FetchedCache()

        def index(piece: Piece) -> ShardIndex:
            found = None
            with suppress(DataError):  # not kept by an interrupted call, or damaged
                found = read_index(_path_of(piece)).get(piece.file.name)
            if found is None:
                fetched = cache.hold(piece)
                if fetched is None:
                    raise DataError(f"{piece.file}: no room for it in {cache.folder}")
                path, held = fetched
                try:
                    found = scan(TarFile(path, said=piece.file), piece.version)
                finally:
                    held.release()
                if piece.version:  # else nobody could tell later whether it is the same
                    write_index(_path_of(piece), [found])
            report()
            return found

        with ThreadPoolExecutor(_NUM_FETCHERS) as pool:
            return list(pool.map(index, self.pieces))

    def forget(self) -> None:
        """Remove what was kept."""
        remove_files(map(_path_of, self.pieces))


def _path_of(piece: Piece) -> Path:
    return tar_index_folder() / f"{piece.key}.index"


def open_shards(named: Sequence[str]) -> list[Path] | RemoteScan:
    """Return the shards that folders, braces or globs name: local ones that are there, or what remote ones cost.

    Raises DataError when one is not there, RemoteError when it cannot be had.
    """
    files = expand([n if ".tar" in n or "*" in n else f"{n.rstrip('/')}/*.tar" for n in named])
    paths = [file for file in files if isinstance(file, Path)]
    require_files(paths)
    return paths or RemoteScan.of([file for file in files if isinstance(file, RemoteFile)])


def index_local(paths: Sequence[Path], out: Path | None) -> Path:
    """Write the index of shards on a disk to `out`, by default beside them; return where it is.

    Raises DataError for a damaged shard, UsageError for shards of several folders.
    """
    folder = _only({path.parent for path in paths})
    place = out or folder / INDEX
    # a modification time means nothing to who reads them elsewhere
    write_index(place, (replace(shard, version="") for shard in index_whole_shards(paths)))
    return place


def index_remote(planned: RemoteScan, out: Path | None, report: Callable[[], None]) -> Place:
    """Read remote shards once and write their index to `out`, by default beside them; return where it is.

    Raises DataError as `RemoteScan.indexes`, UsageError for shards of several folders, RemoteError where nothing
    may be written.
    """
    place = _only({piece.file.folder for piece in planned.pieces}) / INDEX
    if out is None and place.scheme in ("http", "https"):
        raise UsageError(
            f"{place}: a web server takes no files: say --out FILE, upload it beside the shards, or name it in the "
            "recipe: index = FILE"
        )
    indexes = planned.indexes(report)
    if out is not None:
        write_index(out, indexes)
    else:
        with TemporaryDirectory() as folder:
            local = Path(folder) / INDEX
            write_index(local, indexes)
            write(place, local.read_bytes())
    planned.forget()
    return out or place


def _only(folders: Iterable[P]) -> P:
    first, *others = sorted(folders, key=str)
    if others:
        raise UsageError(f"{first} and {others[0]}: an index is of one folder; index each by itself")
    return first
