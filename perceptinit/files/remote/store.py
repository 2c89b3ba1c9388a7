"""Ask a bucket, a hub or a web server: patiently where waiting may help, and in a sentence where it does not.

Every request goes through `asked`. What is asked for is the same bytes whenever they come, so nothing here
gives something else instead: it gives the bytes, or raises RemoteError.
"""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from perceptinit.errors import DataError, MissingPackageError, PerceptInitError, without_credentials
from perceptinit.files.remote.addresses import PACKAGES, RemoteFile

T = TypeVar("T")

# of one request
PART_BYTES = 8 << 20
TIMEOUT_SECONDS = 60.0
# a request is given up after so many, with waits of BACKOFF_SECONDS * 1, 2, 4, ... between them
ATTEMPTS = 6
BACKOFF_SECONDS = 1.0
_WRONG_PLACE = (TypeError, AttributeError, NameError, ImportError)  # a mistake, and no answer


class RemoteError(DataError):
    """Bytes that do not come. They would be the same later, so nothing takes their place: a run stops."""


class AbsentError(RemoteError):
    """There is no such file."""


@dataclass(frozen=True, slots=True)
class Stat:
    """What a server says of a file; `version` changes with its content (an ETag or the like), empty if unknown."""

    num_bytes: int
    version: str


def stat(file: RemoteFile) -> Stat:
    """Return size and version as they are now; AbsentError, RemoteError."""

    def look(fs: Any, path: str) -> Stat:
        fs.invalidate_cache()
        return _stat(file, fs.info(path, **_timeout(fs)))

    return asked(file, look)


def read(file: RemoteFile, start: int, stop: int) -> bytes:
    """Return the bytes from `start` to before `stop`; RemoteError unless all come."""

    def get(fs: Any, path: str) -> bytes:
        data = fs.cat_file(path, start=start, end=stop, **_timeout(fs))
        if len(data) > stop - start:
            raise RemoteError(
                f"{file}: the server sends whole files, not the part that is asked for"
            )
        if len(data) < stop - start:
            raise OSError(f"{len(data):,} of {stop - start:,} bytes came")
        return data

    return asked(file, get) if stop > start else b""


def write(file: RemoteFile, data: bytes) -> None:
    """Store a file; RemoteError where nothing may be written."""
    if file.scheme in ("http", "https"):
        raise RemoteError(f"{file}: a web server takes no files")
    asked(file, lambda fs, path: fs.pipe_file(path, data))


def listing(folder: RemoteFile, recursive: bool = False) -> dict[RemoteFile, Stat]:
    """Return the files in a folder, sorted; on the web those that its page links to, their sizes unknown (-1)."""

    def look(fs: Any, path: str) -> dict[RemoteFile, Stat]:
        fs.invalidate_cache()
        base = path.rstrip("/")
        if recursive:
            found = list(fs.find(base, detail=True).values())
        else:
            found = [info for info in fs.ls(base, detail=True) if info["type"] == "file"]
        files = {}
        for info in sorted(found, key=lambda info: info["name"]):
            name = info["name"].removeprefix(base).lstrip("/")
            if info.get("size") is None:
                files[folder / name] = Stat(-1, "")
            else:
                files[folder / name] = _stat(folder / name, info)
        return files

    return asked(folder, look)


def matching(pattern: RemoteFile) -> list[RemoteFile]:
    """Return the files that match a glob in the last part of a path, sorted; DataError when there is none."""
    if any(mark in pattern.folder.url.partition("://")[2] for mark in "*["):
        raise DataError(f"{pattern}: only the last part of an address may be a glob")
    there = listing(pattern.folder)
    found = [file for file in there if fnmatch.fnmatchcase(file.name, pattern.name)]
    if not found:
        raise DataError(f"{pattern}: none of {len(there)} files there matches")
    return found


