"""What lies where in many shards: one file beside them, mapped into memory and shared by the processes of a machine.

The file (`shards.index`) is a safetensors file of plain columns; tar places are counted in blocks of 512 bytes.
Webdataset's `shardindex.json` (wids) says only how many samples each shard has: what lies where is then found when a
shard comes.
"""

from __future__ import annotations

# S samples, K members, of one shard
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
_VERSION = 1
_WHAT = "an index of shards; make it anew: perceptinit data index"
_MOST_HEADER_BYTES = 100 << 20
# columns of an index: number of bytes of an item; `members` counts those of a sample
_COLUMNS = ("starts", "members", "codes", "offsets", "sizes")
_DTYPES: dict[str, Any] = {"U8": np.uint8, "U16": np.uint16, "U32": np.uint32, "U64": np.uint64}
_SHARD = {"name": str, "num_bytes": int, "version": str, "num_samples": int, "num_members": int}


@dataclass(frozen=True, slots=True)
class IndexedShard:
    """A shard as an index has it. num_bytes: -1 when it does not say; version: empty when it does not."""

    name: str
    num_bytes: int
    version: str
    num_samples: int
    num_members: int = 0


class ShardIndex:
    """The shards of a folder, by name; `tar_index` gives what lies where in one of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        header, start = _read_header(path)
        self.extensions, shards = _read_shards(path, header.pop("__metadata__", None))
        self._columns = {name: _column(path, header, name, start) for name in _COLUMNS}
        self._check_lengths(shards)
        self._samples = np.cumsum([0, *(shard.num_samples for shard in shards)])
        self._members = np.cumsum([0, *(shard.num_members for shard in shards)])
        self._places = {shard.name: i for i, shard in enumerate(shards)}
        self.shards = {shard.name: shard for shard in shards}

    def tar_index(self, name: str, path: Place) -> TarIndex:
        """Return the index of the shard called `name`, which lies at `path`."""
        i = self._places[name]
        samples, members = slice(*self._samples[i : i + 2]), slice(*self._members[i : i + 2])
        counts = self._columns["members"][samples]
        return TarIndex(
            path,
            self.extensions,
            self._blocks("starts", samples),
            np.repeat(np.arange(len(counts), dtype=np.int32), counts),
            self._columns["codes"][members].astype(np.int32),
            self._blocks("offsets", members),
            self._columns["sizes"][members].astype(np.int64),
        )

    def _blocks(self, name: str, rows: slice) -> np.ndarray:
        return self._columns[name][rows].astype(np.int64) * BLOCK_BYTES

    def _check_lengths(self, shards: Sequence[IndexedShard]) -> None:
        num_samples = sum(shard.num_samples for shard in shards)
        num_members = sum(shard.num_members for shard in shards)
        wanted = dict.fromkeys(_COLUMNS, num_members) | dict.fromkeys(
            ("starts", "members"), num_samples
        )
        if wanted != {name: len(column) for name, column in self._columns.items()}:
            raise DataError(
                f"{self.path}: not {_WHAT} (its columns do not have the lengths it says)"
            )


def read_index(path: Path) -> ShardIndex | dict[str, IndexedShard]:
    """Return an index of ours, or of wids the shards by name; DataError when it is neither."""
    if path.suffix != ".json":
        return ShardIndex(path)
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
    from safetensors.numpy import save_file

    shards: list[dict[str, Any]] = []
    extensions: dict[str, int] = {}
    parts: dict[str, list[np.ndarray]] = {name: [] for name in _COLUMNS}
    for index, (num_bytes, version) in zip(indexes, stats, strict=True):
        own = [extensions.setdefault(e, len(extensions)) for e in index.extensions]
        codes = np.array(own, dtype=np.int64)[index.codes]
        counts = np.bincount(index.samples, minlength=index.num_samples)
        values = (
            index.starts // BLOCK_BYTES,
            counts,
            codes,
            index.offsets // BLOCK_BYTES,
            index.sizes,
        )
        for name, column in zip(_COLUMNS, values, strict=True):
            parts[name].append(column.astype(np.min_scalar_type(int(column.max(initial=0)))))
        said = (index.path.name, num_bytes, version, index.num_samples, len(codes))
        shards.append(dict(zip(_SHARD, said, strict=True)))
    about = {"version": _VERSION, "extensions": list(extensions), "shards": shards}
    with atomic_path(path) as temporary:
        columns = {name: np.concatenate(columns) for name, columns in parts.items()}
        save_file(columns, temporary, {"shard_index": json.dumps(about)})


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
        problem = misfit(about, {"version": int, "extensions": [str], "shards": [_SHARD]})
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not {_WHAT}") from error
    if problem or about["version"] != _VERSION:
        raise DataError(f"{path}: not {_WHAT} ({problem or 'of another version'})")
    shards = [IndexedShard(**{name: row[name] for name in _SHARD}) for row in about["shards"]]
    if any(shard.num_samples < 0 or shard.num_members < 0 for shard in shards):
        raise DataError(f"{path}: not {_WHAT} (a number below 0)")
    return tuple(about["extensions"]), shards


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
        return np.memmap(path, _DTYPES[entry["dtype"]], "r", offset, shape)
    except (OSError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: not {_WHAT} ({error})") from error
