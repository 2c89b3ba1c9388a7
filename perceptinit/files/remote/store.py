"""Read remote files with retries; errors name the file and say what to do.

A read returns the requested bytes or raises RemoteError. No sample is substituted, so batches stay
reproducible.
"""

import fnmatch
import io
import re
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urljoin

from perceptinit.errors import AbsentError, DataError, PerceptInitError, RemoteError, without_credentials
from perceptinit.files.remote import network
from perceptinit.files.remote.addresses import RemoteFile
from perceptinit.files.remote.network import Answer, Stat, open_answer

T = TypeVar("T")

# limits on attempts without progress, and on all attempts
ATTEMPTS = 6
ATTEMPTS_IN_ALL = 200
# delays between attempts without progress: this times 1, 2, 4, ...
BACKOFF_SECONDS = 1.0
_MOST_PAGE_BYTES = 64 << 20
_MISTAKES = (TypeError, AttributeError, NameError, ImportError)  # bugs, not failures of a server


def stat(file: RemoteFile) -> Stat:
    """Return the current size and version of a file.

    Raises:
        AbsentError: If there is no such file.
        RemoteError: If the server does not respond or does not report the size.
    """

    def look() -> Stat:
        with open_answer(file, 0, 0) as answer:
            if answer.num_bytes is None:
                raise RemoteError(f"{file}: the server does not report the file size")
            return Stat(answer.num_bytes, answer.version)

    return retry(file, look)


def read(file: RemoteFile, start: int, stop: int, wanted: Stat | None = None) -> bytes:
    """Return the bytes from `start` up to `stop`.

    Raises:
        RemoteError: If the read fails, or the file does not match `wanted`; see `check_version`.
    """

    def get() -> bytes:
        with open_answer(file, start, stop) as answer:
            check_version(file, answer, wanted)
            check_part(file, answer, start, stop)
            data = b"".join(answer.chunks)
        if len(data) < stop - start:
            raise OSError(f"the connection ended after {len(data):,} of {stop - start:,} bytes")
        return data

    return retry(file, get) if stop > start else b""


class RemoteReader(io.RawIOBase):
    """A remote file as a seekable binary file; RemoteError if all reads together exceed `most_bytes`."""

    def __init__(self, file: RemoteFile, now: Stat, most_bytes: int = sys.maxsize) -> None:
        self._file = file
        self._now = now
        self._position = 0
        self._left = most_bytes

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        size = self._now.num_bytes
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        size = max(0, min(len(buffer), self._now.num_bytes - self._position))
        self._left -= size
        if self._left < 0:
            raise RemoteError(f"{self._file}: reading it exceeds the limit on transferred bytes")
        buffer[:size] = read(self._file, self._position, self._position + size, self._now)
        self._position += size
        return size


def check_version(file: RemoteFile, answer: Answer, wanted: Stat | None) -> None:
    """Raise RemoteError if the size or version in a response differs from `wanted`."""
    there = answer.num_bytes
    if wanted and (there not in (None, wanted.num_bytes) or wanted.version not in ("", answer.version)):
        raise RemoteError(
            f"{file}: has changed (new version, or {there or 0:,} bytes instead of {wanted.num_bytes:,}). "
            "If it is indexed, create the index again: perceptinit data index"
        )


def check_part(file: RemoteFile, answer: Answer, start: int, stop: int) -> None:
    """Raise RemoteError unless a response contains the bytes from `start` up to `stop`."""
    is_whole = answer.num_bytes in (None, stop) and start == 0
    if answer.start != start or not (answer.is_part or is_whole):
        raise RemoteError(f"{file}: the server sends the entire file, not the requested range")


def read_page(file: RemoteFile, attempts: int = ATTEMPTS) -> bytes:
    """Return the content of a small file, such as a web page or JSON; RemoteError above 64 MB."""

    def get() -> bytes:
        data = bytearray()
        with open_answer(file, 0, None) as answer:
            for chunk in answer.chunks:
                data += chunk
                if len(data) > _MOST_PAGE_BYTES:
                    raise RemoteError(f"{file}: larger than {_MOST_PAGE_BYTES >> 20} MB")
        return bytes(data)

    return retry(file, get, attempts=attempts)


