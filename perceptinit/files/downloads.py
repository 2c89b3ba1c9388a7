"""Fetch the files of a data set into a folder: several at once, unpacked, and noted in `downloads.json`.

An archive is unpacked beside its place first and moved as a whole tree; see `transfer` for how one
file arrives.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from perceptinit.errors import DataError, UsageError, shown
from perceptinit.files.archives import SPARE_BYTES, NoRoomError, unpack
from perceptinit.files.checksums import file_sha256
from perceptinit.files.locks import file_lock
from perceptinit.files.reading import read_json
from perceptinit.files.transfer import BACKOFF_SECONDS, Download, Progress, fetch, part_bytes
from perceptinit.types import DataCard

__all__ = ["Download", "check_space", "check_sums", "default_files", "fetch_all"]

# an archive may unpack to this many times its published unpacked size, or else its own size
UNPACKED_TIMES, ARCHIVE_TIMES = 2, 20
SMALL_BYTES = 64 << 20  # and to this in any case: text packs well
RECORD = "downloads.json"
# files of an archive, spread over it, that must be there for it to count as unpacked
SAMPLE_FILES = 100
LOCK = ".downloads.lock"


def fetch_all(
    downloads: Sequence[Download],
    folder: Path,
    *,
    num_workers: int = 4,
    progress: Progress | None = None,
    backoff_seconds: float = BACKOFF_SECONDS,
) -> list[str]:
    """Fetch and unpack files into a folder, several at once; return the paths that were fetched now.

    What `downloads.json` in the folder lists as done, and is there with its size, is kept. Files
    that fail do not stop the others.

    Raises UsageError when the disk is too small or another process fetches into the folder, DataError
    with every file that failed.
    """
    with file_lock(folder / LOCK, timeout=0) as is_mine:
        if not is_mine:
            raise UsageError(f"{folder}: another download into this folder is running")
        return _fetch_missing(
            downloads, folder, num_workers, progress or _no_progress, backoff_seconds
        )


def _fetch_missing(
    downloads: Sequence[Download],
    folder: Path,
    num_workers: int,
    report: Progress,
    backoff_seconds: float,
) -> list[str]:
    record = _read_record(folder)
    wanted = [d for d in downloads if not _is_done(d, folder, record)]
    check_space(wanted, folder)
    failures: list[str] = []
    with ThreadPoolExecutor(max(1, num_workers)) as pool:
        jobs = [(d, pool.submit(_fetch_one, d, folder, report, backoff_seconds)) for d in wanted]
        for download, job in jobs:
            try:
                record[download.path] = job.result()
                _write_record(folder, record)
            except DataError as error:
                failures.append(str(error))
    if failures:
        raise DataError(
            f"{len(failures)} of {len(wanted)} files could not be fetched; the same command goes on with "
            "them:\n  " + "\n  ".join(failures)
        )
    return [d.path for d in wanted]


def default_files(downloads: Sequence[Download]) -> list[Download]:
    """Return the files of the part "data", or all where there is no such part."""
    return [d for d in downloads if "data" in d.parts] or list(downloads)


def check_sums(folder: Path, card: DataCard) -> None:
    """Raise DataError for a file of the card that is absent or not the recorded one."""
    for name, recorded in sorted(card.sha256.items()):
        path = folder / name
        if not path.is_file():
            raise DataError(
                f"{path}: not there after the download; the archive at the source has changed"
            )
        if file_sha256(path) != recorded:
            path.unlink()
            raise DataError(
                f"{path}: not the published file (sha256 differs from the recorded {recorded[:12]}...); removed"
            )


def check_space(downloads: Sequence[Download], folder: Path) -> None:
    """Raise UsageError when the known sizes do not fit on the disk; parts that are there count."""
    need = 0
    for download in downloads:
        need += max(0, (download.num_bytes or 0) - part_bytes(folder / download.path))
        need += download.unpacked_bytes or (download.num_bytes or 0) * download.unpack
    free = shutil.disk_usage(folder).free
    if need + SPARE_BYTES > free and need:
        raise UsageError(
            f"{folder}: {need / 1e9:,.1f} GB are needed and {free / 1e9:,.1f} GB are free. "
            "Choose another disk with --out, or one part with --part"
        )


def _fetch_one(
    download: Download, folder: Path, report: Progress, backoff_seconds: float
) -> dict[str, Any]:
    """Fetch and unpack one file; return its line of the record."""
    path = folder / download.path
    digest = fetch(download, path, report, backoff_seconds)
    line: dict[str, Any] = {
        "sha256": digest,
        "num_bytes": path.stat().st_size,
        "url": download.urls[0],
    }
    if download.unpack:
        paths = _unpack(download, path, folder / download.into)
        line |= {
            "num_files": len(paths),
            "some_files": paths[:: max(1, len(paths) // SAMPLE_FILES)],
        }
    return line


def _unpack(download: Download, archive: Path, into: Path) -> list[str]:
    """Unpack an archive, remove it and return the paths in `into`."""
    if download.unpacked_bytes is not None:
        most = UNPACKED_TIMES * download.unpacked_bytes
    else:
        most = ARCHIVE_TIMES * archive.stat().st_size
    try:
        paths = unpack(archive, into, root=download.root, max_bytes=max(most, SMALL_BYTES))
    except NoRoomError:
        raise
    except DataError:
        archive.unlink(missing_ok=True)  # damaged: the next call fetches it anew
        raise
    except OSError as error:
        raise DataError(f"{into}: cannot be written ({error.strerror or error})") from error
    archive.unlink()
    return paths


def _is_done(download: Download, folder: Path, record: dict[str, Any]) -> bool:
    line = record.get(download.path)
    if line is None or (download.sha256 or line["sha256"]) != line["sha256"]:
        return False
    if download.unpack:
        return all((folder / download.into / name).is_file() for name in line.get("some_files", ()))
    path = folder / download.path
    return path.is_file() and path.stat().st_size == line["num_bytes"]


def _read_record(folder: Path) -> dict[str, Any]:
    """Return the lines of the record by path; DataError when it is something else."""
    path = folder / RECORD
    if not path.exists():
        return {}
    record = read_json(path, dict, "a record of downloads; delete it to fetch anew")
    for name, line in record.items():
        if not (
            isinstance(line, dict)
            and isinstance(line.get("sha256"), str)
            and isinstance(line.get("num_bytes"), int)
            and isinstance(line.get("some_files", []), list)
            and all(isinstance(file, str) for file in line.get("some_files", []))
        ):
            raise DataError(
                f"{path}: not a record of downloads ('{shown(name)}'); delete it to fetch anew"
            )
    return record


def _write_record(folder: Path, record: dict[str, Any]) -> None:
    temporary = folder / f".{RECORD}.tmp"
    temporary.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    temporary.replace(folder / RECORD)


def _no_progress(name: str, have: int, total: int | None) -> None:
    """Do nothing with the state of a file."""
