"""The index of shards on a disk: made once, kept in the user's cache folder, mapped by all processes of the machine.

The shards of a folder have one index, in files of up to 512 shards: making it takes the memory of one file, and what was
made before an interruption stays. A shard whose size or time of modification changed is scanned again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from perceptinit.errors import DataError, WriteError
from perceptinit.files.atomic import remove_abandoned, remove_files
from perceptinit.files.cache import tar_index_folder
from perceptinit.files.locks import file_lock
from perceptinit.pairs.shard_index import PlacedShard, ShardIndex
from perceptinit.pairs.tar_format import TarFile
from perceptinit.pairs.tar_index import TarIndex, open_tar, scan

SUFFIX = ".index"
_SHARDS_IN_FILE = 512
_KEPT_FROM_BYTES = 4 << 20  # of tars: less is scanned as fast as an index is opened
_NUM_THREADS = 8  # slow disks are read side by side

Stamp = tuple[int, str]  # what changes when a file does: its bytes and its time of modification
# sentences on indexes that this process found damaged: the look before a run finds them, and the run tells them
_damaged: dict[Path, str] = {}


def index_shards(paths: Sequence[Path]) -> list[PlacedShard | DataError]:
    """Return each shard with its index, or what is wrong with it: truncated, damaged, or a member named twice."""
    open_tar.cache_clear()  # the index is of the files that have these paths now
    folders: dict[Path, list[Path]] = {}
    for path in paths:
        folders.setdefault(path.parent, []).append(path)
    found: dict[Path, PlacedShard | DataError] = {}
    for folder, own in folders.items():
        found |= _index_folder(folder, own)
    return [found[path] for path in paths]


def damage_found(paths: Iterable[Path]) -> Iterator[str]:
    """Yield a sentence for each folder of shards whose index was damaged, and made again, in this process."""
    for folder in dict.fromkeys(path.parent for path in paths):
        if folder in _damaged:
            yield _damaged[folder]


def _index_folder(folder: Path, paths: Sequence[Path]) -> dict[Path, PlacedShard | DataError]:
    kept = _KeptIndex(folder)
    stamps = {path: _stamp(path) for path in paths}
    found = kept.find(stamps)
    absent = [path for path in paths if path not in found]
    if sum(stamps[path][0] for path in absent) < _KEPT_FROM_BYTES:
        index, damaged = _scanned(absent, stamps)
        return {**found, **_placed(index, absent), **damaged}
    with kept.locked():
        found = kept.find(stamps)  # another process may have made it meanwhile
        results = dict[Path, PlacedShard | DataError](found)
        absent = [path for path in paths if path not in found]
        for at in range(0, len(absent), _SHARDS_IN_FILE):
            part = absent[at : at + _SHARDS_IN_FILE]
            index, damaged = _scanned(part, stamps)
            results |= {**_placed(kept.keep(index), part), **damaged}
        kept.sweep()
    return results


def _scanned(
    paths: Sequence[Path], stamps: dict[Path, Stamp]
) -> tuple[ShardIndex, dict[Path, DataError]]:
    """Return an index in memory of those shards that are whole, and what is wrong with the others."""
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        results = dict(zip(paths, pool.map(_scan, paths), strict=True))
    whole = {path: index for path, index in results.items() if isinstance(index, TarIndex)}
    damaged = {path: error for path, error in results.items() if isinstance(error, DataError)}
    return ShardIndex.of(whole.values(), [stamps[path] for path in whole]), damaged


def _scan(path: Path) -> TarIndex | DataError:
    try:
        return scan(TarFile(path))
    except DataError as error:
        return error


def _placed(index: ShardIndex, paths: Iterable[Path]) -> dict[Path, PlacedShard]:
    return {path: PlacedShard(path, index) for path in paths if path.name in index.shards}


def _stamp(path: Path) -> Stamp:
    try:
        stat = path.stat()
    except OSError:  # told when it is scanned
        return 0, ""
    return stat.st_size, str(stat.st_mtime_ns)


class _KeptIndex:
    """The files in the cache folder with the index of the shards of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:32]

    def find(self, stamps: Mapping[Path, Stamp]) -> dict[Path, PlacedShard]:
        """Return the shards that are as they were when they were indexed."""
        paths, found = {path.name: path for path in stamps}, {}
        for index in self._open().values():
            for name, shard in index.shards.items():
                path = paths.get(name)
                if path and stamps[path] == (shard.num_bytes, shard.version):
                    found[path] = PlacedShard(path, index)
        return found

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from doing the same work; where nothing can be kept, all do it."""
        with ExitStack() as stack:
            with suppress(WriteError):
                stack.enter_context(file_lock(tar_index_folder() / f"{self._name}.lock"))
            yield

    def keep(self, index: ShardIndex) -> ShardIndex:
        """Return an index out of a file of the cache, or as it is when there is no room or no permission."""
        stamps = [(s.name, s.num_bytes, s.version) for s in index.shards.values()]
        made_of = hashlib.sha256(json.dumps(stamps).encode()).hexdigest()[:16]
        path = tar_index_folder() / f"{self._name}-{made_of}{SUFFIX}"
        try:
            index.write(path)
        except WriteError:  # the next start scans again, nothing else is lost
            return index
        return ShardIndex.read(path)

    def sweep(self) -> None:
        """Remove what nobody needs: files of shards that are all gone or changed, and what killed processes left."""
        remove_abandoned(tar_index_folder())
        remove_files(path for path, index in self._open().items() if not self._is_of_use(index))

    def _is_of_use(self, index: ShardIndex) -> bool:
        return any(
            _stamp(self._folder / name) == (shard.num_bytes, shard.version)
            for name, shard in index.shards.items()
        )

    def _open(self) -> dict[Path, ShardIndex]:
        opened = {}
        for path in sorted(tar_index_folder().glob(f"{self._name}-*{SUFFIX}")):
            try:
                opened[path] = ShardIndex.read(path)
            except DataError:
                if not path.exists():  # another process has swept it
                    continue
                _damaged[self._folder] = (
                    f"{self._folder}: the index of its shards in {path.parent} was damaged or of another version; "
                    "they were scanned again"
                )
                remove_files([path])
        return opened
