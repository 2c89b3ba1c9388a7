"""Network access: HTTP through the standard library, buckets and hubs through fsspec.

No other module opens connections. Each function makes one attempt and raises the errors of its library;
`store` retries the call and translates the errors.
"""

import base64
import netrc
import os
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPMessage
from typing import IO, Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from perceptinit.errors import AbsentError, MissingPackageError, RemoteError
from perceptinit.files.remote.addresses import PACKAGES, RemoteFile

# size of one request to a bucket
PART_BYTES = 8 << 20
_CHUNK_BYTES = 1 << 20
TIMEOUT_SECONDS = 60.0
# limit for finding out whether servers respond at all
REACH_SECONDS = 10.0
# an attempt that is slower than this for TIMEOUT_SECONDS fails
SLOWEST_BYTES_PER_SECOND = 1024
# status codes of servers and signed addresses that allow only GET
_NO_HEAD = (400, 403, 405, 501)


@dataclass(frozen=True, slots=True)
class Stat:
    """Size and version of a remote file. The version, such as an ETag, is empty if unknown."""

    num_bytes: int
    version: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's response to a request for bytes.

    Args:
        start: Offset of the first byte: the requested offset, or 0 if the server sends the entire file.
        is_part: Whether the server sends the requested range, not the entire file.
        num_bytes: Size of the entire file, None if the server does not state it.
        has_end: Whether a truncated response can be distinguished from a complete one.
        version: See `Stat`.
        validator: Identifies this version in a later request for the rest; empty if unavailable.
        chunks: The bytes.
    """

    start: int
    is_part: bool
    num_bytes: int | None
    has_end: bool
    version: str
    validator: str
    chunks: Iterator[bytes]


def open_answer(
    file: RemoteFile, start: int, stop: int | None, validator: str = ""
) -> AbstractContextManager[Answer]:
    """Request the bytes from `start` to `stop` (None: the end) once; stop = 0 requests only the headers.

    With the `validator` of an earlier response, the bytes start at 0 if the version differs. `retry`
    translates the errors of the network library.
    """
    return (_open_web if file.is_web else _open_bucket)(file, start, stop, validator)


@contextmanager
def _open_web(file: RemoteFile, start: int, stop: int | None, validator: str) -> Iterator[Answer]:
    headers = {"User-Agent": "perceptinit", "Accept-Encoding": "identity"}
    if start or stop:
        headers["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
    if start and validator:
        headers["If-Range"] = validator
    is_head = stop == 0
    request = urllib.request.Request(
        _without_user(file.url), headers=headers, method="HEAD" if is_head else "GET"
    )
    if authorization := _authorization(file):  # not sent to redirects
        request.add_unredirected_header("Authorization", authorization)
    try:
        response = _opener.open(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        is_first = is_head or start or stop
        if not is_first or error.code not in (_NO_HEAD if is_head else (416,)):
            raise
        # HEAD is refused, or `start` is beyond the end: the transfer is complete or the file has changed
        with _open_web(file, 0, 1 if is_head else None, "") as answer:
            yield answer
        return
    with closing(response):
        encoding = response.headers.get("Content-Encoding") or "identity"
        # servers also set this header for compressed files
        if encoding != "identity" and not file.name.endswith((".gz", ".tgz")):
            raise RemoteError(
                f"{file}: the server compresses the file (Content-Encoding: {encoding}), so ranges cannot be "
                "read. Turn off compression on the server, or use a local copy"
            )
        yield _answer(response, start)


def _answer(response: Any, start: int) -> Answer:
    headers = response.headers
    place = re.fullmatch(
        r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)", headers.get("Content-Range", "")
    )
    length = str(headers.get("Content-Length", ""))
    is_part = response.status == 206
    if is_part and (not place or int(place[1]) != start):
        raise OSError("the server did not resume at the requested byte")
    total = place[2] if is_part and place else length
    is_known = bool(re.fullmatch(r"[0-9]{1,18}", total))
    is_chunked = "chunked" in str(headers.get("Transfer-Encoding", "")).lower()
    tag = headers.get("ETag") or ""
    date = headers.get("Last-Modified") or ""
    # a weak tag does not guarantee equal bytes, and If-Range does not accept one
    validator = tag if tag and not tag.startswith("W/") else date
    return Answer(
        start if is_part else 0,
        is_part,
        int(total) if is_known else None,
        is_known or is_chunked,
        (tag or date).strip('"'),
        validator if re.fullmatch(r"[ -~]{1,1000}", validator) else "",
        _chunks(response),
    )


def _chunks(response: Any) -> Iterator[bytes]:
    """Yield a response in chunks; OSError if it is slower than SLOWEST_BYTES_PER_SECOND."""
    begin = time.monotonic()
    num_bytes = 0
    while chunk := response.read1(_CHUNK_BYTES):
        num_bytes += len(chunk)
        seconds = time.monotonic() - begin
        if seconds > TIMEOUT_SECONDS:
            if num_bytes < seconds * SLOWEST_BYTES_PER_SECOND:
                raise OSError(f"the transfer is too slow ({num_bytes:,} bytes in {seconds:.0f} s)")
            begin = time.monotonic()
            num_bytes = 0
        yield chunk


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects without reading their bodies, which urllib loads into memory."""

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage
    ) -> Any:
        fp.close()
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