def write(file: RemoteFile, data: bytes) -> None:
    """Store a file in a bucket or on a hub; RemoteError if the server refuses or all attempts fail."""
    retry(file, lambda: network.put(file, data))


def list_files(folder: RemoteFile, recursive: bool = False) -> dict[RemoteFile, Stat]:
    """Return the files in a folder of a bucket or a hub, sorted."""
    return retry(folder, lambda: network.list_bucket(folder, recursive))


def match_files(pattern: RemoteFile) -> list[RemoteFile]:
    """Return the files that match a glob in the last part of an address, sorted; DataError without a match.

    On a web server, the candidates are the links on the page of the folder.
    """
    folder = pattern.folder
    if any(mark in folder.url.partition("://")[2] for mark in "*["):
        raise DataError(f"{pattern}: only the last part of an address may be a glob")
    there = list(_list_links(folder) if folder.is_web else list_files(folder))
    found = [file for file in there if fnmatch.fnmatchcase(file.name, pattern.name)]
    if not found:
        raise DataError(f"{pattern}: none of {len(there)} files matches")
    return found


def _list_links(folder: RemoteFile) -> list[RemoteFile]:
    page = read_page(folder / "").decode("utf-8", "replace")
    base = (folder / "").url.partition("?")[0]
    links = {urljoin(base, link) for link in re.findall(r"""href=["']([^"'?#]+)""", page)}
    names = sorted(link.removeprefix(base) for link in links if link.startswith(base))
    return [folder / name for name in names if name and "/" not in name]


def retry(
    file: RemoteFile, ask: Callable[[], T], progress: Callable[[], int] = int, attempts: int | None = None
) -> T:
    """Return the result of `ask`, retried with increasing delays after temporary failures.

    Args:
        file: The requested file, for messages.
        ask: The request.
        progress: Returns the number of received bytes. An attempt that increases it is not a failure.
        attempts: Maximum number of consecutive failures; ATTEMPTS if None.

    Raises:
        AbsentError: If there is no such file.
        RemoteError: If the server refuses, or all attempts fail.
    """
    limit = ATTEMPTS if attempts is None else attempts
    number = 0
    failures = 0
    most = progress()
    while True:
        number += 1
        try:
            return ask()
        except (PerceptInitError, *_MISTAKES):
            raise
        except Exception as error:
            reason = _reason(error)
            _raise_if_final(file, error, reason)
        failures = 0 if progress() > most else failures + 1
        most = max(most, progress())
        if failures == limit or number == ATTEMPTS_IN_ALL:
            raise RemoteError(
                f"{file}: failed after {number} attempts ({reason}). Rerun the command to resume"
            )
        time.sleep(BACKOFF_SECONDS * 2 ** max(0, failures - 1))


def _raise_if_final(file: RemoteFile, error: Exception, reason: str) -> None:
    """Raise if a retry cannot help: no such file, access denied, or another client error (4xx)."""
    status = _status(error)
    if status in (404, 410) or isinstance(error, FileNotFoundError):
        raise AbsentError(f"{file}: no such file") from error
    if status in (401, 403) or isinstance(error, PermissionError) or "Credential" in type(error).__name__:
        raise RemoteError(
            f"{file}: access denied ({reason}). Check the credentials: s3://, gs:// and hf:// read them from "
            "the environment or a login, https:// from ~/.netrc"
        ) from error
    if status and 400 <= status < 500 and status not in (408, 416, 425, 429):
        raise RemoteError(f"{file}: {reason}") from error


def _status(error: BaseException | None) -> int | None:
    """Return the HTTP status of an error or of its cause."""
    # aiohttp also reports a status for a truncated body
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
    """Return one line about an error, without the address, which may contain a signature."""
    status = _status(error)
    cause = getattr(error, "reason", None)
    if any(isinstance(e, TimeoutError) or "Timeout" in type(e).__name__ for e in (error, cause)):
        words = f"no response within {network.TIMEOUT_SECONDS:g} s"
    else:
        said = cause or getattr(error, "message", None) or error.args[-1:] or type(error).__name__
        text = str(said[0] if isinstance(said, tuple) else said).partition("\n")[0]
        words = without_credentials(text)[:200] or type(error).__name__
    return f"HTTP {status} {words}" if status else words
