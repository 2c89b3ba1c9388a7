"""Which shards of a packing are finished: kept while it goes on, so that it can be taken up again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any

from perceptinit.errors import DataError, UsageError, shown, writing
from perceptinit.files.atomic import atomic_path, remove_files, temporaries
from perceptinit.files.reading import parse_json, read_json
from perceptinit.packing.shards import Written
from perceptinit.pairs.sizes import JOURNAL

INDEX = "index.json"  # what the journal says, once all is done
TEST_SPLIT = "test"  # folder of a test set's shards: clip-benchmark reads the split of this name


class Journal:
    """The finished shards of the packing that `header` describes, in a folder of its own.

    A line of JSON for the header, then one for each finished shard. What a packing that was killed has
    left half-written is removed, so only one at a time may work on a folder.

    Raises UsageError when the folder holds another packing or files that are none.
    """

    def __init__(self, folder: Path, header: Mapping[str, Any]) -> None:
        self._path = folder / JOURNAL
        self._lock = Lock()
        lines = _read(folder)
        if lines and lines[0] != header:
            raise UsageError(
                f"{folder} holds another packing ({_difference(lines[0], header)}). "
                "Choose another folder or remove this one"
            )
        left = [*temporaries(folder), *temporaries(folder / TEST_SPLIT)]
        if not lines and folder.is_dir() and set(folder.iterdir()) - set(left):
            raise UsageError(f"{folder} is not empty and holds no packing. Choose another folder")
        self.finished = {
            w.name: w
            for w in (_written(folder, row) for row in lines[1:])
            if _has_size(folder / w.name, w.num_bytes)
        }
        remove_files(left)
        rows = [dict(header), *(asdict(w) for w in self.finished.values())]
        with atomic_path(self._path) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def add(self, written: Written) -> None:
        """Note a finished shard; callable from several threads."""
        with self._lock, writing(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(written)) + "\n")
            self.finished[written.name] = written

    def close(self) -> None:
        """Remove the journal: the index has taken its place."""
        self._path.unlink()


def _read(folder: Path) -> list[dict[str, Any]]:
    """Return the header and the finished shards, of the journal or else the index."""
    journal, index = folder / JOURNAL, folder / INDEX
    if journal.is_file():
        # a line that was cut off by a crash is of a shard that will be written again
        lines = journal.read_text(encoding="utf-8", errors="replace").splitlines()
        return [row for row in map(_parsed, lines) if row is not None]
    if index.is_file():
        row = read_json(index, dict, "the index of a packing")
        rows = [row.get("packing"), *_list(row.get("shards"))]
        if not all(isinstance(row, dict) for row in rows):
            raise DataError(f"{index}: not the index of a packing. Remove it to pack anew")
        return rows
    return []


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [None]


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        row = parse_json(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _written(folder: Path, row: Mapping[str, Any]) -> Written:
    """Return what a line says of a shard; DataError when it says something else."""
    try:
        name, counts = str(row["name"]), (int(row["num_samples"]), int(row["num_bytes"]))
        return Written(name, *counts, tuple(row["unusable"]))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{folder}: its {JOURNAL} or {INDEX} is not that of a packing ({shown(repr(error))}). "
            "Remove it to pack anew"
        ) from error


def _has_size(path: Path, num_bytes: int) -> bool:
    return path.is_file() and path.stat().st_size == num_bytes


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    parts = [
        f"{key} was {old.get(key)!r}, now {new.get(key)!r}"
        for key in new
        if old.get(key) != new.get(key)
    ]
    return "; ".join(parts) or "of another version"
