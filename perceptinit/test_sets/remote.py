"""Test sets at addresses: fetched once, then read as local ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from perceptinit.errors import AbsentError
from perceptinit.files.remote.addresses import RemoteFile, remote_file
from perceptinit.files.remote.copies import local_files, local_folder
from perceptinit.files.remote.fetched import NUM_THREADS
from perceptinit.files.remote.network import Stat
from perceptinit.files.remote.store import stat
from perceptinit.test_sets.files import (
    CLASS_PROMPTS,
    CLASSNAMES,
    COUNTER,
    TEMPLATES,
    TYPE,
    num_shards,
)


@cache
def fetch_remote(address: str, split: str) -> Path:
    """Return a folder with the copy of one split of a set in clip-benchmark's layout, or of all class folders.

    What is there of the same version is not fetched again.

    Raises AbsentError when there is no such set, RemoteError when it does not come.
    """
    folder, counter = remote_file(address.rstrip("/")), f"{split}/{COUNTER}"
    try:
        first = {counter: stat(folder / counter)}
    except AbsentError:
        return _class_folders(folder, counter)
    shards = [f"{split}/{i}.tar" for i in range(num_shards(local_files(folder, first) / counter))]
    words = [TYPE, CLASSNAMES, TEMPLATES, CLASS_PROMPTS]
    return local_files(folder, first | dict(_found(folder, words)) | _stats(folder, shards))


def _class_folders(folder: RemoteFile, counter: str) -> Path:
    """Return a copy of class folders; AbsentError where they cannot be, or where is half a set of the other layout."""
    is_half = bool(dict(_found(folder, [CLASSNAMES])))
    if not is_half and not folder.is_web:
        return local_folder(folder.url)
    raise AbsentError(
        f"{folder}: no test set there in clip-benchmark's layout (no {counter}). Class folders are read from disks, "
        "buckets and hubs, and a web server does not list them: perceptinit data pack SOURCE OUT --test-set makes "
        "that layout of them"
    )


def _found(folder: RemoteFile, names: Sequence[str]) -> Iterator[tuple[str, Stat]]:
    """Yield those of some files that are there: a set has not all of them."""
    for name in names:
        try:
            yield name, stat(folder / name)
        except AbsentError:
            continue


def _stats(folder: RemoteFile, names: Sequence[str]) -> dict[str, Stat]:
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        return dict(zip(names, pool.map(lambda name: stat(folder / name), names), strict=True))
