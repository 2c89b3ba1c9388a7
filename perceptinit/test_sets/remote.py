"""Test sets on the Hugging Face hub and at other addresses, fetched once and then read locally."""

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
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
    pack_command,
    shard_paths,
)
from perceptinit.test_sets.sets import HUB, SuiteSet


@cache
def fetch_remote(address: str, split: str) -> Path:
    """Return a local copy of a split in clip-benchmark's layout, or of all class folders.

    Files that have not changed at the source are not downloaded again.

    Raises:
        AbsentError: If there is no such set.
        RemoteError: If a remote read fails.
    """
    folder = remote_file(address.rstrip("/"))
    counter = f"{split}/{COUNTER}"
    try:
        first = {counter: stat(folder / counter)}
    except AbsentError:
        if not folder.is_web:
            if not dict(_stat_existing(folder, [CLASSNAMES])):
                return local_folder(folder.url)
            raise AbsentError(
                f"{folder}: incomplete test set ({CLASSNAMES} without {counter}). Upload the missing files"
            ) from None
        raise AbsentError(
            f"{folder}: no test set in clip-benchmark's layout (no {counter}). Class folders can be read "
            "from local disks, buckets and hubs, but not from web servers. "
            f"Convert them: {pack_command('OUT')}"
        ) from None
    shards = [f"{split}/{i}.tar" for i in range(num_shards(local_files(folder, first) / counter))]
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        stats = pool.map(lambda name: stat(folder / name), shards)
        first |= zip(shards, stats, strict=True)
    words = [TYPE, CLASSNAMES, TEMPLATES, CLASS_PROMPTS]
    return local_files(folder, first | dict(_stat_existing(folder, words)))


def _stat_existing(folder: RemoteFile, names: Sequence[str]) -> Iterator[tuple[str, Stat]]:
    for name in names:
        with suppress(AbsentError):
            yield name, stat(folder / name)


def endpoint() -> str:
    """Return the hub's address, or the mirror in `HF_ENDPOINT`, as in huggingface_hub."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def fetch_address(address: str, is_retrieval: bool = False) -> Path:
    """Return the folder of a set at `https://huggingface.co/datasets/USER/REPO[/tree/BRANCH]`.

    The first use fetches the set into `test-sets` in the cache folder of perceptinit.

    Raises:
        DataError: If the address has another form, or a file cannot be fetched.
    """
    found = re.fullmatch(re.escape(HUB) + r"([^/]+)/([^/]+)(?:/tree/([^/]+))?/?", address)
    if not found:
        raise DataError(f"{address}: expected {HUB}USER/REPO/tree/BRANCH")
    user = found[1]
    name = found[2]
    branch = found[3] or "main"
    folder = cache_folder() / "test-sets" / f"{user}--{name}" / branch
    try:
        shard_paths(folder / SPLIT)  # incomplete files have other names
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

    Complete files are skipped, so the same call resumes after an interruption.

    Raises:
        DataError: If files cannot be fetched. The message names all of them.
    """

    def download(path: str) -> Download:
        urls = [f"{endpoint()}/datasets/{r}/resolve/{branch}/{path}" for r in repositories]
        return Download(urls=tuple(urls), path=path, token=token)

    token = _find_token()
    words = [] if is_retrieval else [CLASSNAMES, TEMPLATES]
    first = [download(path) for path in (f"{SPLIT}/{COUNTER}", *words)]
    try:
        fetch_all(first, folder, num_workers=num_workers, progress=progress)
    except DataError as error:
        advice = ". Accept the terms of the set on its page and log in (hf auth login), or set HF_TOKEN"
        raise DataError(f"{error}{advice if 'access denied' in str(error) else ''}") from error
    try:
        fetch_all([download(TYPE)], folder)
    except DataError as error:  # sets with single labels do not have this file
        if is_retrieval or "no such file" not in str(error):
            raise
    shards = [download(f"{SPLIT}/{i}.tar") for i in range(num_shards(folder / SPLIT / COUNTER))]
    fetch_all(shards, folder, num_workers=num_workers, progress=progress)


def _find_token() -> str:
    """Return the token of `hf auth login` or HF_TOKEN, for gated sets; empty without one."""
    from huggingface_hub import get_token

    return get_token() or ""


def ask_known(known: SuiteSet) -> tuple[int | None, str]:
    """Return the size in bytes and the license of a set's test split on the hub; None and empty if unknown.

    Raises:
        DataError: If the hub does not answer.
    """
    address = f"{endpoint()}/api/datasets/{known.hub[0]}?blobs=true"
    try:
        about = parse_json(read_page(RemoteFile(address, _find_token()), attempts=1))
        files = [f for f in about["siblings"] if f["rfilename"].startswith(f"{SPLIT}/")]
        num_bytes = sum(f.get("size") or 0 for f in files)
        return num_bytes or None, str((about.get("cardData") or {}).get("license") or "")
    except (RemoteError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = shown(str(error)) or type(error).__name__
        raise DataError(f"{address}: the size of {known.key} is unknown ({reason})") from error


def fetch_known(known: SuiteSet, root: Path, num_workers: int = 4, progress: Progress | None = None) -> None:
    """Fetch a set of the suites into `root/<key with - for />`.

    Raises:
        DataError: If a file cannot be fetched.
    """
    folder = root / known.key.replace("/", "-")
    fetch_set(
        known.hub,
        folder,
        is_retrieval=known.kind == "retrieval",
        num_workers=num_workers,
        progress=progress,
    )
