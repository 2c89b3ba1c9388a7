"""Local copies of remote files that are read as a whole: tables, indexes, test sets, folders of images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from perceptinit.errors import DataError, writing
from perceptinit.files.archives import check_room
from perceptinit.files.atomic import atomic_path
from perceptinit.files.cache import copies_folder
from perceptinit.files.locks import file_lock
from perceptinit.files.remote.addresses import RemoteFile, is_remote, remote_file
from perceptinit.files.remote.store import AbsentError, RemoteError, Stat, listing, stat
from perceptinit.files.remote.streams import stream

NUM_THREADS = 8


def local_file(path: str) -> Path:
    """Return a path as it is, `~` filled in, and of an address the file's copy, fetched unless it is there.

    Raises DataError (RemoteError) when it cannot be had.
    """
    if not is_remote(path):
        return Path(path).expanduser()
    file = remote_file(path)
    return local_files(file.folder, {file.name: stat(file)}) / file.name


@cache
def local_copy(address: str) -> Path:
    """Return a copy of the file at an address, or of all that is in the folder there; asked once in a process.

    Raises DataError (RemoteError) as `local_file` and `local_folder` do.
    """
    try:
        return local_file(address)
    except AbsentError:
        if address.startswith("http"):  # its folders cannot be listed
            raise
        return local_folder(address)


def local_folder(path: str) -> Path:
    """Return a path as it is, `~` filled in, and of an address a copy of all that is in the folder.

    Raises DataError (RemoteError) when it cannot be had, or cannot be listed, as on the web; AbsentError when nothing
    is there.
    """
    if not is_remote(path):
        return Path(path).expanduser()
    folder = remote_file(path.rstrip("/"))
    if folder.scheme in ("http", "https"):
        raise DataError(
            f"{folder}: a web server does not list folders; download it, or use a bucket or a hub"
        )
    found = listing(folder, recursive=True)
    if not found:
        raise AbsentError(f"{folder}: no such folder, or nothing in it")
    base = str(folder) + "/"
    return local_files(folder, {str(file).removeprefix(base): s for file, s in found.items()})


def local_files(folder: RemoteFile, files: Mapping[str, Stat]) -> Path:
    """Return a folder with copies of files of a remote one, by their paths in it; of other versions, another folder.

    Raises RemoteError when one cannot be had, or changes in the meantime.
    """
    said = [str(folder), *sorted((name, s.num_bytes, s.version) for name, s in files.items())]
    key = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]
    place = copies_folder() / key / (folder.name or "files")
    with file_lock(copies_folder() / f"{key}.lock"), ThreadPoolExecutor(NUM_THREADS) as pool:
        jobs = [pool.submit(_copy, folder / name, now, place / name) for name, now in files.items()]
        for job in jobs:
            job.result()
    return place


def _copy(file: RemoteFile, wanted: Stat, path: Path) -> None:
    """Fetch a file to `path`, in parts, unless it is there."""
    if ".." in path.parts:
        raise DataError(f"{file}: a name that leads out of its folder")
    if path.is_file():
        return
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    check_room(path.parent, wanted.num_bytes)
    with atomic_path(path) as temporary, temporary.open("wb") as target:
        target.writelines(stream(file, 0, wanted.num_bytes))
        now = stat(file)
        if now != wanted:
            raise RemoteError(f"{file}: has changed while it was fetched")
