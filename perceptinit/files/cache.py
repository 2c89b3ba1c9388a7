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
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from perceptinit.errors import DataError
from perceptinit.files.atomic import abandoned, file_lock, remove_files, temporaries, write_json
from perceptinit.files.reading import read_json

MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
CHECKSUM = "manifest_sha256"  # manifest key whose value is the hash of the rest
# in a piece of remote data: checksums of its files, written last, and before that their paths
SEAL = "seal.json"
PIECE_FILES = "files.json"
DOWNLOADS = "downloads.json"  # record of `files.downloads`

# names that the cache gives to folders and files
_KEY = re.compile(r"[0-9a-f]{64}")
_IMAGE_FOLDER = re.compile(r"\d+px-[0-9a-z-]*[0-9a-f]{16}")
_STORED_IMAGES = re.compile(r"[0-9a-f]{32}\.npy")
_TAR_INDEX = re.compile(r"[0-9a-f]{32}-[0-9a-f]{16}\.index")
_EMBEDDINGS = re.compile(r"[0-9a-f]{64}\.safetensors")
_PIECE = re.compile(r"[0-9a-f]{32}-\d+")
_REPOSITORY = re.compile(r".+--.+")
_BRANCH = re.compile(r".+")
_LOCK = re.compile(r"([0-9a-f]{32}(-\d+)?|[0-9a-f]{64}|room)\.lock|\.downloads\.lock")


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
        """Delete the files of one entry."""
        KeptFiles("", self.folder, _find(self.folder / key, [MANIFEST, WEIGHTS])).clear()


@dataclass(frozen=True, slots=True)
class KeptFiles:
    """Cached files of one kind in its folder `root`, which can be recomputed or fetched again."""

    title: str
    root: Path
    paths: Sequence[Path]

    @property
    def num_bytes(self) -> int:
        files = chain(*((path, *path.rglob("*")) for path in self.paths))
        return sum(path.stat().st_size for path in files if path.is_file())

    def clear(self) -> list[str]:
        """Delete the files and the folders that are empty then, and return a message for each failure.

        Lock files remain, and running processes can still read open files.
        """
        complaints = remove_files(self.paths)
        for folder in {path.parent for path in self.paths}:
            with suppress(OSError):  # the first folder that is not empty
                for inner in (folder, *folder.parents):
                    if self.root in inner.parents:
                        inner.rmdir()
        return complaints


def kept_files() -> list[KeptFiles]:
    """Return the files that the cache wrote, grouped by kind; empty kinds are omitted.

    Names identify them, and content where a name can be chance. Links are not followed.
    """
    base = cache_folder()
    found = []
    for folder in _list(base / "images", _IMAGE_FOLDER):
        title = f"decoded images {folder.name}"
        found.append(KeptFiles(title, folder, _list(folder, _STORED_IMAGES)))
    for title, folder, name in (
        ("tar indexes", tar_index_folder(), _TAR_INDEX),
        ("embeddings", base / "embeddings", _EMBEDDINGS),
        ("classifiers", base / "classifiers", _EMBEDDINGS),
    ):
        found.append(KeptFiles(title, folder, _list(folder, name)))
    for title, folder, name, files_of in (
        ("initialized towers", base, _KEY, _tower_files),
        ("remote shards", base / "shards", _PIECE, piece_files),
        ("remote files", base / "copies", _PIECE, piece_files),
        ("test sets", base / "test-sets", _REPOSITORY, _downloaded_files),
    ):
        paths: list[Path] = []
        for entry in _list(folder, name):
            paths += files_of(entry)
        found.append(KeptFiles(title, folder, paths))
    found.append(KeptFiles("unfinished files", base, list(chain(*map(abandoned, _folders())))))
    return [kept for kept in found if kept.paths]


def foreign_files() -> list[Path]:
    """Return the files and links in the cache folder that the cache did not write, sorted.

    Locks and the temporary files of running commands are not included.
    """
    own = {path for kept in kept_files() for path in kept.paths}.union(*map(temporaries, _folders()))
    found = chain(*(folder.iterdir() for folder in _folders() if folder not in own))
    foreign = (path for path in found if path not in own and not _LOCK.fullmatch(path.name))
    return sorted(path for path in foreign if path.is_symlink() or path.is_file())


def _folders() -> list[Path]:
    """Return the cache folder and the folders in it, without links."""
    return [Path(folder) for folder, _, _ in os.walk(cache_folder())]


def embedding_files(folder: Path) -> list[Path]:
    """Return the files of embeddings or classifiers in a folder."""
    return _list(folder, _EMBEDDINGS)


def piece_files(folder: Path) -> list[Path]:
    """Return the files of a piece of remote data; PIECE_FILES lists them until SEAL is written."""
    names = []
    for listing in (SEAL, PIECE_FILES):
        with suppress(DataError):
            for name in read_json(folder / listing, dict[str, int], "the files of a piece"):
                parent, _, last = name.rpartition("/")
                part = f"{parent}/.{last}.part"
                names += [listing, name, part, f"{part}.json"]
    return _find(folder, names)


def _tower_files(folder: Path) -> list[Path]:
    """Return the files of an entry; without a manifest, the header of the weights must contain a checksum."""
    if (folder / MANIFEST).exists():
        return _find(folder, [MANIFEST, WEIGHTS]) if Cache(folder.parent).find(folder.name) else []
    weights = _find(folder, [WEIGHTS])
    with suppress(SafetensorError, OSError):
        if weights and "sha256" in (safe_open(weights[0], "numpy").metadata() or {}):
            return weights
    return []


def _downloaded_files(folder: Path) -> list[Path]:
    """Return the files of downloads into the folders in a folder, and those of unfinished transfers."""
    found = []
    for branch in _list(folder, _BRANCH):
        with suppress(DataError):
            record = read_json(branch / DOWNLOADS, dict[str, dict[str, Any]], "a record of downloads")
            sizes = {Path(f"{branch}/{name}"): line.get("num_bytes") for name, line in record.items()}
            found += [path for path in _find(branch, record) if path.stat().st_size == sizes[path]]
            found += _find(branch, [DOWNLOADS])
        for note in branch.rglob(".*.part.json"):
            with suppress(DataError):
                if "validator" in read_json(note, dict[str, str | int], "a note of a download"):
                    name = note.relative_to(branch)
                    found += _find(branch, [str(name), str(name.with_suffix(""))])
    return found


def _list(folder: Path, name: re.Pattern[str]) -> list[Path]:
    """Return what has such a name in a folder, sorted, without links; empty if the folder is a link."""
    if folder.is_symlink() and folder != cache_folder():
        return []
    return sorted(p for p in folder.glob("*") if name.fullmatch(p.name) and not p.is_symlink())


def _find(folder: Path, names: Iterable[str]) -> list[Path]:
    """Return the existing files at relative paths in a folder, without those outside or behind a link."""
    inside = folder.resolve()
    paths = {Path(f"{folder}/{name}"): Path(f"{inside}/{name}") for name in sorted(set(names))}
    return [path for path, place in paths.items() if path.is_file() and path.resolve() == place]


def _sha256(manifest: Mapping[str, Any]) -> str:
    return key_of({name: part for name, part in manifest.items() if name != CHECKSUM})
