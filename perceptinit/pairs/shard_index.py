"""The index of tar shards: a file with the positions of their samples.

The file is a sealed safetensors file (`files.sealed`) of plain columns. All processes of a machine map it,
and its checksum is verified on opening. It is stored next to the shards as `shards.index`, or in the user's
cache folder for local shards (`local_index`). Webdataset's `shardindex.json` (wids) contains only the number
of samples per shard; their positions are then read when the shard is fetched.
"""

# S samples, K members, of one shard
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import TypedDict

from perceptinit.configs import NonNegativeInt, find_misfit
from perceptinit.errors import DataError
from perceptinit.files.reading import read_json
from perceptinit.files.sealed import open_sealed, write_sealed
from perceptinit.pairs.tar_file import BLOCK_BYTES, META, TarFile, load_splitter

INDEX = "shards.index"
WIDS_INDEX = "shardindex.json"
MTIME = "mtime:"  # prefix of a local shard's version, followed by nanoseconds
_VERSION = 3
_WHAT = "an index of shards"
_HINT = ". Create it again: perceptinit data index"
_OF_SAMPLES = ("starts", "firsts")
_OF_MEMBERS = ("codes", "offsets", "sizes")
_COLUMNS = (*_OF_SAMPLES, *_OF_MEMBERS)
# extensions of images, and of second members; the first extension that a sample has is used
Members = tuple[Sequence[str], Sequence[str]]


class _Row(TypedDict):
    name: str
    num_bytes: int
    version: str
    num_samples: NonNegativeInt
    num_members: NonNegativeInt
    kinds: list[list[int]]


class _About(TypedDict):
    version: int
    extensions: list[str]
    shards: list[_Row]


class _WidsRow(TypedDict):
    url: str
    nsamples: NonNegativeInt


class _Wids(TypedDict):
    shardlist: list[_WidsRow]


@dataclass(frozen=True, slots=True, eq=False)
class ShardIndex:
    """The positions of the samples in one shard.

    name: File name. num_bytes: Size of the shard, -1 if unknown. version: ETag or modification time; empty if
    unknown.
    extensions: In lower case, without the dot. A code is an index into them.
    kinds: For each combination of extensions, the number of samples with it, then their codes.
    columns: Unsigned integers; empty if only the number of samples is known. `starts` (S,): first header of
        each sample, in blocks of 512 bytes. `firsts` (S,): its first member. `codes` (K,): extensions.
        `offsets` (K,): start of the content, in blocks. `sizes` (K,): bytes.
    """

    name: str
    num_bytes: int
    version: str
    num_samples: int
    extensions: tuple[str, ...] = ()
    kinds: Sequence[Sequence[int]] = ()
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)

    def sample(self, number: int) -> tuple[int, dict[int, tuple[int, int]]]:
        """Return the offset of a sample, and the offset and size of its members by code."""
        first, *rest = self.columns["firsts"][number : number + 2].tolist()
        members = slice(first, rest[0] if rest else None)
        codes, offsets, sizes = (self.columns[name][members].tolist() for name in _OF_MEMBERS)
        places = [(offset * BLOCK_BYTES, size) for offset, size in zip(offsets, sizes, strict=True)]
        return int(self.columns["starts"][number]) * BLOCK_BYTES, dict(zip(codes, places, strict=True))


