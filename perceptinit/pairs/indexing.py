"""Create the index of local or remote shards; the cost of remote reads is known in advance."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
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
    """A plan to read remote shards once. An interrupted scan resumes from the cached results."""

    pieces: tuple[Piece, ...]

    @property
    def unread(self) -> list[Piece]:
        """Return the shards that no earlier call has read."""
        return [piece for piece in self.pieces if not _path_of(piece).is_file()]

    @property
    def num_bytes(self) -> int:
        return sum(piece.room for piece in self.unread)

    @property
    def num_requests(self) -> int:
        """Return the number of requests: one per part of a shard, and one per shard to detect changes."""
        return sum(-(-piece.room // PART_BYTES) + 1 for piece in self.unread)

    def indexes(self, report: Callable[[], None], cache_gb: float | None) -> list[ShardIndex]:
        """Fetch each shard and return its index; `report` is called after each shard.

        Raises DataError for a shard that is damaged, cannot be fetched or exceeds `cache_gb`.
        """
        cache = FetchedCache(None if cache_gb is None else int(cache_gb * 1e9))
        cache.trim()
        largest = max((piece.room for piece in self.pieces), default=1) or 1

        def index(piece: Piece) -> ShardIndex:
            found = None
            with suppress(DataError):  # not read by an earlier call, or damaged
                found = read_index(_path_of(piece)).get(piece.file.name)
            if found is None:
                with cache.holding(piece, "; raise --cache-gb", keep=False) as path:
                    found = scan(TarFile(path, piece.file), piece.stat.version)
                if piece.stat.version:  # else a later call could not detect a change
                    write_index(_path_of(piece), [found])
            report()
            return found

        with ThreadPoolExecutor(max(1, min(_NUM_FETCHERS, cache.max_bytes // largest))) as pool:
            return list(pool.map(index, self.pieces))


def _path_of(piece: Piece) -> Path:
    return tar_index_folder() / f"{piece.key}.index"


def open_shards(named: Sequence[str]) -> list[Path] | RemoteScan:
    """Return the shards in folders, brace patterns or globs: local paths, or the plan of a remote scan.

    Raises DataError for an absent local shard, RemoteError if the size of a remote one is unavailable.
    """
    files = expand([n if ".tar" in n or "*" in n else f"{n.rstrip('/')}/*.tar" for n in named])
    if paths := [file for file in files if isinstance(file, Path)]:
        require_files(paths)
        return paths
    remote = [file for file in files if isinstance(file, RemoteFile)]
    with ThreadPoolExecutor(_NUM_ASKERS) as pool:
        return RemoteScan(tuple(pool.map(lambda file: Piece.whole(file, stat(file)), remote)))


def index_local(paths: Sequence[Path], out: Path | None) -> Path:
    """Write the index of local shards to `out`, by default next to them; return its path.

    Raises DataError for a damaged shard, UsageError for shards of several folders.
    """
    folder = _only({path.parent for path in paths})
    place = out or folder / INDEX
    write_index(place, index_whole_shards(paths))
    return place


def index_remote(
    planned: RemoteScan, out: Path | None, report: Callable[[], None], cache_gb: float | None = None
) -> Place:
    """Read remote shards once and write their index to `out`, by default next to them; return its location.

    Fetched shards take at most `cache_gb` (10^9 bytes), by default half of the free space.

    Raises DataError as in `RemoteScan.indexes`, UsageError for shards of several folders, RemoteError if
    writing is not permitted.
    """
    place = _only({piece.file.folder for piece in planned.pieces}) / INDEX
    if out is None and place.is_web:
        raise UsageError(
            f"{place}: cannot write to a web server. Write the index with --out FILE, then upload it next to "
            "the shards or set index = FILE in the recipe"
        )
    indexes = planned.indexes(report, cache_gb)
    if out is not None:
        write_index(out, indexes)
    else:
        with TemporaryDirectory() as folder:
            local = Path(folder) / INDEX
            write_index(local, indexes)
            write(place, local.read_bytes())
    remove_files(map(_path_of, planned.pieces))
    return out or place


def _only(folders: Iterable[P]) -> P:
    first, *others = sorted(folders, key=str)
    if others:
        raise UsageError(f"{first} and {others[0]}: an index covers one folder. Index each folder separately")
    return first
