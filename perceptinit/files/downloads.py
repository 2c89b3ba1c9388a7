"""Download, verify and unpack the files of a data set; `downloads.json` records them."""

import io
import shutil
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NotRequired, Protocol, runtime_checkable

from typing_extensions import TypedDict

from perceptinit.errors import DataError, RemoteError, UsageError, WriteError
from perceptinit.files.archives import SPARE_BYTES, NoRoomError, unpack
from perceptinit.files.atomic import atomic_path, file_lock, remove_files, write_json
from perceptinit.files.cache import DOWNLOADS
from perceptinit.files.reading import file_sha256, read_json
from perceptinit.files.remote.addresses import RemoteFile
from perceptinit.files.remote.store import RemoteReader, stat
from perceptinit.files.remote.transfer import END, Part, part_bytes
from perceptinit.types import DataCard

# name, received bytes, total bytes or None
Progress = Callable[[str, int, int | None], None]

# limits on the unpacked size, in multiples of the published unpacked size or of the archive's size
UNPACKED_TIMES = 2
ARCHIVE_TIMES = 20
SMALL_BYTES = 64 << 20  # always accepted, because text compresses well
# number of unpacked files to record per archive; later calls check that they still exist
SAMPLE_FILES = 100
LOCK = ".downloads.lock"
# limits on a member of a remote archive, and on a request; the directory of a large archive takes a few MB
_MOST_MEMBER_BYTES = 1 << 30
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """One file of a data set.

    Args:
        urls: Addresses of the file in order of preference.
        path: Destination, relative to the data set's folder.
        sha256: Published or recorded checksum, None if unknown.
        num_bytes: Published size, None if unknown.
        member: The member to fetch from a .zip at the URLs; empty: the entire file.
        unpack: Whether to unpack the file, a .zip, .tar or .tar.gz, into `into`.
        into: Folder of the unpacked files, relative to the data set's folder.
        root: See `archives.unpack`.
        unpacked_bytes: Unpacked size, None if unknown.
        parts: Parts of the data set that contain the file; each can be fetched separately.
        token: Bearer token for the hosts of the URLs, not sent to redirects; empty for public files.
    """

    urls: tuple[str, ...]
    path: str
    sha256: str | None = None
    num_bytes: int | None = None
    member: str = ""
    unpack: bool = False
    into: str = "."
    root: str = ""
    unpacked_bytes: int | None = None
    parts: tuple[str, ...] = ("data",)
    token: str = field(default="", repr=False)


@runtime_checkable
class HasDownloads(Protocol):
    """Judgments with public files, which `perceptinit data download` fetches."""

    downloads: Sequence[Download]


class _Line(TypedDict):
    """An entry of `downloads.json`. some_files: A sample of the unpacked files."""

    sha256: str
    num_bytes: int
    url: NotRequired[str]
    num_files: NotRequired[int]
    some_files: NotRequired[list[str]]


def fetch_all(
    downloads: Sequence[Download], folder: Path, *, num_workers: int = 4, progress: Progress | None = None
) -> list[str]:
    """Fetch and unpack files into a folder; return the paths of the newly fetched files.

    Existing files are skipped if `downloads.json` lists them with the same size. A failure does not stop
    the transfer of other files.

    Args:
        downloads: The files.
        folder: Destination.
        num_workers: Number of simultaneous transfers.
        progress: Called with the name, the received bytes and the size of a file, None if unknown.

    Raises:
        UsageError: If the disk has too little space or another process is downloading into the folder.
        DataError: If files cannot be fetched. The message names all of them.
    """
    with file_lock(folder / LOCK, timeout=0) as is_mine:
        if not is_mine:
            raise UsageError(f"{folder}: another download into this folder is running")
        return _fetch_missing(downloads, folder, num_workers, progress or (lambda *_: None))


def _fetch_missing(
    downloads: Sequence[Download], folder: Path, num_workers: int, report: Progress
) -> list[str]:
    record = _read_record(folder)
    wanted = [d for d in downloads if not _is_done(d, folder, record)]
    check_space(wanted, folder)
    failures: list[str] = []
    with ThreadPoolExecutor(max(1, num_workers)) as pool:
        jobs = [(d, pool.submit(_fetch_one, d, folder, report)) for d in wanted]
        for download, job in jobs:
            try:
                record[download.path] = job.result()
                write_json(folder / DOWNLOADS, dict(sorted(record.items())))
            except (DataError, WriteError) as error:
                failures.append(str(error))
    if failures:
        raise DataError(
            f"{len(failures)} of {len(wanted)} files could not be fetched. Rerun to retry only these:\n  "
            + "\n  ".join(failures)
        )
    return [d.path for d in wanted]


def default_files(downloads: Sequence[Download]) -> list[Download]:
    """Return the files of the part "data", or all files if there is no such part."""
    return [d for d in downloads if "data" in d.parts] or list(downloads)


