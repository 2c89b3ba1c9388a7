"""Which shards of a packing are finished: kept while it goes on, so that it can be taken up again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any

from perceptinit.errors import DataError, UsageError, shown, writing
from perceptinit.files.atomic import atomic_path, final_path, remove_files, temporaries
from perceptinit.files.reading import parse_json, read_json
from perceptinit.packing.parts import Part
from perceptinit.packing.shards import Written
from perceptinit.pairs.sizes import JOURNAL, journals

INDEX = "index.json"  # what the journal says, once all is done
TEST_SPLIT = "test"  # folder of a test set's shards: clip-benchmark reads the split of this name


class Journal:
    """The finished shards of the packing that `header` describes, in a folder of its own.

    A line of JSON for the header, then one for each finished shard. A part of a packing has a journal of its own, and
    all of them count. What a killed one has left half-written of `names` is removed, so only one at a time may work on
    a shard.

    names: shards that are wanted. part: the one that is packed, None for the whole.

    Raises UsageError when the folder holds another packing or files that are none.
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
        found = _read(folder, header)
        left = [*temporaries(folder), *temporaries(folder / TEST_SPLIT)]
        if found is None and _has_others(folder, left):
            raise UsageError(f"{folder} is not empty and holds no packing. Choose another folder")
        finished = {w.name: w for w in (_written(folder, row) for row in found or ())}
        self.finished = {
            name: finished[name]
            for name in names
            if name in finished and _has_size(folder / name, finished[name].num_bytes)
        }
        mine = {folder / name for name in names} | {self._path}
        remove_files(path for path in left if part is None or final_path(path) in mine)

    def start(self) -> None:
        """Write what is known, for `add` to go on from."""
        rows = [self._header, *(asdict(w) for w in self.finished.values())]
        with atomic_path(self._path) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def add(self, written: Written) -> None:
        """Note a finished shard; callable from several threads."""
        with self._lock, writing(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(written)) + "\n")
            self.finished[written.name] = written

    def close(self) -> None:
        """Remove all journals: the index has taken their place."""
        for path in journals(self._folder):
            path.unlink()


def _read(folder: Path, header: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return the finished shards of all journals and the index, None when there are none of these.

    Raises UsageError when one of them has another header.
    """
    kept = [lines for lines in map(_lines, journals(folder)) if lines]
    kept += [_index_rows(folder / INDEX)] if (folder / INDEX).is_file() else []
    for first, *_ in kept:
        if first != header:
            raise UsageError(
                f"{folder} holds another packing ({_difference(first, header)}). "
                "Choose another folder or remove this one"
            )
    return [row for _, *rows in kept for row in rows] if kept else None


def _lines(journal: Path) -> list[dict[str, Any]]:
    # a line that was cut off by a crash is of a shard that will be written again
    lines = journal.read_text(encoding="utf-8", errors="replace").splitlines()
    return [row for row in map(_parsed, lines) if row is not None]


def _index_rows(index: Path) -> list[dict[str, Any]]:
    row = read_json(index, dict, "the index of a packing")
    rows = [row.get("packing"), *_list(row.get("shards"))]
    if not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{index}: not the index of a packing. Remove it to pack anew")
    return rows


def _has_others(folder: Path, left: Sequence[Path]) -> bool:
    """Tell whether a folder holds more than what packings leave: another part may begin just now."""
    return folder.is_dir() and bool(set(folder.iterdir()) - {*left, *journals(folder)})


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
