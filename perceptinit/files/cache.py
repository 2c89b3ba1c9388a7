"""The cache of initialized towers, keyed by weights, judgments, settings and seed.

Each entry is a folder with `weights.safetensors` and `manifest.json`. Its name is the SHA-256 of everything
that determines the weights. The manifest is written last and contains the checksum of the weights, so an
entry is complete or absent. The environment variable `PERCEPTINIT_CACHE` sets the folder.

The folder also contains `images` (decoded images), `tar-indexes` (indexes of local shards), `shards` and
`copies` (fetched data), `test-sets` (from the hub), and `classifiers` and `embeddings` (of `perceptinit
eval`).
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perceptinit.errors import DataError
from perceptinit.files.atomic import file_lock, remove_files, temporaries, write_json
from perceptinit.files.reading import read_json

MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
CHECKSUM = "manifest_sha256"  # manifest key whose value is the hash of the rest


def cache_folder() -> Path:
    """Return the cache folder: `PERCEPTINIT_CACHE`, or `perceptinit` in the user's cache folder."""
    own = os.environ.get("PERCEPTINIT_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "perceptinit"


def tar_index_folder() -> Path:
    """Return the folder of the indexes of local shards; see `pairs.local_index`."""
    return cache_folder() / "tar-indexes"


def key_of(parts: Mapping[str, Any]) -> str:
    """Return the name of an entry, the SHA-256 of `parts` as 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """A cached tower. Its `manifest` contains the parts of the key, the report and a checksum of these."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def weights_path(self) -> Path:
        return self.folder / WEIGHTS

    @property
    def num_bytes(self) -> int:
        return self.weights_path.stat().st_size if self.weights_path.is_file() else 0


class Cache:
    """The cache in a folder, which several processes can use at the same time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def entries(self) -> list[CacheEntry]:
        """Return all entries with a valid manifest, sorted by name."""
        found = (self.find(path.parent.name) for path in sorted(self.folder.glob(f"*/{MANIFEST}")))
        return [entry for entry in found if entry]

    def find(self, key: str) -> CacheEntry | None:
        """Return the entry for a key without checking its weights; None if it has no valid manifest."""
        path = self.folder / key / MANIFEST
        try:
            manifest = read_json(path, dict, "a manifest")
        except DataError:
            return None
        if manifest.get(CHECKSUM) != _sha256(manifest):
            return None
        return CacheEntry(path.parent, manifest)

    def locked(self, key: str) -> AbstractContextManager[bool]:
        """Lock an entry during the block; other processes that need the entry wait."""
        return file_lock(self.folder / f"{key}.lock")

    def store(self, key: str, manifest: Mapping[str, Any], write: Callable[[Path], None]) -> None:
        """Store an entry; `write(path)` writes its weights. The caller must hold `locked(key)`."""
        folder = self.folder / key
        remove_files(temporaries(folder))
        write(folder / WEIGHTS)
        write_json(folder / MANIFEST, {**manifest, CHECKSUM: _sha256(manifest)})

    def remove(self, key: str) -> None:
        """Delete one entry."""
        shutil.rmtree(self.folder / key, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class KeptFiles:
    """Cached files and folders of one kind, which can be recomputed or fetched again."""

    title: str
    paths: Sequence[Path]

    @property
    def num_bytes(self) -> int:
        files = (file for path in self.paths for file in (path, *path.rglob("*")))
        return sum(file.stat().st_size for file in files if file.is_file())

    def clear(self) -> None:
        """Delete the files. Lock files remain, and running processes can still read open files."""
        for path in self.paths:
            remove_files([path]) if path.is_file() else shutil.rmtree(path, ignore_errors=True)


def kept_files() -> list[KeptFiles]:
    """Return the cached files, grouped by kind; empty kinds are omitted."""
    base = cache_folder()
    found = [
        KeptFiles(f"decoded images {folder.name}", [*folder.glob("*.npy")])
        for folder in sorted((base / "images").glob("*px-*"))
    ]
    towers = {path.parent for name in (MANIFEST, WEIGHTS) for path in base.glob(f"*/{name}")}
    found.append(KeptFiles("initialized towers", sorted(towers)))
    found.append(KeptFiles("tar indexes", [*tar_index_folder().glob("*.index")]))
    found.append(KeptFiles("embeddings", [*(base / "embeddings").glob("*.safetensors")]))
    found.append(KeptFiles("remote shards", [*(base / "shards").glob("*-*")]))
    found.append(KeptFiles("remote files", [*(base / "copies").glob("*-*")]))
    return [kept for kept in found if kept.num_bytes]


def _sha256(manifest: Mapping[str, Any]) -> str:
    return key_of({name: part for name, part in manifest.items() if name != CHECKSUM})
