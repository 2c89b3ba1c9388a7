"""The index of local shards, stored next to them or in the user's cache folder.

`perceptinit data index` writes the index next to the shards, where all machines can use it. The cached index
is split into files of up to 512 shards, which limits the memory of a scan and the work lost by an
interruption. A shard is scanned again when its size or modification time changes.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

from perceptinit.errors import DataError, WriteError
from perceptinit.files.atomic import file_lock, remove_files
from perceptinit.files.cache import tar_index_folder
from perceptinit.grouping import group
from perceptinit.pairs.shard_index import INDEX, MTIME, ShardIndex, read_index, scan, write_index
from perceptinit.pairs.tar_file import TarFile, open_tar

SUFFIX = ".index"
_SHARDS_IN_FILE = 512
_KEPT_FROM_BYTES = 4 << 20  # scanning smaller tars is as fast as opening an index
_NUM_THREADS = 8  # parallel reads are faster on slow disks

Stamp = tuple[int, str]  # size and modification time of a file
Indexed = dict[Path, ShardIndex | DataError]
# a warning for each folder whose index this process found damaged or outdated
_damaged: dict[Path, str] = {}


def index_shards(paths: Sequence[Path], index: Path | None = None) -> list[ShardIndex | DataError]:
    """Return the index of each shard, or the error that makes it unusable.

    Args:
        paths: The shards.
        index: Their index file; by default next to the shards or in the cache.

    Raises:
        DataError: If `index` is missing or damaged.
    """
    open_tar.cache_clear()  # the files at these paths may have changed
    found: Indexed = {}
    for folder, own in group((path.parent, path) for path in paths).items():
        found |= _index_folder(folder, own, index)
    return [found[path] for path in paths]


def index_whole_shards(paths: Sequence[Path]) -> list[ShardIndex]:
    """Return the index of each shard; DataError for the first damaged one."""
    results = index_shards(paths)
    for result in results:
        if isinstance(result, DataError):
            raise result
    return [result for result in results if isinstance(result, ShardIndex)]


def report_damage(paths: Iterable[Path]) -> Iterator[str]:
    """Yield a warning for each folder of shards whose index this process found damaged or outdated."""
    yield from (_damaged[f] for f in dict.fromkeys(path.parent for path in paths) if f in _damaged)


def _index_folder(folder: Path, paths: Sequence[Path], index: Path | None) -> Indexed:
    kept = _KeptIndex(folder)
    stamps = {path: _stamp(path) for path in paths}
    found: Indexed = {**_find_beside(folder, stamps, index)}
    if len(found) < len(paths):
        found |= kept.find(stamps)
    absent = [path for path in paths if path not in found]
    if sum(stamps[path][0] for path in absent) < _KEPT_FROM_BYTES:
        return found | _scan_all(absent, stamps)
    with ExitStack() as stack:
        with suppress(WriteError):  # without a writable cache folder, each process scans the shards
            stack.enter_context(file_lock(tar_index_folder() / f"{kept.name}.lock"))
        found |= kept.find(stamps)  # another process may have created it
        absent = [path for path in paths if path not in found]
        for at in range(0, len(absent), _SHARDS_IN_FILE):
            scanned = _scan_all(absent[at : at + _SHARDS_IN_FILE], stamps)
            found |= scanned | kept.keep(scanned)
        kept.sweep()
    return found


def _scan_all(paths: Sequence[Path], stamps: Mapping[Path, Stamp]) -> Indexed:
    def scan_one(path: Path) -> ShardIndex | DataError:
        try:
            return scan(TarFile(path), stamps[path][1])
        except DataError as error:
            return error

    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        return dict(zip(paths, pool.map(scan_one, paths), strict=True))


def _find_beside(folder: Path, stamps: Mapping[Path, Stamp], index: Path | None) -> dict[Path, ShardIndex]:
    """Return the indexes of unchanged shards from the file next to them; record damage and changes."""
    file = index or folder / INDEX
    if index is None and not file.is_file():
        return {}
    try:
        found = _find_unchanged([read_index(file)], stamps)
    except DataError as error:
        if index is not None:
            raise
        _damaged[folder] = f"{error}. The shards were scanned instead"
        return {}
    changed = [path for path in stamps if path not in found]
    if changed:
        _damaged[folder] = (
            f"{file}: outdated for {len(changed):,} of {len(stamps):,} shards, such as {changed[0].name}. "
            f"They were scanned instead. Write the index again: perceptinit data index {folder}"
        )
    return found


def _find_unchanged(
    indexes: Iterable[Mapping[str, ShardIndex]], stamps: Mapping[Path, Stamp]
) -> dict[Path, ShardIndex]:
    paths = {path.name: path for path in stamps}
    return {
        paths[name]: shard
        for shards in indexes
        for name, shard in shards.items()
        if name in paths and stamps[paths[name]] == (shard.num_bytes, shard.version)
    }


def _stamp(path: Path) -> Stamp:
    try:
        stat = path.stat()
    except OSError:  # the scan reports it
        return 0, ""
    return stat.st_size, f"{MTIME}{stat.st_mtime_ns}"


class _KeptIndex:
    """The cached index of one folder's shards."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:32]

    def find(self, stamps: Mapping[Path, Stamp]) -> dict[Path, ShardIndex]:
        """Return the indexes of the shards that have not changed."""
        return _find_unchanged(self._open().values(), stamps)

    def keep(self, scanned: Indexed) -> dict[Path, ShardIndex]:
        """Write the indexes of intact shards to one file and return them memory-mapped; empty on failure."""
        whole = {path: shard for path, shard in scanned.items() if isinstance(shard, ShardIndex)}
        stamps = [(s.name, s.num_bytes, s.version) for s in whole.values()]
        made_of = hashlib.sha256(json.dumps(stamps).encode()).hexdigest()[:16]
        file = tar_index_folder() / f"{self.name}-{made_of}{SUFFIX}"
        try:
            write_index(file, whole.values())
        except WriteError:  # the next run scans again
            return {}
        shards = read_index(file)
        return {path: shards[path.name] for path in whole}

    def sweep(self) -> None:
        """Remove index files whose shards have all changed or disappeared."""
        for file, shards in self._open().items():
            stamps = ((s.num_bytes, s.version) == _stamp(self._folder / s.name) for s in shards.values())
            if not any(stamps):
                remove_files([file])

    def _open(self) -> dict[Path, dict[str, ShardIndex]]:
        files = sorted(tar_index_folder().glob(f"{self.name}-*{SUFFIX}"))
        with ThreadPoolExecutor(_NUM_THREADS) as pool:
            read = zip(files, pool.map(self._read, files), strict=True)
            return {file: shards for file, shards in read if shards is not None}

    def _read(self, file: Path) -> dict[str, ShardIndex] | None:
        try:
            return read_index(file)
        except DataError:
            if file.exists():  # else another process has removed it
                _damaged[self._folder] = (
                    f"{self._folder}: the cached index in {file.parent} was damaged or from another "
                    "version. The shards were scanned again"
                )
                remove_files([file])
            return None
