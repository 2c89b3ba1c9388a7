"""Fetch one file: resumed where the server can, checked, from the first mirror that gives it whole.

It arrives as `.NAME.part` beside its place, with what identifies it at the server in
`.NAME.part.json`, and gets its name only when its length and checksum are right.
"""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.error
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Protocol, runtime_checkable

from perceptinit.errors import DataError, shown
from perceptinit.files.archives import check_room
from perceptinit.files.checksums import file_sha256
from perceptinit.files.reading import read_json
from perceptinit.files.remote_zip import RangesRefusedError, fetch_member
from perceptinit.files.web import open_url

CHUNK_BYTES = 1 << 20
TIMEOUT_SECONDS = 60.0
# slower than this for TIMEOUT_SECONDS is an attempt that failed
SLOWEST_BYTES_PER_SECOND = 1024
# attempts that bring nothing new, and attempts in all, before a mirror is given up
ATTEMPTS = 5
ATTEMPTS_IN_ALL = 200
# the wait after failure k without progress is this times 2^(k - 1)
BACKOFF_SECONDS = 1.0

# name, bytes so far, bytes in all or None
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """One file of a data set.

    urls: where it is, the first choice first. path: where it goes, relative to the data set's folder.
    sha256, num_bytes: as the source or we recorded them; None when nobody did.
    member: the URLs are of a .zip of which this one member is wanted; it is fetched alone.
    unpack: it is a .zip, .tar or .tar.gz to be unpacked into `into`, relative to the same folder;
    root: see `archives.unpack`.
    unpacked_bytes: room that its content takes, None when unknown.
    parts: names of the parts of the data set that it belongs to; each can be fetched alone.
    token: sent to the hosts of the URLs and to none that they redirect to; empty for public files.
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
    """Judgments, as a class, whose files may be fetched without asking: `perceptinit data download`."""

    downloads: Sequence[Download]


class TransientError(Exception):
    """An attempt that failed in a way that another one may not."""


class MirrorError(Exception):
    """A mirror that will not do: another may."""


def fetch(
    download: Download,
    path: Path,
    report: Progress,
    backoff_seconds: float = BACKOFF_SECONDS,
) -> str:
    """Fetch one file to `path` from the first mirror that gives it whole; return its sha256.

    Never takes more than the published size, nor the last SPARE_BYTES of the disk.

    Raises DataError that says what each mirror did.
    """
    reasons = []
    for url in download.urls:
        try:
            return _from_mirror(download, url, path, report, backoff_seconds)
        except MirrorError as error:
            reasons.append(f"{url}: {shown(error)}")
        except OSError as error:
            raise DataError(f"{path}: cannot be written ({error.strerror or error})") from error
    raise DataError(f"{path.name}: " + "; ".join(reasons))


def _from_mirror(
    download: Download, url: str, path: Path, report: Progress, backoff_seconds: float
) -> str:
    """Fetch from one server; MirrorError when it is given up.

    Progress is more of the file than any attempt had before: a part that is thrown away and comes
    again is none, or a server could be asked for ever.
    """
    failures, most, reason = 0, part_bytes(path), ""
    for _ in range(ATTEMPTS_IN_ALL):
        try:
            return _attempt(download, url, path, report)
        except TransientError as error:
            reason = str(error)
        failures = 0 if part_bytes(path) > most else failures + 1
        most = max(most, part_bytes(path))
        if failures == ATTEMPTS:
            raise MirrorError(reason)
        time.sleep(backoff_seconds * 2 ** max(0, failures - 1))
    raise MirrorError(f"{reason}; given up after {ATTEMPTS_IN_ALL} attempts")


def _attempt(download: Download, url: str, path: Path, report: Progress) -> str:
    part = _part_path(path)
    part.parent.mkdir(parents=True, exist_ok=True)
    if download.member:
        _receive_member(download, url, part)
        is_resumed = False
    else:
        is_resumed = _receive(download, url, part, path.name, report)
    digest = file_sha256(part)
    problem = _problem(download, part.stat().st_size, digest)
    if problem:
        _discard(part)
        # what was glued together may be wrong where a whole answer is not
        raise (TransientError if is_resumed else MirrorError)(problem)
    part.replace(path)
    _state_path(part).unlink(missing_ok=True)
    return digest


def _problem(download: Download, size: int, digest: str) -> str | None:
    if download.num_bytes is not None and size != download.num_bytes:
        return f"{size:,} bytes came, {download.num_bytes:,} are published"
    if download.sha256 is not None and digest != download.sha256:
        return f"wrong content: sha256 {digest[:12]}..., published {download.sha256[:12]}..."
    return None


def _receive_member(download: Download, url: str, part: Path) -> None:
    try:
        fetch_member(url, download.member, part, TIMEOUT_SECONDS, download.num_bytes)
    except urllib.error.HTTPError as error:
        _raise_for(error, part, 0)
    except (RangesRefusedError, zipfile.BadZipFile) as error:
        raise MirrorError(
            f"cannot read '{download.member}' out of the archive ({error})"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise TransientError(str(error) or type(error).__name__) from error


def _receive(download: Download, url: str, part: Path, name: str, report: Progress) -> bool:
    """Append to `part` until the file is whole; return whether it was resumed.

    A server that cannot resume sends the file from the start.
    """
    state = _read_state(part, url)
    have = part.stat().st_size if part.exists() and state else 0
    headers = {"Accept-Encoding": "identity"}
    if have and state:
        headers |= {"Range": f"bytes={have}-", "If-Range": state["validator"]}
    try:
        with open_url(url, headers, TIMEOUT_SECONDS, download.token) as response:
            is_resumed = response.status == 206 and _starts_at(response, have)
            if response.status == 206 and not is_resumed:
                _discard(part)
                raise TransientError("the server resumed at another place than asked")
            have = have if is_resumed else 0
            total = _total_bytes(response, have)
            _check_end_is_known(download, response, total)
            _check_size(download, part, total or 0, "are announced")
            _write_state(part, url, response, total)
            with part.open("ab" if have else "wb") as file:
                report(name, have, total)
                for chunk in _chunks(response):
                    have += len(chunk)
                    _check_size(download, part, have, "have come")
                    check_room(part.parent, len(chunk))
                    file.write(chunk)
                    report(name, have, total)
            _check_came(part, have, total)
            return is_resumed
    except urllib.error.HTTPError as error:
        _raise_for(error, part, have)
    except (OSError, ValueError, http.client.HTTPException) as error:  # URLError is an OSError
        raise TransientError(
            f"{getattr(error, 'reason', None) or error or type(error).__name__}"
        ) from error


def _chunks(response: Any) -> Iterator[bytes]:
    """Yield an answer as it comes; TransientError when it comes so slowly that it would never end."""
    start, num_bytes = time.monotonic(), 0
    while chunk := response.read1(CHUNK_BYTES):
        num_bytes += len(chunk)
        seconds = time.monotonic() - start
        if seconds > TIMEOUT_SECONDS:
            if num_bytes < seconds * SLOWEST_BYTES_PER_SECOND:
                raise TransientError(f"{num_bytes:,} bytes came in {seconds:.0f} s")
            start, num_bytes = time.monotonic(), 0
        yield chunk


def _check_size(download: Download, part: Path, num_bytes: int, what: str) -> None:
    """Give a mirror up whose file is larger than the published one."""
    if download.num_bytes is not None and num_bytes > download.num_bytes:
        _discard(part)
        raise MirrorError(f"{num_bytes:,} bytes {what}, {download.num_bytes:,} are published")


def _check_came(part: Path, have: int, total: int | None) -> None:
    if total is not None and have < total:
        raise TransientError(f"the connection ended after {have:,} of {total:,} bytes")
    if total is not None and have > total:
        _discard(part)
        raise TransientError(f"{have:,} bytes came, {total:,} were announced")


def _raise_for(error: urllib.error.HTTPError, part: Path, have: int) -> NoReturn:
    if error.code == 416:  # the part is as long as the file, or longer: it is of another version
        _discard(part)
        raise TransientError(f"the server cannot resume at byte {have:,}") from error
    if error.code in (408, 425, 429) or error.code >= 500:
        raise TransientError(f"HTTP {error.code} {error.reason}") from error
    raise MirrorError(f"HTTP {error.code} {error.reason}") from error


def _check_end_is_known(download: Download, response: Any, total: int | None) -> None:
    """Give a mirror up whose answer could be cut short without anyone noticing."""
    is_chunked = "chunked" in str(response.headers.get("Transfer-Encoding", "")).lower()
    is_published = download.sha256 is not None or download.num_bytes is not None
    if total is None and not is_chunked and not is_published:
        raise MirrorError(
            "the server does not say how long the file is, so a cut one cannot be told"
        )


def _starts_at(response: Any, have: int) -> bool:
    return str(response.headers.get("Content-Range", "")).startswith(f"bytes {have}-")


def _total_bytes(response: Any, have: int) -> int | None:
    length = str(response.headers.get("Content-Length", ""))
    return have + int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None


def _part_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def part_bytes(path: Path) -> int:
    """Return how much of a file to be at `path` has arrived already."""
    part = _part_path(path)
    return part.stat().st_size if part.exists() else 0


def _state_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_state(part: Path, url: str) -> dict[str, Any] | None:
    """Return what is known of a part, None when it is not of this URL and must start again."""
    try:
        state = read_json(_state_path(part), dict, "the state of a download")
    except DataError:
        return None
    validator = state.get("validator")
    # without a validator nothing says that the rest is of the same version
    is_usable = isinstance(validator, str) and re.fullmatch(r"[ -~]{1,1000}", validator)
    return state if state.get("url") == url and is_usable else None


def _write_state(part: Path, url: str, response: Any, total: int | None) -> None:
    tag = response.headers.get("ETag") or ""
    # a weak tag does not promise equal bytes, and If-Range may not carry one
    strong = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")
    state = {"url": url, "validator": strong, "num_bytes": total}
    _state_path(part).write_text(json.dumps(state), encoding="utf-8")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _state_path(part).unlink(missing_ok=True)
