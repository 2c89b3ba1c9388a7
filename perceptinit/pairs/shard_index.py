"""What lies where in many shards: a file of plain columns, mapped into memory and shared by the processes of a machine.

It is a safetensors file: `shards.index` beside remote shards, files in the user's cache folder of local ones
(`local_index`). Tar places are counted in blocks of 512 bytes. Its header says what counting samples needs, so that of the
columns only those places are read that are asked for. Webdataset's `shardindex.json` (wids) says only how many samples each shard has: what lies where is then found when a
shard comes.
"""

from __future__ import annotations

# S samples, K members, of one shard
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from perceptinit.errors import DataError, shown
from perceptinit.files.atomic import atomic_path
from perceptinit.files.reading import misfit, open_regular, parse_json, read_json
from perceptinit.files.remote.addresses import Place
from perceptinit.pairs.tar_format import BLOCK_BYTES
from perceptinit.pairs.tar_index import TarIndex

INDEX = "shards.index"
WIDS_INDEX = "shardindex.json"
_VERSION = 2
_WHAT = "an index of shards; make it anew: perceptinit data index"
_MOST_HEADER_BYTES = 100 << 20
# columns of an index; `firsts` is the number of a sample's first member in its shard
_COLUMNS = ("starts", "firsts", "codes", "offsets", "sizes")
_OF_SAMPLES = _COLUMNS[:2]
_DTYPES: dict[str, Any] = {"U8": np.uint8, "U16": np.uint16, "U32": np.uint32, "U64": np.uint64}
_SHARD = {
    "name": str,
    "num_bytes": int,
    "version": str,
    "num_samples": int,
    "num_members": int,
    "kinds": [[int]],
}


@dataclass(frozen=True, slots=True)
class IndexedShard:
    """A shard as an index has it. num_bytes: -1 when it does not say; version: empty when it does not.

    kinds: how many samples have which members: a number, then the codes of their extensions.
    """

    name: str
    num_bytes: int
    version: str
    num_samples: int
    num_members: int = 0
    kinds: Sequence[Sequence[int]] = ()


