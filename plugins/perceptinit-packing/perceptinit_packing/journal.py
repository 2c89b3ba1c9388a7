"""Journal of the finished shards, from which the same command resumes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any

from typing_extensions import TypedDict

from perceptinit.companion import atomic_path, read_json
from perceptinit.plugin import (
    JOURNAL,
    DataError,
    UsageError,
    content_sha256,
    final_path,
    find_misfit,
    journals,
    parse_rows,
    remove_files,
    temporaries,
    unseal,
    writing,
)
from perceptinit_packing.parts import Part
from perceptinit_packing.shards import Written

INDEX = "index.json"  # replaces the journal when all shards are finished
AGAIN = ". Remove it to pack again"
TEST_SPLIT = "test"  # folder of test-set shards; clip-benchmark reads the split with this name


class _Row(TypedDict):
    name: str
    num_samples: int
    num_bytes: int
    unusable: list[str]


class _Index(TypedDict):
    packing: dict[str, Any]
    shards: list[dict[str, Any]]


class Journal:
    """The finished shards of a dataset, read from all journals and the index in its folder.

    A journal has one JSON line for the header and one for each finished shard. Each part of a dataset has its
    own journal. Temporary files of `names` are removed, so only one process may write a shard.

    Args:
        folder: The folder of the shards.
        header: The settings that determine the bytes of the shards.
        names: Names of the shards to write.
        part: The part to pack, None for all parts.

    Raises:
        UsageError: If the folder contains another dataset or other files.
    """

    def __init__(
        self,
        folder: Path,
        header: Mapping[str, Any],
        names: Sequence[str],
        part: Part | None = None,
    ) -> None:
        self._folder, self._header, self._lock = folder, dict(header), Lock()
        self._path = folder / (part.name(JOURNAL) if part else JOURNAL)
        # list files before reading journals: a part that starts now writes its journal before its shards
        present = [path for path in _list(folder) if not path.name.startswith(".")]
        kept = [rows for rows in _read(folder) if rows]
        if present and not kept:
            raise UsageError(f"{folder} is not empty and contains no packed dataset. Choose another folder")
        for other, *_ in kept:
            self._check_header(other)
        written = (_parse_row(folder, row) for _, *rows in kept for row in rows)
        self.finished = {
            shard.name: shard
            for shard in written
            if shard.name in names and _has_size(folder / shard.name, shard.num_bytes)
        }
        left = [*temporaries(folder), *temporaries(folder / TEST_SPLIT)]
        own = {folder / name for name in names} | {self._path}
        remove_files(path for path in left if part is None or final_path(path) in own)

    def start(self) -> None:
        """Write the header and the finished shards to the journal; `add` appends to it."""
        rows = [self._header, *map(asdict, self.finished.values())]
        with atomic_path(self._path) as temporary:
            temporary.write_text("".join(json.dumps(seal(row)) + "\n" for row in rows))

    def add(self, written: Written) -> None:
        """Record a finished shard; thread-safe."""
        with self._lock, writing(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(seal(asdict(written))) + "\n")
            self.finished[written.name] = written

    def close(self) -> None:
        """Remove all journals after the index is written."""
        for path in journals(self._folder):
            path.unlink()

    def _check_header(self, other: Mapping[str, Any]) -> None:
        if other != self._header:
            changed = [key for key, value in self._header.items() if other.get(key) != value]
            how = [f"{key} was {other.get(key)!r}, now {self._header[key]!r}" for key in changed]
            raise UsageError(
                f"{self._folder} contains another dataset ({'; '.join(how) or 'another version'}). "
                "Choose another folder, or remove this one"
            )


def seal(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of a journal or index with its hash added."""
    return {**content, "sha256": content_sha256(content)}


def _list(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _read(folder: Path) -> Iterator[list[dict[str, Any]]]:
    """Yield the header and the finished shards of each journal and of the index."""
    for path in journals(folder):
        # after a crash, an incomplete line is ignored and its shard is rewritten
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        rows = list(parse_rows(lines))
        is_old = not any("sha256" in row for row in rows)
        yield [unseal(path, row, AGAIN, is_old) for row in rows]
    if (folder / INDEX).is_file():
        index = read_json(folder / INDEX, _Index, "the index of a packed dataset; remove it to pack again")
        unseal(folder / INDEX, index, AGAIN, is_old=index.keys() <= {"num_samples", "packing", "shards"})
        yield [index["packing"], *index["shards"]]


def _parse_row(folder: Path, row: Mapping[str, Any]) -> Written:
    if problem := find_misfit(row, _Row):
        raise DataError(f"{folder}: {JOURNAL} or {INDEX} was not written by `data pack` ({problem}){AGAIN}")
    return Written(**{key: row[key] for key in _Row.__annotations__} | {"unusable": tuple(row["unusable"])})


def _has_size(path: Path, num_bytes: int) -> bool:
    return path.is_file() and path.stat().st_size == num_bytes
