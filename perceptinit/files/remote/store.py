"""Ask a bucket, a hub or a web server again where waiting helps, and raise a sentence where it does not.

Bytes are the same whenever they arrive, so a request gives them or raises RemoteError; nothing takes their place.
"""

from __future__ import annotations

import fnmatch
import io
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urljoin

from perceptinit.errors import (
    AbsentError,
    DataError,
    PerceptInitError,
    RemoteError,
    without_credentials,
)
from perceptinit.files.remote import network
from perceptinit.files.remote.addresses import RemoteFile
from perceptinit.files.remote.network import Answer, Stat, open_answer

T = TypeVar("T")

# attempts without progress, and attempts in all, before a server is given up
ATTEMPTS, ATTEMPTS_IN_ALL = 6, 200
# waits between attempts without progress: this times 1, 2, 4, ...
BACKOFF_SECONDS = 1.0
_MOST_PAGE_BYTES = 64 << 20
_MISTAKES = (TypeError, AttributeError, NameError, ImportError)  # of the program, not of a server


def stat(file: RemoteFile) -> Stat:
    """Return the size and version of a file as they are now.

    Raises:
        AbsentError: If there is no such file.
        RemoteError: If the server does not answer, or does not state the size.
    """

    def look() -> Stat:
        with open_answer(file, 0, 0) as answer:
            if answer.num_bytes is None:
                raise RemoteError(f"{file}: the server does not state the size of the file")
            return Stat(answer.num_bytes, answer.version)

    return retry(file, look)


def read(file: RemoteFile, start: int, stop: int, wanted: Stat | None = None) -> bytes:
    """Return the bytes from `start` to before `stop`.

    Raises:
        RemoteError: If not all of them arrive, or the file is not the `wanted` one; see `check_version`.
    """

    def get() -> bytes:
        data = bytearray()
        with open_answer(file, start, stop) as answer:
            check_version(file, answer, wanted)
            check_part(file, answer, start, stop)
            for chunk in answer.chunks:
                data += chunk
        if len(data) < stop - start:
            raise OSError(f"the connection ended after {len(data):,} of {stop - start:,} bytes")
        return bytes(data)

    return retry(file, get) if stop > start else b""


class RemoteReader(io.RawIOBase):
    """A remote file as a seekable binary file; RemoteError when more than `most_bytes` of it are read."""

    def __init__(self, file: RemoteFile, most_bytes: int) -> None:
        self._file, self._now, self._position, self._left = file, stat(file), 0, most_bytes

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
            raise RemoteError(f"{self._file}: too many bytes of it are needed")
        buffer[:size] = read(self._file, self._position, self._position + size, self._now)
        self._position += size
        return size


def check_version(file: RemoteFile, answer: Answer, wanted: Stat | None) -> None:
    """Raise RemoteError unless an answer has the wanted size and version, as far as both are known."""
    there = answer.num_bytes
    if wanted and (there not in (None, wanted.num_bytes) or wanted.version not in ("", answer.version)):
        raise RemoteError(
            f"{file}: has changed since it was looked at ({wanted.num_bytes:,} bytes then, {there or 0:,} now). "
            "If an index is beside it, make that again: perceptinit data index"
        )


def check_part(file: RemoteFile, answer: Answer, start: int, stop: int) -> None:
    """Raise RemoteError unless an answer is the bytes from `start` to before `stop`."""
    is_whole = answer.num_bytes in (None, stop) and start == 0
    if answer.start != start or not (answer.is_part or is_whole):
        raise RemoteError(f"{file}: the server sends whole files, not the part that was asked for")


def read_page(file: RemoteFile, attempts: int = ATTEMPTS) -> bytes:
    """Return a whole small answer, such as a page or JSON, of whatever length."""

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
    """Store a file; RemoteError where nothing may be written."""
    if file.is_web:
        raise RemoteError(f"{file}: files cannot be written to a web server")

    retry(file, lambda: network.put(file, data))


def list_files(folder: RemoteFile, recursive: bool = False) -> dict[RemoteFile, Stat]:
    """Return the files in a folder of a bucket or a hub, sorted."""

    return retry(folder, lambda: network.list_bucket(folder, recursive))


def match_files(pattern: RemoteFile) -> list[RemoteFile]:
    """Return the files that match a glob in the last part of an address, sorted; DataError if there are none.

    A web server's files are those that the page of the folder links to.
    """
    folder = pattern.folder
    if any(mark in folder.url.partition("://")[2] for mark in "*["):
        raise DataError(f"{pattern}: only the last part of an address may be a glob")
    there = list(_list_links(folder) if folder.is_web else list_files(folder))
    found = [file for file in there if fnmatch.fnmatchcase(file.name, pattern.name)]
    if not found:
        raise DataError(f"{pattern}: none of {len(there)} files there matches")
    return found


def _list_links(folder: RemoteFile) -> list[RemoteFile]:
    page = read_page(folder / "").decode("utf-8", "replace")
    base = (folder / "").url.partition("?")[0]
    links = {urljoin(base, link) for link in re.findall(r"""href=["']([^"'?#]+)""", page)}
    names = sorted(link.removeprefix(base) for link in links if link.startswith(base))
    return [folder / name for name in names if name and "/" not in name]


def retry(
    file: RemoteFile,
    ask: Callable[[], T],
    progress: Callable[[], int] = int,
    attempts: int | None = None,
) -> T:
    """Return what `ask` returns, called again after a while where waiting may help.

    Args:
        file: What is asked for, for messages.
        ask: The request.
        progress: Bytes that have arrived. An attempt that brought more than all before it does not count as failed.
        attempts: How many in a row may fail; ATTEMPTS if None.

    Raises:
        AbsentError: If there is no such file.
        RemoteError: If the server refuses, or all attempts failed.
    """
    limit = ATTEMPTS if attempts is None else attempts
    number, failures, most = 0, 0, progress()
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
                f"{file}: {reason}; failed after {number} attempts. Rerun the command to resume"
            )
        time.sleep(BACKOFF_SECONDS * 2 ** max(0, failures - 1))


def _raise_if_final(file: RemoteFile, error: Exception, reason: str) -> None:
    """Raise where waiting does not help: no such file, no permission, an answer of the 400s."""
    status = _status(error)
    if status in (404, 410) or isinstance(error, FileNotFoundError):
        raise AbsentError(f"{file}: no such file") from error
    if status in (401, 403) or isinstance(error, PermissionError) or "Credential" in type(error).__name__:
        raise RemoteError(
            f"{file}: access denied ({reason}). Are the credentials there, and have they expired? s3://, gs:// and "
            "hf:// take them from the environment or a login, https:// from ~/.netrc"
        ) from error
    if status and 400 <= status < 500 and status not in (408, 416, 425, 429):
        raise RemoteError(f"{file}: {reason}") from error


def _status(error: BaseException | None) -> int | None:
    """Return the HTTP status of an error, or of what it came from."""
    # a body that was cut has none, whatever aiohttp says
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
    """Return one line about an error, without the address, which may hold a signature."""
    status, cause = _status(error), getattr(error, "reason", None)
    if any(isinstance(e, TimeoutError) or "Timeout" in type(e).__name__ for e in (error, cause)):
        words = f"no answer within {network.TIMEOUT_SECONDS:g} s"
    else:
        said = cause or getattr(error, "message", None) or error.args[-1:] or type(error).__name__
        text = str(said[0] if isinstance(said, tuple) else said).partition("\n")[0]
        words = without_credentials(text)[:200] or type(error).__name__
    return f"HTTP {status} {words}" if status else words