class ShardIndex:
    """The shards of a folder, by name, and the columns with what lies where in them.

    Raises DataError when the columns do not have the lengths that the shards say; `said` names the file.
    """

    def __init__(
        self,
        said: object,
        extensions: tuple[str, ...],
        shards: Sequence[IndexedShard],
        columns: Mapping[str, np.ndarray],
    ) -> None:
        self.extensions, self._columns = extensions, columns
        self._check(said, shards)
        self._samples = [0, *accumulate(shard.num_samples for shard in shards)]
        self._members = [0, *accumulate(shard.num_members for shard in shards)]
        self._places = {shard.name: i for i, shard in enumerate(shards)}
        self.shards = {shard.name: shard for shard in shards}

    @classmethod
    def read(cls, path: Path) -> ShardIndex:
        """Return the index in a file, mapped and not read; DataError when it is none."""
        header, start = _read_header(path)
        extensions, shards = _read_shards(path, header.pop("__metadata__", None))
        columns = {name: _column(path, header, name, start) for name in _COLUMNS}
        return cls(path, extensions, shards, columns)

    @classmethod
    def of(cls, indexes: Iterable[TarIndex], stats: Iterable[tuple[int, str]]) -> ShardIndex:
        """Return an index in memory, of shards of one folder; see `write_index`."""
        codes_of: dict[str, int] = {}
        shards, parts = [], []
        for index, (num_bytes, version) in zip(indexes, stats, strict=True):
            own = [codes_of.setdefault(e, len(codes_of)) for e in index.extensions]
            columns = _columns_of(index, np.array(own, dtype=np.int64)[index.codes])
            sizes = (index.num_samples, len(index.codes))
            shards.append(
                IndexedShard(index.path.name, num_bytes, version, *sizes, _kinds(columns))
            )
            parts.append({name: _narrow(column) for name, column in columns.items()})
        none = np.empty(0, dtype=np.uint8)
        joined = {name: np.concatenate([none, *(p[name] for p in parts)]) for name in _COLUMNS}
        return cls("an index in memory", tuple(codes_of), shards, joined)

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all; WriteError when the disk does not take it."""
        from safetensors.numpy import save_file

        shards = [{name: getattr(shard, name) for name in _SHARD} for shard in self.shards.values()]
        about = {"version": _VERSION, "extensions": self.extensions, "shards": shards}
        with atomic_path(path) as temporary:
            save_file(dict(self._columns), temporary, {"shard_index": json.dumps(about)})
            with temporary.open("rb") as file:  # no checksum would tell what a power cut left of it
                os.fsync(file.fileno())

    def tar_index(self, name: str, path: Place) -> TarIndex:
        """Return the whole index of the shard called `name`, which lies at `path`."""
        samples, members = self._rows(name)
        firsts = self._columns["firsts"][samples].astype(np.int64)
        counts = np.diff(firsts, append=members.stop - members.start)
        return TarIndex(
            path,
            self.extensions,
            self._blocks("starts", samples),
            np.repeat(np.arange(len(counts), dtype=np.int32), counts),
            self._columns["codes"][members].astype(np.int32),
            self._blocks("offsets", members),
            self._columns["sizes"][members].astype(np.int64),
        )

    def sample(self, name: str, number: int) -> tuple[int, dict[int, tuple[int, int]]]:
        """Return where a sample of the shard called `name` begins, and offset and bytes of its members by code."""
        samples, members = self._rows(name)
        at = samples.start + number
        first, *rest = self._columns["firsts"][at : min(at + 2, samples.stop)].tolist()
        stop = members.start + rest[0] if rest else members.stop
        first += members.start
        codes, offsets, sizes = (
            self._columns[column][first:stop].tolist() for column in ("codes", "offsets", "sizes")
        )
        places = [(offset * BLOCK_BYTES, size) for offset, size in zip(offsets, sizes, strict=True)]
        start = int(self._columns["starts"][at]) * BLOCK_BYTES
        return start, dict(zip(codes, places, strict=True))

    def _rows(self, name: str) -> tuple[slice, slice]:
        i = self._places[name]
        return slice(*self._samples[i : i + 2]), slice(*self._members[i : i + 2])

    def _blocks(self, name: str, rows: slice) -> np.ndarray:
        return self._columns[name][rows].astype(np.int64) * BLOCK_BYTES

    def _check(self, said: object, shards: Sequence[IndexedShard]) -> None:
        num_samples = sum(shard.num_samples for shard in shards)
        num_members = sum(shard.num_members for shard in shards)
        wanted = dict.fromkeys(_COLUMNS, num_members) | dict.fromkeys(_OF_SAMPLES, num_samples)
        if wanted != {name: len(column) for name, column in self._columns.items()}:
            raise DataError(f"{said}: not {_WHAT} (its columns do not have the lengths it says)")
        if any(sum(n for n, *_ in shard.kinds) != shard.num_samples for shard in shards):
            raise DataError(f"{said}: not {_WHAT} (its numbers of samples do not add up)")


@dataclass(frozen=True, slots=True)
class PlacedShard:
    """A shard of an index, and where it lies."""

    path: Place
    index: ShardIndex

    @property
    def num_samples(self) -> int:
        return self._said.num_samples

    @property
    def extensions(self) -> set[str]:
        """Return what its members end with."""
        return {self.index.extensions[code] for _, *codes in self.kinds for code in codes}

    @property
    def kinds(self) -> Sequence[Sequence[int]]:
        """Return how many samples have which members; see `IndexedShard`."""
        return self._said.kinds

    def tar_index(self) -> TarIndex:
        return self.index.tar_index(self.path.name, self.path)

    def sample(self, number: int) -> tuple[int, dict[int, tuple[int, int]]]:
        """Return where a sample begins, and its members; see `ShardIndex.sample`."""
        return self.index.sample(self.path.name, number)

    @property
    def _said(self) -> IndexedShard:
        return self.index.shards[self.path.name]


def read_index(path: Path) -> ShardIndex | dict[str, IndexedShard]:
    """Return an index of ours, or of wids the shards by name; DataError when it is neither."""
    if path.suffix != ".json":
        return ShardIndex.read(path)
    table = read_json(path, dict, "a wids index of shards")
    problem = misfit(table, {"shardlist": [{"url": str, "nsamples": int}]})
    if problem:
        raise DataError(f"{path}: not a wids index of shards ({shown(problem)})")
    rows = table["shardlist"]
    sizes = [row.get("filesize") for row in rows]
    return {
        name: IndexedShard(name, size if isinstance(size, int) else -1, "", row["nsamples"])
        for row, size in zip(rows, sizes, strict=True)
        for name in [row["url"].partition("?")[0].rpartition("/")[2]]
    }


def write_index(path: Path, indexes: Iterable[TarIndex], stats: Iterable[tuple[int, str]]) -> None:
    """Write the index of shards of one folder; stats: bytes and version of each, the version empty if unknown.

    Raises WriteError when the disk does not take it.
    """
    ShardIndex.of(indexes, stats).write(path)


def _columns_of(index: TarIndex, codes: np.ndarray) -> dict[str, np.ndarray]:
    values = (
        index.starts // BLOCK_BYTES,
        np.searchsorted(index.samples, np.arange(index.num_samples)),
        codes,
        index.offsets // BLOCK_BYTES,
        index.sizes,
    )
    return dict(zip(_COLUMNS, values, strict=True))


def _kinds(columns: Mapping[str, np.ndarray]) -> list[list[int]]:
    codes, firsts = columns["codes"].tolist(), columns["firsts"].tolist()
    stops = [*firsts[1:], len(codes)]
    counts = Counter(tuple(sorted(codes[a:b])) for a, b in zip(firsts, stops, strict=False))
    return [[number, *kind] for kind, number in counts.items()]


def _narrow(column: np.ndarray) -> np.ndarray:
    return column.astype(np.min_scalar_type(int(column.max(initial=0))))


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    """Return the header of a safetensors file, and the byte where its columns begin."""
    try:
        with open_regular(path) as file:
            length = int.from_bytes(file.read(8), "little")
            header = parse_json(file.read(length)) if length <= _MOST_HEADER_BYTES else None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not {_WHAT} ({error})") from error
    if not isinstance(header, dict):
        raise DataError(f"{path}: not {_WHAT}")
    return header, 8 + length


def _read_shards(path: Path, metadata: Any) -> tuple[tuple[str, ...], list[IndexedShard]]:
    try:
        about = parse_json(metadata["shard_index"])
        if misfit(about, {"version": int}) or about["version"] != _VERSION:
            raise DataError(f"{path}: not {_WHAT} (of another version)")
        problem = misfit(about, {"extensions": [str], "shards": [_SHARD]})
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not {_WHAT}") from error
    if problem:
        raise DataError(f"{path}: not {_WHAT} ({problem})")
    shards = [IndexedShard(**{name: row[name] for name in _SHARD}) for row in about["shards"]]
    extensions = tuple(about["extensions"])
    if any(shard.num_samples < 0 or shard.num_members < 0 for shard in shards):
        raise DataError(f"{path}: not {_WHAT} (a number below 0)")
    kinds = (kind for shard in shards for kind in shard.kinds)
    if not all(kind and all(0 <= code < len(extensions) for code in kind[1:]) for kind in kinds):
        raise DataError(f"{path}: not {_WHAT} (members without an extension)")
    return extensions, shards


def _column(path: Path, header: dict[str, Any], name: str, start: int) -> np.ndarray:
    """Return a column, mapped and not read."""
    entry: Any = header.get(name)
    problem = misfit(entry, {"dtype": str, "shape": [int], "data_offsets": [int]})
    if problem or entry["dtype"] not in _DTYPES or len(entry["shape"]) != 1:
        raise DataError(f"{path}: not {_WHAT} (column '{name}')")
    if not entry["shape"][0]:
        return np.zeros(0, dtype=np.uint8)
    try:
        offset, shape = start + entry["data_offsets"][0], tuple(entry["shape"])
        mapped = np.memmap(path, _DTYPES[entry["dtype"]], "r", offset, shape)
        return mapped.view(np.ndarray)  # whose items are had in a tenth of the time
    except (OSError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: not {_WHAT} ({error})") from error