def scan(tar: TarFile, version: str = "") -> ShardIndex:
    """Return the index of an open tar.

    As in webdataset, consecutive members `a/7.jpg` and `a/7.txt` form the sample `a/7`. The stem ends at the
    first dot of the file name.

    Raises:
        DataError: If the tar is truncated or damaged, or a sample has two members with the same extension.
    """
    starts = array("q")
    firsts = array("q")
    members = array("i")
    offsets = array("q")
    sizes = array("q")
    extensions: dict[str, int] = {}
    kinds = Counter[tuple[int, ...]]()
    stem = None
    codes = list[int]()
    split = load_splitter()
    for member in tar.members():
        sample, extension = split(member.name)
        if sample is None or extension is None or (sample[:2] == "__" and META.match(member.name)):
            continue
        code = extensions.setdefault(extension.lower(), len(extensions))
        if sample != stem:
            kinds[tuple(sorted(codes))] += 1
            stem = sample
            codes = []
            starts.append(member.start // BLOCK_BYTES)
            firsts.append(len(members))
        elif code in codes:
            raise DataError(
                f"{tar.path}: sample '{stem}' has two .{extension.lower()} members (byte {member.start})"
            )
        codes.append(code)
        members.append(code)
        offsets.append(member.offset // BLOCK_BYTES)
        sizes.append(member.num_bytes)
    kinds[tuple(sorted(codes))] += 1
    del kinds[()]  # before the first sample
    columns = (_narrow(np.array(column)) for column in (starts, firsts, members, offsets, sizes))
    return ShardIndex(
        tar.path.name,
        tar.num_bytes,
        version,
        len(starts),
        tuple(extensions),
        [(count, *kind) for kind, count in kinds.items()],
        dict(zip(_COLUMNS, columns, strict=True)),
    )


def write_index(path: Path, shards: Iterable[ShardIndex]) -> None:
    """Write the index of one folder's shards; WriteError on failure."""
    code_of: dict[str, int] = {}
    rows = []
    parts = list[Mapping[str, np.ndarray]]()
    for shard in shards:
        codes = [code_of.setdefault(e, len(code_of)) for e in shard.extensions]
        kinds = [[count, *sorted(codes[code] for code in kind)] for count, *kind in shard.kinds]
        own = _narrow(np.array(codes, dtype=np.int64))[shard.columns["codes"]]
        parts.append({**shard.columns, "codes": own})
        row = (shard.name, shard.num_bytes, shard.version, shard.num_samples, len(own), kinds)
        rows.append(dict(zip(_Row.__annotations__, row, strict=True)))
    none = np.empty(0, dtype=np.uint8)
    columns = {name: np.concatenate([none, *(part[name] for part in parts)]) for name in _COLUMNS}
    write_sealed(path, {"version": _VERSION, "extensions": list(code_of), "shards": rows}, columns)


def read_index(path: Path) -> dict[str, ShardIndex]:
    """Return the shards of an index by name, with memory-mapped columns.

    Args:
        path: A file written by `write_index`, or wids' `shardindex.json`.

    Raises:
        DataError: If the file is neither of these, or damaged.
    """
    if path.suffix == ".json":
        shards = {}
        for row in read_json(path, _Wids, "a wids index of shards")["shardlist"]:
            name = row["url"].partition("?")[0].rpartition("/")[2]
            size = row.get("filesize")
            num_bytes = size if isinstance(size, int) else -1
            shards[name] = ShardIndex(name, num_bytes, "", row["nsamples"])
        return shards
    sealed = open_sealed(path, _WHAT, _HINT)
    about = sealed.about
    problem = find_misfit(about, _About)
    if not problem and about["version"] != _VERSION:
        problem = "another format version"
    if problem or (problem := _find_contradiction(about, sealed.arrays)):
        raise DataError(f"{path}: not {_WHAT} ({problem}){_HINT}")
    return {shard.name: shard for shard in _split(about, sealed.arrays)}


def _find_contradiction(about: Mapping[str, Any], columns: Mapping[str, np.ndarray]) -> str:
    """Describe an inconsistency in the numbers of an index; empty if there is none."""
    shards = about["shards"]
    codes = range(len(about["extensions"]))
    if not all(kind and set(kind[1:]) <= set(codes) for shard in shards for kind in shard["kinds"]):
        return "members have unknown extensions"
    if any(sum(n for n, *_ in shard["kinds"]) != shard["num_samples"] for shard in shards):
        return "its sample counts do not add up"
    lengths = dict.fromkeys(_OF_SAMPLES, sum(shard["num_samples"] for shard in shards))
    lengths |= dict.fromkeys(_OF_MEMBERS, sum(shard["num_members"] for shard in shards))
    if {name: (length,) for name, length in lengths.items()} != {
        name: column.shape for name, column in columns.items() if column.dtype.kind == "u"
    }:
        return "its columns do not match its sample and member counts"
    return ""


def _split(about: Mapping[str, Any], columns: Mapping[str, np.ndarray]) -> Iterable[ShardIndex]:
    """Yield the shards of an index with their parts of the columns."""
    extensions = tuple(about["extensions"])
    sample = 0
    member = 0
    for row in about["shards"]:
        parts = dict.fromkeys(_OF_SAMPLES, slice(sample, sample + row["num_samples"]))
        parts |= dict.fromkeys(_OF_MEMBERS, slice(member, member + row["num_members"]))
        sample = sample + row["num_samples"]
        member = member + row["num_members"]
        own = {name: columns[name][part] for name, part in parts.items()}
        known = {name: value for name, value in row.items() if name != "num_members"}
        yield ShardIndex(**known, extensions=extensions, columns=own)


def _narrow(column: np.ndarray) -> np.ndarray:
    """Return unsigned integers in the smallest type that fits."""
    return column.astype(np.min_scalar_type(int(column.max(initial=0))))
