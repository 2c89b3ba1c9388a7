"""Test sets on the Hugging Face hub and at other addresses: fetched once, then read as local ones."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from perceptinit.errors import AbsentError, DataError, RemoteError, shown
from perceptinit.files.cache import cache_folder
from perceptinit.files.downloads import Download, Progress, fetch_all
from perceptinit.files.reading import parse_json
from perceptinit.files.remote.addresses import RemoteFile, remote_file
from perceptinit.files.remote.copies import local_files, local_folder
from perceptinit.files.remote.fetched import NUM_THREADS
from perceptinit.files.remote.network import Stat
from perceptinit.files.remote.store import read_page, stat
from perceptinit.test_sets.readers import (
    CLASS_PROMPTS,
    CLASSNAMES,
    COUNTER,
    SPLIT,
    TEMPLATES,
    TYPE,
    num_shards,
    shard_paths,
)
from perceptinit.test_sets.suite import HUB, SuiteSet

_ADVICE = ". Behind terms? Accept the terms there and log in (hf auth login), or set HF_TOKEN"


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
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        stats = pool.map(lambda name: stat(folder / name), shards)
        first |= zip(shards, stats, strict=True)
    return local_files(folder, first | dict(_found(folder, words)))


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


def endpoint() -> str:
    """Return the hub's address; `HF_ENDPOINT` names a mirror, as for the hub's own client."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def fetch_address(address: str, is_retrieval: bool = False) -> Path:
    """Return the folder of a set at `https://huggingface.co/datasets/USER/REPO[/tree/BRANCH]`.

    It is fetched at the first use and then read from `test-sets` in perceptinit's cache folder.

    Raises DataError for another address, and when a file cannot be fetched.
    """
    found = re.fullmatch(re.escape(HUB) + r"([^/]+)/([^/]+)(?:/tree/([^/]+))?/?", address)
    if not found:
        raise DataError(f"{address}: expected {HUB}USER/REPO/tree/BRANCH")
    user, name, branch = found[1], found[2], found[3] or "main"
    folder = cache_folder() / "test-sets" / f"{user}--{name}" / branch
    try:
        shard_paths(folder / SPLIT)  # a file has its name only when it is whole
    except DataError:
        fetch_set([f"{user}/{name}"], folder, branch=branch, is_retrieval=is_retrieval)
    return folder


def fetch_set(
    repositories: Sequence[str],
    folder: Path,
    *,
    branch: str = "main",
    is_retrieval: bool = False,
    num_workers: int = 4,
    progress: Progress | None = None,
) -> None:
    """Fetch a set, each file from the first repository that has it.

    Complete files are kept, so the same call resumes after an interruption.

    Raises DataError with every file that failed.
    """

    def download(path: str) -> Download:
        urls = [f"{endpoint()}/datasets/{r}/resolve/{branch}/{path}" for r in repositories]
        return Download(urls=tuple(urls), path=path, token=token)

    token = _token()
    words = [] if is_retrieval else [CLASSNAMES, TEMPLATES]
    first = [download(path) for path in (f"{SPLIT}/{COUNTER}", *words)]
    try:
        fetch_all(first, folder, num_workers=num_workers, progress=progress)
    except DataError as error:
        advice = _ADVICE if "access denied" in str(error) else ""
        raise DataError(f"{error}{advice}") from error
    try:
        fetch_all([download(TYPE)], folder)
    except DataError as error:  # sets of plain labels do not have this file
        if is_retrieval or "no such file" not in str(error):
            raise
    count = num_shards(folder / SPLIT / COUNTER)
    shards = [download(f"{SPLIT}/{i}.tar") for i in range(count)]
    fetch_all(shards, folder, num_workers=num_workers, progress=progress)


def _token() -> str:
    """Return the token that `hf auth login` or HF_TOKEN left, for sets behind terms; empty without one."""
    from huggingface_hub import get_token

    return get_token() or ""


def ask_known(known: SuiteSet) -> tuple[int | None, str]:
    """Return the bytes and the licence of a set's test split as the hub states them; None and empty where it does not.

    Raises DataError when the hub cannot be asked.
    """
    address = f"{endpoint()}/api/datasets/{known.hub[0]}?blobs=true"
    try:
        about = parse_json(read_page(RemoteFile(address, _token()), attempts=1))
        files = [f for f in about["siblings"] if f["rfilename"].startswith(f"{SPLIT}/")]
        num_bytes = sum(f.get("size") or 0 for f in files)
        return num_bytes or None, str((about.get("cardData") or {}).get("license") or "")
    except (RemoteError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = shown(str(error)) or type(error).__name__
        raise DataError(f"{address}: does not say how large {known.key} is ({reason})") from error


def fetch_known(known: SuiteSet, root: Path, num_workers: int = 4, progress: Progress | None = None) -> Path:
    """Fetch a set of the suites into `root/<key with - for />`; return its folder.

    Raises DataError when no repository holds it, or a file cannot be fetched.
    """
    folder = root / known.key.replace("/", "-")
    if not known.hub:
        raise DataError(
            f"{known.key}: no public copy is known. Make it from the images: "
            f"perceptinit data pack SOURCE {folder} --test-set"
        )
    is_retrieval = known.kind == "retrieval"
    fetch_set(known.hub, folder, is_retrieval=is_retrieval, num_workers=num_workers, progress=progress)
    return folder
