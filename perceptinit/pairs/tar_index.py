"""Where the samples of a webdataset shard lie: a plain tar, scanned and grouped by stem.

The members `a/7.jpg` and `a/7.txt` are one sample with the key `a/7`, as in webdataset: the stem
ends at the first dot of the file name, and the members of a sample follow one another.
"""

from __future__ import annotations

# K members, S samples
import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from perceptinit.errors import DataError
from perceptinit.files.remote.addresses import Place
from perceptinit.pairs.tar_format import TarFile

_STEM = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$")  # webdataset's rule
_META = re.compile(r"__[^/]*__($|/)")  # members about the shard, which webdataset skips


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


def scan(tar: TarFile) -> TarIndex:
    """Return the index of an open tar; DataError when it is truncated, damaged or names a member twice."""
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
