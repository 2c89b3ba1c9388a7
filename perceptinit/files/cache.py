"""A store of initialised towers: the same start, judgments, settings and seed are computed once.

(The folder also has `images`, the store of decoded images, `tar-indexes`, the index of local shards, `shards` and `copies`,
what was fetched, and `test-sets` of the hub.)

Each entry is a folder named by the SHA-256 of all that determines its weights, with
`weights.safetensors` and `manifest.json`. A manifest is written last and holds the checksum of the
weights, so an entry is either whole or absent. `PERCEPTINIT_CACHE` says where the store is.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perceptinit.errors import DataError
from perceptinit.files.atomic import remove_files, temporaries, write_json
from perceptinit.files.checksums import file_sha256
from perceptinit.files.locks import file_lock
from perceptinit.files.reading import read_json

MANIFEST, WEIGHTS = "manifest.json", "weights.safetensors"
CHECKSUM = "manifest_sha256"  # in a manifest, of all else in it


def cache_folder() -> Path:
    """Return where entries are: `PERCEPTINIT_CACHE`, or `perceptinit` in the user's cache folder."""
    own = os.environ.get("PERCEPTINIT_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "perceptinit"


def tar_index_folder() -> Path:
    """Return where the index of local shards is kept; see `pairs.local_index`."""
    return cache_folder() / "tar-indexes"


def key_of(parts: Mapping[str, Any]) -> str:
    """Return the name of the entry of what `parts` describe, 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One stored tower. `manifest` holds the parts of its key, its report, and checksums of weights and itself."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def weights_path(self) -> Path:
        return self.folder / WEIGHTS

    @property
    def num_bytes(self) -> int:
        return self.weights_path.stat().st_size if self.weights_path.is_file() else 0

    def check(self) -> None:
        """Raise DataError when the weights are absent or not those that were stored."""
        if not self.weights_path.is_file():
            raise DataError(f"{self.folder}: {WEIGHTS} is missing")
        if file_sha256(self.weights_path) != self.manifest["weights_sha256"]:
            raise DataError(f"{self.weights_path}: the checksum is not that of its manifest")


class Cache:
    """The entries in a folder; safe with several processes on one file system."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def entries(self) -> list[CacheEntry]:
        """Return all whole entries, sorted by name; a folder without a readable manifest is none."""
        found = (self.find(path.parent.name) for path in sorted(self.folder.glob(f"*/{MANIFEST}")))
        return [entry for entry in found if entry]

    def find(self, key: str) -> CacheEntry | None:
        """Return the entry of a key, its weights unchecked; None without a manifest as it was written."""
        path = self.folder / key / MANIFEST
        try:
            manifest = read_json(path, dict, "a manifest")
        except DataError:
            return None
        if manifest.get(CHECKSUM) != _sha256(manifest):
            return None
        return CacheEntry(path.parent, manifest)

    @contextmanager
    def locked(self, key: str) -> Iterator[None]:
        """Keep other processes out of one entry: who wants the same tower waits, and then loads it."""
        with file_lock(self.folder / f"{key}.lock"):
            yield

    def store(self, key: str, manifest: Mapping[str, Any], write: Callable[[Path], None]) -> None:
        """Keep an entry; `write(path)` writes its weights. Call it inside `locked(key)`."""
        folder = self.folder / key
        remove_files(temporaries(folder))
        write(folder / WEIGHTS)
        whole = {**manifest, "weights_sha256": file_sha256(folder / WEIGHTS)}
        write_json(folder / MANIFEST, {**whole, CHECKSUM: _sha256(whole)})

    def remove(self, key: str) -> None:
        """Delete one entry, whole or not."""
        shutil.rmtree(self.folder / key, ignore_errors=True)

    def clear(self) -> int:
        """Delete every entry and return how many there were.

        Lock files stay: a process that waits for one would no longer keep others out.
        """
        entries = self.entries()
        for entry in entries:
            self.remove(entry.folder.name)
        return len(entries)


@dataclass(frozen=True, slots=True)
class KeptFiles:
    """Files, and folders of files, of one sort beside the towers; they are made or fetched again when absent."""

    title: str
    paths: Sequence[Path]

    @property
    def num_bytes(self) -> int:
        files = (file for path in self.paths for file in (path, *path.rglob("*")))
        return sum(file.stat().st_size for file in files if file.is_file())

    def clear(self) -> None:
        """Delete them. Lock files stay, as in `Cache.clear`; runs that have files open keep them."""
        for path in self.paths:
            remove_files([path]) if path.is_file() else shutil.rmtree(path, ignore_errors=True)


def kept_files() -> list[KeptFiles]:
    """Return what is kept beside the towers and holds something."""
    base = cache_folder()
    found = [
        KeptFiles(f"decoded images {folder.name}", [*folder.glob(f"*{suffix}")])
        for folder in sorted((base / "images").glob("*px-*"))
        for suffix in (".npy", ".safetensors")  # the second: of release 0.1
    ]
    found.append(KeptFiles("tar indexes", [*tar_index_folder().glob("*.index")]))
    found.append(KeptFiles("remote shards", [*(base / "shards").glob("*-*")]))
    found.append(KeptFiles("remote files", [*(base / "copies").glob("*-*")]))
    return [kept for kept in found if kept.num_bytes]


def _sha256(manifest: Mapping[str, Any]) -> str:
    return key_of({name: part for name, part in manifest.items() if name != CHECKSUM})