def asked(file: RemoteFile, ask: Callable[[Any, str], T]) -> T:
    """Return what `ask(filesystem, path)` gives; asked again after a while where that may help.

    Raises AbsentError, or RemoteError that names the file and says why and how often.
    """
    for number in range(ATTEMPTS):
        try:
            return ask(*_filesystem(file))
        except (PerceptInitError, *_WRONG_PLACE):
            raise
        except Exception as error:
            reason = _reason(error)
            _raise_for_good(file, error, reason)
        if number + 1 < ATTEMPTS:
            time.sleep(BACKOFF_SECONDS * 2**number)
    raise RemoteError(
        f"{file}: {reason}; asked {ATTEMPTS} times. Once it answers, the same command goes on where it was"
    )


def _filesystem(file: RemoteFile) -> tuple[Any, str]:
    options: dict[str, Any] = {}
    if file.scheme in ("http", "https"):
        # the user's ~/.netrc and proxies count; an address that is quoted already stays as it is
        options = {"client_kwargs": {"trust_env": True}, "encoded": "%" in file.url}
    try:
        from fsspec.core import url_to_fs

        return url_to_fs(file.url, **options)
    except ImportError as error:
        raise MissingPackageError(
            f"{file}: {file.scheme}:// needs the package {PACKAGES[file.scheme]}. "
            "Install it: pip install 'perceptinit[remote]'"
        ) from error


def _timeout(fs: Any) -> dict[str, float]:
    """Return the time-out of a request; filesystems that are not asynchronous have their own."""
    return {"timeout": TIMEOUT_SECONDS} if getattr(fs, "async_impl", False) else {}


def _stat(file: RemoteFile, info: dict[str, Any]) -> Stat:
    if info.get("type") == "directory":
        raise AbsentError(f"{file}: a folder, not a file")
    if info.get("size") is None:
        raise RemoteError(f"{file}: the server does not say how long the file is")
    names = ("ETag", "etag", "generation", "blob_id", "Last-Modified", "LastModified", "mtime")
    version = next((str(info[name]) for name in names if info.get(name)), "")
    return Stat(int(info["size"]), version.strip('"'))


def _raise_for_good(file: RemoteFile, error: Exception, reason: str) -> None:
    """Raise what waiting does not mend: no such file, no permission, an answer of the 400s."""
    status = _status(error)
    # of a web server fsspec says "no such file" of whatever went wrong; what it was is the cause
    is_of_web = file.scheme in ("http", "https") and error.__cause__ is not None
    is_absent = isinstance(error, FileNotFoundError) and not is_of_web
    if status in (404, 410) or is_absent:
        raise AbsentError(f"{file}: no such file") from error
    if (
        status in (401, 403)
        or isinstance(error, PermissionError)
        or "Credential" in type(error).__name__
    ):
        raise RemoteError(
            f"{file}: access denied ({reason}). Are the credentials there, and have they expired? s3://, gs:// and "
            "hf:// take them from the environment or a log-in, https:// from ~/.netrc"
        ) from error
    if status and 400 <= status < 500 and status not in (408, 425, 429):
        raise RemoteError(f"{file}: {reason}") from error


def _status(error: BaseException | None) -> int | None:
    """Return the HTTP status of an error, or of what it came from: fsspec calls all of them `no such file`."""
    # a body that was cut has none, whatever it says
    while error is not None and "Payload" not in type(error).__name__:
        places = (error, getattr(error, "response", None))
        names = ("status", "status_code") if hasattr(error, "status") else ("status_code", "code")
        codes = [getattr(place, name, None) for place in places for name in names]
        found = next((int(str(code)) for code in codes if str(code).isdigit()), None)
        if found:
            return found
        error = error.__cause__
    return None


def _reason(error: Exception) -> str:
    """Return one line on an error, without the address, which may hold a signature."""
    if isinstance(error, FileNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    status = _status(error)
    said = getattr(error, "message", None) or error.args[-1:] or type(error).__name__
    text = str(said[0] if isinstance(said, tuple) else said).partition("\n")[0]
    words = without_credentials(text)[:200] or type(error).__name__
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        words = f"no answer within {TIMEOUT_SECONDS:g} s"
    return f"HTTP {status} {words}" if status else words
