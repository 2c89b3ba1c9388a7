"""Local copies of remote files that are read as a whole: tables, indexes, test sets and image folders."""

import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from perceptinit.errors import AbsentError, DataError, RemoteError
from perceptinit.files.cache import cache_folder
from perceptinit.files.remote.addresses import RemoteFile, is_remote, remote_file
from perceptinit.files.remote.fetched import FetchedCache, Held, Piece
from perceptinit.files.remote.network import Stat
from perceptinit.files.remote.store import list_files, stat

# locks that keep copies in the cache until the process ends
_HELD: dict[Path, Held] = {}


def local_file(path: str) -> Path:
    """Return a local path with `~` expanded, or a local copy of a remote file; RemoteError on failure."""
    if not is_remote(path):
        return Path(path).expanduser()
    file = remote_file(path)
    return local_files(file.folder, {file.name: stat(file)}) / file.name


@cache
def local_copy(address: str) -> Path:
    """Return a local copy of a remote file or folder, fetched once per process.

    Raises:
        RemoteError: See `local_file` and `local_folder`.
    """
    try:
        return local_file(address)
    except AbsentError:
        if address.startswith("http"):  # a web server does not list folders
            raise
        return local_folder(address)


def local_folder(path: str) -> Path:
    """Return a local path with `~` expanded, or a local copy of a remote folder.

    Raises:
        AbsentError: If the folder is absent or empty.
        DataError: If the folder cannot be listed (web servers), or a file cannot be fetched.
    """
    if not is_remote(path):
        return Path(path).expanduser()
    folder = remote_file(path.rstrip("/"))
    if folder.is_web:
        raise DataError(
            f"{folder}: a web server does not list folders. Download the folder, or use a bucket or a hub"
        )
    found = list_files(folder, recursive=True)
    if not found:
        raise AbsentError(f"{folder}: no such folder, or it is empty")
    base = str(folder) + "/"
    return local_files(folder, {str(file).removeprefix(base): s for file, s in found.items()})


def local_files(folder: RemoteFile, files: Mapping[str, Stat]) -> Path:
    """Return a folder with copies of remote files under their relative paths, one folder per version.

    Raises:
        RemoteError: If a file cannot be fetched or changes during the transfer.
    """
    name = folder.name or "files"
    pieces = {f"{name}/{path}": Piece.whole(folder / path, s) for path, s in files.items()}
    held = FetchedCache(sys.maxsize, cache_folder() / "copies").hold_files(pieces)
    if held is None:
        raise RemoteError(
            f"{folder}: no space for a copy in {cache_folder() / 'copies'}, or a damaged copy is in use"
        )
    _HELD[held.folder] = held
    return held.folder / name
