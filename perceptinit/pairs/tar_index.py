"""Random access to the samples of a webdataset shard: a plain tar, scanned once, grouped by stem.

The members `a/7.jpg` and `a/7.txt` are one sample with the key `a/7`, as in webdataset: the stem
ends at the first dot of the file name, and the members of a sample follow one another.
"""

from __future__ import annotations

# K members, S samples
import hashlib
import os
import re
from array import array
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from perceptinit.errors import DataError
from perceptinit.files.atomic import atomic_path, remove_abandoned
from perceptinit.files.cache import tar_index_folder
from perceptinit.files.remote.addresses import Place
from perceptinit.pairs.tar_format import TarFile

_STEM = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$")  # webdataset's rule
_META = re.compile(r"__[^/]*__($|/)")  # members about the shard, which webdataset skips
_CACHE_VERSION = 1
_CACHED_FROM = 1000  # members; fewer are scanned as fast as a cache is read


@dataclass(frozen=True, slots=True, eq=False)
class TarIndex:
    """Where the samples of a tar lie.

    starts: int64 (S,), the first header of each sample. extensions: lower case, without the dot.
    samples: int32 (K,), ascending; codes: int32 (K,), index into extensions;
    offsets, sizes: int64 (K,), bytes.
    """

    path: Place
    extensions: tuple[str, ...]
    starts: np.ndarray
    samples: np.ndarray
    codes: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray

    @property
    def num_samples(self) -> int:
        return len(self.starts)

    def members(self, extensions: Iterable[str]) -> np.ndarray:
        """Return for each sample the member with the first of `extensions` it has, int64 (S,), else -1."""
        found = np.full(self.num_samples, -1, dtype=np.int64)
        for extension in reversed(tuple(extensions)):
            if extension in self.extensions:
                rows = np.flatnonzero(self.codes == self.extensions.index(extension))
                found[self.samples[rows]] = rows
        return found


def read_sample(
    tar: TarFile, start: int, first: Sequence[int], second: Sequence[int]
) -> tuple[str, bytes, bytes]:
    """Return the name of a sample whose first header is at `start`, and two of its members.

    first, second: offset and number of bytes. DataError when the file is shorter by now.
    """
    name = tar.plain_name(start)
    key = _key(tar, name) if name else sample_key(tar, start)
    return key, tar.read(*first), tar.read(*second)


def sample_key(tar: TarFile, start: int) -> str:
    """Return the name of the sample whose first header is at `start`: `00012.tar/000123`."""
    return _key(tar, next(tar.members(int(start))).name)


def _key(tar: TarFile, member: str) -> str:
    match = _STEM.match(member)
    return f"{tar.path.name}/{match.group(1) if match else member}"


@lru_cache(maxsize=128)  # open files; a file in use stays open when it leaves the cache
def open_tar(path: Path) -> TarFile:
    """Return a tar on a disk, opened once; callable from several threads."""
    return TarFile(path)


def index_tars(paths: Sequence[Path], num_threads: int = 8) -> list[TarIndex | DataError]:
    """Return the index of each tar, or what is wrong with it; slow disks are read side by side."""

    def index(path: Path) -> TarIndex | DataError:
        try:
            return index_tar(path)
        except DataError as error:
            return error

    with ThreadPoolExecutor(num_threads) as pool:
        return list(pool.map(index, paths))


def index_tar(path: Path) -> TarIndex:
    """Return the index of a tar, from the user's cache when the file has not changed since.

    Raises DataError when the tar is truncated, damaged or names a member twice.
    """
    open_tar.cache_clear()  # the index is of the file that has this path now
    index = _read_cache(path)
    if index is None:
        index = scan(TarFile(path))
        if len(index.offsets) >= _CACHED_FROM:
            _write_cache(path, index)
    return index


def scan(tar: TarFile) -> TarIndex:
    """Return the index of an open tar; DataError as `index_tar`."""
    starts, samples, codes, offsets, sizes = (array(t) for t in "qiiqq")
    extensions: dict[str, int] = {}
    stem, seen = None, set[int]()
    for member in tar.members():
        match = _STEM.match(member.name)
        if match is None or _META.match(member.name):
            continue
        code = extensions.setdefault(match.group(2).lower(), len(extensions))
        if match.group(1) != stem:
            stem, seen = match.group(1), set()
            starts.append(member.start)
        elif code in seen:
            raise DataError(
                f"{tar.path}: sample '{stem}' has two members .{match.group(2).lower()} (byte {member.start})"
            )
        seen.add(code)
        samples.append(len(starts) - 1)
        codes.append(code)
        offsets.append(member.offset)
        sizes.append(member.num_bytes)
    columns = (np.array(column) for column in (starts, samples, codes, offsets, sizes))
    return TarIndex(tar.path, tuple(extensions), *columns)


def _cache_path(path: Path) -> Path:
    name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]
    return tar_index_folder() / f"{name}.npz"


def _stamp(path: Path) -> np.ndarray:
    """Return what changes when a file does: its size and time of modification."""
    stat = path.stat()
    return np.array([_CACHE_VERSION, stat.st_size, stat.st_mtime_ns], dtype=np.int64)


def _read_cache(path: Path) -> TarIndex | None:
    try:
        with np.load(_cache_path(path), allow_pickle=False) as file:
            if not np.array_equal(file["stamp"], _stamp(path)):
                return None
            extensions = tuple(str(e) for e in file["extensions"])
            columns = (file[n] for n in ("starts", "samples", "codes", "offsets", "sizes"))
            return TarIndex(path, extensions, *columns)
    except Exception:  # absent or damaged: the tar itself is the truth and is scanned
        return None


def _write_cache(path: Path, index: TarIndex) -> None:
    remove_abandoned(tar_index_folder())
    columns = {n: getattr(index, n) for n in ("starts", "samples", "codes", "offsets", "sizes")}
    try:
        with atomic_path(_cache_path(path)) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                stamp=_stamp(path),
                extensions=np.array(index.extensions, dtype=np.str_),
                **columns,
            )
    except OSError:  # no room or no permission: the next start scans again, nothing else is lost
        return