_opener = urllib.request.build_opener(_Redirects)


def find_unreachable(addresses: Iterable[str]) -> dict[str, str]:
    """Return the web addresses whose servers do not respond within REACH_SECONDS, with the reason.

    All servers are tried at the same time. A thread that waits for a name server cannot be stopped, so it is
    abandoned.
    """
    reasons = dict.fromkeys(addresses, f"no response within {REACH_SECONDS:g} s")

    def reach(address: str) -> None:
        request = urllib.request.Request(
            _without_user(address), headers={"User-Agent": "perceptinit"}, method="HEAD"
        )
        try:
            with suppress(urllib.error.HTTPError):  # a server that refuses the request responds
                _opener.open(request, timeout=REACH_SECONDS).close()
            reasons[address] = ""
        except Exception as error:  # libraries and proxies raise many types
            reasons[address] = str(getattr(error, "reason", "") or error or type(error).__name__)

    threads = [threading.Thread(target=reach, args=(address,), daemon=True) for address in reasons]
    for thread in threads:
        thread.start()
    end = time.monotonic() + REACH_SECONDS
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return {address: reason for address, reason in reasons.items() if reason}


def _without_user(url: str) -> str:
    """Return an address without user and password, with invalid characters percent-encoded."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    path = quote(parts.path, safe="/%:@!$&'()*+,;=~")
    return urlunsplit((parts.scheme, host, path, parts.query, ""))


def _authorization(file: RemoteFile) -> str:
    """Return the Authorization header from the token, the address or ~/.netrc; empty if there is none."""
    parts = urlsplit(file.url)
    if file.token:
        return f"Bearer {file.token}"
    user = unquote(parts.username or "")
    password = unquote(parts.password or "")
    if not user:
        with suppress(OSError, netrc.NetrcParseError):
            found = netrc.netrc(os.environ.get("NETRC")).authenticators(parts.hostname or "")
            user, _, password = found or ("", "", "")
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode() if user else ""


@contextmanager
def _open_bucket(file: RemoteFile, start: int, stop: int | None, validator: str) -> Iterator[Answer]:
    fs, path = _filesystem(file)
    now = _bucket_stat(file, fs, path)
    start = start if validator in ("", now.version) else 0
    end = now.num_bytes if stop is None else min(stop, now.num_bytes)

    def chunks() -> Iterator[bytes]:
        for first in range(start, end, PART_BYTES):
            yield fs.cat_file(path, start=first, end=min(first + PART_BYTES, end), **_timeout(fs))
        if _bucket_stat(file, fs, path) != now:
            raise RemoteError(f"{file}: changed during the transfer")

    yield Answer(start, True, now.num_bytes, True, now.version, now.version, chunks())


def list_bucket(folder: RemoteFile, recursive: bool) -> dict[RemoteFile, Stat]:
    """Return the files in a folder of a bucket or a hub, sorted."""
    fs, path = _filesystem(folder)
    fs.invalidate_cache()
    base = path.rstrip("/")
    infos = fs.find(base, detail=True).values() if recursive else fs.ls(base, detail=True)
    names = {i["name"].removeprefix(base).lstrip("/"): i for i in infos if i["type"] == "file"}
    return {folder / name: _stat(folder / name, names[name]) for name in sorted(names)}


def put(file: RemoteFile, data: bytes) -> None:
    """Store a file in a bucket or on a hub."""
    fs, path = _filesystem(file)
    fs.pipe_file(path, data)


def _filesystem(file: RemoteFile) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs

        return url_to_fs(file.url)
    except ImportError as error:
        raise MissingPackageError(
            f"{file}: {file.scheme}:// requires the package {PACKAGES[file.scheme]}. "
            "Install it: pip install 'perceptinit[remote]'"
        ) from error


def _timeout(fs: Any) -> dict[str, float]:
    """Return the timeout argument of a request; synchronous file systems do not support one."""
    return {"timeout": TIMEOUT_SECONDS} if getattr(fs, "async_impl", False) else {}


def _bucket_stat(file: RemoteFile, fs: Any, path: str) -> Stat:
    fs.invalidate_cache()
    return _stat(file, fs.info(path, **_timeout(fs)))


def _stat(file: RemoteFile, info: dict[str, Any]) -> Stat:
    if info.get("type") == "directory":
        raise AbsentError(f"{file}: a folder, not a file")
    if info.get("size") is None:
        raise RemoteError(f"{file}: the server does not report the file size")
    names = ("ETag", "etag", "generation", "blob_id", "Last-Modified", "LastModified", "mtime")
    version = next((str(info[name]) for name in names if info.get(name)), "")
    return Stat(int(info["size"]), version.strip('"'))