def check_sums(folder: Path, card: DataCard) -> None:
    """Raise DataError for a missing or changed file of a data card; a changed file is removed."""
    for name, recorded in sorted(card.sha256.items()):
        path = folder / name
        if not path.is_file():
            raise DataError(f"{path}: missing after the download, so the archive at the source has changed")
        if file_sha256(path) != recorded:
            path.unlink()
            raise DataError(
                f"{path}: removed, because it is not the published file (recorded sha256 {recorded[:12]}...)"
            )


def check_space(downloads: Sequence[Download], folder: Path) -> None:
    """Raise UsageError if the known sizes, minus received bytes, exceed the free disk space."""
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


def _fetch_one(download: Download, folder: Path, report: Progress) -> _Line:
    """Fetch and unpack one file; return its entry of `downloads.json`."""
    path = folder / download.path
    digest = _fetch(download, path, report)
    line = _Line(sha256=digest, num_bytes=path.stat().st_size, url=download.urls[0])
    if download.unpack:
        paths = _unpack(download, path, folder / download.into)
        line["num_files"] = len(paths)
        line["some_files"] = paths[:: max(1, len(paths) // SAMPLE_FILES)]
    return line


def _fetch(download: Download, path: Path, report: Progress) -> str:
    """Fetch one file from the first working mirror, and return its sha256."""
    reasons = []
    for url in download.urls:
        file = RemoteFile(url, download.token)
        try:
            if not file.is_web:
                raise RemoteError(f"{file}: expected http:// or https://")
            fetch = _fetch_member if download.member else _fetch_whole
            return fetch(download, file, path, report)
        except RemoteError as error:
            reasons.append(str(error))
    raise DataError(f"{path.name}: {'; '.join(reasons)}")


def _fetch_whole(download: Download, file: RemoteFile, path: Path, report: Progress) -> str:
    part = Part(
        path,
        file,
        most_bytes=END if download.num_bytes is None else download.num_bytes,
        is_checked=(download.sha256, download.num_bytes) != (None, None),
        report=partial(report, path.name),
    )
    for _ in range(2):
        place = part.fetch()
        digest = file_sha256(place)
        is_resumed = part.is_resumed
        problem = _find_problem(download, place.stat().st_size, digest)
        if not problem:
            part.finish()
            return digest
        part.discard()
        if not is_resumed:  # another complete transfer would give the same bytes
            break
    raise RemoteError(f"{file}: {problem}")


def _fetch_member(download: Download, file: RemoteFile, path: Path, report: Progress) -> str:
    """Fetch one member of a remote .zip, in any of its folders; zipfile verifies the CRC."""
    most = _MOST_MEMBER_BYTES if download.num_bytes is None else download.num_bytes
    member = download.member
    remote = RemoteReader(file, stat(file), 2 * _MOST_MEMBER_BYTES)
    try:
        with zipfile.ZipFile(io.BufferedReader(remote, _BLOCK_BYTES)) as archive:
            found = [n for n in archive.namelist() if n == member or n.endswith(f"/{member}")]
            if len(found) != 1:
                raise RemoteError(f"{file}: expected one member named {member}, found {len(found)}")
            with archive.open(found[0]) as content:
                data = content.read(most + 1)
    except RemoteError:
        raise
    except Exception as error:  # damaged archives raise many exception types
        raise RemoteError(f"{file}: member '{member}' cannot be read ({error})") from error
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
        digest = file_sha256(temporary)
        if problem := _find_problem(download, len(data), digest):
            raise RemoteError(f"{file}: {problem}")
    return digest


def _find_problem(download: Download, size: int, digest: str) -> str:
    if download.num_bytes not in (None, size):
        return f"received {size:,} bytes, but the published size is {download.num_bytes:,}"
    if download.sha256 not in (None, digest):
        return f"wrong content: sha256 {digest[:12]}..., published {str(download.sha256)[:12]}..."
    return ""


def _unpack(download: Download, archive: Path, into: Path) -> list[str]:
    """Unpack an archive, remove it, and return the paths relative to `into`."""
    known = download.unpacked_bytes
    most = ARCHIVE_TIMES * archive.stat().st_size if known is None else UNPACKED_TIMES * known
    try:
        paths = unpack(archive, into, root=download.root, max_bytes=max(most, SMALL_BYTES))
    except NoRoomError:
        raise
    except DataError:
        remove_files([archive])  # the next call fetches it again
        raise
    archive.unlink()
    return paths


def _is_done(download: Download, folder: Path, record: dict[str, _Line]) -> bool:
    line = record.get(download.path)
    if line is None or (download.sha256 or line["sha256"]) != line["sha256"]:
        return False
    if download.unpack:
        return all((folder / download.into / name).is_file() for name in line.get("some_files", ()))
    path = folder / download.path
    return path.is_file() and path.stat().st_size == line["num_bytes"]


def _read_record(folder: Path) -> dict[str, _Line]:
    """Return the entries of `downloads.json` by path; DataError if the file is invalid."""
    path = folder / DOWNLOADS
    if not path.exists():
        return {}
    return read_json(path, dict[str, _Line], "a record of downloads", ". Delete it to fetch the files again")
